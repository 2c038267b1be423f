"""Datagrams seen before: the same one arrives over several interfaces and from loops."""

from __future__ import annotations


class Repeats:
    """The last `limit` tags, first in, first out.

    Only opened datagrams are entered, so that junk cannot flush it. It saves work; it is no replay
    protection:
    whoever holds the room's key may seal anything anew, so signed content carries its own freshness.
    """

    def __init__(self, limit: int = 8192) -> None:
        self._tags: dict[bytes, None] = {}
        self._limit = limit

    def __len__(self) -> int:
        return len(self._tags)

    def seen(self, tag: bytes) -> bool:
        """Whether `tag` is among the last ones."""
        return tag in self._tags

    def add(self, tag: bytes) -> None:
        """Remember `tag`."""
        self._tags[tag] = None
        if len(self._tags) > self._limit:
            del self._tags[next(iter(self._tags))]
