"""Our own records: from the application's messages to signed datagrams, and the heartbeats after them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from math import inf

import msgspec

from mcast.core.context import Context, Handlers
from mcast.core.flow.controller import FlowController
from mcast.crypto.signed import sign_flush
from mcast.errors import MessageTooLarge
from mcast.wire import bodies, limits
from mcast.wire.codec import encode_frame, encode_kept
from mcast.wire.frames import Frame, Heartbeat, Key
from mcast.wire.records import GUEST, NOTICE, Kind, encode_record

SCHEDULE = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds from the last data to each heartbeat
WHILE_SENDING = 1.0  # seconds between two heartbeats while data goes on
KEYED_HEARTBEATS = 3  # after data our key goes along with so many heartbeats
SOON_HEARTBEATS = 5  # within half a second of the last data
KEYED_RECORDS = 8  # our first records carry our key
PADDED = 4  # records of a flush from which on all are padded to one length, as UDP_SEGMENT needs it
HURRY = 0.02  # seconds: the group round-trip time that who is leaving tells, so that NACKs come in time
OVERHEAD = limits.HEADER_SIZE + limits.TAG_SIZE


class Draft(msgspec.Struct, frozen=True):
    """A record that is not yet signed."""

    sequence: int
    kind: Kind
    body: bytes
    flags: int


class Outbox:
    """Messages in, records out, sequenced at once so that a receipt can name them.

    A flush leaves at once if the last left `interval` ago, else that long after it, or when it is full.
    `size` is the bytes that wait, each message or record with two more: 0 only if nothing does.
    """

    def __init__(self, body_limit: int, interval: float) -> None:
        self._limit, self._interval = body_limit, interval
        self._ready: list[Draft] = []
        self._open: list[bytes] = []
        self._open_size = limits.BUNDLE_HEAD_SIZE
        self._next = 1
        self._last_flush = float("-inf")
        self.size = 0

    def resize(self, body_limit: int) -> None:
        """Records begun from now on take at most `body_limit` bytes."""
        self._limit = body_limit

    def add(self, data: bytes) -> tuple[int, int]:
        """Queue one message. Its record's sequence (the last one's, if in fragments) and its place in
        the record.

        Raises MessageTooLarge above 64 KiB; nothing has changed then.
        """
        size = len(data) + limits.BUNDLE_ENTRY_SIZE
        if self._open_size + size <= self._limit:
            self._open.append(data)
            self._open_size += size
            self.size += size
            return self._next, len(self._open) - 1
        _check_size(data)
        self._close()
        if len(data) > self._limit - limits.BUNDLE_HEAD_SIZE - limits.BUNDLE_ENTRY_SIZE:
            return self._alone(data), 0
        self._open.append(data)
        self._open_size += size
        self.size += size
        return self._next, 0

    def add_guest(self, name: bytes, data: bytes) -> tuple[int, int]:
        """Queue one message of a guest; as add()."""
        message = bodies.encode_guest(name, data)
        _check_size(message)
        self._close()
        return self._alone(message, GUEST), 0

    def add_notice(self, data: bytes) -> tuple[int, int]:
        """Queue one notice to programs; as add()."""
        _check_size(data)
        self._close()
        return self._alone(data, NOTICE), 0

    def add_all(self, messages: Sequence[bytes]) -> tuple[int, int]:
        """Queue messages, at least one, as add() would one by one; the place of the last."""
        ends = list(accumulate([len(data) + limits.BUNDLE_ENTRY_SIZE for data in messages]))
        at = gone = 0
        place = self._next, 0
        while at < len(messages):
            fit = bisect_right(ends, gone + self._limit - self._open_size, at)
            if fit > at:
                self._open += messages[at:fit]
                self._open_size += ends[fit - 1] - gone
                self.size += ends[fit - 1] - gone
                place = self._next, len(self._open) - 1
            else:
                place = self.add(messages[at])
                fit = at + 1
            at, gone = fit, ends[fit - 1]
        return place

    def _draft(self, kind: Kind, body: bytes, flags: int = 0) -> int:
        size = len(body) + limits.BUNDLE_ENTRY_SIZE
        self._ready.append(Draft(self._next, kind, body, flags))
        self.size += size
        self._next += 1
        return self._next - 1

    def _alone(self, data: bytes, flags: int = 0) -> int:
        if len(data) <= self._limit:
            return self._draft(Kind.MESSAGE, data, flags)
        sizes = limits.fragment_sizes(len(data), self._limit)
        at = 0
        for place, size in enumerate(sizes):
            piece = data[at : at + size]
            at += size
            if place == 0:
                self._draft(Kind.FIRST, bodies.encode_first(len(data), piece), flags)
            else:
                self._draft(Kind.LAST if at == len(data) else Kind.MIDDLE, piece, flags)
        return self._next - 1

    def _close(self) -> None:
        # No call between these: who interrupts us, a signal's handler, may add what must not be lost.
        closed, size = self._open, self._open_size
        self._open, self._open_size = [], limits.BUNDLE_HEAD_SIZE
        self.size -= size - limits.BUNDLE_HEAD_SIZE
        if len(closed) == 1:
            self._draft(Kind.MESSAGE, closed[0])
        elif closed:
            self._draft(Kind.BUNDLE, bodies.encode_bundle(closed))

    def when(self) -> float | None:
        """The time from which a flush may leave."""
        if len(self._ready) >= limits.TREE_MAX:
            return self._last_flush
        return self._last_flush + self._interval if self._ready or self._open else None

    def flush(self, now: float, most: int = limits.TREE_MAX) -> list[Draft]:
        """The records of one flush, at most `most`; empty before its time."""
        when = self.when()
        if when is None or now < when:
            return []
        if len(self._ready) < most:
            self._close()
        drafts, self._ready = self._ready[:most], self._ready[most:]
        self._last_flush = now
        for draft in drafts:
            size = len(draft.body) + limits.BUNDLE_ENTRY_SIZE
            self.size -= size
        return drafts


def _check_size(data: bytes) -> None:
    if len(data) > limits.MESSAGE_MAX:
        raise MessageTooLarge(
            f"a message of {len(data)} bytes is larger than {limits.MESSAGE_MAX}", "send it in parts"
        )


class Heartbeats:
    """When to repeat which records exist, so that the last one before a silence is not lost.

    The schedule starts anew with each flush. `place` is how many were sent since; `next` is when the next is
    due, inf if none.
    """

    def __init__(self) -> None:
        self._since = self._last = 0.0
        self.place = len(SCHEDULE)
        self.next = inf

    def _arm(self) -> None:
        if self.place == len(SCHEDULE):
            self.next = inf
        elif self._since - self._last >= WHILE_SENDING:
            self.next = self._since
        else:
            self.next = self._since + SCHEDULE[self.place]

    def sent(self, now: float) -> None:
        """Data left. While it goes on, a heartbeat a second still says what is held and how far we are."""
        if self.place:
            self._last = now
        self._since, self.place = now, 0
        self._arm()

    def due(self, now: float) -> bool:
        """Whether to send one now."""
        if now < self.next:
            return False
        self.place += now >= self._since + SCHEDULE[self.place]
        self._last = now
        self._arm()
        return True


class HeldRecord(msgspec.Struct, frozen=True, gc=False):
    """The payload of a RECORD frame, verbatim, and when it was published: on arrival, or as we were told."""

    payload: bytes
    at: float


class TransmitWindow:
    """Our own records, oldest overwritten first. `low` is the oldest still held: heartbeats declare it.

    When none is held it is `high` + 1. `young` is the oldest that is history yet: older ones are repaired,
    not named to who comes new.
    """

    def __init__(self, records: int, size: int) -> None:
        self._records: dict[int, HeldRecord] = {}
        self._limit, self._most = records, size
        self._bytes = 0
        self.low, self.high = 1, 0
        self.young = 1

    def get(self, sequence: int) -> HeldRecord | None:
        """A record and when it was published."""
        return self._records.get(sequence)

    def at(self, sequence: int) -> float:
        """When a record that is held was published."""
        return self._records[sequence].at

    def add(self, first: int, payloads: Sequence[bytes], now: float) -> None:
        """Hold the records of a flush; what is or was held changes nothing."""
        for sequence, payload in enumerate(payloads, first):
            if sequence > self.high:
                self._records[sequence] = HeldRecord(payload, now)
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

    def _drop(self) -> None:
        self._bytes -= len(self._records.pop(self.low).payload)
        self.low += 1
        self.young = max(self.young, self.low)


class Flushed(msgspec.Struct, frozen=True):
    """A flush that is leaving at time `at`: its payloads from sequence `first` on, `size` bytes in all."""

    first: int
    payloads: list[bytes]
    size: int
    at: float


class Sender:
    """The sending side. `window` holds what was sent, `outbox` what is to be; `flushed_at` is the last flush.

    `on_sent(size, at)` is called once a flush has left.
    """

    def __init__(self, context: Context, window: TransmitWindow, flow: FlowController, key: Key) -> None:
        self._context, self._flow = context, flow
        self.handlers: Handlers = {}
        self.window = window
        self.outbox = Outbox(limits.max_body(context.payload), context.settings.flush_interval)
        self.flushed_at = -inf
        self.next_timeout = inf
        self.unsettled: Flushed | None = None
        self.on_sent: Callable[[int, float], None]
        self._heartbeats = Heartbeats()
        self._key, self._encoded_key = key, encode_frame(key)
        self._keyed = 0

    def fit(self, payload: int) -> None:
        """Send datagrams of at most `payload` bytes, and never more than our own limit."""
        self._context.payload = min(payload, self._context.settings.payload)
        self.outbox.resize(limits.max_body(self._context.payload))

    def heartbeat(self, now: float) -> Heartbeat:
        """Which records we hold."""
        context, window = self._context, self.window
        grtt = min(context.rtt.value, HURRY) if context.closing else context.rtt.value
        return context.sign(
            Heartbeat(
                *context.me,
                counter=context.next_counter(),
                timestamp=context.unix_ms(now),
                low=window.low,
                high=window.high,
                grtt=round(grtt * 1e6),
            )
        )

    def on_timeout(self, now: float) -> None:
        """Say which records exist."""
        heartbeats = self._heartbeats
        if heartbeats.due(now):
            frame = self.heartbeat(now)
            frames: tuple[Frame, ...] = (frame,)
            if heartbeats.place <= KEYED_HEARTBEATS:
                frames = (self._key, frame)
            # On any other way it overtakes records that wait in a receiver's buffer, which would count as
            # lost. The last ones leave all ways: where that of records is dead they tell what a visitor said.
            self._context.send(*frames, record=heartbeats.place <= SOON_HEARTBEATS)
        self.next_timeout = heartbeats.next

    def take(self, now: float) -> list[bytes]:
        """The frames of the flushes that are due, a datagram each, as far as the rate allows.

        What is left to do for the last of them waits for settle(), so that a lone message does not wait.
        """
        outbox, flow = self.outbox, self._flow
        plains: list[bytes] = []
        while outbox.size and flow.new_level(now) > 0:
            drafts = outbox.flush(now, flow.records)
            if not drafts:
                break
            payloads = self._signed(drafts, now)
            encoded = self._encoded(payloads)
            plains += encoded
            size = sum(map(len, encoded)) + OVERHEAD * len(encoded)
            self.unsettled = Flushed(drafts[0].sequence, payloads, size, now)
            if outbox.size:
                self.settle()
        return plains

    def _signed(self, drafts: list[Draft], now: float) -> list[bytes]:
        context = self._context
        origin, incarnation = context.me
        timestamp = context.unix_ms(now)
        records = [
            encode_record(
                origin=origin,
                incarnation=incarnation,
                sequence=draft.sequence,
                timestamp=timestamp,
                kind=draft.kind,
                body=draft.body,
                flags=draft.flags,
            )
            for draft in drafts
        ]
        return sign_flush(context.identity, context.room.id, incarnation, records)

    def _encoded(self, payloads: list[bytes]) -> list[bytes]:
        plains = [encode_kept(payload) for payload in payloads]
        if self._keyed < KEYED_RECORDS:
            plains = [both for plain in plains for both in self._with_key(plain)]
        if len(payloads) >= PADDED:
            longest = max(map(len, plains))
            plains = [plain.ljust(longest, b"\0") for plain in plains]
        return plains

    def _with_key(self, frame: bytes) -> list[bytes]:
        """The first records bring the key along, in the same datagram if it fits."""
        if self._keyed >= KEYED_RECORDS:
            return [frame]
        self._keyed += 1
        both = self._encoded_key + frame
        return [both] if len(both) + OVERHEAD <= self._context.payload else [self._encoded_key, frame]

    def settle(self) -> None:
        """What is left to do for the last flush: it is held for repair, its bytes count, heartbeats follow.

        Every call of the engine that does more than to take in a message begins with it.
        """
        flushed = self.unsettled
        if flushed is None:
            return
        at, count = flushed.at, len(flushed.payloads)
        self.window.add(flushed.first, flushed.payloads, at)
        self.flushed_at = at
        self._heartbeats.sent(at)
        self.next_timeout = self._heartbeats.next
        if (
            self.unsettled is flushed
        ):  # not before, and no other: who interrupts us must not lose what has a number
            self.unsettled = None
        self._context.sent["record"] += count
        self._flow.sent(self.window.high, count, flushed.size, at)
        self.on_sent(flushed.size, at)
