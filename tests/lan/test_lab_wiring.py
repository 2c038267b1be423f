"""How hosts are connected is how the lab says: interfaces, addresses, routes, memberships."""

from __future__ import annotations

import os

import pytest

from tests import lab
from tests.lab import arrives, lost

GROUP, GROUP6 = "239.255.9.9", "ff12::9:9"


def pair(lan: lab.Lan) -> tuple[lab.Peer, lab.Peer]:
    """A peer that sends on h1 and one on h2 that has joined both groups."""
    sender, receiver = lab.Peer(lan.hosts[0]), lab.Peer(lan.hosts[1])
    receiver.join(GROUP)
    receiver.join(GROUP6)
    return sender, receiver


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
    h3.remove_interface("eth0")
    assert h3.add_interface() == "eth0"
    assert [h3.address(), h3.address(interface="eth1")] == ["10.9.0.3", "10.9.1.3"]
    assert [route["dev"] for route in h3.ip_json("route", "show", "default")] == ["eth0"]
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
    sender.send(GROUP, "into the tunnel", interface="")
    sender.send(GROUP, "into the LAN")
    receiver.wait_count(1)
    receiver.settle()
    assert [text for text, _ in receiver.take()] == ["into the LAN"]


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
    made.add_host(ipv6=False)
    show = ["neighbour", "show", "nud", "permanent", "dev", "eth0"]
    assert len(made.hosts[0].ip_json(*show)) == 23 * 2 + 1
    assert len(made.hosts[24].ip_json(*show)) == 24
    first, last = lab.Peer(made.hosts[0]), lab.Peer(made.hosts[23])
    assert arrives(first, last, "10.9.0.24")
    assert arrives(first, last, made.hosts[23].link_local())


def test_a_tun_tunnel_says_what_a_real_one_says(lan: lab.MakeLan) -> None:
    made = lan(2)
    sender, receiver = pair(made)
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        with pytest.raises(lab.LabError, match="/dev/net/tun"):
            made.hosts[0].add_tunnel("tun0", tun=True)
        return
    made.hosts[0].add_tunnel("tun0", tun=True)
    (shown,) = made.hosts[0].ip_json("link", "show", "dev", "tun0")
    assert {"POINTOPOINT", "MULTICAST", "NOARP", "UP", "LOWER_UP"} == set(shown["flags"])
    assert made.hosts[0].ip_json("route", "show", "default")[0]["dev"] == "tun0"
    sender.send(GROUP, interface="")
    assert arrives(sender, receiver, GROUP)


def test_traffic_is_counted_to_the_byte(lan: lab.MakeLan) -> None:
    made = lan(3, snooping=False, offload=False, ipv6=False)
    sender = lab.Peer(made.hosts[0])
    before, all_before = made.hosts[0].counters(), made.traffic()
    sender.send(GROUP, "x" * 1000, count=50)
    lab.until(lambda: (made.traffic() - all_before).received_units >= 100)
    assert made.hosts[0].counters() - before == lab.Traffic(50 * 1042, 50, 0, 0)
    assert made.traffic() - all_before == lab.Traffic(50 * 1042, 50, 2 * 50 * 1042, 100)


def test_what_a_full_socket_drops_is_counted(lan: lab.MakeLan) -> None:
    made = lan(2)
    receiver, sender = made.hosts[1].python(DEAF), lab.Peer(made.hosts[0])
    receiver.wait_for("ready")
    sender.send("10.9.0.2", "x" * 1000, count=500)
    lab.until(lambda: made.hosts[1].udp_drops(sender.port) > 400)
    assert made.hosts[0].udp_drops(sender.port) == 0


DEAF = """
    import socket, time
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.bind(("", 5009))
    print("ready")
    time.sleep(60)
"""
