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


def test_who_leaves_right_after_a_message_confirms_it() -> None:
    lan = simulation.Lan(seed=3)
    sender, quiet = lan.join("sender", visitor=True), lan.join("quiet", quiet=True)
    receipt = sender.send("hello")
    while not quiet.messages():
        lan.run(0.001)
    quiet.leave()
    lan.run(0.5)
    assert sender.engine.heard_by(receipt.sequence) == [quiet.engine.peer_id]
