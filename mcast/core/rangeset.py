"""Sets of sequence numbers, stored as ranges."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class RangeSet:
    """Integers as disjoint, sorted, half-open ranges; at most `limit` of them.

    Beyond the limit the lowest ranges are forgotten: the attack is a peer that loses every second record
    for ever.
    """

    def __init__(self, limit: int = 1 << 30) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self._limit = limit

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __len__(self) -> int:
        """How many ranges there are."""
        return len(self._starts)

    def __contains__(self, value: int) -> bool:
        at = bisect_right(self._starts, value) - 1
        return at >= 0 and value < self._stops[at]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._stops, strict=True))

    def covers(self, start: int, stop: int) -> bool:
        """Whether all of [start, stop), which is not empty, is in the set."""
        at = bisect_right(self._starts, start) - 1
        return at >= 0 and stop <= self._stops[at]

    @property
    def low(self) -> int:
        """The lowest number in the set; 0 when it is empty."""
        return self._starts[0] if self._starts else 0

    @property
    def high(self) -> int:
        """The highest number in the set; 0 when it is empty."""
        return self._stops[-1] - 1 if self._stops else 0

    def within(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The parts of [start, stop) that are in the set, ascending; looks at no others."""
        for at in range(max(0, bisect_right(self._starts, start) - 1), len(self._starts)):
            first, end = max(start, self._starts[at]), min(stop, self._stops[at])
            if self._starts[at] >= stop:
                return
            if first < end:
                yield first, end

    def add(self, start: int, stop: int) -> None:
        """Add all of [start, stop)."""
        if start >= stop:
            return
        if self._stops and start == self._stops[-1]:  # the usual case: one more at the end
            self._stops[-1] = stop
            return
        first, last = self._touching(start, stop)
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]
        excess = len(self._starts) - self._limit
        if excess > 0:
            del self._starts[:excess], self._stops[:excess]

    def remove(self, value: int) -> bool:
        """Take one number out; False when it was not there."""
        found = value in self
        if found:
            self.cut(value, value + 1)
        return found

    def cut(self, start: int, stop: int) -> None:
        """Take out what is there of [start, stop)."""
        first, last = bisect_right(self._stops, start), bisect_left(self._starts, stop)
        if first >= last or start >= stop:
            return
        ends = (self._starts[first], start), (stop, self._stops[last - 1])
        rest = [(a, b) for a, b in ends if a < b]
        self._starts[first:last] = [a for a, _ in rest]
        self._stops[first:last] = [b for _, b in rest]

    def _touching(self, start: int, stop: int) -> tuple[int, int]:
        """Indices [first, last) of the ranges that overlap or border on [start, stop)."""
        first = bisect_right(self._starts, start)
        if first and self._stops[first - 1] >= start:
            first -= 1
        last = bisect_right(self._starts, stop)
        return first, max(first, last)


def collapse(values: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending integers as half-open ranges: [1, 2, 3, 7] becomes [(1, 4), (7, 8)]."""
    ranges: list[tuple[int, int]] = []
    for value in values:
        if ranges and ranges[-1][1] == value:
            ranges[-1] = (ranges[-1][0], value + 1)
        else:
            ranges.append((value, value + 1))
    return ranges
