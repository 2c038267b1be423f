"""One run's records, put into order: each at most once."""

from __future__ import annotations

from mcast.wire.reasons import DropReason
from mcast.wire.records import Record

from .ranges import RangeSet, collapse

LATE_RANGES = 256  # given-up stretches that may still arrive late; older ones count as delivered


class Stream:
    """First-in-first-out order of one run.

    `next` is the first sequence not yet delivered, `high` the highest known to exist. What lies between
    and is not held is missing. The attack on the window: a run that jumps far ahead hurts only itself.
    """

    def __init__(self, start: int, window: int) -> None:
        self.next = start
        self.high = start - 1
        self._window = window
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
        if sequence >= self.next + self._window:
            return DropReason.OUT_OF_WINDOW
        return DropReason.DUPLICATE if sequence in self._held else None

    def held(self, sequence: int) -> Record | None:
        """The record with this number if it waits for one before it."""
        return self._held.get(sequence)

    def learn(self, high: int) -> tuple[int, int]:
        """Records up to `high` exist. The range [start, stop) that is thereby found missing."""
        high = min(high, self.next + self._window - 1)
        start = self.high + 1
        self.high = max(self.high, high)
        return start, self.high + 1

    def accept(self, record: Record) -> tuple[list[Record], bool]:
        """Take a verified, unrefused record. The records that are now in order, or this one, late."""
        sequence = record.sequence
        if sequence < self.next:
            self._late.remove(sequence)
            return [record], True
        self.high = max(self.high, sequence)
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

    def head(self) -> int:
        """The end of the gap at the front: the first number after `next` that is held, or `high` + 1."""
        return min(self._held) if self._held else self.high + 1

    def give_up(self, stop: int) -> tuple[list[tuple[int, int]], list[Record]]:
        """Wait no longer for what is missing below `stop`.

        Returns the ranges [start, stop) lost and the records now due.
        """
        lost: list[int] = []
        ready: list[Record] = []
        while self.next < stop:
            record = self._held.pop(self.next, None)
            if record is None:
                lost.append(self.next)
            else:
                ready.append(record)
                self.held_bytes -= len(record.payload)
            self.next += 1
        self.high = max(self.high, stop - 1)
        ranges = collapse(lost)
        for start, end in ranges:
            self._late.add(start, end)
        return ranges, [*ready, *self._drain()]

    @property
    def top(self) -> int:
        """The highest sequence held; 0 when none is."""
        return max(self._held, default=0)

    def forget_highest(self, count: int) -> list[int]:
        """Drop the `count` highest of those held, to make room for lower ones; they are missing again."""
        sequences = sorted(self._held)[-count:]
        for sequence in sequences:
            self.held_bytes -= len(self._held.pop(sequence).payload)
        return sequences

    def forget_held(self) -> list[int]:
        """Drop what is held, to make room; the numbers are missing again."""
        sequences = sorted(self._held)
        self._held.clear()
        self.held_bytes = 0
        return sequences
