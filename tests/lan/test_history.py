"""What was said before somebody came: from whoever heard it, though its author has left."""

from __future__ import annotations

import time

import pytest

from tests import lab
from tests.lan.programs.remote import Member, finished, members, numbers

COUNT, SIZE = 1000, 64


def told_before(lan: lab.Lan) -> tuple[Member, Member]:
    """One said a thousand lines and left; one heard them; the third host is free."""
    author, witness = members(lan.hosts[:2])
    author("burst", COUNT, 1000.0, SIZE)
    finished(author)
    assert witness.hears(COUNT) == numbers(COUNT)
    author.leave()
    return author, witness


def all_of_history(host: lab.Host, within: float) -> None:
    """A newcomer gets all of it within so many seconds: one of three, as a machine may stall."""
    took = []
    for name in ("first", "second", "third"):
        newcomer = Member(host, history=True, name=name)
        took.append(seconds_to_all(newcomer))
        if took[-1] < within:
            return
        newcomer.leave()
    raise AssertionError(f"{took} s, not within {within} s")


def seconds_to_all(newcomer: Member) -> float:
    """Everything comes, in order, marked as history; how long after joining it was there."""
    joined = newcomer.ready()
    assert newcomer.hears(COUNT) == numbers(COUNT)
    assert all(message["history"] and message["name"] == "h1" for message in newcomer("messages"))
    return float(newcomer("last_at")) - joined


def test_a_newcomer_hears_what_somebody_said_who_has_left(lan: lab.MakeLan) -> None:
    made = lan(3)
    _, _witness = told_before(made)
    all_of_history(made.hosts[2], 2.0)
    uninterested = Member(made.hosts[0])
    time.sleep(1.0)
    assert uninterested("count") == 0


def test_only_the_last_ones_when_asked_so(lan: lab.MakeLan) -> None:
    made = lan(3)
    told_before(made)
    assert Member(made.hosts[2], last=10).hears(10) == numbers(10, COUNT - 10)


def test_a_newcomer_behind_a_firewall_that_drops_unicast_answers(lan: lab.MakeLan) -> None:
    made = lan(3)
    told_before(made)
    made.hosts[2].firewall(
        "ct state established,related accept",
        "iif lo accept",
        "pkttype { broadcast, multicast } accept",
        "meta l4proto ipv6-icmp accept",
        policy="drop",
    )
    all_of_history(made.hosts[2], 5.0)


def test_a_newcomer_who_loses_a_fifth(lan: lab.MakeLan) -> None:
    made = lan(3)
    told_before(made)
    made.hosts[2].loss(20)
    all_of_history(made.hosts[2], 5.0)


def test_the_last_word_of_one_who_was_killed_reaches_all_by_way_of_the_one_who_heard_it(
    lan: lab.MakeLan,
) -> None:
    author, witness, deaf = members(lan(3).hosts)
    deaf.host.loss(100)
    author("send", "last")
    assert witness.hears(1) == ["last"]
    author.kill()
    time.sleep(0.5)
    deaf.host.loss(0)
    assert deaf.hears(1, 40.0) == ["last"]
    assert not deaf("messages")[0]["history"]


def test_what_was_said_in_an_open_room_does_not_leave_the_building(lan: lab.MakeLan) -> None:
    made = lan(3)
    elsewhere = made.add_switch()
    _, witness = told_before(made)
    stranger, mover = made.hosts[2], witness.host
    for host in (stranger, mover):
        host.down()
        made.ip(f"link set {host.links['eth0'].port} master {elsewhere.name}")
    lab.until(lambda: any("eth0" in change["left"] for change in witness.events("InterfacesChanged")))
    for host in (stranger, mover):
        host.up()
    newcomer = Member(stranger, history=True)
    newcomer.sees("h2")
    witness("send", "here")
    assert newcomer.hears(1) == ["here"]
    time.sleep(2.0)
    assert newcomer.texts() == ["here"]


def test_a_cable_that_was_pulled_for_a_moment_leads_back_to_the_same_people(lan: lab.MakeLan) -> None:
    made = lan(4)
    author, witness, other = members(made.hosts[:3])
    author("burst", 50, 1000.0, SIZE)
    finished(author)
    assert witness.hears(50) == numbers(50) == other.hears(50)
    author.leave()
    witness.host.down()
    time.sleep(2.0)
    witness.host.up()
    witness.sees("h3")
    other("send", "still here")
    witness.hears(51)
    other.leave()
    newcomer = Member(made.hosts[3], history=True)
    assert set(newcomer.hears(51)) == {*numbers(50), "still"}


OFF = """
    import runpy, sys, time
    true = time.time
    time.time = lambda: true() - 86_400.0
    sys.argv = ["mcast", *sys.argv[1:]]
    runpy.run_module("mcast", run_name="__main__")
"""


@pytest.mark.parametrize("clock", ["right", "a day off"])
def test_who_was_cut_off_gets_what_a_sender_of_a_moment_said_meanwhile(lan: lab.MakeLan, clock: str) -> None:
    """A listener and a chat have never heard it, and it is gone; others hold what it said."""
    made = lan(5)
    witness, other, chat = members(made.hosts[:3])
    listener = Member(made.hosts[3], quiet=True)
    other("send", "before")
    for reader in (witness, chat, listener):
        assert reader.hears(1) == ["before"]
    cut_off(chat.host, listener.host)
    sender = made.hosts[4]
    with (
        sender.python(OFF, "send", "meanwhile")
        if clock != "right"
        else sender.mcast("send", "meanwhile") as one
    ):
        assert one.wait() == 0, one.stderr
    assert witness.hears(2) == ["before", "meanwhile"]
    time.sleep(1.0)
    plug_in(made, chat.host, listener.host)
    for reader in (listener, chat):
        assert reader.hears(2, 60.0) == ["before", "meanwhile"]
        assert not any(message["history"] or message["late"] for message in reader("messages"))


def cut_off(*hosts: lab.Host) -> None:
    """Take their cables out of the switch; the hosts do not notice."""
    for host in hosts:
        host.lan.ip(f"link set {host.links['eth0'].port} nomaster")


def plug_in(made: lab.Lan, *hosts: lab.Host) -> None:
    """Put them back."""
    for host in hosts:
        made.ip(f"link set {host.links['eth0'].port} master {made.switch.name}")
