"""The promises of docs/scale.md at sizes that take seconds; scripts/scale measures the same up to 10,000."""

from __future__ import annotations

import pytest

from .scale import measure


@pytest.mark.parametrize(("size", "whole", "records"), [(2, 2, 0), (10, 10, 24), (60, 60, 0), (300, 2, 24)])
def test_a_group_that_joins_at_once_is_quiet_and_complete(size: int, whole: int, records: int) -> None:
    """One announcement each at once; then few, evenly; all known in time; nobody taken for gone.

    Who holds records sums them up, and one in all does so in 32 s.
    """
    figures = measure(size, seed=size, whole=whole, records=records)
    figures.check()
    assert figures.digests <= 2 / 32
    assert bool(figures.digests) == bool(records)
    assert figures.storm >= size
