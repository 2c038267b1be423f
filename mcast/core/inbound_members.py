"""What arrives about peers: keys, announcements, goodbyes, probes, and the roster from others."""

from __future__ import annotations

from mcast.crypto.keys import origin_of
from mcast.wire.attributes import decode_attributes
from mcast.wire.frames import (
    NEWCOMER,
    Announcement,
    Challenge,
    Echo,
    Goodbye,
    Key,
    KeyRequest,
    Roster,
    RosterRequest,
)
from mcast.wire.limits import DIGEST_SIZE
from mcast.wire.reasons import DropReason

from .addresses import unpack
from .authority import INCARNATION_SHIFT
from .backoff import ROUNDS, backoff
from .beginnings import first_by_hearsay, first_wanted
from .events import Address, Alarm, PeerJoined, PeerLeft, PeerUpdated
from .giving import answer_request, meet_newcomer
from .inbound_records import exist, heard, key_came
from .peer_id import PeerId
from .presence import announced_size
from .probing import doubt, measure
from .roster import Peer
from .state import HURRY, State

SILENCE = 3.5  # intervals without a signed word after which a peer is suspect
KEY_PRICE = 71  # bytes of a request for each key: a third of the longest KEY datagram
OTHERS = 3  # who answer for a key's owner at the same time, at most, as a rule
KEY_PATIENCE = 0.5  # seconds: records wait for their key a second in all
KNOWN_ENTRIES = (None, DropReason.DUPLICATE, DropReason.STALE, DropReason.OWN)  # of a roster's page


def on_key(state: State, key: Key, source: Address, now: float) -> DropReason | None:
    """A self-signed key and name."""
    origin = origin_of(key.public_key)
    known = bool(state.roster.runs(origin))
    before = state.authority.key(origin)
    reason = state.authority.learn(key, known, now, state.retention.holds)
    if reason is not None:
        return reason
    state.keys.heard(origin, now)
    if before is None or before.frame != key:
        _name_runs(state, origin)
    key_came(state, origin, now)
    return None


def _name_runs(state: State, origin: bytes) -> None:
    """A new KEY of `origin`: what its runs are called may have changed."""
    for run in state.roster.runs(origin):
        peer = state.roster.get(run)
        if peer is not None and _rename(state, peer):
            state.events.append(PeerUpdated(peer.view()))
    for inbox in state.reception.of(origin):
        inbox.name = inbox.name or state.authority.name_of(inbox.peer_id)


def _rename(state: State, peer: Peer) -> bool:
    """Call the peer what it calls itself, else what goes with its key; whether that is new."""
    attributes = decode_attributes(peer.announcement.attributes)
    own = "" if isinstance(attributes, DropReason) else attributes.name
    name = own or state.authority.name_of(peer.peer_id) or state.authority.name(peer.peer_id.origin)
    changed, peer.name = name != peer.name, name
    inbox = state.reception.get(peer.peer_id)
    if inbox is not None:
        inbox.name = name
    return changed


def on_key_request(state: State, frame: KeyRequest, source: Address, now: float) -> DropReason | None:
    """Somebody lacks keys: their owner answers at once, others later if nobody did.

    The attack: short requests that move long answers. So a request counts for as many keys as it is long.
    """
    answered = False
    grtt = state.grtt.value
    for place, origin in enumerate(frame.origins[: state.datagram_size // KEY_PRICE], 1):
        state.keys.overheard(origin, now)
        if origin == state.me.origin:
            answered |= state.keys.requested(origin, now, 0.0)
        elif state.authority.key(origin) is not None and state.datagram_size >= place * OTHERS * KEY_PRICE:
            delay = grtt + backoff(state.generator, min(2 * ROUNDS * grtt, KEY_PATIENCE), state.members)
            answered |= state.keys.requested(origin, now, delay)
    return None if answered else DropReason.OVER_BUDGET


def on_announcement(
    state: State, frame: Announcement, source: Address, now: float, *, prompt: bool = True
) -> DropReason | None:
    """A run says that it is here; not `prompt`: it said so a while ago, too long to greet it."""
    run = PeerId(frame.origin, frame.incarnation)
    reason = _vet(state, run, frame, now)
    if reason is not None:
        return reason
    state.announcer.sized(announced_size(frame, state.authority.name(frame.origin)))
    peer = state.roster.get(run)
    if not state.liveness.judge(run, frame.timestamp, state.clock.unix_ms(now)):
        return _enter_later(state, frame, source, now)
    if peer is None:
        reason = enter(state, frame, source, now, confirmed=True)
        if reason is not None:
            return reason
    else:
        refresh(state, peer, frame, source, now, direct=True)
    state.past.syncing.met(source)
    if frame.flags & NEWCOMER and prompt:
        meet_newcomer(state, run, source, now)
        state.past.trickle.reset(now, state.members)
    if state.manner.history and state.past.syncing.untried:
        # Its challenge may have been lost.
        wait = backoff(state.generator, ROUNDS * state.grtt.value, state.members)
        state.past.syncing.told(source, bytes(DIGEST_SIZE), now + wait)
    inbox = state.reception.get(run)
    if inbox is not None:
        inbox.grtt = state.told_grtt(frame.grtt)
    return exist(state, run, frame.low, frame.high, frame.timestamp, now)


def _vet(state: State, run: PeerId, frame: Announcement, now: float) -> DropReason | None:
    if run == state.me:
        return DropReason.OWN
    if run in state.tombstones:
        return DropReason.DEPARTED
    return state.authority.check(frame, run in state.roster, now)


def _enter_later(state: State, frame: Announcement, source: Address, now: float) -> DropReason:
    """Its clock is off or it is a recording: it enters the roster when it has answered a probe."""
    run = PeerId(frame.origin, frame.incarnation)
    state.candidates.add(run, frame, source)
    doubt(state, run, source, now)
    return DropReason.NOT_LIVE


def enter(
    state: State, frame: Announcement, source: Address, now: float, *, confirmed: bool
) -> DropReason | None:
    """A peer that was not in the roster."""
    run = PeerId(frame.origin, frame.incarnation)
    peer = Peer(run, "", frame, source, now, confirmed)
    _rename(state, peer)
    reason = state.roster.add(peer)
    if reason is not None:
        return reason
    first = first_wanted if confirmed else first_by_hearsay
    start = first(state, run, frame.timestamp, frame.high, now)
    peer.start = state.reception.resumes(run) or start
    state.reception.returned(run, now, state.members)
    state.announcer.members(state.members, now)
    state.silence.set(run, now + SILENCE * interval_of(state, peer))
    _fit(state, None, frame.limit)
    state.events.append(PeerJoined(peer.view()))
    _compare_machines(state, peer)
    measure(state, peer.address, now)
    return None


def _compare_machines(state: State, peer: Peer) -> None:
    """One origin live on two computers: its key was copied."""
    machine = peer.announcement.machine
    others = (state.roster.get(run) for run in state.roster.runs(peer.peer_id.origin))
    machines = {other.announcement.machine for other in others if other is not None and other.confirmed}
    if peer.peer_id.origin == state.me.origin:
        machines.add(state.machine)
    if peer.confirmed and any(machine) and any(any(other) and other != machine for other in machines):
        state.events.append(Alarm("two-machines", peer.peer_id))


def refresh(
    state: State, peer: Peer, frame: Announcement, source: Address, now: float, *, direct: bool = True
) -> None:
    """A peer in the roster was heard itself, `direct` or because somebody passed its word on."""
    changed = peer.announcement.attributes != frame.attributes or not peer.confirmed
    before = peer.announcement.limit
    if frame is not peer.announcement:
        peer.announcement, peer.said = frame, now
    _fit(state, before, frame.limit)
    if changed:
        _rename(state, peer)
    if direct:
        peer.source = source
        if not peer.confirmed:
            state.roster.confirm(peer)
            measure(state, source, now)
    heard(state, peer.peer_id, now)
    if changed:
        state.events.append(PeerUpdated(peer.view()))


def _fit(state: State, before: int | None, now: int | None) -> None:
    """A peer takes datagrams of `now` bytes instead of `before`; None: it is not here."""
    if now is not None and now <= state.payload:
        state.fit(now)
    elif before == state.payload:
        limits = (peer.announcement.limit for peer in state.roster)
        state.fit(min(limits, default=state.settings.payload))


def interval_of(state: State, peer: Peer) -> float:
    """How often the peer announces itself: as it says, within reason, as a lie would keep a dead one here."""
    own = state.announcer.settled
    return max(own, min(peer.announcement.interval / 1000, 2 * own))


def on_goodbye(state: State, frame: Goodbye, source: Address, now: float) -> DropReason | None:
    """A run ends."""
    run = PeerId(frame.origin, frame.incarnation)
    if run == state.me:
        return DropReason.OWN
    reason = state.authority.check(frame, run in state.roster, now)
    if reason is not None:
        return reason
    began = (run.incarnation >> INCARNATION_SHIFT) * 1000
    fresh = run not in state.tombstones and state.liveness.judge(run, began, state.clock.unix_ms(now))
    state.tombstones.add(run)
    if fresh or run in state.roster or state.reception.get(run) is not None:
        exist(state, run, 1, frame.high, state.clock.unix_ms(now), now, HURRY)
    remove(state, run, "goodbye", now)
    return None


def remove(state: State, run: PeerId, reason: str, now: float) -> None:
    """A run is gone."""
    state.liveness.left(run)
    state.silence.cancel(run)
    state.reception.depart(run, now, reason == "goodbye")
    state.flow.election.left(run)
    state.reporter.dismissed(run)
    peer = state.roster.get(run)
    if peer is not None:
        if peer.placed and state.reception.get(run) is None:
            state.reception.remember(run, peer.start)
        state.roster.remove(run)
        _fit(state, peer.announcement.limit, None)
        state.announcer.members(state.members, now)
        state.events.append(PeerLeft(peer.view(), reason))


def on_roster(state: State, frame: Roster, source: Address, now: float) -> DropReason | None:
    """Hearsay: a peer that somebody else has heard."""
    announcement = frame.announcement
    run = PeerId(announcement.origin, announcement.incarnation)
    peer = state.roster.get(run)
    known = peer is not None and (peer.confirmed or announcement.counter <= peer.announcement.counter)
    reason = DropReason.DUPLICATE if known else _vet(state, run, announcement, now)
    if reason in KNOWN_ENTRIES:
        state.collector.entry(now)
    if reason is not None:
        return reason
    address = unpack(frame.address, frame.port, source)
    age = abs(announcement.timestamp - state.clock.unix_ms(now)) / 1000
    if age > max(state.settings.live_window, SILENCE * announcement.interval / 1000):
        state.candidates.add(run, announcement, address)
        doubt(state, run, None, now)
        return DropReason.NOT_LIVE
    if peer is None:
        return enter(state, announcement, address, now, confirmed=False)
    _retold(state, peer, announcement, address, now)
    return None


def _retold(state: State, peer: Peer, frame: Announcement, address: Address, now: float) -> None:
    """An announcement that we missed, of a peer not heard itself: its clock tells when that was said."""
    said = peer.said + (frame.timestamp - peer.announcement.timestamp) / 1000
    last = peer.heard
    refresh(state, peer, frame, address, now, direct=False)
    peer.said = min(now, said)
    peer.heard = max(last, peer.said)


def on_roster_request(state: State, frame: RosterRequest, source: Address, now: float) -> DropReason | None:
    """Somebody wants the roster."""
    return answer_request(state, frame.start, source, now)


def on_challenge(state: State, frame: Challenge, source: Address, now: float) -> DropReason | None:
    """The giver has more for us, or a contact wants to see that its copies reach us."""
    if state.meetings.challenged(source, frame.token, now):
        return None
    if state.past.syncing.challenged(source, frame.token, now):
        return None
    if not state.collector.challenged(source, frame.token, now):
        return DropReason.NOT_ASKED
    if state.manner.history:  # who hands out the roster hands out what was said before, too
        state.past.syncing.told(source, bytes(DIGEST_SIZE), now)
    return None


def on_echo(state: State, frame: Echo, source: Address, now: float) -> DropReason | None:
    """The token that goes with the rest of this datagram."""
    state.echoed = frame.token
    return None
