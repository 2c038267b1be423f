"""Sealing messages from one peer to another."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from mcast.crypto import directed
from mcast.crypto.keys import Identity, curve_point, x25519, x25519_public
from mcast.wire.frames import Directed, DirectedAck

ROOM = b"r" * 16
ADA, BOB, EVE = (Identity(bytes([number]) * 32) for number in (1, 2, 3))
SCALAR = b"s" * 32
IDENTITY_POINT = b"\x01" + bytes(31)  # of small order, in either form


def keys() -> tuple[bytes, directed.MessageKeys]:
    made = directed.sender_keys(ADA, BOB.public_key, SCALAR, ROOM)
    assert made is not None
    return made


def fragment(index: int = 0) -> Directed:
    return Directed(ADA.origin, 1, BOB.origin, 2, 3, 4, keys()[0], index, 2, b"")


def test_x25519_is_that_of_another_library() -> None:
    theirs = X25519PrivateKey.from_private_bytes(SCALAR)
    assert x25519_public(SCALAR) == theirs.public_key().public_bytes_raw()
    point = curve_point(BOB.public_key)
    assert point is not None
    assert x25519(SCALAR, point) == theirs.exchange(X25519PublicKey.from_public_bytes(point))
    assert BOB.agree(x25519_public(SCALAR)) == x25519(SCALAR, point)


def test_both_sides_have_the_same_keys() -> None:
    ephemeral, sent = keys()
    assert directed.recipient_keys(BOB, ADA.public_key, ephemeral, ROOM) == sent
    assert len(sent.seal) == len(sent.ack) == 32
    assert sent.seal != sent.ack


@pytest.mark.parametrize(
    ("who", "sender", "room"), [(EVE, ADA, ROOM), (BOB, EVE, ROOM), (BOB, ADA, b"q" * 16)]
)
def test_nobody_else_has_them(who: Identity, sender: Identity, room: bytes) -> None:
    ephemeral, sent = keys()
    assert directed.recipient_keys(who, sender.public_key, ephemeral, room) != sent


def test_another_ephemeral_makes_other_keys() -> None:
    made = directed.sender_keys(ADA, BOB.public_key, b"t" * 32, ROOM)
    assert made is not None
    assert made[1].seal != keys()[1].seal


def test_bad_keys_are_refused() -> None:
    assert directed.sender_keys(ADA, IDENTITY_POINT, SCALAR, ROOM) is None
    assert directed.recipient_keys(BOB, IDENTITY_POINT, keys()[0], ROOM) is None
    assert directed.recipient_keys(BOB, ADA.public_key, bytes(32), ROOM) is None
    assert x25519(SCALAR, bytes(32)) is None


def test_a_fragment_opens_for_its_keys_only() -> None:
    sealed = directed.seal_fragment(keys()[1], fragment(), b"secret")
    assert b"secret" not in sealed.sealed
    assert directed.open_fragment(keys()[1], sealed) == b"secret"
    other = directed.recipient_keys(BOB, EVE.public_key, keys()[0], ROOM)
    assert other is not None
    assert directed.open_fragment(other, sealed) is None


@pytest.mark.parametrize(
    "change",
    [
        {"incarnation": 9},
        {"to_incarnation": 9},
        {"number": 9},
        {"timestamp": 9},
        {"index": 1},
        {"count": 3},
        {"sealed": b"x" * 22},
        {"sealed": b""},
    ],
)
def test_a_changed_fragment_does_not_open(change: dict[str, object]) -> None:
    sealed = directed.seal_fragment(keys()[1], fragment(), b"secret")
    assert directed.open_fragment(keys()[1], msgspec.structs.replace(sealed, **change)) is None


def test_fragments_have_nonces_of_their_own() -> None:
    first, second = (directed.seal_fragment(keys()[1], fragment(index), b"same") for index in (0, 1))
    assert first.sealed[:4] != second.sealed[:4]


def test_an_acknowledgement_holds_for_its_keys_only() -> None:
    ack = directed.sign_ack(keys()[1], DirectedAck(BOB.origin, 2, ADA.origin, 1, 3, 64, b"", b"\x03"))
    assert directed.holds(keys()[1], ack)
    for change in ({"got": b"\x01"}, {"number": 4}, {"allowed": 1}, {"mac": bytes(16)}):
        assert not directed.holds(keys()[1], msgspec.structs.replace(ack, **change))
    assert not directed.holds(directed.MessageKeys(b"", b"other"), ack)


def test_the_signature_covers_all_but_the_cutting() -> None:
    claim = directed.content_claim(ROOM, fragment(0), b"content")
    assert claim == directed.content_claim(ROOM, fragment(1), b"content")
    assert claim != directed.content_claim(b"q" * 16, fragment(), b"content")
    assert claim != directed.content_claim(ROOM, fragment(), b"contents")
    for change in ({"number": 9}, {"timestamp": 9}, {"to_incarnation": 9}, {"incarnation": 9}):
        other = msgspec.structs.replace(fragment(), **change)
        assert claim != directed.content_claim(ROOM, other, b"content")
