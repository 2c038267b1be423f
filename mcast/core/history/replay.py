"""Replay: what was said before we came, put into order for the application that asked for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from heapq import heappop, heappush, merge
from math import inf

import msgspec

from mcast.core.events import CLOCK_OFF, Event, GapAbandoned, Message, PeerId
from mcast.core.rangeset import RangeSet
from mcast.core.reliability.window import Reassembly, ReceiveWindow
from mcast.wire.records import Kind, Record

RECORDS = 10_000  # kept until they are told; the oldest out, which are told as lost
PEERS = 4096  # peers of which it is remembered what was told, oldest out; of each RANGES, lowest out
RANGES = 256
PARTS = 64  # peers of which fragments wait for those of a later telling; oldest out
PATIENCE = 5.0  # seconds after the first record came, while others are on their way
LAST_PATIENCE = 30.0  # the same for who wants the last few: all that one holds comes in 16 s
PAUSE = 0.25  # seconds after it in which somebody may turn out to hold more
LADDER = (60.0, 600.0, 3600.0, 21_600.0)  # seconds before we joined that are fetched one after the other,
# until there are as many messages as are wanted


class Told:
    """What was told of one peer: its records, those that were lost, and the highest that names a message."""

    __slots__ = ("lost", "message", "records")

    def __init__(self) -> None:
        self.records, self.lost = RangeSet(RANGES), RangeSet(RANGES)
        self.message = 0


class Replay:
    """Collects records of before and tells them together: peers merged by time, each in its own order.

    The time is that of our own clock: when a record came, less its age. `last` and `since` (seconds before we
    joined) bound what is told; it is told as soon as that is here. What then turns out to have stood before
    what was told is marked late.
    """

    def __init__(self, last: int | None, since: float | None, now: float) -> None:
        self._records: dict[tuple[PeerId, int], tuple[float, Record]] = {}
        self._oldest: list[tuple[float, PeerId, int]] = []  # a heap
        self._lost: dict[PeerId, RangeSet] = {}
        self._last, self._since = last, since
        self._from = inf if last == 0 else -inf if since is None else now - since
        self._told: dict[PeerId, Told] = {}
        self._unchecked: set[PeerId] = set()  # of whom something was told since we looked what is missing
        self._excused: dict[PeerId, RangeSet] = {}  # what is missing nowhere
        self._parts: dict[PeerId, Reassembly] = {}
        self._joined, self._began = now, 0.0
        self._enough = False

    def __bool__(self) -> bool:
        return bool(self._records)

    @property
    def bounded(self) -> bool:
        """Whether the latest are wanted, of which some may not be here yet."""
        return not self._enough and (self._since is not None or bool(self._last and not self._told))

    def steps(self) -> list[float]:
        """The seconds before we joined from which on to fetch, one after the other: the latest come first."""
        return [*LADDER, inf] if self._since is None else [self._since, inf]

    def covered(self, seconds: float) -> None:
        """All that was published since so many seconds before we joined is here: perhaps that is enough."""
        if self._since is not None:
            self._enough = seconds >= self._since
        elif self._last is not None:
            since, kinds = self._joined - seconds, (Kind.MESSAGE, Kind.BUNDLE, Kind.FIRST)
            messages = (at >= since and one.kind in kinds for at, one in self._records.values())
            self._enough = sum(messages) >= self._last

    def when(self, fetching: bool) -> float:
        """When to tell what was collected; while more is on its way (`fetching`), after a longer while.

        And when to tell what did not come, once nothing more is on its way.
        """
        if not self._records and (fetching or not self._unchecked):
            return inf
        patience = PATIENCE if self._last is None else LAST_PATIENCE
        return self._began + (patience if fetching and not self._enough else PAUSE)

    def add(self, peer_id: PeerId, record: Record, now: float, age: float) -> None:
        """One more, unless it was told before: what died of a wrong age is fetched again."""
        at, name = now - age, (peer_id, record.sequence)
        alone = record.kind in (Kind.MESSAGE, Kind.BUNDLE)
        if name in self._records or self.was_told(*name):
            return
        if alone and at < self._from:
            self.not_missing(peer_id, record.sequence, record.sequence + 1)
            return
        if not self._records:
            self._began = now
        self._records[name] = at, record
        heappush(self._oldest, (at, *name))
        if peer_id in self._lost:
            self._lost[peer_id].remove(record.sequence)
        if len(self._records) > RECORDS:
            _, peer_id, sequence = heappop(self._oldest)
            del self._records[peer_id, sequence]
            if self._last is None:
                self._lose(peer_id, sequence, sequence + 1)

    def missed(self, lacking: Mapping[PeerId, RangeSet], published: Callable[[PeerId], int]) -> None:
        """Somebody did not deliver what it had listed.

        The attack is a list of what nobody published: what is above all that its author signed is not lost.
        `published`: the highest record that its author signed, or said in what it signed.
        """
        for peer_id in {peer_id for peer_id, _ in self._records if peer_id in lacking}:
            high = max(self.reached(peer_id), published(peer_id))
            for start, stop in lacking[peer_id].within(1, high + 1):
                self._lose(peer_id, start, stop)

    def _lose(self, peer_id: PeerId, start: int, stop: int) -> None:
        """[start, stop) of a peer is not told, unless it comes in time."""
        self._lost.setdefault(peer_id, RangeSet(RANGES)).add(start, stop)
        if len(self._lost) > PEERS:
            del self._lost[next(iter(self._lost))]

    def was_told(self, peer_id: PeerId, sequence: int) -> bool:
        """Whether this record was told as history."""
        told = self._told.get(peer_id)
        return told is not None and sequence in told.records

    def not_missing(self, peer_id: PeerId, start: int, stop: int) -> None:
        """[start, stop) of a peer were told when they came, or are not wanted: they are missing nowhere."""
        if start < stop:
            excused = self._excused[peer_id] = self._excused.pop(peer_id, RangeSet(RANGES))
            excused.add(start, stop)
            if len(self._excused) > PEERS:
                del self._excused[next(iter(self._excused))]

    def reached(self, peer_id: PeerId) -> int:
        """The highest record of `peer_id` that was told or is about to be; 0 when none was."""
        waiting = (sequence for known, sequence in self._records if known == peer_id)
        told = self._told.get(peer_id)
        return max(0 if told is None else told.records.high, max(waiting, default=0))

    def tell(
        self, name: Callable[[PeerId], str], now: float, wall_offset: float, fetching: bool = False
    ) -> list[Event]:
        """Everything collected, as events, and what is missing of it; while `fetching`, only within it.

        `name` gives what a peer is called; `wall_offset`: see Context.
        """
        collected = self._collected()
        lost = [
            gap
            for peer_id, ranges in self._lost.items()
            for start, stop in ranges
            for gap in self._lacked(peer_id, name(peer_id), start, stop)
        ]
        self._lost.clear()
        streams = [
            list(self._timed(peer_id, name(peer_id), records, now, wall_offset))
            for peer_id, records in collected.items()
        ]
        self._unchecked.update(collected)
        if not fetching:
            for peer_id in sorted(self._unchecked):
                records = self._told[peer_id].records
                lost += self._lacked(peer_id, name(peer_id), records.low, records.high)
            self._unchecked.clear()
        while len(self._told) > PEERS:
            oldest = next(iter(self._told))
            del self._told[oldest]
            self._unchecked.discard(oldest)
        return lost + self._chosen(list(merge(*streams, key=lambda timed: timed[0])))

    def _collected(self) -> dict[PeerId, list[tuple[float, Record]]]:
        """What there is of each peer_id, in its order; nothing is left."""
        by_run: dict[PeerId, list[tuple[float, Record]]] = {}
        for (peer_id, _), timed in sorted(self._records.items(), key=lambda item: item[0]):
            by_run.setdefault(peer_id, []).append(timed)
        self._records.clear()
        self._oldest.clear()
        return by_run

    def _timed(
        self,
        peer_id: PeerId,
        name: str,
        records: list[tuple[float, Record]],
        now: float,
        wall_offset: float,
    ) -> Iterator[tuple[float, Event]]:
        """With a time that never goes back within a peer; a gap stands before what follows it."""
        published = {record.sequence: at for at, record in records}
        at = min(published.values())
        waiting: list[Event] = []
        for event in self._events(peer_id, name, [record for _, record in records], now):
            if not isinstance(event, Message):
                waiting.append(event)
                continue
            said = published.get(event.sequence, at)
            skew = event.sent / 1000 - said - wall_offset
            at = max(at, said)
            yield from ((at, gap) for gap in waiting)
            waiting = []
            yield at, msgspec.structs.replace(event, skew=skew) if abs(skew) > CLOCK_OFF else event
        yield from ((at, gap) for gap in waiting)

    def _events(self, peer_id: PeerId, name: str, records: list[Record], now: float) -> Iterator[Event]:
        known = self._known(peer_id)
        told = known.message
        window = ReceiveWindow(peer_id, name, records[0].sequence, len(records), history=True)
        window.fragments = self._parts.pop(peer_id, window.fragments)
        events = [event for record in records for event in window.accept(record, None, now)]
        events += window.end(now)
        if len(window.fragments):
            self._parts[peer_id] = window.fragments
            if len(self._parts) > PARTS:
                del self._parts[next(iter(self._parts))]
        for event in events:
            if isinstance(event, GapAbandoned):
                yield from self._lacked(peer_id, name, event.first, event.last + 1)
                continue
            if not isinstance(event, Message):
                yield event
                continue
            known.message = max(known.message, event.sequence)
            yield msgspec.structs.replace(event, late=True) if event.sequence <= told else event
        for record in records:
            known.records.add(record.sequence, record.sequence + 1)

    def _known(self, peer_id: PeerId) -> Told:
        """What was told of a peer, which counts as told of last."""
        known = self._told[peer_id] = self._told.pop(peer_id, Told())
        return known

    def _lacked(self, peer_id: PeerId, name: str, start: int, stop: int) -> list[GapAbandoned]:
        """What of [start, stop) was never told, when it came or later, nor told to be lost."""
        known, lacked = self._known(peer_id), RangeSet()
        lacked.add(start, stop)
        for there in (known.records, known.lost, self._excused.get(peer_id, RangeSet())):
            for first, end in list(there.within(start, stop)):
                lacked.cut(first, end)
        for first, end in lacked:
            known.lost.add(first, end)
        return [GapAbandoned(peer_id, first, end - 1, name) for first, end in lacked]

    def _chosen(self, told: list[tuple[float, Event]]) -> list[Event]:
        """What is wanted of it; what is older than that is not told later."""
        told = [(at, event) for at, event in told if at >= self._from]
        if self._last is not None:
            places = [place for place, (_, event) in enumerate(told) if isinstance(event, Message)]
            if len(places) >= self._last > 0:
                told = told[places[-self._last] :]
                self._from, self._last = told[0][0], None
            elif self._last:
                self._last -= len(places)
        self._since, self._enough = None, False
        return [event for _, event in told]
