"""Records kept so that they can be sent again: our own, and everybody else's."""

from __future__ import annotations

from typing import NamedTuple

from mcast.wire.limits import DATAGRAM_MAX

from .holdings import Held
from .runs import Run


class Kept(NamedTuple):
    """The payload of a RECORD frame, verbatim, and when it arrived here."""

    payload: bytes
    at: float


class Sent:
    """Our own records, oldest overwritten first. `low` is the oldest still held: heartbeats declare it."""

    def __init__(self, records: int, size: int) -> None:
        self._records: dict[int, bytes] = {}
        self._limit, self._most = records, size
        self._bytes = 0
        self.high = 0

    @property
    def low(self) -> int:
        """The oldest sequence held; `high` + 1 when none is."""
        return next(iter(self._records), self.high + 1)

    def add(self, sequence: int, payload: bytes) -> None:
        """Keep one record that is about to leave."""
        self._records[sequence] = payload
        self._bytes += len(payload)
        self.high = sequence
        while len(self._records) > self._limit or self._bytes > self._most:
            self._bytes -= len(self._records.pop(next(iter(self._records))))

    def forget(self, high: int) -> None:
        """Let go of the records up to `high`."""
        while self._records and self.low <= high:
            self._bytes -= len(self._records.pop(self.low))

    def get(self, sequence: int) -> bytes | None:
        """The payload to send again."""
        return self._records.get(sequence)


class Retention:
    """Verified records of other runs, for repair by any holder.

    The attack: one origin (or a flood of them) pushing out everybody else's. An origin that exceeds its
    share loses its own oldest first; age and totals bound the rest.
    """

    def __init__(self, records: int, size: int, seconds: float, share: float) -> None:
        self._kept: dict[tuple[Run, int], Kept] = {}
        self._mine: dict[bytes, dict[tuple[Run, int], None]] = {}
        self._sizes: dict[bytes, int] = {}
        self.held = Held()
        self._limit, self._most, self._seconds = records, size, seconds
        self._origin_limit, self._origin_most = int(records * share), int(size * share)
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, run: Run, sequence: int) -> bytes | None:
        """The payload of a record, verbatim."""
        kept = self._kept.get((run, sequence))
        return None if kept is None else kept.payload

    def add(self, run: Run, sequence: int, payload: bytes, now: float) -> None:
        """Keep a verified record."""
        key = (run, sequence)
        if key in self._kept:
            return
        origin = run.origin
        mine = self._mine.setdefault(origin, {})
        self._kept[key] = Kept(payload, now)
        mine[key] = None
        self.held.add(run, sequence)
        self.bytes += len(payload)
        self._sizes[origin] = self._sizes.get(origin, 0) + len(payload)
        while len(mine) > self._origin_limit or self._sizes.get(origin, 0) > self._origin_most:
            self._drop(next(iter(mine)))
        while len(self._kept) > self._limit or self.bytes > self._most:
            self._drop(next(iter(self._kept)))

    @property
    def full(self) -> bool:
        """Whether one more would push out another: what is old must not do that."""
        return len(self._kept) >= self._limit or self.bytes + DATAGRAM_MAX > self._most

    def expire(self, now: float) -> None:
        """Drop what is too old."""
        while self._kept:
            key, kept = next(iter(self._kept.items()))
            if now - kept.at <= self._seconds:
                return
            self._drop(key)

    def clear(self) -> None:
        """Drop everything: the network changed, and an open room's records stay in the building."""
        self._kept.clear()
        self._mine.clear()
        self._sizes.clear()
        self.held.clear()
        self.bytes = 0

    def _drop(self, key: tuple[Run, int]) -> None:
        size = len(self._kept.pop(key).payload)
        origin = key[0].origin
        mine = self._mine[origin]
        del mine[key]
        self.held.remove(*key)
        self.bytes -= size
        self._sizes[origin] -= size
        if not mine:
            del self._mine[origin], self._sizes[origin]
