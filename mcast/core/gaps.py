"""What one run's stream lacks, and when to ask for it: the receiver's side of repair."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from .ranges import collapse

DEFERRALS = (
    2  # others' NACKs that may put ours off; the next time it goes regardless, or a forger silences us
)


class Gap:
    """A stretch of missing records that the application was told of; the last one found closes it."""

    __slots__ = ("first", "last", "remaining")

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self.remaining = last - first + 1


class Wanted:
    """One missing record."""

    __slots__ = ("asked", "deferrals", "gap", "noticed", "tries")

    def __init__(self, noticed: float) -> None:
        self.noticed = noticed
        self.asked = -inf
        self.deferrals = 0
        self.tries = 0
        self.gap: Gap | None = None


class Gaps:
    """The missing records of one run. The stream's window bounds how many there can be."""

    def __init__(self) -> None:
        self._wanted: dict[int, Wanted] = {}

    def __bool__(self) -> bool:
        return bool(self._wanted)

    def __len__(self) -> int:
        return len(self._wanted)

    def __contains__(self, sequence: int) -> bool:
        return sequence in self._wanted

    def notice(self, start: int, stop: int, now: float) -> None:
        """[start, stop) was found to be missing."""
        for sequence in range(start, stop):
            self._wanted[sequence] = Wanted(now)

    def found(self, sequence: int) -> Gap | None:
        """`sequence` is no longer missing. The gap that this closes, if any."""
        wanted = self._wanted.pop(sequence, None)
        if wanted is None or wanted.gap is None:
            return None
        wanted.gap.remaining -= 1
        return wanted.gap if wanted.gap.remaining == 0 else None

    def lost(self, stop: int) -> None:
        """Everything missing below `stop` was given up."""
        for sequence in [sequence for sequence in self._wanted if sequence < stop]:
            del self._wanted[sequence]

    def ripe(self, now: float, grace: float, hold: float, below: float = inf) -> list[int]:
        """What to ask for now: below `below`, missing longer than `grace`, not asked for within `hold`;
        ascending."""
        noticed, asked = now - grace, now - hold
        return sorted(
            sequence
            for sequence, wanted in self._wanted.items()
            if sequence < below and wanted.noticed <= noticed and wanted.asked <= asked
        )

    def when(self, grace: float, hold: float, below: float = inf) -> float:
        """The earliest time at which something will be ripe; call only when something is missing there."""
        return min(
            max(wanted.noticed + grace, wanted.asked + hold)
            for sequence, wanted in self._wanted.items()
            if sequence < below
        )

    def asked(self, sequences: Iterable[int], now: float) -> list[Gap]:
        """A NACK for `sequences` goes out. The gaps to tell the application of for the first time."""
        fresh = []
        for sequence in sequences:
            wanted = self._wanted[sequence]
            wanted.asked, wanted.deferrals = now, 0
            wanted.tries += 1
            if wanted.gap is None:
                fresh.append(sequence)
        opened = [Gap(start, stop - 1) for start, stop in collapse(fresh)]
        for gap in opened:
            for sequence in range(gap.first, gap.last + 1):
                self._wanted[sequence].gap = gap
        return opened

    def overheard(self, ranges: Iterable[tuple[int, int]], now: float) -> None:
        """Another member's NACK asked for [start, stop) ranges: ours for the same waits, but not for ever."""
        for start, stop in ranges:
            for sequence in self._within(start, stop):
                wanted = self._wanted[sequence]
                if wanted.deferrals < DEFERRALS and wanted.asked < now:
                    wanted.asked = now
                    wanted.deferrals += 1

    def _within(self, start: int, stop: int) -> list[int]:
        if stop - start <= len(self._wanted):
            return [sequence for sequence in range(start, stop) if sequence in self._wanted]
        return [sequence for sequence in self._wanted if start <= sequence < stop]

    def oldest(self, sequence: int) -> Wanted | None:
        """What is known about the missing `sequence`."""
        return self._wanted.get(sequence)
