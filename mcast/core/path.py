"""What one member's reports tell about the way to it: its queue, its losses, what it can take."""

from __future__ import annotations

import msgspec

from mcast.wire.frames import Heard

SAMPLES = 5  # of the queue; the least of them counts, so that a scheduling hiccup is no queue
SURE = 2  # samples that do while the rate doubles: one alone is a hiccup of a scheduler
SAMPLE_MEMORY = 0.5  # seconds for which one counts
BASE_MEMORY = 20.0  # seconds after which a lower round trip than now's is forgotten
KEPT_MEMORY = 30.0  # seconds for which it is remembered what a member kept up with
KEPT_SPAN = 3.0  # seconds over which that is measured: the first burst of a slow start proves nothing
DRAINED = -1.0  # the growth of a queue of which nothing is known
LEARN = 0.05  # how fast the accepted loss follows a lower one
NOISE = 0.3  # share of the accepted loss by which a measured one differs by chance (128 records)


class Least:
    """The least value of the last one to two spans of `memory` seconds."""

    __slots__ = ("_before", "_memory", "_now", "_turned")

    def __init__(self, memory: float) -> None:
        self._memory, self._turned = memory, float("-inf")
        self._before = self._now = float("inf")

    def take(self, value: float, now: float) -> float:
        """Take in a value; the least one."""
        if now - self._turned > self._memory:
            self._before = self._now if now - self._turned <= 2 * self._memory else float("inf")
            self._now, self._turned = float("inf"), now
        self._now = min(self._now, value)
        return min(self._now, self._before)


class Sample(msgspec.Struct, frozen=True):
    """One report on our records. `trip`: seconds there and back without the time it waited there; None when
    it echoes nothing new. `sent`: when what it echoes left us."""

    heard: Heard
    trip: float | None
    sent: float


class Path:
    """One member. Times on the engine's clock, sizes in records unless named bytes.

    `queue` is seconds, `recent` what the last two samples alone say of it, `growth` seconds a second: 0 is
    a queue that stays, 1 is all that is sent staying in it. `loss` and `accepted` are shares: of records that
    did not come at the first sending, and of those that would not come whatever the rate. `samples` is how
    many there are of the queue since the rate changed. `kept` is the most bytes a second that it kept up with
    lately.
    """

    __slots__ = (
        "_base",
        "_kept",
        "_kept_at",
        "_kept_from",
        "_trips",
        "accepted",
        "backlog",
        "contiguous",
        "drain",
        "growth",
        "highest",
        "kept",
        "last",
        "loss",
        "queue",
        "recent",
        "samples",
        "sent",
    )

    def __init__(self, contiguous: int, near: float, now: float) -> None:
        """`near`: a round trip (s) that it can hardly exceed, as its first report may come out of a queue."""
        self.last = now
        self.contiguous = self.highest = contiguous
        self.loss = self.accepted = 0.0
        self.backlog = 0
        self.drain = 0.0
        self.queue = self.recent = 0.0
        self.growth = DRAINED  # until there are two samples
        self.samples = 0
        self.sent = float("-inf")
        self.kept = 0.0
        self._base = Least(BASE_MEMORY)
        self._base.take(near, now)
        self._trips: list[tuple[float, float]] = []
        self._kept = Least(KEPT_MEMORY)
        self._kept_from, self._kept_at = contiguous, now

    def take(self, sample: Sample, size: float, now: float) -> None:
        """Take in a report; records are of `size` bytes."""
        heard, gone = sample.heard, now - self.last
        self.loss = heard.loss / 65535
        self.accepted += min(0.0, self.loss - self.accepted) * LEARN
        if gone > 0:
            self.drain = (self.backlog - heard.backlog) / gone
        self.backlog = heard.backlog
        self.contiguous = max(self.contiguous, heard.contiguous)
        self.highest = max(self.highest, heard.highest)
        self._measure_kept(size, now)
        if sample.trip is not None and sample.sent > self.sent:
            self._measure(sample.trip, now)
            self.sent = sample.sent
        self.last = now

    def _measure(self, trip: float, now: float) -> None:
        base = self._base.take(trip, now)
        recent = [entry for entry in self._trips[1 - SAMPLES :] if now - entry[0] < SAMPLE_MEMORY]
        self._trips = [*recent, (now, trip)]
        self.samples = min(SAMPLES, self.samples + 1, len(self._trips))
        trips = [trip for _, trip in self._trips[-self.samples :]]
        self.queue, self.recent = min(trips) - base, min(trips[-SURE:]) - base
        (start, first), (end, last) = self._trips[0], self._trips[-1]
        if end > start:
            self.growth = (last - first) / (end - start)

    def _measure_kept(self, size: float, now: float) -> None:
        gone = now - self._kept_at
        if gone >= KEPT_SPAN:
            rate = (self.contiguous - self._kept_from) * size / gone
            self.kept = -self._kept.take(-rate, now)
            self._kept_from, self._kept_at = self.contiguous, now

    def restart(self) -> None:
        """The rate changed: what was measured before says nothing of what follows."""
        self.samples = 0

    @property
    def excess(self) -> float:
        """Loss beyond what is accepted and what chance makes of it."""
        return self.loss - self.accepted * (1 + NOISE)
