"""Claims, floods of NACKs and records that cannot be repaired leave a group quiet and whole."""

from __future__ import annotations

import pytest

from mcast import simulation

from .lies import Scenario, nack_flood, phantoms, unrepairable


@pytest.mark.parametrize(("scenario", "seeds"), [(phantoms, 8), (nack_flood, 3), (unrepairable, 16)])
def test_liars_cost_little_and_honest_members_lose_nothing(scenario: Scenario, seeds: int) -> None:
    for seed in range(seeds):
        assert simulation.replayable(seed, scenario).sent > 0
