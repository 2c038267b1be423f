"""The missing records of one receive window, and when to ask for them."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from math import inf
from operator import attrgetter

DEFERRALS = 2  # others' NACKs that may put ours off; then it goes regardless, or a forger silences us
WHOLE = 3  # NACKs for the same records before one asks for slices; then every other one does
EAGER = 8  # NACKs for the same records before the pause between them begins to double
UNPROVEN = EAGER - 2  # those that count as sent in vain of a peer of which no record has come so far


class Gap:
    """A stretch of missing records that the application was told of; the last one found closes it."""

    __slots__ = ("first", "last", "remaining")

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self.remaining = last - first + 1


class Span:
    """Missing records [start, stop) that share their history. `tries` NACKs for them were in vain.

    The attack: a word of 168 bytes about thousands of records that never were. It costs one span.
    """

    __slots__ = ("asked", "deferrals", "gap", "nacks", "noticed", "start", "stop", "tries")

    def __init__(self, start: int, stop: int, noticed: float, tries: int) -> None:
        self.start, self.stop, self.noticed, self.tries = start, stop, noticed, tries
        self.asked = -inf
        self.deferrals = 0
        self.nacks = 0
        self.gap: Gap | None = None

    def rest(self, start: int) -> Span:
        """The part from `start` on, as a span of its own."""
        rest = Span(start, self.stop, self.noticed, self.tries)
        rest.asked, rest.deferrals, rest.nacks, rest.gap = self.asked, self.deferrals, self.nacks, self.gap
        return rest

    def sliced(self, whole: int) -> bool:
        """Whether to ask for slices this time, after `whole` NACKs that did not."""
        return self.nacks >= whole and (self.nacks - whole) % 2 == 0

    def when(self, grace: float, hold: float, longest: float) -> float:
        """When to ask for it: `hold` after the last time, doubled up to `longest` after NACKs in vain."""
        pause = min(hold * 2.0 ** min(60, max(0, self.tries - EAGER)), max(hold, longest))
        return max(self.noticed + grace, self.asked + pause)


class Gaps:
    """The missing records of one peer, ascending.

    Only a record that came splits a span, so words alone make few of them. `fresh`: something was
    noticed since this was last cleared; `noticed_at` is when that was. `vain` NACKs have left since a record
    of the peer came last: who only claims to have published more is asked for it more and more rarely.
    """

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self.fresh = False
        self.noticed_at = -inf
        self.vain = UNPROVEN

    def __bool__(self) -> bool:
        return bool(self._spans)

    def __len__(self) -> int:
        """How many spans there are."""
        return len(self._spans)

    def __iter__(self) -> Iterator[Span]:
        return iter(self._spans)

    def __contains__(self, sequence: int) -> bool:
        at = self._at(sequence)
        return at >= 0 and sequence < self._spans[at].stop

    def _at(self, sequence: int) -> int:
        """The index of the last span that begins at or below `sequence`; -1: none."""
        return bisect_right(self._spans, sequence, key=attrgetter("start")) - 1

    def notice(self, start: int, stop: int, now: float) -> None:
        """[start, stop) was found to be missing."""
        last = self._spans[-1] if self._spans else None
        if last is not None and last.stop == start and last.asked == -inf and last.gap is None:
            last.stop = stop
            return
        insort(self._spans, Span(start, stop, now, self.vain), key=attrgetter("start"))
        self.fresh, self.noticed_at = True, now

    def noticed(self, sequence: int) -> float:
        """When it was noticed that `sequence` is missing."""
        return self._spans[self._at(sequence)].noticed

    def in_vain(self, sequence: int) -> bool:
        """Whether `sequence` is missing and was asked for until it could be that it is too large."""
        return sequence in self and self._spans[self._at(sequence)].nacks > WHOLE

    def found(self, sequence: int) -> Gap | None:
        """`sequence`, which was missing, is no longer. The gap that this closes, if any."""
        at = self._at(sequence)
        span = self._spans[at]
        parts = [span.rest(sequence + 1)] if sequence + 1 < span.stop else []
        if span.start < sequence:
            span.stop = sequence
            parts.insert(0, span)
        self._spans[at : at + 1] = parts
        if span.gap is None:
            return None
        span.gap.remaining -= 1
        return span.gap if span.gap.remaining == 0 else None

    def lost(self, stop: int) -> None:
        """Everything missing below `stop` was given up."""
        del self._spans[: max(0, self._at(stop - 1))]
        if self._spans and self._spans[0].start < stop:
            self._spans[0].start = stop
            if self._spans[0].stop <= stop:
                del self._spans[0]

    def void(self, stop: int) -> list[Gap]:
        """Nothing missing below `stop` is waited for any more. The gaps that this closes."""
        closed = []
        for span in self._spans:
            gap, count = span.gap, min(span.stop, stop) - span.start
            if gap is not None and count > 0:
                gap.remaining -= count
                if not gap.remaining:
                    closed.append(gap)
        self.lost(stop)
        return closed

    def ripe(self, now: float, grace: float, hold: float, longest: float, below: float = inf) -> list[Span]:
        """What to ask for now below `below`."""
        return [span for span in self._spans if span.start < below and span.when(grace, hold, longest) <= now]

    def when(self, grace: float, hold: float, longest: float, below: float = inf) -> float:
        """The earliest time at which something will be ripe; call only when something is missing there."""
        return min(span.when(grace, hold, longest) for span in self._spans if span.start < below)

    def reach(self, count: int) -> float:
        """The sequence below which lie the first `count` missing records; inf when there are no more."""
        for at, span in enumerate(self._spans):
            if count == 0:
                return span.start
            if count < span.stop - span.start:
                middle = span.start + count
                self._spans.insert(at + 1, span.rest(middle))
                span.stop = middle
                return middle
            count -= span.stop - span.start
        return inf

    def asked(self, spans: Iterable[Span], now: float, *, tell: bool) -> list[Gap]:
        """A NACK for `spans` goes out. The gaps to `tell` the application of for the first time."""
        opened: list[Gap] = []
        self.vain += 1
        for span in spans:
            span.asked, span.deferrals = now, 0
            span.tries += 1
            span.nacks += 1
            if span.gap is not None or not tell:
                continue
            if not opened or opened[-1].last + 1 != span.start:
                opened.append(Gap(span.start, span.start - 1))
            span.gap = opened[-1]
            span.gap.last = span.stop - 1
            span.gap.remaining += span.stop - span.start
        return opened

    def overheard(self, ranges: Iterable[tuple[int, int]], now: float) -> None:
        """Another member's NACK asked for [start, stop) ranges: what they cover waits, but not for ever."""
        for start, stop in ranges:
            at = self._at(start - 1) + 1
            while at < len(self._spans) and self._spans[at].stop <= stop:
                span = self._spans[at]
                if span.deferrals < DEFERRALS and span.asked < now:
                    span.asked = now
                    span.deferrals += 1
                at += 1

    def again(self) -> None:
        """Who has the records is back: ask as if for the first time."""
        for span in self._spans:
            span.asked, span.tries, span.nacks = -inf, 0, 0
        self.fresh = True

    def delivered(self) -> None:
        """A record came. After a silence of its peer that ends the long pauses."""
        if self.vain > EAGER:
            for span in self._spans:
                span.tries = min(span.tries, EAGER)
            self.fresh = True
        self.vain = 0

    def first(self) -> Span | None:
        """What is missing at the front."""
        return self._spans[0] if self._spans else None
