"""What arrives of other runs' records: the record itself, and word of which exist."""

from __future__ import annotations

from math import inf
from operator import attrgetter

from mcast.wire.frames import Heartbeat
from mcast.wire.reasons import DropReason
from mcast.wire.records import Record

from .backoff import ROUNDS, backoff
from .beginnings import SETTLED, first_wanted, since_joining
from .events import Address, Alarm
from .inbox import Inbox
from .peer_id import PeerId
from .probing import doubt
from .state import State
from .upkeep import catch_up, lacks

NEVER = 2**63
FLOWING = 1.0  # seconds after a record or heartbeat in which another word, come another way, may be too early
ASK_WITHIN = 0.1  # seconds: records wait for their key a second in all


def on_record(
    state: State, record: Record, source: Address, now: float, age: float = 0.0
) -> DropReason | None:
    """A record, live or repaired, from its author or from any holder, who says it is `age` seconds old."""
    run = PeerId(record.origin, record.incarnation)
    if run == state.me:
        if state.publisher.sent.get(record.sequence) == record.payload:
            state.repairs.heard(run, record.sequence, now)
        return DropReason.OWN
    inbox = state.reception.get(run)
    if inbox is None and state.retention.get(run, record.sequence) is not None:
        return DropReason.DUPLICATE  # history, perhaps: one copy more must not make it news
    if inbox is not None:
        refused = inbox.stream.refuse(record.sequence)
        if refused is DropReason.DUPLICATE:
            return _again(state, run, inbox, record, now)
        if refused is not None:
            return refused
    reason = state.authority.check_record(record, run in state.roster, now)
    if reason is None:
        return _genuine(state, run, inbox, record, source, now, age)
    return not_genuine(state, record, reason, source, now, age)


def not_genuine(
    state: State, record: Record, reason: DropReason, source: Address, now: float, age: float = 0.0
) -> DropReason | None:
    """A record that is not known to be genuine, for that reason: if only its key is missing, it waits."""
    if reason is not DropReason.UNKNOWN_KEY:
        return reason
    if not state.unkeyed.add(record.origin, record, source, now, age):
        return DropReason.WAITING_FULL
    want_key(state, record.origin, now)
    return None


def want_key(state: State, origin: bytes, now: float) -> None:
    """Ask the group for a key we lack, unless somebody else does first."""
    delay = backoff(state.generator, ROUNDS * state.grtt.value, state.members)
    state.keys.wanted(origin, now, min(delay, ASK_WITHIN))


def _again(state: State, run: PeerId, inbox: Inbox, record: Record, now: float) -> DropReason:
    """A record we have: one copy more, or another record under the same number."""
    catch_up(state)
    held = inbox.stream.held(record.sequence)
    payload = held.payload if held else state.retention.get(run, record.sequence)
    if payload == record.payload:
        state.repairs.heard(run, record.sequence, now)
        return DropReason.DUPLICATE
    if payload is None or payload.endswith(record.signed):
        return DropReason.DUPLICATE
    if state.authority.check_record(record, run in state.roster, now) is not None:
        return DropReason.BAD_SIGNATURE
    if not inbox.equivocated:
        inbox.equivocated = True
        state.events.append(Alarm("equivocation", run))
    return DropReason.EQUIVOCATION


def _genuine(
    state: State, run: PeerId, inbox: Inbox | None, record: Record, source: Address, now: float, age: float
) -> DropReason | None:
    """A record whose signature holds."""
    if inbox is None:
        if not state.liveness.judge(run, record.timestamp, state.clock.unix_ms(now)):
            if not state.unproven.add(run, record, source, now, age):
                return DropReason.WAITING_FULL
            doubt(state, run, source, now)
            return None
        if age > now - state.clock.started:
            return DropReason.NOT_ASKED  # a repair for somebody else, of before we came
        opened = _first_record(state, run, record, now)
        if isinstance(opened, DropReason):
            return opened
        inbox = opened
        refused = inbox.stream.refuse(record.sequence)
        if refused is not None:
            return DropReason.NOT_ASKED if refused is DropReason.DUPLICATE else refused
    return _take(state, inbox, record, source, now, age)


def asks(state: State) -> bool:
    """Whether we want what was said before we came: who only listens does so if it was told to."""
    return state.manner.history or not state.manner.quiet


def wanted_from(state: State, run: PeerId) -> int:
    """The first record of `run` that we want from who holds it."""
    if asks(state) and not state.retention.full:
        return 1
    inbox, peer = state.reception.get(run), state.roster.get(run)
    if inbox is not None:
        return inbox.first
    start = peer.start if peer is not None and peer.placed else None
    return state.reception.resumes(run) or start or NEVER


def take_known(state: State, record: Record, source: Address, now: float, age: float) -> DropReason | None:
    """A genuine record that somebody held for us; NOT_ASKED: it was published before we came, or by a run
    we know nothing of."""
    run = PeerId(record.origin, record.incarnation)
    inbox = state.reception.get(run) or _known(state, run, record, now)
    if inbox is None or record.sequence < inbox.first:
        return DropReason.NOT_ASKED
    inbox.trust()  # the record is genuine, so its run has published
    refused = inbox.stream.refuse(record.sequence)
    if refused is DropReason.OUT_OF_WINDOW:  # what comes before is asked for first; the author may be gone
        inbox.learn(record.sequence, now)
        lacks(state, inbox, now)
    return refused or _take(state, inbox, record, source, now, age)


def _known(state: State, run: PeerId, record: Record, now: float) -> Inbox | None:
    """A new inbox for a run that published while we were here."""
    peer, resumes = state.roster.get(run), state.reception.resumes(run)
    if peer is not None and peer.placed:
        opened = _open(state, run, peer.start, peer.existing, peer.since, now)
    elif resumes is not None:
        opened = _open(state, run, resumes, 0, 0, now)
    elif since_joining(state, state.clock.unix_ms(now), now) < record.timestamp and state.liveness.judge(
        run, record.timestamp, state.clock.unix_ms(now)
    ):
        # Not from this record on: others may have been overtaken, or held back by who handed it out.
        start = min(record.sequence, first_wanted(state, run, record.timestamp, record.sequence, now))
        since = since_joining(state, state.clock.unix_ms(now), now)
        opened = _open(state, run, start, record.sequence, since, now)
    else:
        return None
    return None if isinstance(opened, DropReason) else opened


def _take(
    state: State, inbox: Inbox, record: Record, source: Address, now: float, age: float
) -> DropReason | None:
    if _over_quota(state, inbox, record, now):
        return DropReason.OVER_QUOTA
    if record.sequence > inbox.stream.high:
        _newest(state, inbox, record, now)
    _accept(state, inbox, record, source, now)
    state.taken.append((inbox, [record], now, age))
    return None


def _over_quota(state: State, inbox: Inbox, record: Record, now: float) -> bool:
    """Whether there is no room for a record that would have to wait; then it is missing."""
    sequence = record.sequence
    if sequence <= inbox.stream.next or not state.reception.crowded(
        inbox, sequence, len(record.payload), now
    ):
        return False
    inbox.refused(sequence, now)
    lacks(state, inbox, now)
    return True


def _accept(state: State, inbox: Inbox, record: Record, source: Address, now: float) -> None:
    state.events += inbox.accept(record, source, now)
    if inbox.out_of_step:
        lacks(state, inbox, now)


def take_some(state: State, inbox: Inbox, row: list[Record], source: Address, now: float) -> int:
    """Genuine records that `inbox` wants(), of which it lacks others: how many are done with, at least one.

    It is not all of them if one comes twice.
    """
    high = inbox.stream.high
    taken: list[Record] = []
    done = 0
    for record in row:
        if inbox.stream.refuse(record.sequence) is not None:
            break
        if _over_quota(state, inbox, record, now):
            state.drops[DropReason.OVER_QUOTA] += 1
        else:
            _accept(state, inbox, record, source, now)
            taken.append(record)
        done += 1
    if taken:
        state.taken.append((inbox, taken, now, 0.0))
        newest = max(taken, key=attrgetter("sequence"))
        if newest.sequence > high:
            _newest(state, inbox, newest, now)
    return done


def take_row(state: State, inbox: Inbox, row: list[Record], source: Address, now: float) -> int:
    """Genuine records, at least one, that follow each other and what `inbox` has, which lacks nothing: all
    are done with."""
    _newest(state, inbox, row[-1], now)
    state.events += inbox.accept_row(row, source, now)
    state.taken.append((inbox, row, now, 0.0))
    return len(row)


def _newest(state: State, inbox: Inbox, record: Record, now: float) -> None:
    """No record of its run is newer."""
    run = inbox.peer_id
    if inbox.departed and run not in state.tombstones:
        state.reception.returned(run, now, state.members)
    _alive(state, run, now)
    inbox.echo, inbox.echo_at = record.timestamp, now


def heard(state: State, run: PeerId, now: float) -> None:
    """A fresh signed word of `run`: it is here, or, after its goodbye, is watched until it falls silent."""
    if run not in state.tombstones:
        state.reception.returned(run, now, state.members)
    _alive(state, run, now)


def _alive(state: State, run: PeerId, now: float) -> None:
    if state.past.whereabouts.unsure:
        state.past.whereabouts.heard(run)
    peer = state.roster.get(run)
    if peer is not None:
        peer.heard = now
        if peer.suspect:
            peer.suspect, peer.probes = False, 0
            state.silence.set(run, now)
    elif run not in state.silence:
        state.silence.set(run, now + state.settings.visitor_seconds)


def _first_record(state: State, run: PeerId, record: Record, now: float) -> Inbox | DropReason:
    """The first we hear of a run is a record of it."""
    peer = state.roster.get(run)
    if peer is not None and peer.placed:
        return _open(state, run, peer.start, peer.existing, peer.since, now)
    start = first_wanted(state, run, record.timestamp, record.sequence, now)
    young = now - state.clock.started <= SETTLED
    if start > 1 and young and record.timestamp < since_joining(state, state.clock.unix_ms(now), now):
        return DropReason.NOT_ASKED  # a repair for somebody else, of before we came
    start = min(start, record.sequence) if peer is None else peer.start
    return _open(state, run, start, record.sequence, since_joining(state, record.timestamp, now), now)


def _open(state: State, run: PeerId, start: int, existing: int, since: int, now: float) -> Inbox | DropReason:
    peer = state.roster.get(run)
    name = peer.name if peer is not None else state.authority.name_of(run)
    start = max(start, state.past.recall.reached(run) + 1)  # nothing is told twice
    inbox = state.reception.open(run, name, start, existing, since, state.roster.__contains__, now)
    state.events.extend(state.reception.told())
    if isinstance(inbox, Inbox):
        if peer is None and run not in state.silence:
            state.silence.set(run, now + state.settings.visitor_seconds)
        inbox.grtt = state.grtt.value
        if peer is not None:
            inbox.grtt = min(inbox.grtt, state.told_grtt(peer.announcement.grtt))
    return inbox


def on_heartbeat(state: State, frame: Heartbeat, source: Address, now: float) -> DropReason | None:
    """A run says which records of it exist."""
    run = PeerId(frame.origin, frame.incarnation)
    if run == state.me:
        return DropReason.OWN
    reason = state.authority.check(frame, run in state.roster, now)
    if reason is DropReason.UNKNOWN_KEY:
        want_key(state, frame.origin, now)
    if reason is not None:
        return reason
    if not state.liveness.judge(run, frame.timestamp, state.clock.unix_ms(now)):
        doubt(state, run, source, now)
        return DropReason.NOT_LIVE
    heard(state, run, now)
    state.vouched = run
    inbox = state.reception.get(run)
    if inbox is not None:
        inbox.echo, inbox.echo_at, inbox.heard_at = frame.timestamp, now, now
        inbox.grtt = state.told_grtt(frame.grtt)
    return exist(state, run, frame.low, frame.high, frame.timestamp, now, state.told_grtt(frame.grtt))


def exist(
    state: State, run: PeerId, low: int, high: int, timestamp: int, now: float, grtt: float = inf
) -> DropReason | None:
    """Records `low` to `high` of a live run exist; who lacks some asks as `grtt` allows, if that is soon."""
    peer = state.roster.get(run)
    if peer is not None and not peer.placed:
        peer.placed = True
        peer.existing, peer.since = high, since_joining(state, timestamp, now)
    inbox = state.reception.get(run)
    if inbox is None:
        if peer is not None and peer.start > high:
            return None
        opened = _heard_of(state, run, high, timestamp, now)
        if isinstance(opened, DropReason):
            return opened
        inbox = opened
    inbox.grtt = min(inbox.grtt, grtt)
    if grtt < inf or now - inbox.heard_at > FLOWING:
        inbox.learn(high, now)
    inbox.overwritten(low, now)
    lacks(state, inbox, now)
    return None


def _heard_of(state: State, run: PeerId, high: int, timestamp: int, now: float) -> Inbox | DropReason:
    """The first we hear of a run's records is that they exist."""
    peer = state.roster.get(run)
    if peer is not None:
        return _open(state, run, peer.start, peer.existing, peer.since, now)
    start = first_wanted(state, run, timestamp, high, now)
    return _open(state, run, start, high, since_joining(state, timestamp, now), now)


def key_came(state: State, origin: bytes, now: float) -> None:
    """Records waited for this key."""
    for waiter in state.unkeyed.take(origin):
        reason = on_record(state, waiter.record, waiter.source, now, waiter.age)
        if reason is not None:
            state.drops[reason] += 1


def proven(state: State, run: PeerId, now: float) -> None:
    """Records waited for their run to prove itself live."""
    for waiter in state.unproven.take(run):
        reason = on_record(state, waiter.record, waiter.source, now, waiter.age)
        if reason is not None:
            state.drops[reason] += 1
