"""From a datagram to its frames: the checks that cost least come first."""

from __future__ import annotations

from mcast.wire.frames import Frame
from mcast.wire.header import Header, decode_header, encode_header
from mcast.wire.reasons import DropReason

from .checks import Checks
from .repeats import Repeats


class Admission:
    """Own session, header, room, exact repeat, seal, frames: in this order."""

    def __init__(self, checks: Checks, session: bytes) -> None:
        self._checks = checks
        self._own = encode_header(Header(checks.room.key_id, session, 0))[:-8]
        self._repeats = Repeats()

    def admit(self, datagram: bytes) -> list[Frame] | DropReason:
        """The frames of `datagram`, or why it is dropped."""
        if datagram.startswith(self._own):
            return DropReason.OWN  # each we send comes back to us: it should cost little
        header = decode_header(datagram)
        if isinstance(header, DropReason):
            return header
        if header.key_id != self._checks.room.key_id:
            return DropReason.UNKNOWN_ROOM
        name = hash(datagram)
        if self._repeats.seen(name):
            return DropReason.REPEATED
        frames = self._checks.open(header, datagram)
        if isinstance(frames, list):
            self._repeats.add(name)
        return frames
