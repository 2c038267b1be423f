"""How much may leave, and when: the rate, which member it follows, and what stops it."""

from __future__ import annotations

from mcast.core.auth.verifier import Verifier
from mcast.core.context import Context
from mcast.core.events import PeerId, SendingResumed, SendingStopped, SlowMember
from mcast.core.membership.roster import Peer, Roster
from mcast.core.networks import ALL
from mcast.core.reliability.window import held_share
from mcast.core.token_bucket import TokenBucket
from mcast.settings import Settings
from mcast.wire import limits
from mcast.wire.frames import Acker, Heard

from .congestion import AHEAD, Path, Rate, Sample

AT_ONCE = 0.008  # seconds of the rate that leave at once: a flush is no longer queue than that
METER = 0.06  # seconds over which it is measured how much leaves
RESTART = 10.0  # seconds without pressure after which the rate is found anew
PRESSURE = 1.0  # seconds for which records that had to wait tell that more is to be sent
NAME_AGAIN = 1.0  # seconds after which the elected one is named again while we send
ASK_AGAIN = 0.15  # the same while we stand still for it
LOOK, LOOK_SHARE = 0.1, 1e-4  # seconds between two looks at all members, and for each: a look takes 1 us each
SHARE = 3 / 4  # of what a receiver waits for and holds of one peer: so much may be unconfirmed
OVERDUE = 2 / 3  # of that, at least, is what a member whose report is overdue has not confirmed
REPAIR_SHARE = 3  # bytes of repairs a byte of new records, while both wait
WORSE = 1.25  # times worse off than the elected one, to be elected in its place
LEAST_BACKLOG = 64 * 1024  # bytes that may always wait to be sent
BACKLOG = 0.5  # seconds of sending that may wait: closing has a second for it
UNANSWERED = 0.5  # seconds after which another one is named while the named one never reported
LOOK_LONGEST = 1.0  # seconds between two looks that count as held up; a longer gap was no sending
FORGIVEN = 1 / 4  # of the time in which a member holds up nobody
ECHO_LIMIT = 10.0  # seconds: an older echo tells of a corrected clock, not of the network
SOONEST = 0.25  # seconds between two reports that records or losses hasten


def report_gap(members: int, rate: float) -> float:
    """Seconds between two hastened reports of one member, all together making `rate` a second."""
    return max(SOONEST, members / rate)


class Breaker:
    """Open after `seconds` of sending without a report. A pause of as long counts as a new beginning."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: float | None = None
        self._last = float("-inf")
        self.open = False

    def sent(self, now: float) -> None:
        """Records left."""
        if self._since is None or now - self._last >= self._seconds:
            self._since = now
        self._last = now

    def heard(self) -> bool:
        """A report came; whether that closes the breaker."""
        was, self.open, self._since = self.open, False, None
        return was

    def check(self, now: float) -> bool:
        """Whether it opens now; to be asked when somebody is here who could report."""
        if self.open or self._since is None or now - self._since < self._seconds:
            return False
        self.open = True
        return True


class HoldUp:
    """Seconds for which a member has held up the others; a quarter of the time in which it does not goes off.

    The attack: members that take turns or let the rate up for a moment, so that none does it for long on end.
    """

    __slots__ = ("_at", "seconds")

    def __init__(self, now: float) -> None:
        self.seconds, self._at = 0.0, now

    def look(self, now: float, *, holding: bool) -> float:
        """A look at it, the first since a while or not; the seconds."""
        gone, self._at = now - self._at, now
        counted = min(gone, LOOK_LONGEST) if holding else 0.0
        self.seconds = max(0.0, self.seconds - FORGIVEN * (gone - counted)) + counted
        return self.seconds


class AckerElection:
    """The paths of those who reported on us, at most `settings.peers`, oldest out; and the elected one, the
    `acker`, with its `path` once it reported (kept here as each flush asks for it).

    The attacks: a member that claims to be slow, or to have lost all, or falls silent. It counts only after
    some time, and no longer once it has held up the others for some time. Made-up members by the thousand
    are as many voices: an open room is free for them.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._paths: dict[PeerId, Path] = {}
        self._paused: dict[PeerId, float] = {}  # until when each does not count
        self._held: dict[PeerId, HoldUp] = {}
        self.acker: PeerId | None = None
        self.path: Path | None = None
        self.named = 0.0

    def take(self, peer_id: PeerId, sample: Sample, size: float, near: float, now: float) -> Path:
        """`peer_id`, which is `near` (s), reported; the records we send are of `size` bytes."""
        path = self._paths.get(peer_id)
        if path is None:
            path = self._paths[peer_id] = Path(sample.heard.contiguous, near, now)
            if len(self._paths) > self._settings.peers:
                del self._paths[next(iter(self._paths))]
            self._name(self.acker)
        path.take(sample, size, now)
        return path

    def counts(self, peer_id: PeerId, roster: Roster, now: float) -> bool:
        """Whether the reports of `peer_id` may slow us down."""
        if now < self._paused.get(peer_id, 0.0):
            return False
        if not len(roster):
            return True
        peer = roster.get(peer_id)
        if peer is None or not _live(peer):
            return False
        oldest = next(iter(roster))
        return now - peer.joined >= min(self._settings.settle, (now - oldest.joined) / 2)

    def elect(self, peer_id: PeerId, now: float) -> None:
        """From now on we listen to `peer_id`."""
        self._name(peer_id)
        self.named = now

    def _name(self, peer_id: PeerId | None) -> None:
        self.acker = peer_id
        self.path = None if peer_id is None else self._paths.get(peer_id)

    def lacks(self, roster: Roster, now: float) -> bool:
        """Whether nobody is elected who could report."""
        if self.acker is None or not self.counts(self.acker, roster, now):
            return True
        return self.path is None and now - self.named >= UNANSWERED

    def candidate(self, roster: Roster, now: float) -> PeerId | None:
        """Somebody to begin with: who reported last, else the next of the roster."""
        recent = [
            peer_id for peer_id in self._paths if peer_id != self.acker and self.counts(peer_id, roster, now)
        ]
        if recent:
            return max(recent, key=lambda peer_id: self._paths[peer_id].last)
        peer_ids = [peer.peer_id for peer in roster if self.counts(peer.peer_id, roster, now)]
        if not peer_ids:
            return None
        return (
            peer_ids[(peer_ids.index(self.acker) + 1) % len(peer_ids)]
            if self.acker in peer_ids
            else peer_ids[0]
        )

    def holds_up(self, acker: PeerId, rate: float, roster: Roster, now: float) -> bool:
        """Whether `acker`, the elected one, has held `rate` down for too long: then it is paused."""
        others = [
            path.kept
            for peer_id, path in self._paths.items()
            if peer_id != acker and self.counts(peer_id, roster, now)
        ]
        slow = bool(others) and rate < self._settings.slow_share * _median(others)
        held = self._held.get(acker)
        if held is None:
            if not slow:
                return False
            held = self._held[acker] = HoldUp(now)
            if len(self._held) > self._settings.peers:
                del self._held[next(iter(self._held))]
        if held.look(now, holding=slow) < self._settings.slow_after:
            return False
        self._pause(acker, now)
        return True

    def silent(self, confirmed: int, roster: Roster, now: float) -> PeerId | None:
        """Somebody else whose report is overdue, having confirmed less than `confirmed`."""
        overdue = now - 2 * report_gap(len(roster) + 1, self._settings.report_rate)
        for peer_id, path in self._paths.items():
            late = path.contiguous < confirmed and path.last < overdue
            if late and peer_id != self.acker and self.counts(peer_id, roster, now):
                return peer_id
        return None

    def _pause(self, peer_id: PeerId, now: float) -> None:
        self._held.pop(peer_id, None)
        self._paused.pop(peer_id, None)
        self._paused[peer_id] = now + self._settings.slow_pause
        if len(self._paused) > self._settings.peers:
            del self._paused[next(iter(self._paused))]
        self._name(None)

    def left(self, peer_id: PeerId) -> None:
        """`peer_id` is gone."""
        self._paths.pop(peer_id, None)
        self._held.pop(peer_id, None)
        if self.acker == peer_id:
            self._name(None)


def here(roster: Roster) -> bool:
    """Whether anybody is here who could report."""
    return any(_live(peer) for peer in roster)


def _live(peer: Peer) -> bool:
    return peer.confirmed and not peer.suspect


def _median(values: list[float]) -> float:
    """As statistics.median, whose module takes longer to import than any two of ours."""
    ordered, half = sorted(values), len(values) // 2
    return (ordered[half] + ordered[-1 - half]) / 2


class Meter:
    """Bytes a second that really leave, over the last `seconds` in which something did."""

    def __init__(self, now: float = 0.0, seconds: float = METER) -> None:
        self._from, self._bytes, self._seconds = now, 0, seconds
        self.value = 0.0

    def add(self, size: int, now: float) -> None:
        """So much leaves."""
        if now - self._from >= self._seconds:
            self.value = self._bytes / (now - self._from)
            self._from, self._bytes = now, 0
        self._bytes += size


class FlowController:
    """What the sender asks before it sends.

    A member counts as slow, stopped or gone by what it reports on our records; with nobody here to report
    the rate is fixed. What follows from the rate and the size of records is kept: `records` that may leave
    in one flush, bytes of `backlog` that may wait to be sent, and the `window`, records that the elected one
    may not have confirmed: as many as a receiver has room for.
    """

    def __init__(self, context: Context, roster: Roster, verifier: Verifier) -> None:
        self._context, self._roster, self._verifier = context, roster, verifier
        settings, now = context.settings, context.started
        self._settings = settings
        self.rate = Rate(
            settings.start_rate, settings.floor_rate, settings.queue_delay, settings.unread_bytes
        )
        self.election = AckerElection(settings)
        self.breaker = Breaker(settings.breaker)
        self._bucket = TokenBucket(settings.start_rate, settings.burst, now)
        self._trickle = TokenBucket(settings.floor_rate, settings.payload, now)
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
        self._held_share = held_share(settings.held_bytes)
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
        self.window = max(1, int(SHARE * min(limits.WINDOW, self._held_share / size)))
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

    def press(self, now: float) -> None:
        """Records wait for the rate: see to it that somebody reports."""
        context, roster, election = self._context, self._roster, self.election
        alone = not here(roster)
        if alone:
            self.breaker.heard()
            self._forget_silent(now)
        self._alone = alone and election.path is None
        if now - self._pressed >= RESTART:
            self.rate.restart(now)
        self._pressed = now
        if election.lacks(roster, now):
            peer_id = election.candidate(roster, now)
            if peer_id is not None and peer_id != election.acker:
                self._elect(peer_id, now)
        pause = NAME_AGAIN if self._target(now) else ASK_AGAIN
        if election.acker is not None and now >= self._asked + pause:
            self._asked = now
            self._say_acker(election.acker)
        if not alone and self.breaker.check(now):
            context.emit(SendingStopped())
        self._look(now)

    def _say_acker(self, acker: PeerId) -> None:
        """Name the elected one where it was heard; elsewhere ourselves: who was elected there is not now."""
        context = self._context
        here = context.networks.of(acker) or ALL  # it may have reported and not be proven live
        context.send(context.sign(Acker(*context.me, context.next_counter(), *acker)), networks=here)
        elsewhere = context.networks.known & ~here
        if elsewhere:
            nobody = context.sign(Acker(*context.me, context.next_counter(), *context.me))
            context.send(nobody, networks=elsewhere)

    def _forget_silent(self, now: float) -> None:
        """The roster is empty but the acker vanished without a goodbye: stop waiting for it."""
        acker, since = self.election.acker, self._waiting
        if acker is not None and since is not None and now - since >= self._settings.suspect_after:
            self.election.left(acker)
            self._waiting, self._unreported = None, 0

    def _elect(self, peer_id: PeerId, now: float) -> None:
        self.election.elect(peer_id, now)
        self._asked = float("-inf")
        self._waiting, self._unreported = None, 0

    def reported(self, peer_id: PeerId, heard: Heard, now: float) -> None:
        """`peer_id` reported on our records."""
        context = self._context
        age, held = (context.unix_ms(now) - heard.echo) / 1000, heard.delay / 1e6
        trip = age - held if 0 <= age - held < ECHO_LIMIT else None
        if self.breaker.heard():
            self.rate.restart(now)
            context.emit(SendingResumed())
        path = self._judge(peer_id, Sample(heard, trip, now - age), now)
        if trip is not None:
            # Records that wait in a queue make nobody farther away.
            waited = path.queue if path.queue > self._settings.queue_delay else 0.0
            context.rtt.sample(peer_id, trip - waited, now)
        self._look(now)

    def _judge(self, peer_id: PeerId, sample: Sample, now: float) -> Path:
        """What a report says of the path to a member, and what that means for the rate."""
        election = self.election
        path = election.take(peer_id, sample, self._size, self._context.rtt.value, now)
        if peer_id == election.acker:
            self._waiting, self._unreported = None, 0
            used, more = self._meter.value, now - self._pressed < PRESSURE
            if self._full:
                # What leaves is no measure of the rate then, but what is hardly used does not grow:
                # the attack is a member that confirms nothing and loses nothing, for ever.
                used, more = self.rate.value, more and used * AHEAD >= self.rate.value
            self.rate.judge(path, used, more, now)
        else:
            self._get_used_to(path)
            if election.counts(peer_id, self._roster, now) and self._worse(path):
                self._elect(peer_id, now)
        return path

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

    def _look(self, now: float) -> None:
        """Look at all members every now and then: who holds them all up has lost its vote."""
        roster = self._roster
        if now - self._looked < max(LOOK, LOOK_SHARE * len(roster)) or now - self._pressed >= PRESSURE:
            return
        self._looked = now
        acker = self.election.acker
        rate = self._target(now)
        if self._full:
            rate = min(rate, self._settings.floor_rate)  # new records trickle
        if acker is not None and self.election.holds_up(acker, rate, roster, now):
            self.rate.restart(now)
            self._context.emit(SlowMember(acker, self._verifier.name(acker.origin)))
            return
        silent = self.election.silent(self._high - int(OVERDUE * self.window), roster, now)
        if silent is not None:
            self._elect(silent, now)
