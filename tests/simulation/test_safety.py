"""No duplicate, no disorder, no forgery, no silent gap, nobody silenced: on 200 bad afternoons."""

from __future__ import annotations

import pytest

from .guests import visits
from .scenario import afternoon, deaf

SEEDS = 200
GUESTS = 30
DEAF = 20
BATCH = 10  # seeds a test, so that one that hangs is told from one that fails


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_bad_afternoons(first: int) -> None:
    """Each seed judges itself; the note on a failure names the seed."""
    for seed in range(first, first + BATCH):
        lan = afternoon(seed)
        assert lan.sent > 0


@pytest.mark.parametrize("first", range(0, GUESTS, BATCH))
def test_afternoons_with_guests(first: int) -> None:
    """The same of people who come and go, of whom some ask what was said before."""
    for seed in range(first, first + BATCH):
        lan = visits(seed)
        assert lan.sent > 0


@pytest.mark.parametrize("first", range(0, DEAF, BATCH))
def test_afternoons_on_which_switches_drop_multicast(first: int) -> None:
    """Nothing is missed in silence while some hear no multicast, or all."""
    for seed in range(first, first + BATCH):
        lan = deaf(seed)
        assert lan.sent > 0


def test_a_seed_replays_byte_for_byte() -> None:
    """The same seed gives the same trace, another one a different trace."""
    traces = [afternoon(seed).trace for seed in (7, 7, 8)]
    assert traces[0] == traces[1] != traces[2]
