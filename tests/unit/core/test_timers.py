"""Deadlines by key, random backoff, the group round-trip time."""

from __future__ import annotations

from math import inf
from random import Random

import pytest

from mcast.core.timers import SAMPLES, SLACK, GroupRoundTrip, Timers, backoff, earliest, rounds


def test_timers_fire_in_order_and_once() -> None:
    timers: Timers[str] = Timers()
    timers.set("late", 3.0)
    timers.set("soon", 1.0)
    timers.set("never", 2.0)
    timers.cancel("never")
    timers.cancel("unknown")
    assert "soon" in timers
    assert len(timers) == 2
    assert timers.get("late") == 3.0
    assert timers.get("never") is None
    assert timers.due(0.5) == []
    assert timers.due(5.0) == ["soon", "late"]
    assert timers.next == inf


def test_setting_a_timer_again_moves_it_and_does_not_grow() -> None:
    timers: Timers[str] = Timers()
    for step in range(10 * SLACK):
        timers.set("key", 100.0 - step / 100)
    assert timers.next == 100.0 - (10 * SLACK - 1) / 100
    assert len(timers._heap) <= 2 + SLACK
    assert timers.due(200.0) == ["key"]


def test_earliest_ignores_what_is_not_set() -> None:
    assert earliest(None, 2.0, 1.0) == 1.0
    assert earliest(None, None) is None


@pytest.mark.parametrize("group", [1, 2, 50, 1000])
def test_backoff_stays_within_its_bound(group: int) -> None:
    rng = Random(group)
    waits = [backoff(rng, 0.4, group) for _ in range(2000)]
    assert 0 <= min(waits) <= max(waits) <= 0.4
    # The more there are, the later most wait, and still somebody is early.
    assert sum(waits) / len(waits) > (0.19 if group == 1 else 0.2)


def test_a_larger_group_waits_longer_as_it_knows_its_round_trip_time_less_well() -> None:
    assert [rounds(size) for size in (1, 100, 1000, 10_000)] == [4.0, 4.0, 14.0, 24.0]


def test_backoff_of_a_large_group_lets_few_go_first() -> None:
    rng = Random(1)
    waits = sorted(backoff(rng, 1.0, 1000) for _ in range(1000))
    assert sum(wait < 0.25 for wait in waits) < 20
    assert waits[0] < 0.4


def test_grtt_takes_the_farthest_within_its_clamps() -> None:
    grtt = GroupRoundTrip(0.1, 0.002, 1.0)
    assert grtt.value == 0.1
    grtt.sample("clock went back", -5.0, 0.0)
    assert grtt.value == 0.1
    grtt.sample("near", 0.0005, 0.0)
    assert grtt.value == 0.002
    grtt.sample("far", 0.03, 0.0)
    assert grtt.value == 0.03
    grtt.sample("near", 7.0, 1.0)
    assert grtt.value == 1.0


def test_grtt_leaves_out_the_highest_tenth_and_forgets() -> None:
    grtt = GroupRoundTrip(0.1, 0.002, 1.0)
    for peer in range(20):
        grtt.sample(peer, 0.01, 0.0)
    grtt.sample("liar", 1.0, 0.0)
    assert grtt.value == 0.01
    grtt.sample("later", 0.004, 100.0)
    assert grtt.value == 0.004
    for peer in range(3 * SAMPLES):
        grtt.sample(("many", peer), 0.02, 100.0)
    assert len(grtt._samples) == SAMPLES
