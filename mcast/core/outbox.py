"""What the application wants to send, bundled into records and let out in flushes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import msgspec

from mcast.errors import MessageTooLarge
from mcast.wire import bodies, limits
from mcast.wire.records import Kind


class Draft(msgspec.Struct, frozen=True):
    """A record that is not yet signed."""

    sequence: int
    kind: Kind
    body: bytes


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
        if len(data) > limits.MESSAGE_MAX:
            raise MessageTooLarge(
                f"a message of {len(data)} bytes is larger than {limits.MESSAGE_MAX}", "send it in parts"
            )
        self._close()
        if len(data) > self._limit - limits.BUNDLE_HEAD_SIZE - limits.BUNDLE_ENTRY_SIZE:
            return self._alone(data), 0
        self._open.append(data)
        self._open_size += size
        self.size += size
        return self._next, 0

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

    def _draft(self, kind: Kind, body: bytes) -> int:
        size = len(body) + limits.BUNDLE_ENTRY_SIZE
        self._ready.append(Draft(self._next, kind, body))
        self.size += size
        self._next += 1
        return self._next - 1

    def _alone(self, data: bytes) -> int:
        if len(data) <= self._limit:
            return self._draft(Kind.MESSAGE, data)
        sizes = limits.fragment_sizes(len(data), self._limit)
        at = 0
        for place, size in enumerate(sizes):
            piece = data[at : at + size]
            at += size
            if place == 0:
                self._draft(Kind.FIRST, bodies.encode_first(len(data), piece))
            else:
                self._draft(Kind.LAST if at == len(data) else Kind.MIDDLE, piece)
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
