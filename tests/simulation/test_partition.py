"""What it costs to heal a partition; python -m tests.simulation.partition does the same with more records."""

from __future__ import annotations

import pytest

from .partition import measure

RECORDS, MINUTES = 400, 1.0


@pytest.mark.parametrize(("a_side", "die"), [(2, False), (3, True)])
def test_three_sides_hold_the_same_soon_for_little_more_than_what_was_missing(a_side: int, die: bool) -> None:
    """Within 128 s, for at most 1.5 bytes a byte that was missing and 64 KiB a member.

    What was missing is summed over the members: what two lack counts twice. With two a side all authors are
    there; with three, one author of each side has died.
    """
    figures = measure(RECORDS, MINUTES, a_side=a_side, die=die)
    figures.check()
