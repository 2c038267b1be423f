"""One run's records on their way to the application: order, gaps, fragments, and what to report back."""

from __future__ import annotations

from mcast.wire import bodies
from mcast.wire.reasons import DropReason
from mcast.wire.records import Kind, Record

from .backoff import ROUNDS
from .events import Address, Event, GapAbandoned, GapFilled, GapOpened, Message
from .fragments import Fragments
from .gaps import Gaps
from .runs import Run
from .stream import Stream

LOW_GRACE = 2.0  # seconds in which other holders may still repair what the origin declared overwritten
LAST_TRIES = 8  # NACKs nobody answered after which records of a run that left are lost


class Inbox:
    """What we have and lack of one run.

    Of its records up to `existing` those signed before `since` (ms by its clock) were published before
    we joined.
    """

    __slots__ = (
        "_expected",
        "_low",
        "_received",
        "departed",
        "echo",
        "echo_at",
        "equivocated",
        "existing",
        "fragments",
        "gaps",
        "grtt",
        "heard_at",
        "history",
        "name",
        "run",
        "since",
        "stream",
    )

    def __init__(
        self, run: Run, name: str, start: int, window: int, existing: int, since: int, history: bool
    ) -> None:
        self.run, self.name = run, name
        self.stream = Stream(start, window)
        self.gaps = Gaps()
        self.fragments = Fragments()
        self.existing, self.since, self.history = existing, since, history
        self.departed = self.equivocated = False
        self.echo, self.echo_at, self.heard_at = 0, 0.0, 0.0
        self.grtt = 0.0
        self._low = (0, 0.0)
        self._received = self._expected = 0

    def accept(self, record: Record, source: Address, now: float) -> list[Event]:
        """Take a verified record that the stream does not refuse."""
        events: list[Event] = []
        sequence = record.sequence
        if sequence > self.stream.high:
            self.heard_at = now
            self.learn(sequence - 1, now)
        if sequence in self.gaps:
            closed = self.gaps.found(sequence)
            if closed is not None:
                events.append(GapFilled(self.run, closed.first, closed.last))
        else:
            self._received += 1
        ready, late = self.stream.accept(record)
        events.extend(self._deliver(ready, source, late=late))
        return events

    def learn(self, high: int, now: float) -> bool:
        """Records up to `high` exist; whether some are thereby found missing."""
        start, stop = self.stream.learn(high)
        if start >= stop:
            return False
        self.gaps.notice(start, stop, now)
        self._expected += stop - start
        return True

    def hold(self, floor: float) -> float:
        """Seconds to wait for a repair before asking again."""
        return ROUNDS * self.grtt + max(floor, self.grtt)

    def overwritten(self, low: int, now: float) -> None:
        """The origin holds nothing below `low` any more. The first such word starts the grace."""
        if low > self.stream.next and low > self._low[0] and not self._pending_low():
            self._low = (low, now + LOW_GRACE)

    def _pending_low(self) -> bool:
        return self._low[0] > self.stream.next

    def _deliver(self, records: list[Record], source: Address, *, late: bool = False) -> list[Event]:
        events: list[Event] = []
        for record in records:
            old = record.sequence <= self.existing and record.timestamp < self.since
            sequence, messages = self._messages(record)
            if old and not self.history:
                continue
            events.extend(
                Message(
                    record.origin,
                    record.epoch,
                    sequence,
                    index,
                    data,
                    record.timestamp,
                    self.name,
                    source,
                    late,
                    old,
                )
                for index, data in enumerate(messages)
            )
        return events

    def _messages(self, record: Record) -> tuple[int, list[bytes]]:
        """The messages that a record completes, and the sequence that names them."""
        kind, sequence = record.kind, record.sequence
        if kind is Kind.MESSAGE:
            return sequence, [record.body]
        if kind is Kind.BUNDLE:
            bundle = bodies.decode_bundle(record.body)
            return sequence, [] if isinstance(bundle, DropReason) else bundle
        if kind is Kind.ASK:
            return sequence, []
        whole = self.fragments.add(record)
        return (whole[0], [whole[1]]) if isinstance(whole, tuple) else (sequence, [])

    def asked(self, sequences: list[int], now: float) -> list[Event]:
        """A NACK for `sequences` goes out."""
        return [GapOpened(self.run, gap.first, gap.last) for gap in self.gaps.asked(sequences, now)]

    def patience(self, gap_timeout: float | None) -> float | None:
        """When to give up what is missing at the front; None: not as things are."""
        head = self.gaps.oldest(self.stream.next)
        if head is None:
            return None
        times = []
        if gap_timeout is not None:
            times.append(head.noticed + gap_timeout)
        if self._pending_low():
            times.append(self._low[1])
        if self.departed and head.tries >= LAST_TRIES:
            times.append(head.asked)
        return min(times, default=None)

    def give_up(self, now: float, gap_timeout: float | None) -> list[Event]:
        """Abandon what has been waited for long enough."""
        events: list[Event] = []
        while (when := self.patience(gap_timeout)) is not None and when <= now:
            stop = self.stream.head()
            if self._pending_low() and self._low[1] <= now:
                stop = max(stop, self._low[0])
            lost, ready = self.stream.give_up(stop)
            self.gaps.lost(stop)
            events.extend(GapAbandoned(self.run, start, end - 1) for start, end in lost)
            events.extend(self._deliver(ready, None))
        return events

    @property
    def loss(self) -> int:
        """Records that did not come at the first sending, as a fraction of 65535."""
        total = self._received + self._expected
        return 65535 * self._expected // total if total else 0
