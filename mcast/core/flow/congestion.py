"""The rate of one sender: what a receiver's path looks like, and how fast to send over it."""

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

    `queue` is seconds, `recent` what the last two samples alone say of it, `spread` how much they differ,
    `measured` when the last one came, `growth` seconds a second: 0 is
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
        "measured",
        "queue",
        "recent",
        "samples",
        "sent",
        "spread",
    )

    def __init__(self, contiguous: int, near: float, now: float) -> None:
        """`near`: a round trip (s) that it can hardly exceed, as its first report may come out of a queue."""
        self.last = now
        self.contiguous = self.highest = contiguous
        self.loss = self.accepted = 0.0
        self.backlog = 0
        self.drain = 0.0
        self.queue = self.recent = self.spread = 0.0
        self.measured = now
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
        self.spread, self.measured = max(trips) - min(trips), now
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


CUT = 0.85  # of what went through: empties a queue of 20 ms within 0.15 s
LEAST_CUT, FIRST_CUT = 0.6, 0.05  # at most so much is cut at once, later and after doubling
DRAINING = -0.1  # a queue that shrinks this fast (seconds a second) needs no further cut
TRIAL = 0.7  # of the rate, to see whether less is lost then
TRIAL_SPAN = 192, 0.5  # records and seconds that a trial takes at most: the loss is smoothed over 128 records
SAME = 0.75  # of the loss before: no less is lost
LOSS, LOSS_QUEUED = (
    0.05,
    0.01,
)  # excess that calls for a trial: alone, and with half a queue too long
STEP, BEND = 64 * 1024.0, 4.0  # bytes a second added a second, and how many times more after a second
HALF = 0.5  # of the records lost: this no network does by itself
HESITATE = 0.25  # of the queue that is too long: no doubling, as what follows of the last one is under way
STANDING = 0.1  # of the same: loss beside such a queue looks like that of a short buffer
EARLY = 3  # samples after which it doubles
EPISODE = 0.2  # seconds within which another cut is for the same queue
REGAIN = 0.3  # seconds in which two thirds are regained of what was cut
LEAP = 0.1  # seconds for which growth is made up at once
AHEAD = 2  # times what is really sent that the rate may be


class Trial(msgspec.Struct, frozen=True):
    """Sending less to see what that does to the loss; `resume` is the rate of before, `queued` whether there
    was a queue."""

    loss: float
    resume: float
    queued: bool
    mark: int | None = None
    marked: float = 0.0


class Rate:
    """Bytes a second, of datagrams as they are sent.

    `target` is the queue (s) that is too long, `unread` the backlog (bytes) that is too large, `step` how
    many bytes a second it grows in a second, `span` what a trial takes at most.
    """

    def __init__(
        self,
        start: float,
        floor: float,
        target: float,
        unread: int,
        step: float = STEP,
        span: tuple[int, float] = TRIAL_SPAN,
    ) -> None:
        self._start, self._floor, self._target, self.unread = start, floor, target, unread
        self._step, self._span = step, span
        self.restart(0.0)

    def restart(self, now: float) -> None:
        """Begin as if nothing were known."""
        self.value = self._start
        self.doubling = True
        self._goal = 0.0
        self._cut_at = self._raised = self._grown = now
        self._trial: Trial | None = None

    def probe(self, now: float) -> None:
        """See how fast it goes without the member that held it down."""
        self.doubling, self._trial, self._raised = True, None, now

    def severity(self, path: Path) -> float:
        """How badly off a member is: above 1 the sender has to slow down for it."""
        return max(path.queue / self._target, path.backlog / self.unread, path.excess / LOSS)

    def judge(self, path: Path, used: float, short: bool, now: float) -> None:
        """The slowest member reported. `used` is the rate at which we really sent; `short`: more was to."""
        # What waits unread is a fact, also before the member has seen what the last cut does.
        filling = path.backlog > self.unread and path.drain <= 0 and now - self._cut_at >= EPISODE
        if path.sent >= self._cut_at or filling:
            self._judge(path, min(used, self.value) if used > 0 else self.value, short, now)
        self._grown = now

    def _judge(self, path: Path, used: float, short: bool, now: float) -> None:
        if self._congested(path, used, now):
            return
        if self._trial is not None:
            self._conclude(self._trial, path, now)
        elif not short:
            return
        elif self._loses(path):
            self._trial = Trial(path.loss, self.value, self._queued(path))
            self._set(path, used * TRIAL, now)
        elif self.doubling:
            self._double(path, used, now)
        else:
            self._grow(used, now)

    def _loses(self, path: Path) -> bool:
        """Whether so much is lost that sending less is worth a trial."""
        if self.doubling:  # the first loss may be that of the network, but then without a queue
            return self._queued(path) and path.excess > LOSS
        return path.excess > (LOSS_QUEUED if path.queue > self._target / 2 else LOSS)

    def _queued(self, path: Path) -> bool:
        """Whether something waits on the way: a queue that stays, not a delay that varies."""
        return path.samples >= EARLY and path.queue > max(self._target * STANDING, path.spread / 2)

    def _congested(self, path: Path, used: float, now: float) -> bool:
        """Whether too much is on the way, or waits there for the application."""
        queue, enough = (path.recent, SURE) if self.doubling else (path.queue, SAMPLES)
        if queue > self._target and path.samples >= enough:
            if path.growth > DRAINING:
                through = used * (1 - max(0.0, path.growth)) * (1 - max(0.0, path.excess))
                self._cut(path, through * CUT, used, now)
        elif path.backlog > self.unread:
            if path.drain <= 0:
                self._cut(path, (used + path.drain) * CUT, used, now)
        elif path.loss > HALF:
            if now - self._cut_at < EPISODE:  # the loss is smoothed: it may be that of before the cut
                return True
            self._cut(path, used * (1 - path.loss) * CUT, used, now)
        else:
            return False
        return True

    def _cut(self, path: Path, value: float, used: float, now: float) -> None:
        least = used * (FIRST_CUT if self.doubling else LEAST_CUT)
        self._trial = None
        self.doubling = False
        if now - self._cut_at >= EPISODE:  # else the same queue still asks for more
            # Who did not get back to where it was cut before gives way to who did (RFC 9438, 4.7).
            high = min(self.value, used)
            self._goal = high if high >= self._goal else high * (1 + CUT) / 2
        self._set(path, min(max(value, least), used * CUT), now)

    def _set(self, path: Path, value: float, now: float) -> None:
        self.value = max(self._floor, value)
        self._cut_at = now
        path.restart()

    def _conclude(self, trial: Trial, path: Path, now: float) -> None:
        """Whether the loss fell with the rate."""
        if trial.mark is None:
            self._trial = msgspec.structs.replace(trial, mark=path.highest, marked=now)
        elif path.highest >= trial.mark + self._span[0] or now >= trial.marked + self._span[1]:
            self._trial = None
            if path.loss >= trial.loss * SAME:
                path.accepted = path.loss
                self._set(path, trial.resume, now)
            elif trial.queued:
                self.doubling = False
                self._goal = trial.resume * (1 + TRIAL) / 2
            else:  # the receiver may have had no time for a moment
                self._goal = max(self._goal, trial.resume)

    def _double(self, path: Path, used: float, now: float) -> None:
        if path.sent < self._raised or path.samples < EARLY or path.queue > self._target * HESITATE:
            return
        if not self._queued(path):
            path.accepted = path.loss
        self.value = max(self.value, min(2 * self.value, AHEAD * used))
        self._raised = now
        path.restart()

    def _grow(self, used: float, now: float) -> None:
        since = now - self._cut_at
        gone = min(LEAP, now - self._grown)
        value = self.value + self._step * (1 + BEND * since * since) * gone
        if self.value < self._goal:
            value += (self._goal - self.value) * gone / REGAIN
        self.value = max(self.value, min(value, AHEAD * used))
