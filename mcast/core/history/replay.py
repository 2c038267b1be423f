"""Replay: what was said before we came, put into order for the application that asked for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import merge
from math import inf

import msgspec

from mcast.core.events import Event, Message, PeerId
from mcast.core.rangeset import RangeSet
from mcast.core.reliability.window import Reassembly, ReceiveWindow
from mcast.wire.records import Record

RECORDS = 10_000  # kept until they are told; oldest arrivals out, as they are fetched oldest first
PEERS = 4096  # peers of which it is remembered what was told, oldest out; of each RANGES, lowest out
RANGES = 256
PARTS = 64  # peers of which fragments wait for those of a later telling; oldest out
PATIENCE = 5.0  # seconds after the first record came, while others are on their way
LAST_PATIENCE = 30.0  # the same for who wants the last few: the oldest come first, all that one holds in 16 s
PAUSE = 0.25  # seconds after it in which somebody may turn out to hold more
BOUNDED = 60.0  # seconds after joining in which `last` and `since` count: strangers feign more to fetch
ALWAYS = 2**63


class Told:
    """What was told of one peer: its records, and the highest that names a message."""

    __slots__ = ("message", "records")

    def __init__(self) -> None:
        self.records = RangeSet(RANGES)
        self.message = 0


class Replay:
    """Collects records of before and tells them together: peers merged by time, each in its own order.

    `last` and `since` (seconds) bound what is told until there is nothing more to fetch, in the first minute;
    what is fetched later, when a partition has healed, is all told. What then turns out to have stood before
    what was told is marked late.
    """

    def __init__(self, last: int | None, since: float | None, now: float) -> None:
        self._records: dict[tuple[PeerId, int], Record] = {}
        self._last, self._since = last, since
        self._bounded_to = now + BOUNDED
        self._told: dict[PeerId, Told] = {}
        self._parts: dict[PeerId, Reassembly] = {}
        self._began = 0.0

    def __bool__(self) -> bool:
        return bool(self._records)

    def when(self, fetching: bool) -> float:
        """When to tell what was collected; while more is on its way (`fetching`), after a longer while."""
        if not self._records:
            return inf
        patience = PATIENCE if self._last is None else LAST_PATIENCE
        return self._began + (patience if fetching else PAUSE)

    def add(self, peer_id: PeerId, record: Record, now: float) -> None:
        """One more, unless it was told before: what died of a wrong age is fetched again."""
        if self._was_told(peer_id, record):
            return
        self._begin(now)
        self._records[peer_id, record.sequence] = record
        if len(self._records) > RECORDS:
            del self._records[next(iter(self._records))]

    def _was_told(self, peer_id: PeerId, record: Record) -> bool:
        told = self._told.get(peer_id)
        return told is not None and record.sequence in told.records

    def _begin(self, now: float) -> None:
        if not self._records:
            self._began = now
        if now > self._bounded_to:
            self._last = self._since = None

    def reached(self, peer_id: PeerId) -> int:
        """The highest record of `peer_id` that was told or is about to be; 0 when none was."""
        waiting = (sequence for known, sequence in self._records if known == peer_id)
        told = self._told.get(peer_id)
        return max(0 if told is None else told.records.high, max(waiting, default=0))

    def clear(self) -> None:
        """Forget what was not told."""
        self._records.clear()
        self._parts.clear()

    def tell(
        self, name: Callable[[PeerId], str], wall_ms: int, now: float, *, fetching: bool = False
    ) -> list[Event]:
        """Everything collected, as events; `name` gives what a peer is called. More may be on its way."""
        streams = [
            _timed(self._events(peer_id, name(peer_id), records, now))
            for peer_id, records in self._collected().items()
        ]
        told = [event for _, event in merge(*streams, key=lambda timed: timed[0])]
        chosen = self._chosen(told, wall_ms)
        if not fetching:
            self._last = self._since = None
        return chosen

    def _collected(self) -> dict[PeerId, list[Record]]:
        """What there is of each peer_id, in its order; nothing is left."""
        by_run: dict[PeerId, list[Record]] = {}
        for (peer_id, _), record in sorted(self._records.items(), key=lambda item: item[0]):
            by_run.setdefault(peer_id, []).append(record)
        self._records.clear()
        return by_run

    def _events(self, peer_id: PeerId, name: str, records: list[Record], now: float) -> Iterator[Event]:
        known = self._told.pop(peer_id, None) or Told()
        told = known.message
        for record in records:
            known.records.add(record.sequence, record.sequence + 1)
        self._told[peer_id] = known
        if len(self._told) > PEERS:
            del self._told[next(iter(self._told))]
        window = ReceiveWindow(peer_id, name, records[0].sequence, len(records), ALWAYS, ALWAYS, history=True)
        window.fragments = self._parts.pop(peer_id, window.fragments)
        events = [event for record in records for event in window.accept(record, None, now)]
        events += window.end(now)
        if len(window.fragments):
            self._parts[peer_id] = window.fragments
            if len(self._parts) > PARTS:
                del self._parts[next(iter(self._parts))]
        for event in events:
            if not isinstance(event, Message):
                yield event
                continue
            known.message = max(known.message, event.sequence)
            yield msgspec.structs.replace(event, late=True) if event.sequence <= told else event

    def _chosen(self, told: list[Event], wall_ms: int) -> list[Event]:
        last, since = self._last, self._since
        if since is not None:
            told = [event for event in told if not _before(event, wall_ms - since * 1000)]
        if last is None:
            return told
        places = [at for at, event in enumerate(told) if isinstance(event, Message)]
        if last >= len(places):
            return told
        return told[places[-last] :] if last else []


def _before(event: Event, ms: float) -> bool:
    return isinstance(event, Message) and event.sent < ms


def _timed(events: Iterator[Event]) -> Iterator[tuple[int, Event]]:
    """With a time that never goes back within a peer; a gap stands before what follows it."""
    at = 0
    waiting: list[Event] = []
    for event in events:
        if not isinstance(event, Message):
            waiting.append(event)
            continue
        at = max(at, event.sent)
        yield from ((at, gap) for gap in waiting)
        waiting = []
        yield at, event
    yield from ((at, gap) for gap in waiting)
