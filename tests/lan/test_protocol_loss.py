"""Loss on a real LAN: everything comes, once and in order."""

from __future__ import annotations

import signal
import time

import pytest

from tests import lab
from tests.lan.programs.rate import narrow
from tests.lan.programs.remote import Member, finished, members, numbers

SIZE = 1024


def complete(member: Member, count: int, timeout: float = 60.0) -> None:
    """All of a burst came, once, in order, and nothing was given up."""
    assert member.hears(count, timeout) == numbers(count)
    assert not member.events("GapAbandoned")
    assert not member.events("Alarm")


@pytest.mark.parametrize("loss", [10, 30])
def test_four_receivers_that_lose_much_get_all(lan: lab.MakeLan, loss: int) -> None:
    sender, *receivers = members(lan(5, offload=False).hosts)
    for receiver in receivers:
        receiver.host.loss(loss)
    sender("burst", 2000, 2000.0, SIZE)
    finished(sender)
    for receiver in receivers:
        complete(receiver, 2000)
    assert sum(receiver("stats")["sent-nack"] for receiver in receivers) > 0, "nothing was lost"


def test_a_receiver_that_stood_still_loses_nothing(lan: lab.MakeLan) -> None:
    sender, stopped, other = members(lan(3, offload=False).hosts)
    sender("burst", 3000, 1000.0, SIZE)
    stopped.hears(100)
    stopped.process.signal(signal.SIGSTOP)
    try:
        time.sleep(5.0)
    finally:
        stopped.process.signal(signal.SIGCONT)
    complete(stopped, 3000)
    complete(other, 3000)


def test_a_slow_link_slows_the_sender_and_loses_nothing(lan: lab.MakeLan) -> None:
    made = lan(3, offload=False)
    sender, *receivers = members(made.hosts)
    narrow(made.hosts[2], "10mbit")
    sender("burst", 3000, 1e6, SIZE)
    for receiver in receivers:
        complete(receiver, 3000)
    assert not sender.events("SlowMember")


def test_a_sender_that_is_killed_and_comes_back_is_another_run(lan: lab.MakeLan) -> None:
    first, *receivers = members(lan(3, offload=False).hosts, settings={"live_window": 30.0})
    identity = "11" * 32
    sender = Member(first.host, name="sender", identity=identity)
    for receiver in receivers:
        receiver.sees(*(m.host.name for m in (first, *receivers) if m is not receiver), "sender")
    sender("burst", 100_000, 1000.0, SIZE)
    receivers[0].hears(500)
    sender.kill()
    again = Member(first.host, name="sender", identity=identity)
    again("burst", 300, 1000.0, SIZE)
    finished(again)
    for receiver in receivers:
        texts = receiver.hears_last("299", 300)
        assert texts[-300:] == numbers(300)
        assert texts[:-300] == numbers(len(texts) - 300), "the killed run's are in order, without a hole"
        assert len({message["peer_id"] for message in receiver("messages")}) == 2
        assert not receiver.events("Alarm")


def test_the_only_holder_of_a_dead_ones_last_record_gives_it_on(lan: lab.MakeLan) -> None:
    sender, holder, *others = members(lan(4).hosts)
    sender("send", "first")
    for receiver in (holder, *others):
        receiver.hears(1)
    sender.host.loss(100)  # it hears no request
    for other in others:
        other.host.loss(100)
    sender("send", "last")
    assert holder.hears(2) == ["first", "last"]
    for other in others:
        other.host.loss(0)
    lab.until(lambda: all(other.events("GapOpened") or other("count") == 2 for other in others))
    sender.kill()
    for other in others:
        assert other.hears(2) == ["first", "last"]
        assert not other.events("GapAbandoned")
