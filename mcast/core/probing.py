"""Sending probes: is that run alive, is it a recording, how far away is it?"""

from __future__ import annotations

from itertools import islice

from mcast.wire.frames import BY_MULTICAST, Probe
from mcast.wire.reasons import DropReason

from .events import Address
from .peer_id import PeerId
from .state import State

MEASURED = 3  # peers probed after joining, to learn the group round-trip time
MEASURE_AGAIN = 10.0  # seconds
RETRY = 0.15  # seconds without an answer after which another peer is probed
MOST = 12  # probes until we know, in all
CHOICE = 16  # peers to choose from
LOOK_AROUND = 0.1  # seconds, at most, in which a member that is new sees how large the group is
CROWD = 100  # members above which nobody measures just because it joined


def probe(state: State, run: PeerId, to: Address, now: float) -> None:
    """Probe `run` at its address, or in the group if there is none."""
    nonce = state.liveness.nonce(run, now)
    state.queue(Probe(*run, nonce, 0 if to is not None else BY_MULTICAST), to=to)


def doubt(state: State, run: PeerId, source: Address, now: float) -> None:
    """`run`, heard itself from `source` (None: it was not), may be a recording."""
    state.liveness.doubt(run, source, now, state.members)


def probe_doubted(state: State, now: float) -> None:
    """Probe the runs in doubt whose turn it is; recordings by the thousand get no more than others."""
    for run, to in state.liveness.due(now):
        if state.doubts.take(1, now):
            probe(state, run, to, now)
        else:
            state.drops[DropReason.OVER_BUDGET] += 1


def measure(state: State, to: Address, now: float) -> None:
    """A peer was heard at `to`: learn the round-trip time to some, soon after joining.

    Not at once: were it ten thousand who join, all would probe the same first three. In a crowd it is
    measured when it is needed, by who sends or lacks records.
    """
    if to is not None and state.measurements < MEASURED and state.measure_at is None:
        state.measure_at = now + LOOK_AROUND * (0.5 + state.generator.random() / 2)


def measure_until_known(state: State, now: float) -> None:
    """Probe some peers, and another one while none has answered."""
    if state.measure_at is None or now < state.measure_at:
        return
    state.measure_at = None
    if state.members > CROWD:
        return
    peers = [peer for peer in islice(state.roster, CHOICE) if peer.address is not None]
    wanted = max(MEASURED - state.measurements, 1 - state.grtt.known)
    while wanted > 0 and peers:
        wanted -= 1
        peer = peers.pop(int(state.generator.random() * len(peers)))
        state.measurements += 1
        state.measured_at = now
        probe(state, peer.peer_id, peer.address, now)
    if not state.grtt.known and state.measurements < MOST:
        state.measure_at = now + RETRY


def measure_again(state: State, run: PeerId, now: float) -> None:
    """We are about to ask for repairs of `run`: see whether the round-trip time still holds."""
    peer = state.roster.get(run)
    if peer is not None and peer.address is not None and now - state.measured_at >= MEASURE_AGAIN:
        state.measured_at = now
        probe(state, run, peer.address, now)
