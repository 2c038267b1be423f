"""How much may leave, and when: the rate, whom it follows, and what stops it."""

from __future__ import annotations

from mcast.settings import Settings
from mcast.wire import limits

from .acker import Election, here
from .breaker import Breaker
from .path import Path, Sample
from .peer_id import PeerId
from .quota import Bucket
from .rate import AHEAD, Rate
from .roster import Roster
from .shelves import held_share

AT_ONCE = 0.008  # seconds of the rate that leave at once: a flush is no longer queue than that
METER = 0.06  # seconds over which it is measured how much leaves
RESTART = 10.0  # seconds without pressure after which the rate is found anew
PRESSURE = 1.0  # seconds for which records that had to wait tell that more is to be sent
NAME_AGAIN = 1.0  # seconds after which the elected one is named again while we send
ASK_AGAIN = 0.15  # the same while we stand still for it
LOOK, LOOK_SHARE = 0.1, 1e-4  # seconds between two looks at all members, and for each: a look takes 1 us each
SHARE = 3 / 4  # of what a receiver waits for and holds of one run: so much may be unconfirmed
OVERDUE = 2 / 3  # of that, at least, is what a member whose report is overdue has not confirmed
REPAIR_SHARE = 3  # bytes of repairs a byte of new records, while both wait
WORSE = 1.25  # times worse off than the elected one, to be elected in its place
LEAST_BACKLOG = 64 * 1024  # bytes that may always wait to be sent
BACKLOG = 0.5  # seconds of sending that may wait: closing has a second for it


class Meter:
    """Bytes a second that really leave, over the last `METER` seconds in which something did."""

    def __init__(self) -> None:
        self._from, self._bytes = 0.0, 0
        self.value = 0.0

    def add(self, size: int, now: float) -> None:
        """So much leaves."""
        if now - self._from >= METER:
            self.value = self._bytes / (now - self._from)
            self._from, self._bytes = now, 0
        self._bytes += size


class Flow:
    """What the sender asks before it sends.

    A member counts as slow, stopped or gone by what it reports on our records; with nobody here to report
    the rate is fixed. What follows from the rate and the size of records is kept: `records` that may leave
    in one flush, bytes of `backlog` that may wait to be sent, and the `window`, records that the elected one
    may not have confirmed: as many as a receiver has room for.
    """

    def __init__(self, settings: Settings, now: float) -> None:
        self._settings = settings
        self.rate = Rate(
            settings.start_rate, settings.floor_rate, settings.queue_delay, settings.unread_bytes
        )
        self.election = Election(settings)
        self.breaker = Breaker(settings.breaker)
        self._bucket = Bucket(settings.start_rate, settings.burst, now)
        self._trickle = Bucket(settings.floor_rate, settings.payload, now)
        self._meter = Meter()
        self._alone = True
        self._effective = 0.0
        self._pressed = float("-inf")  # when records last had to wait
        self._asked = float("-inf")  # when the elected one was last named
        self._waiting: float | None = None  # when the first records left that it has not reported on
        self._unreported = 0  # bytes since its last report
        self._repaired = 0  # bytes of repairs beyond the share of new records
        self._looked = 0.0
        self._high = 0
        self._size = float(settings.payload)  # of a record, smoothed
        self._fit()

    def level(self, now: float) -> float:
        """Bytes that may leave now; nothing may at or below 0."""
        rate = self._target(now)
        if rate != self._effective:
            self._tune(rate, now)
        return self._bucket.level(now) if rate else 0.0

    def new_level(self, now: float) -> float:
        """The same for new records: they trickle when the elected one has too much to catch up on."""
        level = self.level(now)
        return min(level, self._trickle.level(now)) if self._full else level

    def when(self, now: float) -> float:
        """When something may leave, or is to be looked at again."""
        rate = self._target(now)
        if rate != self._effective:
            self._tune(rate, now)
        if not rate:
            return self._asked + ASK_AGAIN
        return self._bucket.when(1, now)

    def new_when(self, now: float) -> float:
        """The same for new records."""
        when = self.when(now)
        return max(when, self._trickle.when(1, now)) if self._full else when

    @property
    def _full(self) -> bool:
        path = self.election.path
        return path is not None and self._high - path.contiguous >= self.window

    def _fit(self) -> None:
        """The rate or the size of records has changed."""
        size, rate, settings = self._size, self._effective, self._settings
        self.records = max(1, min(limits.TREE_MAX, int(rate * AT_ONCE / size)))
        self.window = max(1, int(SHARE * min(limits.WINDOW, held_share(settings.held_bytes) / size)))
        self.backlog = min(settings.backlog, max(LEAST_BACKLOG, rate * BACKLOG))

    def _tune(self, rate: float, now: float) -> None:
        self._effective = rate
        depth = min(self._settings.burst, max(self._settings.payload, rate * AT_ONCE))
        self._bucket.retune(rate or 1.0, depth, now)
        self._fit()

    def _target(self, now: float) -> float:
        settings = self._settings
        if self.breaker.open:
            return float(settings.payload)
        path = self.election.path
        if path is None:
            return float(settings.alone_rate if self._alone else self.rate.value)
        silent = 0.0 if self._waiting is None or self._unreported <= settings.burst else now - self._waiting
        if silent >= settings.suspect_after:
            return float(settings.floor_rate)
        if silent >= settings.stall_after:
            return 0.0
        return max(settings.floor_rate, self.rate.value)

    def lag(self, path: Path) -> int:
        """Records that the member of `path` has not confirmed."""
        return self._high - path.contiguous

    def spend(self, size: int, now: float) -> None:
        """So many bytes leave."""
        self._bucket.spend(size, now)
        self._meter.add(size, now)

    def sent(self, high: int, records: int, size: int, now: float) -> None:
        """A flush of `size` bytes left, up to sequence `high`."""
        self.spend(size, now)
        if self._full:
            self._trickle.spend(size, now)
        self.breaker.sent(now)
        self._high = high
        self._size += (size / records - self._size) * min(1.0, records / 64)
        self._fit()
        self._waiting = self._waiting or now
        self._unreported += size
        self._repaired = max(0, self._repaired - REPAIR_SHARE * size)

    def repaired(self, size: int, now: float) -> None:
        """A repair of `size` bytes left."""
        self.spend(size, now)
        self._repaired += size

    @property
    def turn(self) -> bool:
        """Whether it is the turn of new records, as repairs have had their share."""
        return self._repaired > self._settings.burst and not self._full

    def press(self, roster: Roster, now: float) -> PeerId | None:
        """Records wait for the rate: who is to report, if that has to be said now."""
        alone = not here(roster)
        if alone:
            self.breaker.heard()
            self._forget_silent(now)
        self._alone = alone and self.election.path is None
        if now - self._pressed >= RESTART:
            self.rate.restart(now)
        self._pressed = now
        if self.election.lacks(roster, now):
            run = self.election.candidate(roster, now)
            if run is not None and run != self.election.acker:
                self._elect(run, now)
        pause = NAME_AGAIN if self._target(now) else ASK_AGAIN
        if self.election.acker is None or now < self._asked + pause:
            return None
        self._asked = now
        return self.election.acker

    def _forget_silent(self, now: float) -> None:
        """Nobody is here, yet one reported that left without a word, as who never announced itself does."""
        acker, since = self.election.acker, self._waiting
        if acker is not None and since is not None and now - since >= self._settings.suspect_after:
            self.election.left(acker)
            self._waiting, self._unreported = None, 0

    def _elect(self, run: PeerId, now: float) -> None:
        self.election.elect(run, now)
        self._asked = float("-inf")
        self._waiting, self._unreported = None, 0

    def trips(self, roster: Roster, now: float) -> bool:
        """Whether the circuit breaker opens now."""
        return now - self._pressed < PRESSURE and here(roster) and self.breaker.check(now)

    def report(self, run: PeerId, sample: Sample, near: float, roster: Roster, now: float) -> float:
        """`run` reported on our records; the group is `near`, its round trip being so many seconds.

        How long (s) records wait on the way to it.
        """
        election = self.election
        path = election.take(run, sample, self._size, near, now)
        if run == election.acker:
            self._waiting, self._unreported = None, 0
            used, more = self._meter.value, now - self._pressed < PRESSURE
            if self._full:
                # What leaves is no measure of the rate then, but what is hardly used does not grow:
                # the attack is a member that confirms nothing and loses nothing, for ever.
                used, more = self.rate.value, more and used * AHEAD >= self.rate.value
            self.rate.judge(path, used, more, now)
        else:
            self._get_used_to(path)
            if election.counts(run, roster, now) and self._worse(path):
                self._elect(run, now)
        return path.queue

    def _get_used_to(self, path: Path) -> None:
        """As much loss as the elected one has whatever the rate calls for no trial of another's own."""
        elected = self.election.path
        if elected is not None:
            path.accepted = max(path.accepted, min(path.loss, elected.accepted))

    def _worse(self, path: Path) -> bool:
        elected = self.election.path
        if elected is None:
            return True
        severity = self.severity(path)
        return severity > 1 and severity > WORSE * self.severity(elected)

    def severity(self, path: Path) -> float:
        """How badly off a member is; above 1 it has to be listened to."""
        return max(self.rate.severity(path), 2 * self.lag(path) / self.window)

    def look(self, roster: Roster, now: float) -> PeerId | None:
        """Look at the others every now and then: who has just lost its vote, as it held them all up."""
        if now - self._looked < max(LOOK, LOOK_SHARE * len(roster)) or now - self._pressed >= PRESSURE:
            return None
        self._looked = now
        acker = self.election.acker
        rate = self._target(now)
        if self._full:
            rate = min(rate, self._settings.floor_rate)  # new records trickle
        if self.election.holds_up(rate, roster, now):
            self.rate.restart(now)
            return acker
        silent = self.election.silent(self._high - int(OVERDUE * self.window), roster, now)
        if silent is not None:
            self._elect(silent, now)
        return None
