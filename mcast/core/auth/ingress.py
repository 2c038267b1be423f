"""From a datagram to its frames: the checks that cost least come first."""

from __future__ import annotations

from mcast.crypto.keys import verify
from mcast.crypto.rooms import Room
from mcast.crypto.seal import Opener
from mcast.crypto.signed import frame_claim
from mcast.wire.codec import decode_frames
from mcast.wire.frames import Frame, Signed
from mcast.wire.header import Header, decode_header, encode_header
from mcast.wire.reasons import DropReason

DUPLICATES = 8192  # datagrams remembered; up to twice as many, as two sets take turns


class Checks:
    """Opening datagrams and checking signatures of one room: all that the engine asks of cryptography.

    It is a pure function of its arguments, so a simulation may share the answers between its engines.
    """

    def __init__(self, room: Room) -> None:
        self.room = room
        self._opener = Opener(room)

    def open(self, header: Header, datagram: bytes) -> list[Frame] | DropReason:
        """The frames of a datagram, or why there are none."""
        plain = self._opener.open(header, datagram)
        return plain if isinstance(plain, DropReason) else decode_frames(plain)

    def verify(self, public_key: bytes, claim: bytes, signature: bytes) -> bool:
        """Whether `signature` covers `claim`."""
        return verify(public_key, claim, signature)

    def verify_frame(self, public_key: bytes, frame: Signed) -> bool:
        """Whether the holder of `public_key` signed `frame` in this room."""
        return self.verify(public_key, frame_claim(self.room.id, frame), frame.signature)


class Ingress:
    """Own session, header, room, duplicate, seal, frames: in this order.

    The duplicate cache holds the hash() of the last datagrams, first in, first out: the same datagram arrives
    over several interfaces. The attack: whoever holds the room's key makes another datagram with the tag of
    one that is yet to come, which would then be taken for a duplicate. So hash() names a datagram, not its
    tag: it is SipHash under a key that Python draws when it starts (PEP 456), so nobody can find another with
    the same hash, unless PYTHONHASHSEED tells the key. It has 64 bits; where it has 32, one datagram in
    250,000 is lost to it, and repaired.

    Only datagrams that opened and made sense are entered, so that junk cannot flush the cache. It saves work;
    it is no replay protection: whoever holds the room's key may seal anything anew, so signed content
    carries its own freshness.
    """

    def __init__(self, checks: Checks, session: bytes, limit: int = DUPLICATES) -> None:
        self._checks: dict[bytes, Checks] = {}
        self._session = session
        self._own: tuple[bytes, ...] = ()
        self.echoes = 0  # our own datagrams that came back
        self.accept(checks)
        self._latest: set[int] = set()
        self._before: set[int] = set()
        self._limit = limit

    def accept(self, checks: Checks) -> None:
        """Also open what is sealed with the key of these checks."""
        self._checks[checks.room.key_id] = checks
        self._own = tuple(encode_header(Header(key_id, self._session, 0))[:-8] for key_id in self._checks)

    def retire(self, room: Room) -> list[bytes]:
        """Open nothing more but what is sealed with the key of `room`; the ids of the other keys."""
        retired = [key_id for key_id in self._checks if key_id != room.key_id]
        for key_id in retired:
            del self._checks[key_id]  # what we sent with it comes back no more
        return retired

    def open(self, datagram: bytes) -> list[Frame] | DropReason:
        """The frames of `datagram`, or why it is dropped."""
        if datagram.startswith(self._own):
            self.echoes += 1
            return DropReason.OWN  # each we send comes back to us: it should cost little
        header = decode_header(datagram)
        if isinstance(header, DropReason):
            return header
        checks = self._checks.get(header.key_id)
        if checks is None:
            return DropReason.UNKNOWN_ROOM
        name = hash(datagram)
        if name in self._latest or name in self._before:
            return DropReason.REPEATED
        frames = checks.open(header, datagram)
        if isinstance(frames, list):
            self._latest.add(name)
            if len(self._latest) >= self._limit:
                self._latest, self._before = set(), self._latest
        return frames
