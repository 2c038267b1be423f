"""Sealing and opening datagrams: ChaCha20-Poly1305 (RFC 8439) under a key of each session's own."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from mcast.wire.header import Header, encode_header
from mcast.wire.limits import COUNTER_MAX, HEADER_SIZE, SESSION_SIZE
from mcast.wire.reasons import DropReason

from .rooms import Room, derive

# The attack: a member fills the table with sessions of its own (without the room key nobody can). The oldest
# goes first; an honest session that is pushed out costs one more key derivation, nothing else.
SESSIONS_MAX = 4_096
_COUNTER_AT = HEADER_SIZE - 8
_NONCE_HEAD = bytes(4)


def session_key(room: Room, session: bytes) -> bytes:
    """The key (32 bytes) of the datagrams that `session` (8 bytes) seals for `room`."""
    return derive(room.key, salt=session, info=b"mcast2 datagram")


class Sealer:
    """Seals the datagrams of one process for one room. Each gets the next counter, so no nonce comes twice.

    `session` is 8 random bytes, new in every process and after a fork; ValueError for another size.
    """

    __slots__ = ("_cipher", "_head", "counter", "session")

    def __init__(self, room: Room, session: bytes, counter: int = 0) -> None:
        if len(session) != SESSION_SIZE:
            raise ValueError(f"a session is {SESSION_SIZE} bytes, not {len(session)}")
        self.session = session
        self.counter = counter
        self._cipher = ChaCha20Poly1305(session_key(room, session))
        self._head = encode_header(Header(room.key_id, session, 0))[:_COUNTER_AT]

    def seal(self, plain: bytes) -> bytes:
        """The datagram that carries the frames in `plain`: header, cipher text, 16 bytes of tag.

        OverflowError when the session has used every counter.
        """
        if self.counter > COUNTER_MAX:
            raise OverflowError("the session has used every counter; start another")
        counter = self.counter.to_bytes(8, "big")
        self.counter += 1
        header = self._head + counter
        return header + self._cipher.encrypt(_NONCE_HEAD + counter, plain, header)


class Opener:
    """Opens the datagrams of one room."""

    __slots__ = ("_ciphers", "room")

    def __init__(self, room: Room) -> None:
        self.room = room
        self._ciphers: dict[bytes, ChaCha20Poly1305] = {}

    def open(self, header: Header, datagram: bytes) -> bytes | DropReason:
        """The frames sealed in `datagram`, whose header is `header`; UNSEALED if a single bit was changed."""
        known = self._ciphers.get(header.session)
        cipher = known or ChaCha20Poly1305(session_key(self.room, header.session))
        try:
            plain = cipher.decrypt(
                _NONCE_HEAD + datagram[_COUNTER_AT:HEADER_SIZE],
                datagram[HEADER_SIZE:],
                datagram[:HEADER_SIZE],
            )
        except InvalidTag:
            return DropReason.UNSEALED
        if known is None:
            self._remember(header.session, cipher)
        return plain

    def _remember(self, session: bytes, cipher: ChaCha20Poly1305) -> None:
        if len(self._ciphers) >= SESSIONS_MAX:
            del self._ciphers[next(iter(self._ciphers))]
        self._ciphers[session] = cipher
