"""The inboxes of all runs, the one timer for NACKs, and the room that waiting records may take."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

from mcast.wire.frames import Missing
from mcast.wire.limits import ENTRIES_MAX
from mcast.wire.ranges import split_ranges
from mcast.wire.reasons import DropReason

from .backoff import ROUNDS, backoff
from .events import Event
from .generator import Generator
from .inbox import Inbox
from .ranges import collapse
from .runs import Run
from .timers import earliest

MISSING_HEAD = 16 + 8 + 8 + 2  # bytes of a Missing before its ranges
SEARCH = 64  # inboxes looked at for one to evict
SHARE = 4  # one run may hold this part of what all may
FORGOTTEN = 32  # records pushed out at once: finding the last ones takes a sort


class Reception:
    """Inboxes by run, at most `limit`.

    The attack: made-up runs by the thousand. The oldest whose run is not in the roster goes first; when
    none of the first few can go, the new one is refused.
    """

    def __init__(
        self,
        generator: Generator,
        window: int,
        grace: float,
        held_bytes: int,
        limit: int,
        history: bool,
        floor: float,
    ) -> None:
        self._generator = generator
        self._window, self._grace = window, grace
        self._floor = floor
        self._held, self._limit, self._history = held_bytes, limit, history
        self._inboxes: dict[Run, Inbox] = {}
        self._lacking: dict[Run, Inbox] = {}
        self._nack_at: float | None = None

    def __len__(self) -> int:
        return len(self._inboxes)

    def get(self, run: Run) -> Inbox | None:
        """The inbox of `run`."""
        return self._inboxes.get(run)

    def open(
        self, run: Run, name: str, start: int, existing: int, since: int, keep: Callable[[Run], bool]
    ) -> Inbox | DropReason:
        """A new inbox that wants records from `start` on."""
        if len(self._inboxes) >= self._limit and not self._evict(keep):
            return DropReason.TABLE_FULL
        inbox = self._inboxes[run] = Inbox(run, name, start, self._window, existing, since, self._history)
        return inbox

    def _evict(self, keep: Callable[[Run], bool]) -> bool:
        for run, _ in zip(list(self._inboxes), range(SEARCH), strict=False):
            if not keep(run):
                del self._inboxes[run]
                self._lacking.pop(run, None)
                return True
        return False

    def crowded(self, inbox: Inbox, sequence: int, size: int) -> bool:
        """Whether there is no room to hold `size` more bytes for `inbox`, those of its record `sequence`.

        One run may hold a quarter, and what is due early pushes out what is due last; when all is full,
        the run that holds most loses what it holds (it is asked for again), so many small hoarders cannot
        keep an honest run out.
        """
        if inbox.stream.held_bytes + size > self._held // SHARE:
            if sequence > inbox.stream.top:
                return True
            _miss(inbox, inbox.stream.forget_highest(FORGOTTEN))
        held = {run: other.stream.held_bytes for run, other in self._lacking.items()}
        if sum(held.values()) + size <= self._held:
            return False
        most = max(held, key=held.__getitem__)
        victim = self._lacking[most]
        _miss(victim, victim.stream.forget_held())
        return False

    def _below(self, inbox: Inbox) -> float:
        """With little room left nothing is asked for beyond what is held: it could not be kept."""
        stream = inbox.stream
        return inf if stream.held_bytes * 8 <= self._held // SHARE * 7 else stream.top

    def lacks(self, inbox: Inbox, now: float, size: int) -> None:
        """Keep the NACK timer in step with what `inbox` lacks, in a group of `size`."""
        if not inbox.gaps:
            self._lacking.pop(inbox.run, None)
            return
        if inbox.run not in self._lacking:
            self._lacking[inbox.run] = inbox
            # A run that claims to be far away must not hold up the others: the earliest counts.
            self._nack_at = earliest(self._nack_at, self._ask_at(inbox, now, size))

    def _ask_at(self, inbox: Inbox, now: float, size: int) -> float:
        ripe = inbox.gaps.when(self._grace, inbox.hold(self._floor), self._below(inbox))
        return max(ripe, now) + backoff(self._generator, ROUNDS * inbox.grtt, size)

    def overheard(self, run: Run, ranges: Iterable[tuple[int, int]], now: float) -> None:
        """Somebody else asked for the same."""
        inbox = self._lacking.get(run)
        if inbox is not None:
            inbox.gaps.overheard(ranges, now)

    def when(self) -> float | None:
        """When the NACK timer runs out."""
        return self._nack_at

    def nack(self, now: float, size: int, room: int) -> tuple[list[list[Missing]], list[Event]]:
        """What to ask for, as lists of which each fits `room` bytes; empty when others have asked for it."""
        if self._nack_at is None or now < self._nack_at:
            return [], []
        pages: list[list[Missing]] = []
        events: list[Event] = []
        left = 0
        for run, inbox in self._lacking.items():
            sequences = inbox.gaps.ripe(now, self._grace, inbox.hold(self._floor), self._below(inbox))
            if not sequences:
                continue
            events.extend(inbox.asked(sequences, now))
            ranges = [(start, stop - 1) for start, stop in collapse(sequences)]
            for piece in split_ranges(ranges, (room - MISSING_HEAD) // 2):
                missing = Missing(run.origin, run.epoch, tuple(piece))
                cost = MISSING_HEAD + 2 * _pairs(piece)
                if cost > left or len(pages[-1]) >= ENTRIES_MAX:
                    pages.append([])
                    left = room
                pages[-1].append(missing)
                left -= cost
        self._nack_at = earliest(*(self._ask_at(inbox, now, size) for inbox in self._lacking.values()))
        return pages, events

    def patience(self, gap_timeout: float | None) -> float | None:
        """When the first gap will be given up."""
        times = (inbox.patience(gap_timeout) for inbox in self._lacking.values())
        return min((when for when in times if when is not None), default=None)

    def give_up(self, now: float, gap_timeout: float | None) -> list[Event]:
        """Abandon the gaps that were waited for long enough."""
        events: list[Event] = []
        for run, inbox in list(self._lacking.items()):
            events.extend(inbox.give_up(now, gap_timeout))
            if not inbox.gaps:
                del self._lacking[run]
        return events


def _miss(inbox: Inbox, sequences: list[int]) -> None:
    """These were held and are missing again."""
    for sequence in sequences:
        inbox.gaps.notice(sequence, sequence + 1, inbox.heard_at)


def _pairs(ranges: list[tuple[int, int]]) -> int:
    """The most pairs of bytes that these ranges take on the wire."""
    pairs, following = 0, ranges[0][0]
    for first, last in ranges:
        pairs += (first - following) // 255 + -(-(last - first + 1) // 255)
        following = last + 1
    return pairs
