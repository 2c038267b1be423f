"""The receive window of one peer: its records in order, each once, and large messages put together again."""

from __future__ import annotations

from math import exp

from mcast.core.events import (
    Address,
    Event,
    GapAbandoned,
    GapFilled,
    GapOpened,
    GapStalled,
    Message,
    Notice,
    PeerId,
)
from mcast.core.rangeset import RangeSet, collapse
from mcast.core.timers import ROUNDS, earliest
from mcast.wire import bodies, limits
from mcast.wire.reasons import DropReason
from mcast.wire.records import NOTICE, Kind, Record

from .gaps import Gaps, Span

LATE_RANGES = 256  # given-up stretches that may still arrive late; older ones count as delivered
FRAGMENTS = 256  # records kept of one peer: more than 64 KiB in the smallest datagrams; oldest first out
LOW_GRACE = 2.0  # seconds in which other holders may still repair what the origin declared overwritten
LAST_TRIES = 8  # NACKs nobody answered, at least, before records of a peer that left are lost
AFTER_GOODBYE = 10.0  # seconds, at least, that holders of a peer that said goodbye are asked
AFTER_SILENCE = 300.0  # the same of one that fell silent: a switch that restarts cuts off for minutes
ANSWER = 1.0  # seconds the last NACK has for an answer
PAUSE_HERE, PAUSE_GONE = 4.0, 60.0  # longest seconds between NACKs in vain, while the peer is here and after
CLAIM = 256  # records of a peer that may be outstanding until one of them comes
CLAIM_SECONDS = 30.0  # for this long, at most, a claim is believed if no record comes
STALLED = 2.0  # seconds of waiting after which the application is told
PAID = 256  # bytes of NACKs that each record of a peer pays for
PAID_MOST = 64 * 1024  # and those that all of them do
REORDERED = 0.01  # seconds within which a missing record was only overtaken, or repaired for somebody else
LOSS_RECORDS, LOSS_SECONDS = 128, 0.25  # the shorter of these is what the loss is smoothed over
FORGOTTEN = 32  # records pushed out at once: finding the last ones takes a sort
SHARE = 4  # one peer may hold this part of what all may


def held_share(most: int) -> int:
    """The bytes that one window may hold where all may hold `most`."""
    return most // SHARE


class ReorderBuffer:
    """First-in-first-out order of the records of one peer.

    `next` is the first sequence not yet delivered, `high` the highest that is waited for, `claimed` the
    highest that is said to exist: it may be further than the window. What lies between `next` and `high`
    and is not held is missing. A record that comes may be `window` ahead, one that is only said to exist
    `reach`. `sources` is where those came from that are held, or just were.

    The attack on the window: a peer that jumps far ahead hurts only itself.
    """

    def __init__(self, start: int, window: int) -> None:
        self.next = start
        self.high = self.claimed = start - 1
        self.window = self.reach = window
        self._held: dict[int, Record] = {}
        self.sources: dict[int, Address] = {}
        self._late = RangeSet(LATE_RANGES)
        self.held_bytes = 0

    @property
    def contiguous(self) -> int:
        """Up to here nothing is missing or being waited for."""
        return self.next - 1

    def refuse(self, sequence: int) -> DropReason | None:
        """Why a record with this number is not wanted; asked before its signature is checked."""
        if sequence < self.next:
            return None if sequence in self._late else DropReason.DUPLICATE
        if sequence >= self.next + self.window:
            return DropReason.OUT_OF_WINDOW
        return DropReason.DUPLICATE if sequence in self._held else None

    def held(self, sequence: int) -> Record | None:
        """The record with this number if it waits for one before it."""
        return self._held.get(sequence)

    def given_up(self, sequence: int) -> bool:
        """Whether this record was given up and has not come since."""
        return sequence in self._late

    def learn(self, high: int) -> tuple[int, int]:
        """Records up to `high` exist. The range [start, stop) that is thereby found missing."""
        self.claimed = max(self.claimed, high)
        start = self.high + 1
        self.high = max(self.high, min(self.claimed, self.next + self.reach - 1))
        return start, self.high + 1

    @property
    def smooth(self) -> bool:
        """Whether nothing is missing or held, as usual."""
        return self.next == self.high + 1 == self.claimed + 1

    def follow(self, count: int) -> None:
        """The next `count` records, one at least, are accepted; nothing is missing or held."""
        self.next += count
        self.high = self.claimed = self.next - 1

    def accept(self, record: Record, source: Address = None) -> tuple[list[Record], bool]:
        """Take a verified, unrefused record. The records that are now in order, or this one, late."""
        sequence = record.sequence
        if sequence < self.next:
            self._late.remove(sequence)
            return [record], True
        self.high = max(self.high, sequence)
        self.claimed = max(self.claimed, sequence)
        if sequence > self.next:
            self._held[sequence] = record
            self.sources[sequence] = source
            self.held_bytes += len(record.payload)
            return [], False
        self.next += 1
        if not self._held:
            return [record], False
        return [record, *self._drain()], False

    def _drain(self) -> list[Record]:
        ready = []
        while (record := self._held.pop(self.next, None)) is not None:
            ready.append(record)
            self.held_bytes -= len(record.payload)
            self.next += 1
        return ready

    def give_up(self, stop: int) -> tuple[list[tuple[int, int]], list[Record]]:
        """Wait no longer for what is missing below `stop`, however far away that is.

        Returns the ranges [start, stop) lost and the records now due.
        """
        lost: list[tuple[int, int]] = []
        ready: list[Record] = []
        for sequence in sorted(sequence for sequence in self._held if sequence < stop):
            if self.next < sequence:
                lost.append((self.next, sequence))
                self.next = sequence
            ready.extend(self._drain())
        if self.next < stop:
            lost.append((self.next, stop))
            self.next = stop
        self.high = max(self.high, self.next - 1)
        self.claimed = max(self.claimed, self.high)
        for start, end in lost:
            self._late.add(start, end)
        return lost, [*ready, *self._drain()]

    def skip(self, stop: int) -> tuple[list[Record], list[Record]]:
        """Nothing below `stop`, which is above `next`, is due any more. Those of it that were held, and the
        records now due.
        """
        passed = [self._held[sequence] for sequence in sorted(self._held) if sequence < stop]
        for record in passed:
            self._forget(record.sequence)
        self.next = stop
        self.high = max(self.high, stop - 1)
        self.claimed = max(self.claimed, self.high)
        return passed, self._drain()

    def expect_late(self, sequence: int) -> None:
        """A record below `next` may come yet."""
        self._late.add(sequence, sequence + 1)

    @property
    def top(self) -> int:
        """The highest sequence held; 0 when none is."""
        return max(self._held, default=0)

    def forget_highest(self, count: int) -> list[tuple[int, int]]:
        """Drop the `count` highest of those held; the [start, stop) ranges are missing again."""
        sequences = sorted(self._held)[-count:]
        for sequence in sequences:
            self._forget(sequence)
        return collapse(sequences)

    def _forget(self, sequence: int) -> None:
        self.held_bytes -= len(self._held.pop(sequence).payload)
        del self.sources[sequence]

    def forget_held(self) -> list[tuple[int, int]]:
        """Drop what is held, to make room; the [start, stop) ranges are missing again."""
        ranges = collapse(sorted(self._held))
        self._held.clear()
        self.sources.clear()
        self.held_bytes = 0
        return ranges


class Reassembly:
    """The fragments of one peer that are not yet a whole message.

    In order they arrive FIRST MIDDLE* LAST; a fragment that comes late, after its gap was given up, finds its
    neighbours here. The attack: first fragments without an end; they push out each other only, a peer has
    its own, and `bytes` counts towards what all peers may hold.
    """

    def __init__(self) -> None:
        self._records: dict[int, Record] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, sequence: int) -> bool:
        return sequence in self._records

    def _pop(self, sequence: int) -> Record:
        record = self._records.pop(sequence)
        self.bytes -= len(record.payload)
        return record

    def clear(self) -> list[tuple[int, int]]:
        """Drop all. The [start, stop) ranges that were here."""
        ranges = collapse(sorted(self._records))
        self._records.clear()
        self.bytes = 0
        return ranges

    def take_below(self, stop: int) -> list[Record]:
        """Those below `stop`; they are here no more."""
        return [self._pop(sequence) for sequence in sorted(self._records) if sequence < stop]

    def add(self, record: Record) -> tuple[int, bytes] | DropReason | None:
        """The message that `record` completed and the sequence of its last fragment; None if some are
        missing.

        BAD_BODY if the pieces do not add up.
        """
        self._records[record.sequence] = record
        self.bytes += len(record.payload)
        if len(self._records) > FRAGMENTS:
            self._pop(next(iter(self._records)))
        first = self._walk(record.sequence, -1, Kind.FIRST)
        if first is None:
            return None
        last = self._walk(record.sequence, 1, Kind.LAST)
        if last is None:
            return None
        whole = _join([self._pop(sequence) for sequence in range(first, last + 1)])
        return whole if isinstance(whole, DropReason) else (last, whole)

    def unfinished(self, sequence: int) -> int | None:
        """The first fragment of the message that goes on after `sequence`, if all up to there is here."""
        record = self._records.get(sequence)
        if record is None or record.kind is Kind.LAST:
            return None
        return self._walk(sequence, -1, Kind.FIRST)

    def _walk(self, sequence: int, step: int, end: Kind) -> int | None:
        """The sequence at which the message's `end` stands, if nothing is missing on the way there."""
        record = self._records.get(sequence)
        if record is not None and record.kind is end:
            return sequence
        sequence += step
        while (record := self._records.get(sequence)) is not None:
            if record.kind is end:
                return sequence
            if record.kind is not Kind.MIDDLE:
                return None
            sequence += step
        return None


def _guests(messages: list[bytes]) -> tuple[str, list[bytes]]:
    """Who said the one message of a record with the flag GUEST, and what; nothing if it is malformed."""
    for message in messages:
        said = bodies.decode_guest(message)
        if not isinstance(said, DropReason):
            return said[0], [said[1]]
    return "", []


def _join(records: list[Record]) -> bytes | DropReason:
    head = bodies.decode_first(records[0].body)
    if isinstance(head, DropReason):
        return head
    total, data = head
    whole = b"".join((data, *(record.body for record in records[1:])))
    return whole if len(whole) == total <= limits.MESSAGE_MAX else DropReason.BAD_BODY


class ReceiveWindow:
    """What we have and lack of one peer.

    Its records before `first` do not concern us. Those up to `existing` may have been published before we
    joined: their age tells. `departed`: the peer said goodbye or fell silent. `begun`: what has come, since
    somebody last took it, and belongs to history: what is before `first`, and the end of a message that began
    there. `history`: all does.
    `skew`: how far (s) its clock was from ours when its latest record came, as in Message.

    `proven`: a genuine record of it has come. Until then what it has published is its word, and little is
    done for it. `paid` are the bytes of NACKs that its records have paid for, `owed` those that left before.
    """

    __slots__ = (
        "_begun_to",
        "_expected",
        "_loss",
        "_loss_at",
        "_low",
        "_received",
        "_until",
        "begun",
        "buffer",
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
        "intact",
        "lacking",
        "name",
        "owed",
        "paid",
        "peer_id",
        "proven",
        "skew",
        "stall_told",
    )

    def __init__(
        self,
        peer_id: PeerId,
        name: str,
        start: int,
        window: int,
        existing: int = 0,
        history: bool = False,
    ) -> None:
        self.peer_id, self.name, self.first = peer_id, name, start
        self.buffer = ReorderBuffer(start, window)
        self.buffer.reach = min(window, CLAIM)
        self.gaps = Gaps()
        self.fragments = Reassembly()
        self._begun_to = start  # up to here the fragments of a message that began before we joined
        self.begun: list[Record] = []
        self.existing, self.history = existing, history
        self.intact = start  # from here on nothing was given up or left out: what a report may confirm
        self.equivocated = False
        self.lacking = True
        self.echo, self.echo_at, self.heard_at = 0, 0.0, 0.0
        self.grtt = self.skew = 0.0
        self.proven = False
        self.paid = self.owed = 0
        self.departed = False
        self.stall_told = False
        self._until: float | None = None
        self._low = (0, 0.0)
        self._received = self._expected = 0
        self._loss = self._loss_at = 0.0

    @property
    def waiting(self) -> int:
        """Bytes that wait here for other records."""
        return self.buffer.held_bytes + self.fragments.bytes

    @property
    def out_of_step(self) -> bool:
        """Whether the timers must be told at once: something new is missing, or nothing is any more."""
        return self.gaps.fresh or self.lacking != (bool(self.gaps) or self.waiting > 0)

    def depart(self, now: float, said: bool) -> None:
        """The peer is gone; `said`: it said goodbye."""
        until = now + (AFTER_GOODBYE if said else AFTER_SILENCE)
        self._until = until if self._until is None else min(until, self._until)
        self.departed = True

    def returned(self) -> None:
        """The peer is here after all."""
        self._until = None
        self.departed = False
        self.gaps.again()

    def trust(self) -> None:
        """A genuine record of it has come."""
        self.proven, self.buffer.reach = True, self.buffer.window
        if self.gaps.vain:
            self.gaps.delivered()

    def accept(self, record: Record, source: Address, now: float) -> list[Event]:
        """Take a verified record that the buffer does not refuse."""
        sequence = record.sequence
        if self.buffer.smooth and sequence == self.buffer.next:
            return self.accept_row([record], source, now)
        events: list[Event] = []
        self.trust()
        self.paid += PAID
        if sequence > self.buffer.high:
            self.heard_at = now
            self._received += 1
            if sequence > self.buffer.high + 1:
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
        ready, late = self.buffer.accept(record, source)
        if ready:
            events += self._deliver(ready, source, late=late)
        if self.buffer.claimed > self.buffer.high:
            self.learn(self.buffer.claimed, now)
        return events

    def front(self, records: list[Record]) -> tuple[list[Record], bool]:
        """Those at the front that are of this peer, wanted as things are, and can be verified together.

        True: they follow what is here, and nothing is missing. False: some are missing, and these are of one
        flush.
        """
        (origin, incarnation), buffer = self.peer_id, self.buffer
        following = start = buffer.next
        if not self.lacking and start == buffer.high + 1 == buffer.claimed + 1 and not self.fragments.bytes:
            for record in records:
                if (
                    record.sequence != following
                    or record.incarnation != incarnation
                    or record.origin != origin
                ):
                    break
                following += 1
            if following > start:
                return records[: following - start], True
        refuse, signature = buffer.refuse, records[0].signature
        for place, record in enumerate(records):
            if (
                record.signature != signature
                or record.incarnation != incarnation
                or record.origin != origin
                or place == limits.TREE_MAX
                or refuse(record.sequence) is not None
            ):
                return records[:place], False
        return records, False

    def accept_row(self, row: list[Record], source: Address, now: float) -> list[Event]:
        """Take verified records, at least one, that follow what is here while nothing is missing."""
        count = len(row)
        self.buffer.follow(count)
        self.heard_at = now
        self._received += count
        self.proven, self.buffer.reach = True, self.buffer.window
        self.gaps.vain = 0
        self.paid += PAID * count
        return self._deliver(row, source)

    def learn(self, high: int, now: float) -> bool:
        """Records up to `high` exist; whether some are thereby found missing."""
        start, stop = self.buffer.learn(high)
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
        if low > self.buffer.next and low > self._low[0] and not self._pending_low():
            self._low = (low, now + LOW_GRACE)

    def _pending_low(self) -> bool:
        return self._low[0] > self.buffer.next

    def begin_after(self, sequence: int, now: float) -> list[Event]:
        """Records up to `sequence` were published before we joined: they do not concern us."""
        if sequence < self.buffer.next:
            return []
        self.first = self._begun_to = sequence + 1
        self.intact = max(self.intact, self.first)
        closed = self.gaps.void(self.first)
        events: list[Event] = [GapFilled(self.peer_id, gap.first, gap.last, self.name) for gap in closed]
        passed, ready = self.buffer.skip(self.first)
        self.begun += self.fragments.take_below(self.first) + passed
        return events + self._deliver(ready, None)

    def expect_late(self, sequence: int) -> list[Event]:
        """A record before `first` does concern us: it is told as missing, and comes outside the order."""
        self.buffer.expect_late(sequence)
        return [GapAbandoned(self.peer_id, sequence, sequence, self.name)]

    def _deliver(self, records: list[Record], source: Address, *, late: bool = False) -> list[Event]:
        """The messages of records that came from `source`; those that were held came from where they did."""
        events: list[Event] = []
        came, sources = source, self.buffer.sources
        for record in records:
            if sources:
                source = sources.pop(record.sequence, came)
            if record.kind is Kind.MESSAGE:
                sequence, messages = record.sequence, [record.body]
            else:
                sequence, messages = self._messages(record)
            origin, incarnation, sent, name = record.origin, record.incarnation, record.timestamp, self.name
            history, skew = self.history, self.skew
            guest = ""
            if record.flags == NOTICE:
                events += [
                    Notice(origin, incarnation, sequence, data, sent, name, source, history)
                    for data in messages
                ]
                continue
            if record.flags:
                guest, messages = _guests(messages)
                name = f"{guest} via {name}"
            events += [
                Message(
                    origin, incarnation, sequence, index, data, sent, name, source, late, history, skew, guest
                )
                for index, data in enumerate(messages)
            ]
        return events

    def _messages(self, record: Record) -> tuple[int, list[bytes]]:
        """The messages that a record completes, and the sequence that names them."""
        kind, sequence = record.kind, record.sequence
        if kind is Kind.BUNDLE:
            bundle = bodies.decode_bundle(record.body)
            return sequence, [] if isinstance(bundle, DropReason) else bundle
        if kind is not Kind.FIRST and not self._awaited(sequence - 1):
            if sequence == self._begun_to < self.first + FRAGMENTS:
                self._begun_to += 1
                self.begun.append(record)
            self.intact = max(self.intact, sequence + 1)
            return sequence, []  # its beginning is nowhere here, and cannot come any more
        whole = self.fragments.add(record)
        if isinstance(whole, tuple):
            return whole[0], [whole[1]]
        if kind is Kind.LAST:
            self.intact = max(self.intact, sequence + 1)  # pieces of the message were given up
        return sequence, []

    def _awaited(self, before: int) -> bool:
        """Whether fragment `before` is here or may yet come; of the past it may be told later."""
        return self.history or before in self.fragments or self.buffer.given_up(before)

    @property
    def pause(self) -> float:
        """The longest time between two NACKs in vain."""
        return PAUSE_HERE if self.proven and not self.departed else PAUSE_GONE

    def asked(self, spans: list[Span], now: float) -> list[Event]:
        """A NACK for `spans` goes out."""
        return [
            GapOpened(self.peer_id, gap.first, gap.last, self.name)
            for gap in self.gaps.asked(spans, now, tell=self.proven)
        ]

    def gives_up_at(self, gap_timeout: float | None) -> float | None:
        """When to give up what is missing at the front; None: not as things are."""
        head = self.gaps.first()
        if head is None:
            return None
        return earliest(self._lost_at(head, gap_timeout), self._low[1] if self._pending_low() else None)

    @property
    def stalls_at(self) -> float | None:
        """When to tell that the front is waited for; None: not now, or it was told."""
        head = self.gaps.first()
        return head.noticed + STALLED if head is not None and self.proven and not self.stall_told else None

    def stalled(self, now: float) -> list[Event]:
        """What is missing at the front has been waited for, for a while. Once, until nothing is missing."""
        when, head = self.stalls_at, self.gaps.first()
        if head is None or when is None or now < when:
            return []
        self.stall_told = True
        return [GapStalled(self.peer_id, head.start, head.stop - 1, self.name)]

    def _lost_at(self, span: Span, gap_timeout: float | None) -> float | None:
        """When `span` will have been waited for long enough, though the origin may still hold it."""
        if not self.proven:
            gap_timeout = CLAIM_SECONDS if gap_timeout is None else min(gap_timeout, CLAIM_SECONDS)
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
            if not self.proven:
                return self.buffer.claimed + 1
            stop, in_vain = span.stop, True
        if in_vain and stop > self.buffer.high:
            # Nobody answered for all that was in the window: somebody may still hold the latest records.
            return max(stop, self.buffer.claimed + 1 - self.buffer.window)
        return stop

    def give_up(self, now: float, gap_timeout: float | None) -> list[Event]:
        """Abandon what has been waited for long enough."""
        return self._abandon(self._lost_below(now, gap_timeout), now)

    def may_go_on(self, now: float) -> bool:
        """Whether the peer, which is gone, may yet come back and say the rest of a message."""
        return self._unfinished is not None and self._until is not None and now < self._until

    @property
    def _unfinished(self) -> int | None:
        """Where the last message begins, if it has come in part and nobody named the rest."""
        return self.fragments.unfinished(self.buffer.contiguous)

    def close(self, now: float) -> list[Event]:
        """The window goes, and with it what it lacks and a message that has come in part."""
        events = self.end(now)
        start = self._unfinished
        if start is not None:
            events.append(GapAbandoned(self.peer_id, start, self.buffer.contiguous, self.name))
        return events

    def end(self, now: float) -> list[Event]:
        """There is no more room for this peer: what it lacks is abandoned, and what is held comes out."""
        return self._abandon(self.buffer.claimed + 1, now)

    def _abandon(self, stop: int, now: float) -> list[Event]:
        events: list[Event] = []
        lost, ready = self.buffer.give_up(stop)
        self.gaps.lost(stop)
        if lost:
            self.intact = max(self.intact, lost[-1][1])
        at = 0
        for first, end in lost:
            until = next((n for n in range(at, len(ready)) if ready[n].sequence > first), len(ready))
            events.extend(self._deliver(ready[at:until], None))
            events.append(GapAbandoned(self.peer_id, first, end - 1, self.name))
            at = until
        events.extend(self._deliver(ready[at:], None))
        self.learn(self.buffer.claimed, now)
        return events

    def drop_held(self, now: float) -> list[Event]:
        """Make room: what is held is missing again, messages that have come in part are lost."""
        for start, stop in self.buffer.forget_held():
            self.gaps.notice(start, stop, now)
        dropped = self.fragments.clear()
        if dropped:
            self.intact = max(self.intact, dropped[-1][1])
        return [GapAbandoned(self.peer_id, start, stop - 1, self.name) for start, stop in dropped]

    def drop_highest(self, now: float) -> None:
        """Make room for what is due early: what is due last is missing again."""
        for start, stop in self.buffer.forget_highest(FORGOTTEN):
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
