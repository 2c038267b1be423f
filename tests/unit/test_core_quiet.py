"""Who listened quietly is here as soon as somebody speaks."""

from __future__ import annotations

from mcast import simulation


def test_a_quiet_member_is_known_at_once_when_it_has_heard_somebody() -> None:
    lan = simulation.Lan(seed=3)
    first, second = lan.join("first"), lan.join("second")
    lan.run(1.0)
    quiet = lan.join("quiet", quiet=True)
    lan.run(0.1)
    assert not quiet.peers()
    first.send("hello")
    lan.run(0.5)
    for member in (quiet, first, second):
        assert len(member.peers()) == 2
