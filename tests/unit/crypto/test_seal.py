"""Sealing and opening datagrams; ChaCha20-Poly1305 against RFC 8439, 2.8.2."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from mcast.crypto import seal
from mcast.crypto.rooms import Room, keyed_room, open_room
from mcast.crypto.seal import Opener, Sealer
from mcast.wire.header import Header, decode_header
from mcast.wire.limits import COUNTER_MAX
from mcast.wire.reasons import DropReason

ROOM = open_room("230.0.0.1:28003", "lobby")
SESSION = b"session1"


def opened(room: Room, datagram: bytes) -> bytes | DropReason:
    header = decode_header(datagram)
    return Opener(room).open(header, datagram) if isinstance(header, Header) else header


def test_rfc_8439() -> None:
    key = bytes(range(0x80, 0xA0))
    nonce = bytes.fromhex("070000004041424344454647")
    data = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    plain = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )
    sealed = ChaCha20Poly1305(key).encrypt(nonce, plain, data)
    assert sealed[:16].hex() == "d31a8d34648e60db7b86afbc53ef7ec2"
    assert sealed[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"
    assert len(sealed) == len(plain) + 16


def test_every_bit_flip_is_refused() -> None:
    datagram = Sealer(ROOM, SESSION).seal(b"frames")
    assert opened(ROOM, datagram) == b"frames"
    for bit in range(8 * len(datagram)):
        changed = bytearray(datagram)
        changed[bit // 8] ^= 1 << bit % 8
        # The key id picks the room before anything is opened; here the room stays, so the seal must notice.
        assert isinstance(opened(ROOM, bytes(changed)), DropReason)


def test_cut_anywhere() -> None:
    datagram = Sealer(ROOM, SESSION).seal(b"frames")
    for end in range(len(datagram)):
        assert isinstance(opened(ROOM, datagram[:end]), DropReason)


def test_another_rooms_datagram() -> None:
    other = keyed_room(bytes(32), bytes(16))
    assert opened(ROOM, Sealer(other, SESSION).seal(b"frames")) == DropReason.UNSEALED


@pytest.mark.heavy
def test_a_million_nonces_are_all_different() -> None:
    sealer = Sealer(ROOM, SESSION)
    last = b""
    for _ in range(1_000_000):
        datagram = sealer.seal(b"")
        assert datagram[8:16] == SESSION
        assert last < datagram[16:24]
        last = datagram[16:24]
    assert last == (999_999).to_bytes(8, "big")


def test_a_new_session_has_another_key() -> None:
    first, second = Sealer(ROOM, SESSION).seal(b"same"), Sealer(ROOM, b"session2").seal(b"same")
    assert first[24:] != second[24:]


def test_the_last_counter_is_the_last() -> None:
    sealer = Sealer(ROOM, SESSION, COUNTER_MAX)
    assert opened(ROOM, sealer.seal(b"last")) == b"last"
    with pytest.raises(OverflowError, match="start another"):
        sealer.seal(b"one more")


@pytest.mark.parametrize("size", [0, 7, 9])
def test_a_session_of_another_size(size: int) -> None:
    with pytest.raises(ValueError, match="8 bytes"):
        Sealer(ROOM, bytes(size))


def test_sessions_are_bounded_and_only_members_fill_them(monkeypatch: pytest.MonkeyPatch) -> None:
    derived: list[bytes] = []
    derive = seal.session_key
    monkeypatch.setattr(seal, "SESSIONS_MAX", 2)
    datagrams = [Sealer(ROOM, b"session%d" % number).seal(b"frames") for number in range(3)]

    def counting(room: Room, session: bytes) -> bytes:
        derived.append(session)
        return derive(room, session)

    monkeypatch.setattr(seal, "session_key", counting)
    opener = Opener(ROOM)

    def receive(datagram: bytes) -> bytes | DropReason:
        header = decode_header(datagram)
        assert isinstance(header, Header)
        return opener.open(header, datagram)

    for datagram in (datagrams[0], datagrams[0], datagrams[1], datagrams[0], datagrams[1]):
        assert receive(datagram) == b"frames"
    assert len(derived) == 2
    forged = datagrams[2][:-1] + bytes((datagrams[2][-1] ^ 1,))
    assert receive(forged) == DropReason.UNSEALED
    receive(datagrams[0])
    assert len(derived) == 3
    receive(datagrams[2])
    receive(datagrams[1])
    assert len(derived) == 4
    receive(datagrams[0])
    assert len(derived) == 5
