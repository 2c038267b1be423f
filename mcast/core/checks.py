"""Opening datagrams and checking signatures: everything the engine asks of cryptography, in one place.

All of it is a pure function of its arguments, so a simulation may share the answers between its engines.
"""

from __future__ import annotations

from mcast.crypto.keys import verify
from mcast.crypto.rooms import Room
from mcast.crypto.seal import Opener
from mcast.crypto.signed import frame_claim
from mcast.wire.codec import decode_frames
from mcast.wire.frames import Frame, Signed
from mcast.wire.header import Header
from mcast.wire.reasons import DropReason


class Checks:
    """The checks of one room."""

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
