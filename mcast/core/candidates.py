"""Announcements of runs that have yet to answer a probe."""

from __future__ import annotations

import msgspec

from mcast.wire.frames import Announcement

from .events import Address
from .peer_id import PeerId

LIMIT = 1024  # the attack is recordings played again by the thousand; oldest first out


class Candidate(msgspec.Struct, frozen=True):
    """What enters the roster when the run answers."""

    frame: Announcement
    source: Address


class Candidates:
    """The latest announcement of each unproven run."""

    def __init__(self) -> None:
        self._candidates: dict[PeerId, Candidate] = {}

    def add(self, run: PeerId, frame: Announcement, source: Address) -> None:
        """`run` announced itself but is not proven live."""
        self._candidates.pop(run, None)
        self._candidates[run] = Candidate(frame, source)
        if len(self._candidates) > LIMIT:
            del self._candidates[next(iter(self._candidates))]

    def take(self, run: PeerId) -> Candidate | None:
        """The announcement of `run`, which has answered."""
        return self._candidates.pop(run, None)
