"""Heartbeats after our own records."""

from __future__ import annotations

from math import inf

from mcast.core.reliability.sender import SCHEDULE, Heartbeats


def test_heartbeats_follow_the_schedule_and_start_anew() -> None:
    beats = Heartbeats()
    assert beats.next == inf
    assert not beats.due(5.0)
    beats.sent(1.0)
    times = []
    while (when := beats.next) < inf:
        assert not beats.due(when - 0.001)
        assert beats.due(when)
        times.append(round(when - 1.0, 6))
    assert times == list(SCHEDULE)
    beats.sent(20.0)
    assert beats.next == 20.02


def test_while_data_goes_on_there_is_a_heartbeat_a_second() -> None:
    beats = Heartbeats()
    sent = []
    for step in range(300):
        now = 50.0 + step / 100
        beats.sent(now)
        if beats.due(now):
            sent.append(now)
    assert sent == [51.0, 52.0]
