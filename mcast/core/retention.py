"""Records kept so that they can be sent again: our own, and everybody else's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

import msgspec

from mcast.wire.limits import DATAGRAM_MAX

from .holdings import Held
from .runs import Run
from .timers import Timers


class Kept(msgspec.Struct, frozen=True, gc=False):
    """The payload of a RECORD frame, verbatim, and when it was published: on arrival, or as we were told."""

    payload: bytes
    at: float


class Sent:
    """Our own records, oldest overwritten first. `low` is the oldest still held: heartbeats declare it.

    When none is held it is `high` + 1. `young` is the oldest that is history yet: older ones are repaired,
    not named to who comes new.
    """

    def __init__(self, records: int, size: int) -> None:
        self._records: dict[int, Kept] = {}
        self._limit, self._most = records, size
        self._bytes = 0
        self.low, self.high = 1, 0
        self.young = 1

    def add(self, sequence: int, payload: bytes, now: float) -> None:
        """Keep the next record; one that is or was kept changes nothing."""
        if sequence <= self.high:
            return
        self._records[sequence] = Kept(payload, now)
        self._bytes += len(payload)
        self.high = sequence
        while len(self._records) > self._limit or self._bytes > self._most:
            self._drop()

    def forget(self, high: int) -> None:
        """Let go of the records up to `high`."""
        while self.low <= min(high, self.high):
            self._drop()

    def expire(self, before: float) -> None:
        """What was published before that time is history no more."""
        while self.young <= self.high and self._records[self.young].at < before:
            self.young += 1

    def kept(self, sequence: int) -> Kept | None:
        """A record and when it was published."""
        return self._records.get(sequence)

    def get(self, sequence: int) -> bytes | None:
        """The payload to send again."""
        kept = self._records.get(sequence)
        return None if kept is None else kept.payload

    def _drop(self) -> None:
        self._bytes -= len(self._records.pop(self.low).payload)
        self.low += 1
        self.young = max(self.young, self.low)


class Retention:
    """Verified records of other runs, for repair by any holder.

    The attack: one origin (or a flood of them) pushing out everybody else's. An origin that exceeds its
    share loses its own oldest first; age and totals bound the rest.
    """

    def __init__(self, records: int, size: int, seconds: float, share: float) -> None:
        # Ordered: the oldest of a dict is found by a walk over all that were taken out before.
        self._kept: OrderedDict[tuple[Run, int], Kept] = OrderedDict()
        self._mine: dict[bytes, OrderedDict[tuple[Run, int], None]] = {}
        self._sizes: dict[bytes, int] = {}
        self.held = Held()
        self._told: Timers[tuple[Run, int]] = Timers()  # when those die whose age we were told
        self._limit, self._most, self._seconds = records, size, seconds
        self._origin_limit, self._origin_most = int(records * share), int(size * share)
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def kept(self, run: Run, sequence: int) -> Kept | None:
        """A record and when it was published, as far as we know."""
        return self._kept.get((run, sequence))

    def get(self, run: Run, sequence: int) -> bytes | None:
        """The payload of a record, verbatim."""
        kept = self._kept.get((run, sequence))
        return None if kept is None else kept.payload

    def outlived(self, age: float) -> bool:
        """Whether a record that is said to be so old (s) is not worth keeping."""
        return age >= self._seconds

    def add(self, run: Run, sequence: int, payload: bytes, now: float, age: float = 0.0) -> None:
        """Keep a verified record that is said to be `age` seconds old."""
        self.add_all(run, [(sequence, payload)], now, age)

    def add_all(self, run: Run, records: Iterable[tuple[int, bytes]], now: float, age: float = 0.0) -> None:
        """Keep verified records of one run, each with its sequence, that are said to be `age` seconds old."""
        origin = run.origin
        kept, mine = self._kept, self._mine.setdefault(origin, OrderedDict())
        at, size = now - age, 0
        fresh: dict[int, bytes] = {}
        for sequence, payload in records:
            if (run, sequence) not in kept:
                fresh.setdefault(sequence, payload)
        for sequence, payload in fresh.items():
            key = (run, sequence)
            kept[key] = Kept(payload, at)
            mine[key] = None
            size += len(payload)
            if age:
                self._told.set(key, at + self._seconds)
        self.held.add(run, fresh)
        self.bytes += size
        self._sizes[origin] = self._sizes.get(origin, 0) + size
        gone = []
        while len(mine) > self._origin_limit or self._sizes.get(origin, 0) > self._origin_most:
            gone.append(self._let_go(next(iter(mine))))
        while len(kept) > self._limit or self.bytes > self._most:
            gone.append(self._let_go(next(iter(kept))))
        self._dropped(gone)

    @property
    def full(self) -> bool:
        """Whether one more would push out another: what is old must not do that."""
        return len(self._kept) >= self._limit or self.bytes + DATAGRAM_MAX > self._most

    def expire(self, now: float) -> None:
        """Drop what is too old.

        What was only said to be so old may be had again from who says otherwise: nobody signed it.
        """
        self._dropped([self._let_go(key) for key in self._told.due(now)], wanted=True)
        gone = []
        while self._kept:
            key, kept = next(iter(self._kept.items()))
            if now - kept.at <= self._seconds:
                break
            gone.append(self._let_go(key))
        self._dropped(gone)

    def clear(self) -> None:
        """Drop everything: the network changed, and an open room's records stay in the building."""
        self._kept.clear()
        self._mine.clear()
        self._sizes.clear()
        self.held.clear()
        self._told = Timers()
        self.bytes = 0

    def _let_go(self, key: tuple[Run, int]) -> tuple[Run, int]:
        """Drop a record; that it is not held any more is for _dropped() to say."""
        size = len(self._kept.pop(key).payload)
        self._told.cancel(key)
        origin = key[0].origin
        mine = self._mine[origin]
        del mine[key]
        self.bytes -= size
        self._sizes[origin] -= size
        if not mine:
            del self._mine[origin], self._sizes[origin]
        return key

    def _dropped(self, keys: Iterable[tuple[Run, int]], *, wanted: bool = False) -> None:
        for run, some in groupby(keys, itemgetter(0)):
            self.held.remove(run, [sequence for _, sequence in some], wanted=wanted)
