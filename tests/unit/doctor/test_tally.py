"""The sums of a series of questions."""

from __future__ import annotations

import pytest

from mcast.doctor.tally import Tally


def test_loss_round_trips_jitter_duplicates_and_order() -> None:
    tally = Tally()
    for sequence in range(5):
        tally.asked(sequence, float(sequence))
    assert tally.answered(9, 9.0) is None
    took = [tally.answered(sequence, sequence + after) for sequence, after in ((1, 0.2), (0, 1.4), (3, 0.1))]
    assert took == [pytest.approx(0.2), pytest.approx(1.4), pytest.approx(0.1)]
    assert tally.answered(3, 9.0) is None
    assert tally.fields() == {
        "asked": 5,
        "answered": 3,
        "loss_percent": 40.0,
        "duplicates": 1,
        "reordered": 1,
        "min_ms": 100.0,
        "median_ms": 200.0,
        "p99_ms": 1400.0,
        "max_ms": 1400.0,
        "jitter_ms": 1250.0,
        "first_ms": 200.0,
    }
    assert tally.text().startswith("5 sent, 3 received, 40 % lost, min/median/p99/max 100.000/200.000/")


def test_without_answers_there_are_no_times() -> None:
    tally = Tally()
    assert (tally.loss, tally.text()) == (0.0, "0 sent, 0 received, 0 % lost, 0 duplicates, 0 reordered")
    tally.asked(0, 0.0)
    assert "min_ms" not in tally.fields()
    assert tally.loss == 100.0
