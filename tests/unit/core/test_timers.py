"""Timers, randomised waits, buckets: the parts that decide when."""

from __future__ import annotations

from random import Random

import pytest

from mcast.core.backoff import backoff, rounds
from mcast.core.budget import GENUINE, Verifications
from mcast.core.clock import Clock
from mcast.core.grtt import SAMPLES, GroupRoundTrip
from mcast.core.heartbeat import SCHEDULE, Heartbeats
from mcast.core.presence import Announcer
from mcast.core.quota import Bucket, Quotas
from mcast.core.timers import SLACK, Timers, earliest


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
    assert timers.next() is None


def test_setting_a_timer_again_moves_it_and_does_not_grow() -> None:
    timers: Timers[str] = Timers()
    for step in range(10 * SLACK):
        timers.set("key", 100.0 - step / 100)
    assert timers.next() == 100.0 - (10 * SLACK - 1) / 100
    assert len(timers._heap) <= 2 + SLACK
    assert timers.due(200.0) == ["key"]


def test_earliest_ignores_what_is_not_set() -> None:
    assert earliest(None, 2.0, 1.0) == 1.0
    assert earliest(None, None) is None


@pytest.mark.parametrize("group", [1, 2, 50, 1000])
def test_backoff_stays_within_its_bound(group: int) -> None:
    generator = Random(group)
    waits = [backoff(generator, 0.4, group) for _ in range(2000)]
    assert 0 <= min(waits) <= max(waits) <= 0.4
    # The more there are, the later most wait, and still somebody is early.
    assert sum(waits) / len(waits) > (0.19 if group == 1 else 0.2)


def test_a_larger_group_waits_longer_as_it_knows_its_round_trip_time_less_well() -> None:
    assert [rounds(size) for size in (1, 100, 1000, 10_000)] == [4.0, 4.0, 14.0, 24.0]


def test_backoff_of_a_large_group_lets_few_go_first() -> None:
    generator = Random(1)
    waits = sorted(backoff(generator, 1.0, 1000) for _ in range(1000))
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


def test_heartbeats_follow_the_schedule_and_start_anew() -> None:
    beats = Heartbeats()
    assert beats.when() is None
    assert not beats.due(5.0)
    beats.sent(1.0)
    times = []
    while (when := beats.when()) is not None:
        assert not beats.due(when - 0.001)
        assert beats.due(when)
        times.append(round(when - 1.0, 6))
    assert times == list(SCHEDULE)
    beats.sent(20.0)
    assert beats.when() == 20.02


def test_while_data_goes_on_there_is_a_heartbeat_a_second() -> None:
    beats = Heartbeats()
    sent = []
    for step in range(300):
        now = 50.0 + step / 100
        beats.sent(now)
        if beats.due(now):
            sent.append(now)
    assert sent == [51.0, 52.0]


def test_the_first_announcement_is_at_once() -> None:
    announcer = Announcer(Random(1), 5.0, 2000, now=7.0)
    assert not announcer.due(6.9)
    assert announcer.due(7.0)
    assert 7.0 < announcer.next < 7.0 + 6.25
    assert not announcer.due(7.0)


def test_a_change_is_announced_soon_but_not_more_than_once_a_second() -> None:
    announcer = Announcer(Random(1), 5.0, 2000, now=0.0)
    announcer.begin(0.0)
    assert announcer.due(0.0)
    announcer.next = 4.0
    announcer.soon(0.2)
    assert announcer.next == 1.0
    assert announcer.due(1.0)
    announcer.soon(4.0)
    assert announcer.due(4.0)


def test_who_has_been_here_for_a_while_announces_itself_once_a_second_with_all_others() -> None:
    """Fifty peers: at first as often as the bytes allow, later as seldom as is still patient."""
    random = Random(3)
    announcers = [Announcer(random, 5.0, 2000, 0.0, 1.0, 60.0) for _ in range(50)]
    for announcer in announcers:
        announcer.members(50, 0.0)
    announcers[0].sized(2000)
    told = [[step / 10 for step in range(6000) if a.due(step / 10)] for a in announcers]
    early = sum(at < 30 for times in told for at in times)
    late = sum(100 <= at < 600 for times in told for at in times)
    assert 200 < early < 400
    assert 450 < late < 550
    assert announcers[0].interval == 50.0
    announcers[0].members(500, 600.0)
    assert announcers[0].interval > 60.0
    announcers[0].members(70, 600.0)
    assert announcers[0].interval == 60.0


def test_strangers_who_wait_count_while_a_run_is_young() -> None:
    announcer = Announcer(Random(1), 5.0, 2000, now=0.0)
    assert announcer.due(0.0)
    announcer.waiting = 10_000
    assert announcer.interval == pytest.approx(10_001 * 256 / 2000)
    announcer.next = 40.0
    announcer.due(40.0)
    assert announcer.interval == 5.0


def test_the_rate_stays_even_after_all_have_joined_at_once() -> None:
    """No second interval in which everybody speaks: each tenth of it has a tenth of the announcements."""
    size, random = 3000, Random(5)
    announcers = [Announcer(random, 5.0, 2000, now=0.0) for _ in range(size)]
    for announcer in announcers:
        assert announcer.due(0.0)
        announcer.members(size, 0.1)
    interval = announcers[0].interval
    tenths = [0] * 30
    for tenth in range(300):
        now = 0.1 + interval * tenth / 100
        tenths[tenth // 10] += sum(announcer.due(now) for announcer in announcers)
    assert all(0.75 < count / (size / 10) < 1.25 for count in tenths)


def test_the_interval_grows_with_the_group() -> None:
    announcer = Announcer(Random(1), 5.0, 2000, now=0.0)
    announcer.members(10, 0.0)
    assert announcer.interval == 5.0
    announcer.members(1000, 0.0)
    for _ in range(200):
        announcer.sized(300)
    assert 140 < announcer.interval < 151


def test_a_shrinking_group_brings_the_announcement_forward() -> None:
    announcer = Announcer(Random(1), 5.0, 2000, now=0.0)
    announcer.members(1000, 0.0)
    assert announcer.due(0.0)
    far = announcer.next
    announcer.members(100, 10.0)
    assert announcer.next == pytest.approx(10.0 + (far - 10.0) / 10)


def test_reconsideration_keeps_a_storm_of_newcomers_quiet() -> None:
    """After the immediate ones, 2,000 who join at once do not all announce five seconds later.

    Everybody hears everybody. Without reconsideration about 700 announce in the worst second.
    """
    size, random = 2000, Random(5)
    announcers = [Announcer(random, 5.0, 2000, now=0.0) for _ in range(size)]
    for announcer in announcers:
        assert announcer.due(0.0)
    for announcer in announcers:
        announcer.members(size, 0.1)
    a_second = [0] * 60
    for tick in range(600):
        now = 0.1 * tick
        a_second[tick // 10] += sum(announcer.due(now) for announcer in announcers)
    assert max(a_second[1:]) < 100


def test_a_bucket_fills_to_its_depth_and_lends() -> None:
    bucket = Bucket(10.0, 20.0, now=0.0)
    assert bucket.take(20, 0.0)
    assert not bucket.take(1, 0.05)
    assert bucket.take(1, 0.1)
    bucket.spend(10, 0.1)
    assert bucket.level(0.1) == pytest.approx(-10.0)
    assert bucket.when(1, 0.1) == pytest.approx(1.2)
    assert bucket.level(100.0) == 20.0
    assert bucket.when(1, 100.0) == 100.0
    bucket.credit(100.0, 50.0)
    assert bucket.level(100.0) == 50.0
    bucket.credit(5.0, 50.0)
    assert bucket.level(200.0) == 50.0


def test_quotas_push_out_the_oldest() -> None:
    quotas = Quotas(1.0, 1.0, 2)
    first = quotas.of("a", 0.0)
    assert quotas.of("a", 0.0) is first
    quotas.of("b", 0.0)
    quotas.of("c", 0.0)
    assert len(quotas) == 2
    assert quotas.of("a", 0.0) is not first
    quotas.credit(5.0, 6.0, 0.0)
    assert quotas.of("a", 0.0).take(6.0, 0.0)
    assert quotas.of("new", 0.0).take(6.0, 0.0)
    assert not quotas.of("later", 100.0).take(1.1, 100.0)


def test_strangers_cannot_use_up_the_known_ones_budget() -> None:
    budget = Verifications(1000, now=0.0)
    assert sum(budget.allow(b"%d" % n, False, 0.0) for n in range(5000)) == 300
    assert sum(budget.allow(b"victim", True, 0.0) for _ in range(5000)) == 350
    assert sum(budget.allow(b"other", True, 0.0) for _ in range(5000)) == 350


def test_a_genuine_signature_of_a_known_origin_costs_a_quarter() -> None:
    budget = Verifications(1000, now=0.0)
    genuine = 0
    while budget.allow(b"fast", True, 0.0, GENUINE):
        genuine += 1
    assert genuine == pytest.approx(1400, abs=5)
    budget.forged(b"stranger", False, 0.0)
    assert sum(budget.allow(b"stranger", False, 0.0, GENUINE) for _ in range(1000)) == 300


def test_a_forged_signature_of_a_known_origin_costs_its_whole_price() -> None:
    budget = Verifications(1000, now=0.0)
    forged = 0
    while budget.allow(b"victim", True, 0.0, GENUINE):
        budget.forged(b"victim", True, 0.0)
        forged += 1
    assert forged == 350
    assert sum(budget.allow(b"other", True, 0.0) for _ in range(5000)) == 350


def test_the_clock_never_goes_back_and_the_wall_clock_fits_the_wire() -> None:
    clock = Clock(10.0, 1000.0)
    assert clock.advance(12.0) == 12.0
    assert clock.advance(11.0) == 12.0
    assert clock.unix_ms(12.0) == 1_002_000
    clock.set(12.0, -5.0)
    assert clock.unix_ms(12.0) == 0
    clock.set(12.0, 1e15)
    assert clock.unix_ms(12.0) == 253_402_300_799_999
