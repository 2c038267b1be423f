"""The promises of docs/scale.md at sizes that take seconds; scripts/scale measures the same up to 10,000."""

from __future__ import annotations

import pytest

from .scale import measure


@pytest.mark.parametrize(("size", "whole"), [(2, 2), (10, 10), (60, 60), (300, 2)])
def test_a_group_that_joins_at_once_is_quiet_and_complete(size: int, whole: int) -> None:
    """One announcement each at once; then few, evenly; all known in time; nobody taken for gone."""
    figures = measure(size, seed=size, whole=whole)
    figures.check()
    assert figures.storm >= size
