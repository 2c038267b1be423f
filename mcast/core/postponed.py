"""Announcements of strangers that came faster than signatures may be checked: they wait for their turn.

When ten thousand join at once all are known half a minute later, not when each has announced itself again.
"""

from __future__ import annotations

import msgspec

from mcast.wire.frames import Announcement, Key

from .events import Address
from .peer_id import PeerId

PAUSE = 0.1  # seconds between two looks at whether signatures may be checked


class Entry(msgspec.Struct, frozen=True):
    """An announcement with its key, where it came from, the size of its datagram and when it came."""

    key: Key
    announcement: Announcement
    source: Address
    size: int
    at: float


class Postponed:
    """The latest announcement of each such run, `limit` of them.

    The attack: made-up newcomers by the thousand. First in, first out, so that a real one among them has
    the same chance as before; they use no budget but what is left of the strangers'.
    """

    def __init__(self, limit: int) -> None:
        self._entries: dict[PeerId, Entry] = {}
        self._limit = limit
        self._next = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        """`entry` could not be checked."""
        if not self._entries:
            self._next = entry.at + PAUSE
        frame = entry.announcement
        self._entries[PeerId(frame.origin, frame.incarnation)] = entry
        if len(self._entries) > self._limit:
            del self._entries[next(iter(self._entries))]

    def when(self) -> float | None:
        """When to take up some of them."""
        return self._next if self._entries else None

    def take(self, now: float) -> Entry | None:
        """The one that has waited longest; None when there is none, or it is not time."""
        if not self._entries or now < self._next:
            return None
        return self._entries.pop(next(iter(self._entries)))

    def rest(self, now: float) -> None:
        """Nothing more may be checked now."""
        self._next = now + PAUSE
