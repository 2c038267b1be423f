"""Records kept so that they can be sent again: our own, and everybody else's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from mcast.wire.limits import DATAGRAM_MAX

from .holdings import Held
from .peer_id import PeerId

SWEEP = 60.0  # seconds between two looks for what is too old
Name = tuple[PeerId, int]  # of a record: its run and sequence


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
        self._kept: OrderedDict[Name, Kept] = OrderedDict()
        self._mine: dict[bytes, OrderedDict[Name, None]] = {}
        self._sizes: dict[bytes, int] = {}
        self.held = Held()
        self._limit, self._most, self._seconds = records, size, seconds
        self._origin_limit, self._origin_most = int(records * share), int(size * share)
        self._swept = 0.0
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def kept(self, run: PeerId, sequence: int) -> Kept | None:
        """A record and when it was published, as far as we know."""
        return self._kept.get((run, sequence))

    def get(self, run: PeerId, sequence: int) -> bytes | None:
        """The payload of a record, verbatim."""
        kept = self._kept.get((run, sequence))
        return None if kept is None else kept.payload

    def outlived(self, age: float) -> bool:
        """Whether a record that is said to be so old (s) is not worth keeping."""
        return age >= self._seconds

    def add(self, run: PeerId, sequence: int, payload: bytes, now: float, age: float = 0.0) -> None:
        """Keep a verified record that is said to be `age` seconds old."""
        self.add_all(run, [(sequence, payload)], now, age)

    def add_all(
        self, run: PeerId, records: Iterable[tuple[int, bytes]], now: float, age: float = 0.0
    ) -> None:
        """Keep verified records of one run, each with its sequence, that are said to be `age` seconds old."""
        origin = run.origin
        kept, mine = self._kept, self._mine.setdefault(origin, OrderedDict())
        at, size = now - age, 0
        fresh = []
        for sequence, payload in records:
            name = (run, sequence)
            if name in kept:
                continue
            kept[name] = Kept(payload, at)
            mine[name] = None
            fresh.append(sequence)
            size += len(payload)
        self.held.add(run, fresh)
        self.bytes += size
        self._sizes[origin] = self._sizes.get(origin, 0) + size
        while len(mine) > self._origin_limit or self._sizes.get(origin, 0) > self._origin_most:
            self._drop_oldest(mine)
        while len(kept) > self._limit or self.bytes > self._most:
            self._drop_oldest(kept)

    def _drop_oldest(self, names: Iterable[Name]) -> None:
        """Drop the lowest record of the run that came first.

        Not the record itself that came first: what comes before one that was dropped is not fetched again.
        """
        run, _ = next(iter(names))
        low = self.held.of(run).low
        self._let_go((run, low))
        self.held.remove(run, [low])

    @property
    def full(self) -> bool:
        """Whether one more would push out another: what is old must not do that."""
        return len(self._kept) >= self._limit or self.bytes + DATAGRAM_MAX > self._most

    def holds(self, origin: bytes) -> bool:
        """Whether anything of `origin` is kept."""
        return origin in self._mine

    def expire(self, now: float) -> None:
        """Drop what is too old, once a minute.

        It may be had again from who says that it is younger: nobody signed an age.
        """
        if now - self._swept < SWEEP:
            return
        self._swept = now
        old = [name for name, kept in self._kept.items() if kept.at < now - self._seconds]
        for run, sequence in old:
            self._let_go((run, sequence))
            self.held.remove(run, [sequence], wanted=True)

    def clear(self) -> None:
        """Drop everything: the network changed, and an open room's records stay in the building."""
        self._kept.clear()
        self._mine.clear()
        self._sizes.clear()
        self.held.clear()
        self.bytes = 0

    def _let_go(self, name: Name) -> None:
        size = len(self._kept.pop(name).payload)
        origin = name[0].origin
        mine = self._mine[origin]
        del mine[name]
        self.bytes -= size
        self._sizes[origin] -= size
        if not mine:
            del self._mine[origin], self._sizes[origin]
