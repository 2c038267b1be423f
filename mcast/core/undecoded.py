"""Coded repairs of which two records or more are lacking: they may become useful."""

from __future__ import annotations

from mcast.wire.frames import Coded

from .events import Address

KEPT = 64  # first in, first out: who floods it has records asked for again that others coded


class Undecoded:
    """The last coded repairs that could not be used when they came."""

    def __init__(self) -> None:
        self._kept: dict[Coded, tuple[Address, float]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, frame: Coded, source: Address, now: float) -> None:
        """Keep one."""
        self._kept[frame] = source, now
        if len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]

    def drop(self, frame: Coded) -> None:
        """It was used, or is of no use any more."""
        self._kept.pop(frame, None)

    def all(self) -> list[tuple[Coded, Address, float]]:
        """All that are kept, who sent each, and when it came, oldest first."""
        return [(frame, source, came) for frame, (source, came) in self._kept.items()]
