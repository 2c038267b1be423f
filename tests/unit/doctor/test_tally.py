"""The sums of a series of questions."""

from __future__ import annotations

import pytest

from mcast.doctor.tally import Tally


def test_loss_round_trips_jitter_duplicates_and_order() -> None:
    tally = Tally()
    for sequence in range(5):
        tally.asked(sequence, float(sequence))
    assert tally.answered(9, 9.0) is None
    trips = [tally.answered(sequence, sequence + after) for sequence, after in ((1, 0.2), (0, 1.4), (3, 0.1))]
    assert [trip and trip.time for trip in trips] == [
        pytest.approx(0.2),
        pytest.approx(1.4),
        pytest.approx(0.1),
    ]
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


@pytest.mark.parametrize(
    ("at", "held", "expected"),
    [
        (5.25, 0.125, (0.125, 0.125)),
        (5.25, 1000.0, (0.0, 0.25)),
        (5.25, -1.0, (0.25, 0.0)),
        (4.5, 0.125, (0.0, 0.0)),
    ],
    ids=["held", "longer than it took", "less than no time", "a clock that was set back"],
)
def test_what_the_other_end_held_is_no_part_of_the_round_trip(
    at: float, held: float, expected: tuple[float, float]
) -> None:
    tally = Tally()
    tally.asked(0, 5.0)
    assert tally.answered(0, at, held) == expected
