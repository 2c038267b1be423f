"""The lab does what it says: every fault is seen by plain sockets, and ends when it is told to."""

from __future__ import annotations

import pytest

from tests import lab
from tests.lab import arrives, lost, until

GROUP, GROUP6 = "239.255.9.9", "ff12::9:9"


def pair(lan: lab.Lan) -> tuple[lab.Peer, lab.Peer]:
    """A peer that sends on h1 and one on h2 that has joined both groups."""
    sender, receiver = lab.Peer(lan.hosts[0]), lab.Peer(lan.hosts[1])
    receiver.join(GROUP)
    receiver.join(GROUP6)
    return sender, receiver


def test_every_host_is_a_computer_of_its_own(lan: lab.MakeLan) -> None:
    h1, h2, _ = lan(3).hosts
    assert [h1.address(), h2.address()] == ["10.9.0.1", "10.9.0.2"]
    assert h1.address(6) == h1.link_local() == "fe80::9:ff:fe00:1"
    assert h1.interfaces() == ["lo", "eth0"]
    shown = h2.run(["sh", "-c", "hostname; ls /sys/class/net; ip route show default"])
    assert shown.stdout == "h2\neth0\nlo\ndefault via 10.9.255.254 dev eth0 metric 100 \n"


@pytest.mark.parametrize("user_namespace", [None, True])
def test_datagrams_reach_who_they_should_in_both_families(
    lan: lab.MakeLan, user_namespace: bool | None
) -> None:
    made = lan(3, user_namespace=user_namespace)
    sender, receiver = pair(made)
    stranger = lab.Peer(made.hosts[2])
    stranger.join("239.255.9.10")
    for where in (GROUP, GROUP6, "10.9.0.2", made.hosts[1].link_local()):
        assert arrives(sender, receiver, where), where
    assert stranger.count() == 0


def test_loss_takes_its_share_of_what_the_cable_brings_and_no_other(lan: lab.MakeLan) -> None:
    made = lan(2, offload=False)
    sender, receiver = pair(made)
    made.hosts[1].loss(30)
    sender.send(GROUP, count=2000)
    sender.send(GROUP6, count=2000)
    receiver.send("127.0.0.1", count=500, interface="")
    receiver.send("10.9.0.2", count=500, interface="")
    until(lambda: made.hosts[1].counters().received_units >= 4000)
    receiver.settle()
    taken = receiver.take()
    own = sum(source in ("127.0.0.1", "10.9.0.2") for _, source in taken)
    # 2,800 of 4,000 expected with a standard deviation of 29.
    assert own == 1000
    assert 2600 < len(taken) - own < 3000
    made.hosts[1].loss(100)
    assert lost(sender, receiver, GROUP)
    made.hosts[1].loss(0)
    sender.send(GROUP, count=2000)
    assert receiver.wait_count(2000) == 2000


def test_an_interface_that_is_down_and_a_pulled_cable_stop_everything(lan: lab.MakeLan) -> None:
    made = lan(2)
    sender, receiver = pair(made)
    h2 = made.hosts[1]
    for fault, cure in ((h2.down, h2.up), (h2.unplug, h2.plug)):
        fault()
        assert lost(sender, receiver, GROUP)
        assert lost(sender, receiver, "10.9.0.2")
        cure()
        assert arrives(sender, receiver, GROUP)
        assert arrives(sender, receiver, h2.link_local())


def test_an_unplugged_interface_is_up_without_carrier(lan: lab.MakeLan) -> None:
    h1 = lan(1).hosts[0]
    h1.unplug()
    (shown,) = h1.ip_json("link", "show", "dev", "eth0")
    assert "UP" in shown["flags"]
    assert "LOWER_UP" not in shown["flags"]


def test_an_interface_switched_off_and_on_has_its_default_route_again(lan: lab.MakeLan) -> None:
    h1 = lan(1).hosts[0]
    h1.down()
    assert h1.ip_json("route", "show", "default") == []
    h1.up()
    assert [route["dev"] for route in h1.ip_json("route", "show", "default")] == ["eth0"]


@pytest.mark.parametrize("group", [GROUP, GROUP6])
@pytest.mark.parametrize(
    ("snooping", "querier", "spared"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_a_snooping_switch_spares_others_only_with_a_querier(
    lan: lab.MakeLan, snooping: bool, querier: bool, spared: bool, group: str
) -> None:
    made = lan(3, snooping=snooping)
    made.switch.querier(querier)
    sender, receiver = lab.Peer(made.hosts[0]), lab.Peer(made.hosts[1])
    receiver.join(group)

    def crossed() -> tuple[bool, bool]:
        """Whether 100 datagrams crossed the cable of the member, and of the third host."""
        before = [host.counters() for host in made.hosts]
        sender.send(group, count=100)
        came = [host.counters() - past for host, past in zip(made.hosts, before, strict=True)]
        return came[1].received_units >= 100, came[2].received_units >= 100

    until(lambda: crossed() == (True, not spared))


def test_a_querier_that_vanishes_makes_a_snooping_switch_forget_members(lan: lab.MakeLan) -> None:
    made = lan(3)
    sender, receiver = pair(made)
    made.switch.configure(mcast_querier_interval=100_000_000, mcast_membership_interval=200)
    assert arrives(sender, receiver, GROUP)
    made.hosts[2].query()
    until(lambda: made.switch.members(GROUP) == {"h2"})
    until(lambda: made.switch.members(GROUP) == set())
    assert lost(sender, receiver, GROUP)
    assert arrives(sender, receiver, "224.0.0.1")


def test_ports_can_drop_multicast_and_isolate(lan: lab.MakeLan) -> None:
    made = lan(2)
    sender, receiver = pair(made)
    made.switch.port(made.hosts[1], mcast_flood=False)
    assert lost(sender, receiver, GROUP)
    assert arrives(sender, receiver, "10.9.0.2")
    made.switch.port(made.hosts[1], mcast_flood=True)
    assert arrives(sender, receiver, GROUP)
    for host in made.hosts:
        made.switch.port(host, isolated=True)
    assert lost(sender, receiver, "10.9.0.2")


def test_firewall_rules_hold_until_removed(lan: lab.MakeLan) -> None:
    made = lan(2)
    sender, receiver = pair(made)
    blocked = made.hosts[1].firewall(f"ip daddr {GROUP} drop")
    assert lost(sender, receiver, GROUP)
    assert arrives(sender, receiver, "10.9.0.2")
    closed = made.hosts[1].firewall("icmpv6 type nd-neighbor-solicit accept", policy="drop")
    blocked.remove()
    assert lost(sender, receiver, GROUP)
    closed.remove()
    assert arrives(sender, receiver, GROUP)
    made.hosts[0].firewall("ip daddr 224.0.0.0/4 drop", hook="output")
    with pytest.raises(lab.Refused, match="EPERM"):
        sender.send(GROUP)


def test_a_wrong_rule_is_an_error_that_says_where(lan: lab.MakeLan) -> None:
    with pytest.raises(lab.LabError, match=r"on h1 returned 1: .*syntax error"):
        lan(1).hosts[0].nft("add nonsense")


SEGMENTS = """
    import socket, sys
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(17, 103, 1000)
    s.sendto(bytes(20000), (sys.argv[1], 5009))
"""


@pytest.mark.parametrize(("offload", "units"), [(True, 1), (False, 20)])
def test_without_offload_every_datagram_crosses_the_cable_by_itself(
    lan: lab.MakeLan, offload: bool, units: int
) -> None:
    made = lan(2, offload=offload, ipv6=False)
    sender, receiver = lab.Peer(made.hosts[0]), lab.Peer(made.hosts[1])
    assert arrives(sender, receiver, "10.9.0.2")
    before = made.hosts[0].counters()
    assert made.hosts[0].python(SEGMENTS, "10.9.0.2").wait() == 0
    receiver.wait_count(20)
    crossed = made.hosts[0].counters() - before
    assert crossed.sent_units == units
    assert crossed.sent_bytes == 20000 + units * 42


def test_a_rate_limit_drops_what_exceeds_it(lan: lab.MakeLan) -> None:
    made = lan(2, offload=False)
    sender, receiver = pair(made)
    made.hosts[0].rate("1mbit")
    sender.send(GROUP, "x" * 1000, count=400)
    # A hundredth of a second's sending: 16 kB of burst and 100 ms of queue pass.
    assert receiver.wait_count(10) < 100
    made.hosts[0].rate(None)
    receiver.settle()
    receiver.take()
    sender.send(GROUP, "x" * 1000, count=400)
    assert receiver.wait_count(400) == 400


def test_what_is_larger_than_the_mtu_of_a_cable_is_lost(lan: lab.MakeLan) -> None:
    made = lan(2)
    sender, receiver = pair(made)
    assert arrives(sender, receiver, GROUP, 1472)
    made.hosts[1].mtu(1400)
    assert arrives(sender, receiver, GROUP, 1372)
    assert lost(sender, receiver, GROUP, 1472)


def test_a_lan_can_have_a_large_mtu(lan: lab.MakeLan) -> None:
    made = lan(2, mtu=9000)
    sender, receiver = pair(made)
    assert made.hosts[0].ip_json("link", "show", "dev", "eth0")[0]["mtu"] == 9000
    assert arrives(sender, receiver, GROUP, 8972)


def test_kernel_settings_are_of_one_host(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    h1.sysctl("net.ipv4.igmp_max_memberships", 3)
    shown = [h.run(["cat", "/proc/sys/net/ipv4/igmp_max_memberships"]).stdout for h in (h1, h2)]
    assert shown == ["3\n", "20\n"]
