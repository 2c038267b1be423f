"""A lone message may leave at once; one sent right after it waits for company."""

from __future__ import annotations

from mcast import simulation


def test_only_the_first_of_a_burst_may_leave_at_once() -> None:
    lan = simulation.Lan(seed=1)
    engine = lan.join("ada").engine
    assert not engine.may_flush(lan.now)
    engine.send(b"first", lan.now)
    assert engine.may_flush(lan.now)
    engine.datagrams(lan.now)
    engine.send(b"second", lan.now)
    assert not engine.may_flush(lan.now)
    assert engine.may_flush(lan.now + lan.settings.flush_interval)
