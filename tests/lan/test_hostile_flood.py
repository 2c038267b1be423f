"""A neighbour that sends junk as fast as it can stops no conversation (programs/hostile.py, shortened)."""

from __future__ import annotations

import statistics

from tests.lan.programs.hostile import IDENTITIES, measure

BUDGET = 64 * 1024  # bytes of repairs a second that one requester may cause
SECONDS = 3.0


def test_lines_arrive_beside_a_flood_of_junk_and_forgeries() -> None:
    """All lines, in time; memory stays; no more is repaired than the made-up requesters' budgets allow."""
    result = measure(3000, SECONDS, prepared=300)
    assert len(result.took) == result.lines
    assert statistics.median(result.took) < 2.0
    assert max(result.took) < 5.0
    assert max(result.grown) < 64 << 20
    assert result.said < (IDENTITIES + 1) * BUDGET * result.passed + 1000 * result.lines
