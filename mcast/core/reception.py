"""The inboxes of all runs, the timers for NACKs, and the room that waiting records may take."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mcast.wire.frames import Missing
from mcast.wire.limits import DATAGRAM_MAX, ENTRIES_MAX
from mcast.wire.ranges import pairs_of, split_ranges
from mcast.wire.reasons import DropReason

from .backoff import backoff, rounds
from .events import Event
from .gaps import Span
from .generator import Generator
from .inbox import Inbox
from .peer_id import PeerId
from .shelves import Shelves
from .timers import Timers

MISSING_HEAD = 16 + 8 + 8 + 2  # bytes of a Missing before its ranges
PAGES = 16  # NACKs that leave at once; what is left over is asked for in the next round
RECESS = 0.1  # seconds at least from such a full round to the next


class Reception:
    """What is lacked of all runs, and when to ask for it or give it up.

    No step looks at more than one inbox for a datagram that arrives: the attack is thousands of inboxes
    that lack something. `get(run)` is the inbox of a run, None if there is none.
    """

    def __init__(
        self,
        generator: Generator,
        window: int,
        grace: float,
        held_bytes: int,
        limit: int,
        floor: float,
        gap_timeout: float | None = None,
    ) -> None:
        self._generator = generator
        self._window, self._grace = window, grace
        self._floor, self._gap_timeout = floor, gap_timeout
        self._shelves = Shelves(held_bytes, limit)
        self._ripe: Timers[PeerId] = Timers()  # when something may be asked for
        self._asks: Timers[PeerId] = Timers()  # and with the backoff
        self._patience: Timers[PeerId] = Timers()
        self._not_before = 0.0
        self.get = self._shelves.get

    def __len__(self) -> int:
        return len(self._shelves)

    def of(self, origin: bytes) -> list[Inbox]:
        """The inboxes of all runs of one identity."""
        return self._shelves.of(origin)

    def resumes(self, run: PeerId) -> int | None:
        """Where the records of a run go on whose inbox is no more."""
        ended = self._shelves.ended(run)
        return None if ended is None else ended.resumes

    def remember(self, run: PeerId, start: int) -> None:
        """`run`, of which there is no inbox, goes: should it return, its records count from `start`."""
        self._shelves.remember(run, start, start)

    def open(
        self,
        run: PeerId,
        name: str,
        start: int,
        existing: int,
        since: int,
        keep: Callable[[PeerId], bool],
        now: float = 0.0,
    ) -> Inbox | DropReason:
        """A new inbox that wants records from `start` on, or from where another ended."""
        ended = self._shelves.ended(run)
        inbox = Inbox(run, name, start if ended is None else ended.resumes, self._window, existing, since)
        if ended is not None:
            inbox.first = ended.first  # what was told before is no history that was not
        if keep(run):
            inbox.trust()
        reason = self._shelves.add(inbox, keep, now)
        return inbox if reason is None else reason

    def told(self) -> list[Event]:
        """What making room has cost, since the last call; `open` and `lacks` may make room."""
        return self._shelves.told()

    def depart(self, run: PeerId, now: float, said: bool) -> None:
        """`run` is gone; `said`: it said goodbye."""
        inbox = self.get(run)
        if inbox is not None:
            inbox.depart(now, said)
            self._shelves.departed(inbox, now)
            self._settle(inbox)

    def returned(self, run: PeerId, now: float, size: int) -> None:
        """`run` is here; perhaps it was taken to be gone."""
        inbox = self.get(run)
        if inbox is not None and inbox.departed:
            inbox.returned()
            self.lacks(inbox, now, size)

    def crowded(self, inbox: Inbox, sequence: int, size: int, now: float) -> bool:
        """Whether `inbox` has no room for `size` more bytes, those of its record `sequence`.

        One run may hold a quarter of all; what is due early pushes out what is due last.
        """
        if not self._shelves.crowded(inbox, size):
            return False
        if sequence > inbox.stream.top:
            return True
        inbox.drop_highest(now)
        return False

    def _below(self, inbox: Inbox) -> float:
        """No more is asked for than there is room for: the first of what is missing."""
        return inbox.gaps.reach(max(1, self._shelves.room(inbox) // DATAGRAM_MAX))

    def lacks(self, inbox: Inbox, now: float, size: int) -> None:
        """Keep the timers in step with what `inbox` holds and lacks, in a group of `size`."""
        lacking = bool(inbox.gaps) or inbox.waiting > 0
        if not (lacking or inbox.lacking):
            return  # as before
        inbox.lacking = lacking
        for robbed in self._shelves.weigh(inbox, now):
            self._settle(robbed)
            self._notice(robbed, now, size)
        self._settle(inbox)
        self._notice(inbox, now, size)

    def _notice(self, inbox: Inbox, now: float, size: int) -> None:
        """New gaps are asked for after the grace, also by an inbox that waits for old ones."""
        if inbox.gaps.fresh:
            inbox.gaps.fresh = False
            ripe = self._ripe.get(inbox.peer_id)
            if inbox.gaps and (ripe is None or ripe > now + self._grace):
                self._arm(inbox, now + self._grace, size)

    def _arm(self, inbox: Inbox, ripe: float, size: int) -> None:
        self._ripe.set(inbox.peer_id, ripe)
        self._asks.set(inbox.peer_id, ripe + backoff(self._generator, rounds(size) * inbox.grtt, size))

    def _settle(self, inbox: Inbox) -> None:
        if not inbox.gaps:
            for timers in (self._ripe, self._asks, self._patience):
                timers.cancel(inbox.peer_id)
            return
        when = inbox.patience(self._gap_timeout)
        if when is None:
            self._patience.cancel(inbox.peer_id)
        elif when != self._patience.get(inbox.peer_id):
            self._patience.set(inbox.peer_id, when)

    def overheard(self, run: PeerId, ranges: Iterable[tuple[int, int]], now: float) -> None:
        """Somebody else asked for `ranges`."""
        inbox = self.get(run)
        if inbox is not None:
            inbox.gaps.overheard(ranges, now)

    def when(self) -> float | None:
        """When something is to be asked for."""
        # A run that claims to be far away must not hold up the others: the earliest counts.
        when = self._asks.next()
        return None if when is None else max(when, self._not_before)

    def nack(self, now: float, size: int, room: int) -> tuple[list[list[Missing]], list[Event]]:
        """What to ask for, as lists of which each fits `room` bytes; empty when others have asked for it."""
        when = self.when()
        if when is None or now < when:
            return [], []
        pages = Pages(room)
        events: list[Event] = []
        for run in self._ripe.due(now):
            inbox = self.get(run)
            if inbox is None or not inbox.gaps:
                self._asks.cancel(run)
                continue
            hold = inbox.hold(self._floor)
            below = self._below(inbox)
            spans = inbox.gaps.ripe(now, self._grace, hold, inbox.pause, below)
            if spans and len(pages.lists) < PAGES:
                events.extend(inbox.asked(spans, now))
                pages.add(run, spans)
                self._settle(inbox)
            ripe = inbox.gaps.when(self._grace, hold, inbox.pause, below)
            self._arm(inbox, max(now, ripe), size)
        if len(pages.lists) >= PAGES:
            self._not_before = now + RECESS
        return pages.lists, events

    def patience(self) -> float | None:
        """When the first gap will be given up."""
        return self._patience.next()

    def give_up(self, now: float, size: int) -> list[Event]:
        """Abandon the gaps that were waited for long enough."""
        events: list[Event] = []
        for run in self._patience.due(now):
            inbox = self.get(run)
            if inbox is not None:
                events.extend(inbox.give_up(now, self._gap_timeout))
                self.lacks(inbox, now, size)
        self._shelves.clear_out(now)
        return events


class Pages:
    """NACKs being filled: lists of entries of which each list takes at most `room` bytes."""

    def __init__(self, room: int) -> None:
        self.lists: list[list[Missing]] = []
        self._room = room
        self._left = 0

    def add(self, run: PeerId, spans: Iterable[Span]) -> None:
        """Ask for `spans` of `run`."""
        for piece in split_ranges(_joined(spans), (self._room - MISSING_HEAD) // 2):
            cost = MISSING_HEAD + 2 * pairs_of(piece)
            if cost > self._left or len(self.lists[-1]) >= ENTRIES_MAX:
                self.lists.append([])
                self._left = self._room
            self.lists[-1].append(Missing(run.origin, run.incarnation, tuple(piece)))
            self._left -= cost


def _joined(spans: Iterable[Span]) -> list[tuple[int, int]]:
    """Inclusive ranges; spans that touch are one."""
    ranges: list[tuple[int, int]] = []
    for span in spans:
        first = ranges.pop()[0] if ranges and ranges[-1][1] + 1 == span.start else span.start
        ranges.append((first, span.stop - 1))
    return ranges
