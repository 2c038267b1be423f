"""Coded repairs of which two records or more are lacking: they may become useful."""

from __future__ import annotations

from mcast.wire.frames import Coded

from .events import Address

KEPT = 64  # first in, first out: who floods it has records asked for again that others coded


class Undecoded:
    """The last coded repairs that could not be used when they came."""

    def __init__(self) -> None:
        self._kept: dict[Coded, Address] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, frame: Coded, source: Address) -> None:
        """Keep one."""
        self._kept[frame] = source
        if len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]

    def drop(self, frame: Coded) -> None:
        """It was used, or is of no use any more."""
        self._kept.pop(frame, None)

    def all(self) -> list[tuple[Coded, Address]]:
        """All that are kept, oldest first."""
        return list(self._kept.items())
