"""The table of inboxes, and the bytes that all of them may hold."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from mcast.wire.reasons import DropReason

from .events import Event
from .inbox import Inbox
from .peer_id import PeerId

PER_ORIGIN = 16  # inboxes of one identity
SHARE = 4  # one run may hold this part of what all may
SEARCH = 64  # inboxes looked at for one to evict
KEPT = 60.0  # seconds that the inbox of a run that is gone stays, and longer while it lacks something


def held_share(most: int) -> int:
    """The bytes that one run may hold where all may hold `most`."""
    return most // SHARE


class Ended(NamedTuple):
    """An inbox that is no more: the first record that concerned us, and the first that was not yet told."""

    first: int
    resumes: int


class Shelves:
    """Inboxes by run, at most `limit`, and PER_ORIGIN of one origin.

    The attack: made-up runs by the thousand. Those outside the roster go first, oldest first; what an
    inbox lacks is told when it goes, and where its run would go on is remembered, so that nothing of it
    is told twice. `get(run)` is the inbox of a run, None if there is none.
    """

    def __init__(self, most: int, limit: int) -> None:
        self._most, self._limit = most, limit
        self._inboxes: dict[PeerId, Inbox] = {}
        self.get = self._inboxes.get
        self._of: dict[bytes, dict[PeerId, None]] = {}
        self._strangers: dict[PeerId, None] = {}
        self._ended: dict[PeerId, Ended] = {}
        self._gone: dict[PeerId, float] = {}
        self._bytes: dict[PeerId, int] = {}
        self._total = 0
        self._events: list[Event] = []

    def __len__(self) -> int:
        return len(self._inboxes)

    def of(self, origin: bytes) -> list[Inbox]:
        """The inboxes of all runs of one identity."""
        return [self._inboxes[run] for run in self._of.get(origin, ())]

    def ended(self, run: PeerId) -> Ended | None:
        """What is remembered of a run whose inbox is no more."""
        return self._ended.get(run)

    def remember(self, run: PeerId, first: int, resumes: int) -> None:
        """Should `run` return, its records concern us from `first` on; those before `resumes` were told."""
        self._ended[run] = Ended(first, resumes)
        if len(self._ended) > self._limit:
            del self._ended[next(iter(self._ended))]

    def told(self) -> list[Event]:
        """What making room has cost, since the last call."""
        events, self._events = self._events, []
        return events

    def add(self, inbox: Inbox, keep: Callable[[PeerId], bool], now: float) -> DropReason | None:
        """Enter a new inbox, or say why there is no place; runs that `keep` names stay."""
        run = inbox.peer_id
        mine = self._of.get(run.origin, {})
        if len(mine) >= PER_ORIGIN and not self._evict(mine, keep, now):
            return DropReason.TOO_MANY_RUNS
        if len(self) >= self._limit and not self._evict(self._strangers, keep, now):
            return DropReason.TABLE_FULL
        self._inboxes[run] = inbox
        self._of.setdefault(run.origin, {})[run] = None
        if not keep(run):
            self._strangers[run] = None
        self._ended.pop(run, None)
        return None

    def _evict(self, among: dict[PeerId, None], keep: Callable[[PeerId], bool], now: float) -> bool:
        for run in list(islice(among, SEARCH)):
            if not keep(run):
                self._end(run, now)
                return True
            del among[run]  # to the end: others are looked at next time
            among[run] = None
        return False

    def _end(self, run: PeerId, now: float) -> None:
        inbox = self._inboxes.pop(run)
        self._events.extend(inbox.close(now))
        self.remember(run, inbox.first, inbox.stream.next)
        self._strangers.pop(run, None)
        self._gone.pop(run, None)
        self._total -= self._bytes.pop(run, 0)
        mine = self._of[run.origin]
        del mine[run]
        if not mine:
            del self._of[run.origin]

    def departed(self, inbox: Inbox, now: float) -> None:
        """The run of `inbox` is gone: it may make room for others, and goes by itself after a while."""
        self._strangers[inbox.peer_id] = None
        self._gone[inbox.peer_id] = now

    def clear_out(self, now: float) -> None:
        """Let go of runs that have been gone for a while and lack nothing."""
        while self._gone:
            run, since = next(iter(self._gone.items()))
            if now - since < KEPT:
                return
            del self._gone[run]
            inbox = self._inboxes[run]
            if not inbox.departed:
                continue
            if inbox.gaps or inbox.may_go_on(now):
                self._gone[run] = now
            else:
                self._end(run, now)

    def crowded(self, inbox: Inbox, size: int) -> bool:
        """Whether `inbox` may not hold `size` more bytes: one run may hold a quarter of all."""
        return inbox.waiting + size > self._most // SHARE

    def room(self, inbox: Inbox) -> int:
        """Bytes that `inbox` may still hold."""
        return self._most // SHARE - inbox.waiting

    def weigh(self, inbox: Inbox, now: float) -> list[Inbox]:
        """Count what `inbox` holds. When all is full, those that hold most lose it: they are returned.

        What they held is asked for again, so many small hoarders cannot keep an honest run out. An eighth
        is cleared at once, as each time costs a look at all.
        """
        size, before = inbox.waiting, self._bytes.pop(inbox.peer_id, 0)
        self._total += size - before
        if size:
            self._bytes[inbox.peer_id] = size
        if self._total <= self._most:
            return []
        robbed = []
        for run in sorted(self._bytes, key=self._bytes.__getitem__, reverse=True):
            if self._total <= self._most - self._most // 8:
                break
            victim = self._inboxes[run]
            self._events.extend(victim.drop_held(now))
            self._total -= self._bytes.pop(run)
            robbed.append(victim)
        return robbed
