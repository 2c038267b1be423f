"""Who waits for all is told the truth: it ends well if all who are here have the message, and only then."""

from __future__ import annotations

import pytest

from .confirm import Sending

SEEDS = 100
BATCH = 25


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_it_ends_well_only_if_all_have_it(first: int) -> None:
    for seed in range(first, first + BATCH):
        sending = Sending(seed)
        sending.run()
        assert not (sending.complete and sending.lacks_it), f"seed {seed}: {sending.lacks_it}"
        stayed = all(member.alive for member in sending.members)
        heavy = sending.lan.conditions.loss == 0.3  # then a peer's word of it may be lost for two seconds
        assert sending.complete or not stayed or heavy, f"seed {seed}: all were here, not all confirmed"
