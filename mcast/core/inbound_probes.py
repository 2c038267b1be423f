"""Probes: answering them, what their answers tell, and when silence calls for them."""

from __future__ import annotations

from math import ceil

from mcast.wire.frames import BY_MULTICAST, Probe, ProbeReply
from mcast.wire.reasons import DropReason

from .events import Address
from .inbound_members import SILENCE, enter, interval_of, refresh, remove
from .inbound_records import exist, heard, proven
from .peer_id import PeerId
from .probing import doubt, probe
from .state import State


def on_probe(state: State, frame: Probe, source: Address, now: float) -> DropReason | None:
    """Somebody wants to know whether we are alive."""
    run = PeerId(frame.origin, frame.incarnation)
    if run != state.me:
        if frame.flags & BY_MULTICAST:
            state.liveness.overheard(run, now)
        return DropReason.NOT_ASKED
    if not state.probe_answers.take(1, now):
        return DropReason.OVER_BUDGET
    sent = state.publisher.sent
    reply = ProbeReply(*state.me, frame.nonce, state.clock.unix_ms(now), sent.low, sent.high)
    state.queue(state.sign(reply), to=None if frame.flags & BY_MULTICAST else source)
    return None


def on_probe_reply(state: State, frame: ProbeReply, source: Address, now: float) -> DropReason | None:
    """A run answers our probe: it is live now."""
    run = PeerId(frame.origin, frame.incarnation)
    trip = state.liveness.expects(frame.nonce, run, now)
    if trip is None:
        return DropReason.NOT_ASKED
    reason = state.authority.check_reply(frame, run in state.roster, now)
    if reason is not None:
        return reason
    state.liveness.redeem(frame.nonce)
    state.grtt.sample(run, trip, now)
    if run in state.tombstones:
        return DropReason.DEPARTED
    state.liveness.prove(run)
    candidate = state.candidates.take(run)
    peer = state.roster.get(run)
    if peer is None and candidate is not None:
        enter(state, candidate.frame, candidate.source, now, confirmed=True)
    elif peer is not None:
        refresh(state, peer, peer.announcement, source, now, direct=True)
    proven(state, run, now)
    heard(state, run, now)
    return exist(state, run, frame.low, frame.high, frame.timestamp, now)


def check_silence(state: State, now: float) -> None:
    """Probe who has been silent for long, and let go who did not answer."""
    for run in state.silence.due(now):
        peer = state.roster.get(run)
        if peer is None:
            _visitor_silence(state, run, now)
            continue
        limit = peer.heard + SILENCE * interval_of(state, peer)
        if now < limit:
            peer.probes = 0
            # On whole seconds, so that many peers are one wake-up.
            state.silence.set(run, ceil(limit))
        elif peer.probes == 3:
            remove(state, run, "expired", now)
        else:
            peer.suspect = True
            peer.probes += 1
            if peer.confirmed:
                probe(state, run, peer.address if peer.probes < 3 else None, now)
            else:
                doubt(state, run, None, now)
            state.silence.set(run, now + state.settings.probe_interval)


def _visitor_silence(state: State, run: PeerId, now: float) -> None:
    inbox = state.reception.get(run)
    if inbox is None:
        return
    limit = inbox.heard_at + state.settings.visitor_seconds
    if now < limit:
        state.silence.set(run, limit)
    else:
        state.reception.depart(run, now, False)
        state.liveness.left(run)
