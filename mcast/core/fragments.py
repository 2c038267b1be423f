"""Large messages put together again from their fragments."""

from __future__ import annotations

from mcast.wire import bodies, limits
from mcast.wire.reasons import DropReason
from mcast.wire.records import Kind, Record

from .ranges import collapse

LIMIT = 256  # records kept of one run: more than 64 KiB in the smallest datagrams; oldest first out


class Fragments:
    """The fragments of one run that are not yet a whole message.

    In order they arrive FIRST MIDDLE* LAST; a fragment that comes late, after its gap was given up, finds its
    neighbours here. The attack: first fragments without an end; they push out each other only, a run has
    its own, and `bytes` counts towards what all runs may hold.
    """

    def __init__(self) -> None:
        self._records: dict[int, Record] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, sequence: int) -> bool:
        return sequence in self._records

    def _pop(self, sequence: int) -> Record:
        record = self._records.pop(sequence)
        self.bytes -= len(record.payload)
        return record

    def clear(self) -> list[tuple[int, int]]:
        """Drop all. The [start, stop) ranges that were here."""
        ranges = collapse(sorted(self._records))
        self._records.clear()
        self.bytes = 0
        return ranges

    def add(self, record: Record) -> tuple[int, bytes] | DropReason | None:
        """The message that `record` completed and the sequence of its last fragment; None if some are
        missing.

        BAD_BODY if the pieces do not add up.
        """
        self._records[record.sequence] = record
        self.bytes += len(record.payload)
        if len(self._records) > LIMIT:
            self._pop(next(iter(self._records)))
        first = self._walk(record.sequence, -1, Kind.FIRST)
        if first is None:
            return None
        last = self._walk(record.sequence, 1, Kind.LAST)
        if last is None:
            return None
        whole = _join([self._pop(sequence) for sequence in range(first, last + 1)])
        return whole if isinstance(whole, DropReason) else (last, whole)

    def unfinished(self, sequence: int) -> int | None:
        """The first fragment of the message that goes on after `sequence`, if all up to there is here."""
        record = self._records.get(sequence)
        if record is None or record.kind is Kind.LAST:
            return None
        return self._walk(sequence, -1, Kind.FIRST)

    def _walk(self, sequence: int, step: int, end: Kind) -> int | None:
        """The sequence at which the message's `end` stands, if nothing is missing on the way there."""
        record = self._records.get(sequence)
        if record is not None and record.kind is end:
            return sequence
        sequence += step
        while (record := self._records.get(sequence)) is not None:
            if record.kind is end:
                return sequence
            if record.kind is not Kind.MIDDLE:
                return None
            sequence += step
        return None


def _join(records: list[Record]) -> bytes | DropReason:
    head = bodies.decode_first(records[0].body)
    if isinstance(head, DropReason):
        return head
    total, data = head
    whole = b"".join((data, *(record.body for record in records[1:])))
    return whole if len(whole) == total <= limits.MESSAGE_MAX else DropReason.BAD_BODY
