"""One run's records, put into order: each at most once."""

from __future__ import annotations

from mcast.wire.reasons import DropReason
from mcast.wire.records import Record

from .ranges import RangeSet, collapse

LATE_RANGES = 256  # given-up stretches that may still arrive late; older ones count as delivered


class Stream:
    """First-in-first-out order of one run.

    `next` is the first sequence not yet delivered, `high` the highest that is waited for, `claimed` the
    highest that is said to exist: it may be further than the window. What lies between `next` and `high`
    and is not held is missing. The attack on the window: a run that jumps far ahead hurts only itself.
    """

    def __init__(self, start: int, window: int) -> None:
        self.next = start
        self.high = self.claimed = start - 1
        self.window = window
        self._held: dict[int, Record] = {}
        self._late = RangeSet(LATE_RANGES)
        self.held_bytes = 0

    @property
    def contiguous(self) -> int:
        """Up to here nothing is missing or being waited for."""
        return self.next - 1

    def refuse(self, sequence: int) -> DropReason | None:
        """Why a record with this number is not wanted; asked before its signature is checked."""
        if sequence < self.next:
            return None if sequence in self._late else DropReason.DUPLICATE
        if sequence >= self.next + self.window:
            return DropReason.OUT_OF_WINDOW
        return DropReason.DUPLICATE if sequence in self._held else None

    def held(self, sequence: int) -> Record | None:
        """The record with this number if it waits for one before it."""
        return self._held.get(sequence)

    def given_up(self, sequence: int) -> bool:
        """Whether this record was given up and has not come since."""
        return sequence in self._late

    def learn(self, high: int) -> tuple[int, int]:
        """Records up to `high` exist. The range [start, stop) that is thereby found missing."""
        self.claimed = max(self.claimed, high)
        start = self.high + 1
        self.high = max(self.high, min(self.claimed, self.next + self.window - 1))
        return start, self.high + 1

    @property
    def smooth(self) -> bool:
        """Whether nothing is missing or held, as usual."""
        return self.next == self.high + 1 == self.claimed + 1

    def follow(self, count: int) -> None:
        """The next `count` records, one at least, are accepted; nothing is missing or held."""
        self.next += count
        self.high = self.claimed = self.next - 1

    def accept(self, record: Record) -> tuple[list[Record], bool]:
        """Take a verified, unrefused record. The records that are now in order, or this one, late."""
        sequence = record.sequence
        if sequence < self.next:
            self._late.remove(sequence)
            return [record], True
        self.high = max(self.high, sequence)
        self.claimed = max(self.claimed, sequence)
        if sequence > self.next:
            self._held[sequence] = record
            self.held_bytes += len(record.payload)
            return [], False
        self.next += 1
        if not self._held:
            return [record], False
        return [record, *self._drain()], False

    def _drain(self) -> list[Record]:
        ready = []
        while (record := self._held.pop(self.next, None)) is not None:
            ready.append(record)
            self.held_bytes -= len(record.payload)
            self.next += 1
        return ready

    def give_up(self, stop: int) -> tuple[list[tuple[int, int]], list[Record]]:
        """Wait no longer for what is missing below `stop`, however far away that is.

        Returns the ranges [start, stop) lost and the records now due.
        """
        lost: list[tuple[int, int]] = []
        ready: list[Record] = []
        for sequence in sorted(sequence for sequence in self._held if sequence < stop):
            if self.next < sequence:
                lost.append((self.next, sequence))
                self.next = sequence
            ready.extend(self._drain())
        if self.next < stop:
            lost.append((self.next, stop))
            self.next = stop
        self.high = max(self.high, self.next - 1)
        self.claimed = max(self.claimed, self.high)
        for start, end in lost:
            self._late.add(start, end)
        return lost, [*ready, *self._drain()]

    @property
    def top(self) -> int:
        """The highest sequence held; 0 when none is."""
        return max(self._held, default=0)

    def forget_highest(self, count: int) -> list[tuple[int, int]]:
        """Drop the `count` highest of those held; the [start, stop) ranges are missing again."""
        sequences = sorted(self._held)[-count:]
        for sequence in sequences:
            self.held_bytes -= len(self._held.pop(sequence).payload)
        return collapse(sequences)

    def forget_held(self) -> list[tuple[int, int]]:
        """Drop what is held, to make room; the [start, stop) ranges are missing again."""
        ranges = collapse(sorted(self._held))
        self._held.clear()
        self.held_bytes = 0
        return ranges
