"""The lab does what it says: every fault is seen by plain sockets, and ends when it is told to."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests import lab

GROUP, GROUP6 = "239.255.9.9", "ff12::9:9"


def pair(lan: lab.Lan) -> tuple[lab.Peer, lab.Peer]:
    """A peer that sends on h1 and one on h2 that has joined both groups."""
    sender, receiver = lab.Peer(lan.hosts[0]), lab.Peer(lan.hosts[1])
    receiver.join(GROUP)
    receiver.join(GROUP6)
    return sender, receiver


def arrives(sender: lab.Peer, receiver: lab.Peer, where: str, size: int = 20) -> bool:
    """Whether one datagram to `where` arrives."""
    receiver.take()
    sender.send(where, "x" * size)
    return receiver.wait_count(1) == 1


def lost(sender: lab.Peer, receiver: lab.Peer, where: str, size: int = 20) -> bool:
    """Whether one datagram to `where` is refused or does not arrive soon."""
    receiver.take()
    try:
        sender.send(where, "x" * size)
        receiver.wait_count(1, 0.3)
    except (lab.LabTimeout, lab.Refused):
        return True
    return False


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < deadline, "not within 10 s"
        time.sleep(0.02)


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


@pytest.mark.parametrize(
    ("snooping", "querier", "spared"), [(True, True, True), (True, False, False), (False, False, False)]
)
def test_a_snooping_switch_spares_others_only_with_a_querier(
    lan: lab.MakeLan, snooping: bool, querier: bool, spared: bool
) -> None:
    made = lan(3, snooping=snooping, querier=querier, ipv6=False)
    sender, receiver = lab.Peer(made.hosts[0]), lab.Peer(made.hosts[1])
    receiver.join(GROUP)

    def crossed_to_the_third() -> int:
        before = made.hosts[2].counters()
        sender.send(GROUP, count=100)
        receiver.wait_count(100)
        return (made.hosts[2].counters() - before).received_units

    until(lambda: (crossed_to_the_third() < 100) == spared)


def test_a_querier_that_vanishes_makes_a_snooping_switch_forget_members(lan: lab.MakeLan) -> None:
    made = lan(3)
    sender, receiver = pair(made)
    made.switch.configure(mcast_querier_interval=100_000_000, mcast_membership_interval=200)
    assert arrives(sender, receiver, GROUP)
    made.hosts[2].query()
    until(lambda: lost(sender, receiver, GROUP))
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
    receiver.wait_count(21)
    crossed = made.hosts[0].counters() - before
    assert crossed.sent_units == units
    assert crossed.sent_bytes == 20000 + units * 42


def test_interfaces_can_be_added_and_removed_on_any_switch(lan: lab.MakeLan) -> None:
    made = lan(3, switches=2)
    h1, h2, h3 = made.hosts
    assert [h1.add_interface(made.switches[1]), h2.add_interface(made.switches[1])] == ["eth1", "eth1"]
    assert [h1.address(interface="eth1"), h2.address(interface="eth1")] == ["10.10.0.1", "10.10.0.2"]
    assert h3.add_interface() == "eth1"
    assert h3.address(interface="eth1") == "10.9.1.3"
    sender, receiver, other = lab.Peer(h1), lab.Peer(h2), lab.Peer(h3)
    for peer in (receiver, other):
        peer.join(GROUP, "eth1")
    sender.send(GROUP, interface="eth1")
    receiver.wait_count(1)
    assert other.count() == 0
    sender.send(GROUP, interface="eth0")
    other.wait_count(1)
    h2.remove_interface("eth1")
    assert h2.interfaces() == ["lo", "eth0"]
    assert h2.add_interface(name="usb0", ipv4=False) == "usb0"
    assert h2.ip_json("-4", "address", "show", "dev", "usb0") == []
    assert h2.link_local("usb0") == "fe80::9:ff:fe00:102"


def test_hosts_of_one_family(lan: lab.MakeLan) -> None:
    made = lan(0)
    only4, only6 = made.add_host(ipv6=False), made.add_host(ipv4=False)
    shown4 = only4.ip_json("address", "show", "dev", "eth0")[0]["addr_info"]
    shown6 = only6.ip_json("address", "show", "dev", "eth0")[0]["addr_info"]
    assert [address["family"] for address in shown4] == ["inet"]
    assert [address["family"] for address in shown6] == ["inet6"]


def test_addresses_can_change(lan: lab.MakeLan) -> None:
    made = lan(2)
    sender, receiver = pair(made)
    made.hosts[1].add_address("10.9.7.7/16")
    made.hosts[1].delete_address("10.9.0.2/16")
    made.hosts[1].add_address("fd00:9::2/64")
    made.hosts[0].add_address("fd00:9::1/64")
    assert made.hosts[1].address() == "10.9.7.7"
    assert made.hosts[1].address(6) == "fd00:9::2"
    assert arrives(sender, receiver, "10.9.7.7")
    assert arrives(sender, receiver, "fd00:9::2")
    assert lost(sender, receiver, "10.9.0.2")


def test_a_tunnel_takes_the_default_route_and_swallows_what_goes_there(lan: lab.MakeLan) -> None:
    made = lan(2)
    sender, receiver = pair(made)
    sender.send(GROUP, interface="")
    receiver.wait_count(1)
    made.hosts[0].add_tunnel("wg0")
    routes = made.hosts[0].ip_json("route", "show", "default")
    assert [route["dev"] for route in routes] == ["wg0", "eth0"]
    receiver.take()
    sender.send(GROUP, interface="")
    assert arrives(sender, receiver, GROUP)
    assert receiver.count() == 1


def test_a_lan_can_be_a_bridge_that_holds_the_default_route(lan: lab.MakeLan) -> None:
    made = lan(2)
    h2 = made.hosts[1]
    h2.add_bridge("br0")
    assert [route["dev"] for route in h2.ip_json("route", "show", "default")] == ["br0"]
    assert h2.address(interface="br0") == "10.9.0.2"
    assert h2.ip_json("-4", "address", "show", "dev", "eth0") == []
    sender, receiver = lab.Peer(made.hosts[0]), lab.Peer(h2)
    receiver.join(GROUP, "br0")
    assert arrives(sender, receiver, GROUP)
    assert arrives(sender, receiver, h2.link_local("br0"))


def test_memberships_are_exactly_what_was_asked_for(lan: lab.MakeLan) -> None:
    h1 = lan(1).hosts[0]
    assert h1.memberships() == {}
    assert {"224.0.0.1", "ff02::1"} <= h1.memberships(kernel_own=True)["eth0"]
    peer = lab.Peer(h1)
    peer.join(GROUP)
    peer.join(GROUP6)
    peer.join("230.0.0.1", "lo")
    assert h1.memberships() == {"eth0": {GROUP, GROUP6}, "lo": {"230.0.0.1"}}
    peer.process.close()
    assert h1.memberships() == {}


def test_a_rate_limit_drops_what_exceeds_it(lan: lab.MakeLan) -> None:
    made = lan(2, offload=False)
    sender, receiver = pair(made)
    made.hosts[0].rate("1mbit")
    sender.send(GROUP, "x" * 1000, count=400)
    # A hundredth of a second's sending: 16 kB of burst and 100 ms of queue pass.
    assert receiver.wait_count(10) < 100
    made.hosts[0].rate(None)
    until(lambda: receiver.take() == [])
    sender.send(GROUP, "x" * 1000, count=400)
    assert receiver.wait_count(400) == 400


def test_what_is_larger_than_the_mtu_of_a_cable_is_lost(lan: lab.MakeLan) -> None:
    made = lan(2)
    sender, receiver = pair(made)
    assert arrives(sender, receiver, GROUP, 1472)
    made.hosts[1].mtu(1400)
    assert arrives(sender, receiver, GROUP, 1372)
    assert lost(sender, receiver, GROUP, 1472)


def test_a_lan_can_have_small_or_jumbo_frames(lan: lab.MakeLan) -> None:
    made = lan(2, mtu=9000)
    sender, receiver = pair(made)
    before = made.hosts[0].counters()
    assert arrives(sender, receiver, GROUP, 8972)
    assert (made.hosts[0].counters() - before).sent_units == 1


def test_kernel_settings_are_of_one_host(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    h1.sysctl("net.ipv4.igmp_max_memberships", 3)
    shown = [h.run(["cat", "/proc/sys/net/ipv4/igmp_max_memberships"]).stdout for h in (h1, h2)]
    assert shown == ["3\n", "20\n"]


def test_a_lan_without_a_default_route(lan: lab.MakeLan) -> None:
    made = lan(2, default_route=False, ipv6=False)
    sender, receiver = lab.Peer(made.hosts[0]), lab.Peer(made.hosts[1])
    receiver.join(GROUP)
    with pytest.raises(lab.Refused, match="ENETUNREACH"):
        sender.send(GROUP, interface="")
    with pytest.raises(lab.Refused, match="ENODEV"):
        sender.join(GROUP, "")
    assert arrives(sender, receiver, GROUP)


def test_hosts_of_a_large_lan_know_each_other(lan: lab.MakeLan) -> None:
    made = lan(24)
    known = made.hosts[0].ip_json("neighbour", "show", "nud", "permanent", "dev", "eth0")
    assert len(known) == 23 * 2
    first, last = lab.Peer(made.hosts[0]), lab.Peer(made.hosts[-1])
    assert arrives(first, last, "10.9.0.24")
    assert arrives(first, last, made.hosts[-1].link_local())
