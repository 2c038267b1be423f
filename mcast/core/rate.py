"""How fast to send: up while the slowest member keeps up, down when its queue grows.

Loss alone does not slow the sender, as Wi-Fi loses a tenth whatever the rate. It makes it try: with less
sent, is less lost? Only then was it a queue that overflowed. Additive increase and multiplicative decrease
(Chiu and Jain 1989) let senders share.
"""

from __future__ import annotations

import msgspec

from .path import SAMPLES, SURE, Path

CUT = 0.85  # of what went through: empties a queue of 20 ms within 0.15 s
LEAST_CUT, FIRST_CUT = 0.6, 0.05  # at most so much is cut at once, later and after doubling
DRAINING = -0.1  # a queue that shrinks this fast (seconds a second) needs no further cut
TRIAL = 0.7  # of the rate, to see whether less is lost then
TRIAL_RECORDS, TRIAL_SECONDS = 192, 0.5  # the loss is smoothed over 128 records
SAME = 0.75  # of the loss before: no less is lost
LOSS, LOSS_QUEUED = (
    0.05,
    0.01,
)  # excess that calls for a trial: alone, and with half a queue too long
STEP, BEND = 64 * 1024.0, 4.0  # bytes a second added a second, and how many times more after a second
HALF = 0.5  # of the records lost: this no network does by itself
HESITATE = 0.25  # of the queue that is too long: no doubling, as what follows of the last one is under way
EARLY = 3  # samples after which it doubles
EPISODE = 0.2  # seconds within which another cut is for the same queue
REGAIN = 0.3  # seconds in which two thirds are regained of what was cut
LEAP = 0.1  # seconds for which growth is made up at once
AHEAD = 2  # times what is really sent that the rate may be


class Trial(msgspec.Struct, frozen=True):
    """Sending less to see what that does to the loss; `resume` is the rate of before."""

    loss: float
    resume: float
    since: float
    mark: int | None = None
    marked: float = 0.0


class Rate:
    """Bytes a second, of datagrams as they are sent.

    `target` is the queue (s) that is too long, `unread` the backlog (bytes) that is too large.
    """

    def __init__(self, start: float, floor: float, target: float, unread: int) -> None:
        self._start, self._floor, self._target, self._unread = start, floor, target, unread
        self.restart(0.0)

    def restart(self, now: float) -> None:
        """Begin as if nothing were known."""
        self.value = self._start
        self.doubling = True
        self._goal = 0.0
        self._cut_at = self._raised = self._grown = now
        self._trial: Trial | None = None

    def severity(self, path: Path) -> float:
        """How badly off a member is: above 1 the sender has to slow down for it."""
        return max(path.queue / self._target, path.backlog / self._unread, path.excess / LOSS)

    def judge(self, path: Path, used: float, short: bool, now: float) -> None:
        """The slowest member reported. `used` is the rate at which we really sent; `short`: more was to."""
        if path.sent >= self._cut_at:  # else it has not yet seen what the last cut does
            self._judge(path, min(used, self.value) if used > 0 else self.value, short, now)
        self._grown = now

    def _judge(self, path: Path, used: float, short: bool, now: float) -> None:
        if self._congested(path, used, now):
            return
        if self._trial is not None:
            self._conclude(self._trial, path, now)
        elif not short:
            return
        elif self.doubling:
            self._double(path, used, now)
        elif path.excess > (LOSS_QUEUED if path.queue > self._target / 2 else LOSS):
            self._trial = Trial(path.loss, self.value, now)
            self._set(path, used * TRIAL, now)
        else:
            self._grow(used, now)

    def _congested(self, path: Path, used: float, now: float) -> bool:
        """Whether too much is on the way, or waits there for the application."""
        queue, enough = (path.recent, SURE) if self.doubling else (path.queue, SAMPLES)
        if queue > self._target and path.samples >= enough:
            if path.growth > DRAINING:
                through = used * (1 - max(0.0, path.growth)) * (1 - max(0.0, path.excess))
                self._cut(path, through * CUT, used, now)
        elif path.backlog > self._unread:
            if path.drain <= 0:
                self._cut(path, (used + path.drain) * CUT, used, now)
        elif path.loss > HALF:
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
        elif path.highest >= trial.mark + TRIAL_RECORDS or now >= trial.marked + TRIAL_SECONDS:
            self._trial = None
            if path.loss >= trial.loss * SAME:
                path.accepted = path.loss
                self._set(path, trial.resume, now)

    def _double(self, path: Path, used: float, now: float) -> None:
        if path.sent < self._raised or path.samples < EARLY or path.queue > self._target * HESITATE:
            return
        path.accepted = path.loss
        self.value = max(self.value, min(2 * self.value, AHEAD * used))
        self._raised = now
        path.restart()

    def _grow(self, used: float, now: float) -> None:
        since = now - self._cut_at
        gone = min(LEAP, now - self._grown)
        value = self.value + STEP * (1 + BEND * since * since) * gone
        if self.value < self._goal:
            value += (self._goal - self.value) * gone / REGAIN
        self.value = max(self.value, min(value, AHEAD * used))
