"""How many ask for one lost record in a large group: few, once the round-trip time is known."""

from __future__ import annotations

import pytest

from .repair import DELAYS, counts


@pytest.mark.parametrize("farthest", DELAYS)
@pytest.mark.parametrize("everybody", [True, False])
@pytest.mark.parametrize("initial", [0.002, 1.0])
def test_one_loss_among_a_thousand_is_asked_for_by_few(
    farthest: float, everybody: bool, initial: float
) -> None:
    """At most ten NACKs at the 95th percentile after three events, whatever the first round-trip time."""
    made = counts(1000, range(20), farthest, everybody=everybody, initial=initial)
    asked = sorted(events[-1] for events in made)
    assert asked[round(0.95 * len(asked)) - 1] <= 10
