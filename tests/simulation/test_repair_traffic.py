"""How many ask for one lost record: few, once the round-trip time is known."""

from __future__ import annotations

import pytest

from .repair import DELAYS, counts

SEEDS = 10


@pytest.mark.parametrize("everybody", [True, False])
@pytest.mark.parametrize(("farthest", "initial"), [(DELAYS[0], 1.0), (DELAYS[1], 0.002)])
@pytest.mark.parametrize("size", [15, 1000])
def test_one_loss_is_asked_for_by_few(size: int, farthest: float, initial: float, everybody: bool) -> None:
    """At most ten NACKs after three events, though the first round-trip time was a hundred times wrong."""
    made = counts(size, range(SEEDS), farthest, everybody=everybody, initial=initial)
    asked = sorted(events[-1] for events in made)
    assert asked[round(0.95 * SEEDS) - 1] <= 10
