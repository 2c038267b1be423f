"""Flow control at work: whom the sender asks to report, what it makes of reports, what it tells the user."""

from __future__ import annotations

from mcast.wire.frames import Acker

from .events import SendingResumed, SendingStopped, SlowMember
from .path import Sample
from .peer_id import PeerId
from .state import State


def reported(state: State, run: PeerId, sample: Sample, now: float) -> None:
    """`run` reported on our records."""
    if state.flow.breaker.heard():
        state.flow.rate.restart(now)
        state.events.append(SendingResumed())
    queue = state.flow.report(run, sample, state.grtt.value, state.roster, now)
    if sample.trip is not None:
        # Records that wait in a queue make nobody farther away.
        state.grtt.sample(run, sample.trip - (queue if queue > state.settings.queue_delay else 0.0), now)
    look(state, now)


def press(state: State, now: float) -> None:
    """Records wait for the rate: see to it that somebody reports."""
    acker = state.flow.press(state.roster, now)
    if acker is not None:
        state.queue(state.sign(Acker(*state.me, state.counter(), *acker)))
    if state.flow.trips(state.roster, now):
        state.events.append(SendingStopped())
    look(state, now)


def look(state: State, now: float) -> None:
    """Does one hold up all others?"""
    slow = state.flow.look(state.roster, now)
    if slow is not None:
        state.events.append(SlowMember(slow, state.authority.name(slow.origin)))
