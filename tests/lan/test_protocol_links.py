"""A group on a network that changes under it: links flap, come and go, and speak different IP versions."""

from __future__ import annotations

import time

from tests import lab
from tests.lan.programs.remote import Member, finished, members, numbers

COUNT, RATE, SIZE = 1000, 200.0, 300


def all_of(members_: list[Member], count: int = COUNT) -> None:
    """Everything came, once, in order."""
    for member in members_:
        assert member.hears(count, 20.0) == numbers(count)
        assert not member.events("GapAbandoned")


def two_lans(made: lab.Lan) -> None:
    """Give every host a second interface, on a second switch; each answers for itself only."""
    made.connect([(host.name, made.switches[1], "eth1") for host in made.hosts])
    for host in made.hosts:
        for name in ("all", "eth0", "eth1"):
            host.sysctl(f"net.ipv4.conf.{name}.rp_filter", 0)


def test_a_receivers_link_flaps(lan: lab.MakeLan) -> None:
    sender, flapping, other = members(lan(3).hosts)
    sender("burst", COUNT, RATE, SIZE)
    flapping.hears(100)
    flapping.host.down()
    time.sleep(3.0)
    flapping.host.up()
    finished(sender)
    all_of([flapping, other])


def test_a_senders_link_flaps(lan: lab.MakeLan) -> None:
    sender, *others = members(lan(3).hosts)
    sender("burst", COUNT, RATE, SIZE)
    others[0].hears(100)
    sender.host.down()
    time.sleep(3.0)
    sender.host.up()
    finished(sender)
    all_of(others)


def test_one_of_two_interfaces_is_pulled(lan: lab.MakeLan) -> None:
    made = lan(3, switches=2)
    two_lans(made)
    sender, *others = members(made.hosts)
    sender("burst", COUNT, RATE, SIZE)
    others[0].hears(100)
    others[0].host.unplug("eth0")
    others[1].hears(500)
    sender.host.unplug("eth0")
    finished(sender)
    all_of(others)


def test_interfaces_come_and_go_and_nothing_is_lost(lan: lab.MakeLan) -> None:
    made = lan(3, switches=2)
    sender, *others = members(made.hosts)
    sender("burst", COUNT, RATE, SIZE)
    for member in (sender, *others):
        name = member.host.add_interface(made.switches[1])
        member.host.add_address(f"10.77.0.{member.host.number}/24")
        has_told_of_eth1(member, "joined")
        member.host.remove_interface(name)
    finished(sender)
    all_of(others)
    for member in (sender, *others):
        has_told_of_eth1(member, "left")


def has_told_of_eth1(member: Member, what: str) -> None:
    """Wait until a member says that it joined, or left, on its second interface."""
    lab.until(lambda: any("eth1" in change[what] for change in member.events("InterfacesChanged")))
