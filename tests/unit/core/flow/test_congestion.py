"""What one member's reports tell, and what the rate makes of it."""

from __future__ import annotations

import pytest

from mcast.core.flow.congestion import (
    CUT,
    HALF,
    LEAST_CUT,
    SAME,
    SAMPLES,
    STEP,
    TRIAL,
    Least,
    Path,
    Rate,
    Sample,
)
from mcast.wire.frames import Heard

FLOOR, START, TARGET, UNREAD = 1000, 10_000, 0.02, 5000
EVERY = 0.02


def heard(highest: int = 0, contiguous: int | None = None, loss: float = 0.0, backlog: int = 0) -> Heard:
    """An entry of a report."""
    contiguous = highest if contiguous is None else contiguous
    return Heard(b"o" * 16, 1, contiguous, highest, 0, 0, backlog, round(65535 * loss))


class Way:
    """A path and a rate, and reports every 20 ms."""

    def __init__(self, step: float = STEP) -> None:
        self.now, self.high = 100.0, 0
        self.path = Path(0, 0.001, self.now)
        self.rate = Rate(START, FLOOR, TARGET, UNREAD, step)

    def report(
        self,
        count: int = 1,
        *,
        trip: float | None = 0.001,
        short: bool = True,
        used: float = 0.0,
        **fields: float,
    ) -> float:
        """So many reports of what left just before; the rate after them."""
        for _ in range(count):
            self.now += EVERY
            self.high += 50
            sample = Sample(heard(self.high, **fields), trip, self.now - 0.001)  # type: ignore[arg-type] # integers
            self.path.take(sample, 1000.0, self.now)
            self.rate.judge(self.path, used, short, self.now)
        return self.rate.value


def grown(step: float = STEP) -> Way:
    """A rate that was cut once and has settled."""
    way = Way(step)
    way.report(6)
    way.report(2, trip=0.1)
    way.report(8)
    assert not way.rate.doubling
    return way


def test_the_least_of_lately() -> None:
    least = Least(10.0)
    assert least.take(3.0, 0.0) == 3.0
    assert least.take(5.0, 11.0) == 3.0
    assert least.take(4.0, 22.0) == 4.0
    assert least.take(9.0, 90.0) == 9.0


def test_it_doubles_while_nobody_queues_and_more_is_to_be_sent() -> None:
    way = Way()
    assert way.report(10, short=False) == START
    assert way.report(1) == 2 * START
    assert way.report(3) == 4 * START
    assert way.report(9, trip=0.008) == 4 * START, "a queue begins to grow"


def test_it_is_never_far_above_what_is_really_sent() -> None:
    way = Way()
    way.report(30, used=15_000.0)
    assert way.rate.value == 30_000


def test_a_queue_ends_the_doubling_soon_and_cuts_to_what_went_through() -> None:
    way = Way()
    way.report(6)
    value = way.rate.value
    assert way.report(trip=0.001 + EVERY + TARGET / 2) == value, "once is a hiccup of a scheduler"
    assert way.report(trip=0.001 + EVERY + TARGET / 2) < value * (1 - 0.2)
    assert not way.rate.doubling


def test_a_queue_that_asks_for_more_than_one_cut_does_not_lower_what_is_regained() -> None:
    way = grown()
    goal = way.rate.value
    way.report(SAMPLES, trip=0.03, short=False)
    first = way.rate.value
    way.report(SAMPLES, trip=0.03, short=False)
    assert way.rate.value < first, "the same queue, cut again"
    way.report(round(1.5 / EVERY))
    assert way.rate.value > 0.95 * min(goal, way.rate._goal) >= 0.95 * first


def test_later_a_queue_must_last_and_a_draining_one_is_left_alone() -> None:
    way = grown()
    value = way.rate.value
    assert way.report(SAMPLES - 1, trip=0.03, short=False) == value
    assert value * LEAST_CUT <= way.report(1, trip=0.03, short=False) <= value * CUT
    value = way.rate.value
    for trip in (0.2, 0.19, 0.17, 0.15, 0.13, 0.11):
        way.report(trip=trip, short=False)
    assert way.rate.value == value


def test_what_was_sent_before_a_cut_says_nothing_of_it() -> None:
    way = grown()
    way.report(SAMPLES, trip=0.03)
    value = way.rate.value
    way.path.take(Sample(heard(way.high), 0.2, way.now - 0.5), 1000.0, way.now)
    way.rate.judge(way.path, 0.0, True, way.now)
    assert way.rate.value == value


def test_it_regains_what_was_cut_and_then_grows_faster_and_faster() -> None:
    way = grown()
    before = way.rate.value
    way.report(50)
    first = way.rate.value - before
    before = way.rate.value
    way.report(50)
    assert way.rate.value - before > 1.5 * first > 0


def test_who_does_not_regain_what_it_had_aims_lower() -> None:
    way = grown()
    goal = way.rate._goal
    way.report(SAMPLES, trip=0.03)
    assert way.rate._goal < goal


def test_the_floor_holds() -> None:
    way = grown()
    way.report(500, trip=5.0, loss=1.0, backlog=10**9)
    assert way.rate.value == FLOOR


def test_loss_without_a_queue_is_accepted_from_the_start() -> None:
    way = Way()
    way.report(6, loss=0.3)
    assert way.rate.value == 4 * START
    assert way.path.accepted == pytest.approx(0.3, abs=0.01)
    assert way.path.excess < 0


def test_more_than_half_lost_is_congestion() -> None:
    way = Way()
    way.report(3)
    assert way.report(1, loss=HALF + 0.1) < START


def test_new_loss_is_tried_with_less_and_accepted_when_that_does_not_help() -> None:
    way = grown()
    value = way.rate.value
    assert way.report(1, loss=0.1) == pytest.approx(value * TRIAL)
    assert way.report(2, loss=0.1) < value
    way.report(4, loss=0.1)
    assert way.rate.value >= value
    assert way.path.accepted == pytest.approx(0.1, abs=0.001)
    way.report(200)
    assert way.path.accepted < 0.01, "what is no longer lost is no longer accepted"


def test_new_loss_that_falls_with_the_rate_keeps_it_down() -> None:
    way = grown()
    value = way.rate.value
    way.report(1, loss=0.1)
    way.report(6, loss=0.1 * SAME / 2)
    assert way.rate.value < value
    assert way.path.accepted == 0.0


def test_most_of_a_cut_that_helped_stays_if_there_was_a_queue() -> None:
    way = grown(step=0.0)
    value = way.report(SAMPLES, trip=0.004)
    way.report(1, trip=0.004, loss=0.1)
    way.report(100)
    assert way.rate.value == pytest.approx(value * (1 + TRIAL) / 2, rel=0.01)


@pytest.mark.parametrize("trips", [(0.001, 0.001), (0.004, 0.016)], ids=["none", "a delay that varies"])
def test_it_is_regained_if_there_was_none(trips: tuple[float, float]) -> None:
    way = grown(step=0.0)
    for number in range(SAMPLES):
        value = way.report(trip=trips[number % 2])
    way.report(1, trip=trips[1], loss=0.1)
    way.report(100)
    assert way.rate.value >= value * 0.99


def test_old_loss_of_more_than_half_cuts_once() -> None:
    way = grown()
    way.report(5)
    value = way.report(1, loss=0.6)
    assert way.report(8, loss=0.6) == value
    assert way.report(3, loss=0.6) < value


def test_a_probe_doubles_again() -> None:
    way = grown()
    way.report(1, loss=0.1)
    value = way.rate.value
    way.rate.probe(way.now)
    assert way.report(4) >= 2 * value


def test_loss_beside_a_queue_ends_the_doubling() -> None:
    way = Way()
    way.report(9)
    # A buffer of 10 ms is full: too short a queue for a cut, too long a one for doubling on.
    value = way.report(SAMPLES, trip=0.011)
    assert way.report(1, trip=0.011, loss=0.25) == pytest.approx(value * TRIAL)
    assert way.rate.doubling
    way.report(6, trip=0.002)
    assert not way.rate.doubling
    assert way.path.accepted == 0.0


def test_loss_without_a_queue_does_not() -> None:
    way = Way()
    way.report(4)
    value = way.rate.value
    assert way.report(5, loss=0.25) > value
    assert way.rate.doubling
    assert way.path.accepted == pytest.approx(0.25, abs=0.001)


def test_a_trial_ends_after_half_a_second_if_little_is_sent() -> None:
    way = grown()
    way.report(1, loss=0.1)
    way.report(2, loss=0.1)
    way.high -= 1000
    way.now += 0.5
    way.report(1, loss=0.1)
    assert way.path.accepted == pytest.approx(0.1, abs=0.001)


def test_loss_of_who_sends_little_is_not_tried() -> None:
    way = grown()
    value = way.rate.value
    assert way.report(10, loss=0.2, short=False) == value


def test_an_application_that_does_not_keep_up_slows_the_sender() -> None:
    way = grown()
    value = way.rate.value
    assert way.report(1, backlog=2 * UNREAD, short=False) < value
    value = way.rate.value
    assert way.report(3, backlog=UNREAD + 1, short=False) <= value
    assert way.report(1, backlog=UNREAD + 1 - 100, short=False) == way.rate.value
    assert way.rate.severity(way.path) > 0


def test_what_waits_unread_slows_the_sender_before_it_is_read() -> None:
    way = grown()
    value = way.report(1, backlog=2 * UNREAD)
    sent = way.now - 0.001
    for turn in range(1, 30):
        way.now += EVERY
        backlog = 2 * UNREAD + 100 * turn
        way.path.take(Sample(heard(way.high, backlog=backlog), None, sent), 1000.0, way.now)
        way.rate.judge(way.path, way.rate.value, True, way.now)
    assert way.rate.value < value * CUT**2


def test_what_a_member_keeps_up_with() -> None:
    way = Way()
    way.report(200)
    assert way.path.kept == pytest.approx(50_000 / EVERY, rel=0.05)
    way.now += 90.0
    way.report(1)
    assert way.path.kept < 50_000


def test_a_report_without_a_new_echo_is_no_sample() -> None:
    way = Way()
    way.report(5, trip=None)
    assert way.path.samples == 0
    way.path.take(Sample(heard(1), 0.001, way.now - 100.0), 1000.0, way.now)
    assert way.path.samples == 1
    way.path.take(Sample(heard(1), 0.001, way.now - 100.0), 1000.0, way.now)
    assert way.path.samples == 1
    way.path.take(Sample(heard(1), 0.001, way.now), 1000.0, way.now)
    assert way.path.growth < 0, "two at one time tell no growth"
