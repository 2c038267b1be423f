"""From which of its records on a run that we have just heard of concerns us."""

from __future__ import annotations

from mcast.wire.limits import WINDOW

from .authority import INCARNATION_SHIFT
from .peer_id import PeerId
from .state import State

ROUNDING = 1.0  # seconds
SETTLED = 10.0  # seconds after joining in which the runs of before are heard of
CATCH_UP = 256  # records asked for of a run that was there without our hearing of it
PUBLISHED = 32  # records a second of our stay that a run may have published before we first heard of it


def first_wanted(state: State, run: PeerId, timestamp: int, high: int, now: float) -> int:
    """The first record that concerns us of a run just heard of, which has published `high`.

    All of them if, by its own clock, the run is no older than our stay. Else the latest ones, as many as it
    may have published while we were here: our first word of it need not be its first to us. Those from
    before we joined are told apart by their time.
    """
    if _began_after_us(state, run, timestamp, now):
        return 1
    back = int((now - state.clock.started) * PUBLISHED)
    clock_tells_age = timestamp / 1000 >= run.incarnation >> INCARNATION_SHIFT
    back = min(CATCH_UP, back) if clock_tells_age else min(WINDOW, max(CATCH_UP, back))
    return max(1, high + 1 - back)


def first_by_hearsay(state: State, run: PeerId, timestamp: int, high: int, now: float) -> int:
    """The same of a run that somebody else has heard: who has only come lacks nothing up to `high`."""
    if now - state.clock.started > SETTLED or _began_after_us(state, run, timestamp, now):
        return first_wanted(state, run, timestamp, high, now)
    return high + 1


def _began_after_us(state: State, run: PeerId, timestamp: int, now: float) -> bool:
    """Whether, by its own clock, which says `timestamp`, the run is no older than our stay."""
    age = timestamp / 1000 - (run.incarnation >> INCARNATION_SHIFT)
    return -ROUNDING <= age <= now - state.clock.started + ROUNDING


def since_joining(state: State, timestamp: int, now: float) -> int:
    """What a clock that says `timestamp` (ms) now said when we joined."""
    return timestamp - round((now - state.clock.started) * 1000)
