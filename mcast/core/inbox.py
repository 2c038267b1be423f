"""One run's records on their way to the application: order, gaps, fragments, and what to report back."""

from __future__ import annotations

from math import exp

from mcast.wire import bodies, limits
from mcast.wire.reasons import DropReason
from mcast.wire.records import Kind, Record

from .backoff import ROUNDS
from .events import Address, Event, GapAbandoned, GapFilled, GapOpened, Message
from .fragments import Fragments
from .gaps import Gaps, Span
from .peer_id import PeerId
from .stream import Stream
from .timers import earliest

LOW_GRACE = 2.0  # seconds in which other holders may still repair what the origin declared overwritten
LAST_TRIES = 8  # NACKs nobody answered, at least, before records of a run that left are lost
AFTER_GOODBYE = 10.0  # seconds, at least, that holders of a run that said goodbye are asked
AFTER_SILENCE = 300.0  # the same of one that fell silent: a switch that restarts cuts off for minutes
ANSWER = 1.0  # seconds the last NACK has for an answer
PAUSE_HERE, PAUSE_GONE = 1.0, 60.0  # longest seconds between NACKs in vain, while the run is here and after
STRANGER_WINDOW = 256  # records of a run outside the roster that may be outstanding until one is delivered
REORDERED = 0.01  # seconds within which a missing record was only overtaken, or repaired for somebody else
LOSS_RECORDS, LOSS_SECONDS = 128, 0.25  # the shorter of these is what the loss is smoothed over
FORGOTTEN = 32  # records pushed out at once: finding the last ones takes a sort


class Inbox:
    """What we have and lack of one run.

    Its records before `first` do not concern us. Of those up to `existing` those signed before `since` (ms
    by its clock) were published before we joined. `departed`: the run said goodbye or fell silent.
    """

    __slots__ = (
        "_expected",
        "_loss",
        "_loss_at",
        "_low",
        "_received",
        "_until",
        "_window",
        "departed",
        "echo",
        "echo_at",
        "equivocated",
        "existing",
        "first",
        "fragments",
        "gaps",
        "grtt",
        "heard_at",
        "history",
        "lacking",
        "name",
        "peer_id",
        "since",
        "stream",
    )

    def __init__(
        self,
        run: PeerId,
        name: str,
        start: int,
        window: int,
        existing: int,
        since: int,
        history: bool = False,
    ) -> None:
        self.peer_id, self.name, self.first = run, name, start
        self.stream = Stream(start, min(window, STRANGER_WINDOW))
        self.gaps = Gaps()
        self.fragments = Fragments()
        self.existing, self.since, self.history = existing, since, history
        self.equivocated = False
        self.lacking = True
        self.echo, self.echo_at, self.heard_at = 0, 0.0, 0.0
        self.grtt = 0.0
        self._window = window
        self.departed = False
        self._until: float | None = None
        self._low = (0, 0.0)
        self._received = self._expected = 0
        self._loss = self._loss_at = 0.0

    @property
    def waiting(self) -> int:
        """Bytes that wait here for other records."""
        return self.stream.held_bytes + self.fragments.bytes

    @property
    def out_of_step(self) -> bool:
        """Whether the timers must be told at once: something new is missing, or nothing is any more."""
        return self.gaps.fresh or self.lacking != (bool(self.gaps) or self.waiting > 0)

    def depart(self, now: float, said: bool) -> None:
        """The run is gone; `said`: it said goodbye."""
        until = now + (AFTER_GOODBYE if said else AFTER_SILENCE)
        self._until = until if self._until is None else min(until, self._until)
        self.departed = True

    def returned(self) -> None:
        """The run is here after all."""
        self._until = None
        self.departed = False
        self.gaps.again()

    def trust(self) -> None:
        """The run is a peer or has published: it gets the whole window."""
        self.stream.window = self._window

    def accept(self, record: Record, source: Address, now: float) -> list[Event]:
        """Take a verified record that the stream does not refuse."""
        sequence = record.sequence
        if self.stream.smooth and sequence == self.stream.next:
            return self.accept_row([record], source, now)
        events: list[Event] = []
        if sequence > self.stream.high:
            self.heard_at = now
            self._received += 1
            if sequence > self.stream.high + 1:
                self.learn(sequence - 1, now)
        elif sequence in self.gaps:
            if now - self.gaps.noticed(sequence) < REORDERED:
                self._expected -= 1
                self._received += 1
            closed = self.gaps.found(sequence)
            if closed is not None:
                events.append(GapFilled(self.peer_id, closed.first, closed.last, self.name))
        else:
            self._received += 1
        ready, late = self.stream.accept(record)
        if ready:
            self.trust()
            events += self._deliver(ready, source, late=late)
        if self.stream.claimed > self.stream.high:
            self.learn(self.stream.claimed, now)
        return events

    def follow(self, records: list[Record]) -> list[Record]:
        """Those at the front that follow each other and what is here; none while anything is lacking."""
        if self.lacking or not self.stream.smooth or self.fragments.bytes:
            return []
        (origin, incarnation), following = self.peer_id, self.stream.next
        for record in records:
            if record.sequence != following or record.incarnation != incarnation or record.origin != origin:
                break
            following += 1
        return records[: following - self.stream.next]

    def wants(self, records: list[Record]) -> list[Record]:
        """Those at the front of one flush of this run that are not refused as things are."""
        (origin, incarnation), refuse, signature = self.peer_id, self.stream.refuse, records[0].signature
        for place, record in enumerate(records):
            if (
                record.signature != signature
                or record.incarnation != incarnation
                or record.origin != origin
                or place == limits.TREE_MAX
                or refuse(record.sequence) is not None
            ):
                return records[:place]
        return records

    def accept_row(self, row: list[Record], source: Address, now: float) -> list[Event]:
        """Take verified records that follow(), at least one."""
        self.stream.follow(len(row))
        self.heard_at = now
        self._received += len(row)
        if self.stream.window != self._window:
            self.trust()
        return self._deliver(row, source)

    def learn(self, high: int, now: float) -> bool:
        """Records up to `high` exist; whether some are thereby found missing."""
        start, stop = self.stream.learn(high)
        if start >= stop:
            return False
        self.gaps.notice(start, stop, now)
        self._expected += stop - start
        return True

    def refused(self, sequence: int, now: float) -> None:
        """The record came, but there is no room for it: it is missing, though no network lost it."""
        if self.learn(sequence, now):
            self._expected -= 1
            self._received += 1

    def hold(self, floor: float) -> float:
        """Seconds to wait for a repair before asking again."""
        return ROUNDS * self.grtt + max(floor, self.grtt)

    def overwritten(self, low: int, now: float) -> None:
        """The origin holds nothing below `low` any more. The first such word starts the grace."""
        if low > self.stream.next and low > self._low[0] and not self._pending_low():
            self._low = (low, now + LOW_GRACE)

    def _pending_low(self) -> bool:
        return self._low[0] > self.stream.next

    def is_old(self, record: Record) -> bool:
        """Whether it was published before we joined: then it is told with the rest of the past."""
        return record.sequence <= self.existing and record.timestamp < self.since

    def _deliver(self, records: list[Record], source: Address, *, late: bool = False) -> list[Event]:
        events: list[Event] = []
        for record in records:
            old = self.is_old(record)
            sequence, messages = self._messages(record)
            if old and not self.history:
                continue
            origin, incarnation, sent, name = record.origin, record.incarnation, record.timestamp, self.name
            events += [
                Message(origin, incarnation, sequence, index, data, sent, name, source, late, old)
                for index, data in enumerate(messages)
            ]
        return events

    def _messages(self, record: Record) -> tuple[int, list[bytes]]:
        """The messages that a record completes, and the sequence that names them."""
        kind, sequence = record.kind, record.sequence
        if kind is Kind.MESSAGE:
            return sequence, [record.body]
        if kind is Kind.BUNDLE:
            bundle = bodies.decode_bundle(record.body)
            return sequence, [] if isinstance(bundle, DropReason) else bundle
        if kind is not Kind.FIRST and not self._awaited(sequence - 1):
            return sequence, []  # its beginning is nowhere here, and cannot come any more
        whole = self.fragments.add(record)
        return (whole[0], [whole[1]]) if isinstance(whole, tuple) else (sequence, [])

    def _awaited(self, before: int) -> bool:
        """Whether fragment `before` is here or may yet come; of the past it may be told later."""
        return self.history or before in self.fragments or self.stream.given_up(before)

    @property
    def pause(self) -> float:
        """The longest time between two NACKs in vain."""
        return PAUSE_GONE if self.departed else PAUSE_HERE

    def asked(self, spans: list[Span], now: float) -> list[Event]:
        """A NACK for `spans` goes out."""
        return [
            GapOpened(self.peer_id, gap.first, gap.last, self.name) for gap in self.gaps.asked(spans, now)
        ]

    def patience(self, gap_timeout: float | None) -> float | None:
        """When to give up what is missing at the front; None: not as things are."""
        head = self.gaps.first()
        if head is None:
            return None
        return earliest(self._lost_at(head, gap_timeout), self._low[1] if self._pending_low() else None)

    def _lost_at(self, span: Span, gap_timeout: float | None) -> float | None:
        """When `span` will have been waited for long enough, though the origin may still hold it."""
        timeout = None if gap_timeout is None else span.noticed + gap_timeout
        if self._until is None or span.tries < LAST_TRIES:
            return timeout
        return earliest(timeout, max(self._until, span.asked + ANSWER))

    def _lost_below(self, now: float, gap_timeout: float | None) -> int:
        """The end of what at the front has been waited for long enough; what is held counts as come."""
        stop = self._low[0] if self._low[1] <= now else 0
        in_vain = False
        for span in self.gaps:
            if span.stop <= stop:
                continue
            when = self._lost_at(span, gap_timeout)
            if when is None or when > now:
                return stop
            stop, in_vain = span.stop, True
        if in_vain and stop > self.stream.high:
            # Nobody answered for all that was in the window: somebody may still hold the latest records.
            return max(stop, self.stream.claimed + 1 - self.stream.window)
        return stop

    def give_up(self, now: float, gap_timeout: float | None) -> list[Event]:
        """Abandon what has been waited for long enough."""
        return self._abandon(self._lost_below(now, gap_timeout), now)

    def may_go_on(self, now: float) -> bool:
        """Whether the run, which is gone, may yet come back and say the rest of a message."""
        return self._unfinished is not None and self._until is not None and now < self._until

    @property
    def _unfinished(self) -> int | None:
        """Where the last message begins, if it has come in part and nobody named the rest."""
        return self.fragments.unfinished(self.stream.contiguous)

    def close(self, now: float) -> list[Event]:
        """The inbox goes, and with it what it lacks and a message that has come in part."""
        events = self.end(now)
        start = self._unfinished
        if start is not None:
            events.append(GapAbandoned(self.peer_id, start, self.stream.contiguous, self.name))
        return events

    def end(self, now: float) -> list[Event]:
        """There is no more room for this run: what it lacks is abandoned, and what is held comes out."""
        return self._abandon(self.stream.claimed + 1, now)

    def _abandon(self, stop: int, now: float) -> list[Event]:
        events: list[Event] = []
        lost, ready = self.stream.give_up(stop)
        self.gaps.lost(stop)
        at = 0
        for first, end in lost:
            until = next((n for n in range(at, len(ready)) if ready[n].sequence > first), len(ready))
            events.extend(self._deliver(ready[at:until], None))
            events.append(GapAbandoned(self.peer_id, first, end - 1, self.name))
            at = until
        events.extend(self._deliver(ready[at:], None))
        self.learn(self.stream.claimed, now)
        return events

    def drop_held(self, now: float) -> list[Event]:
        """Make room: what is held is missing again, messages that have come in part are lost."""
        for start, stop in self.stream.forget_held():
            self.gaps.notice(start, stop, now)
        return [
            GapAbandoned(self.peer_id, start, stop - 1, self.name) for start, stop in self.fragments.clear()
        ]

    def drop_highest(self, now: float) -> None:
        """Make room for what is due early: what is due last is missing again."""
        for start, stop in self.stream.forget_highest(FORGOTTEN):
            self.gaps.notice(start, stop, now)

    def loss(self, now: float) -> int:
        """Records that did not come at the first sending, as a fraction of 65535, smoothed over the last."""
        total = self._received + self._expected
        if total > 0:
            weight = max(total / (total + LOSS_RECORDS), 1 - exp((self._loss_at - now) / LOSS_SECONDS))
            self._loss = max(0.0, self._loss + (self._expected / total - self._loss) * weight)
            self._received = self._expected = 0
            self._loss_at = now
        return round(65535 * self._loss)
