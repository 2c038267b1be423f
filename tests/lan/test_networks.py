"""A host on two LANs takes part on both and joins them only for itself."""

from __future__ import annotations

import time

from tests import lab
from tests.lan.programs.remote import Member

COMPARED = 6.0  # seconds in which members have compared what they hold


def on_both(made: lab.Lan, host: lab.Host) -> lab.Host:
    """Give a host a second interface, on the second switch."""
    made.connect([(host.name, made.switches[1], "eth1")])
    return host


def names(member: Member) -> set[str]:
    """Everybody a member was ever told of."""
    return {event["name"] for event in member.events("PeerJoined")}


def test_what_is_said_on_one_lan_never_arrives_on_the_other(lan: lab.MakeLan) -> None:
    made = lan(3, switches=2)
    on_both(made, made.hosts[0])
    hosts = [*made.hosts, *(made.add_host(switch=made.switches[1]) for _ in range(2))]
    laptop, *others = [Member(host, wait=False) for host in hosts]
    pairs = [(others[0], others[1]), (others[1], others[0]), (others[2], others[3]), (others[3], others[2])]
    laptop.sees("h2", "h3", "h4", "h5", timeout=30.0)
    for member, other in pairs:
        member.sees("h1", other.host.name, timeout=30.0)
    said = {host.name: {f"{host.name}:{number}" for number in range(3)} for host in hosts}
    for number in range(3):
        for member in (laptop, *others):
            member("send", f"{member.host.name}:{number}")
    assert set(laptop.hears(12)) == said["h2"] | said["h3"] | said["h4"] | said["h5"]
    for member, other in pairs:
        assert set(member.hears(6)) == said["h1"] | said[other.host.name]
    time.sleep(COMPARED)
    for member, other in pairs:
        assert set(member.texts()) == said["h1"] | said[other.host.name]
        assert names(member) == {"h1", other.host.name}


def test_history_is_handed_out_where_it_was_heard(lan: lab.MakeLan) -> None:
    """Also when the laptop moves one of its cables to a third LAN."""
    made = lan(2, switches=3)
    laptop, ann = Member(on_both(made, made.hosts[0])), Member(made.hosts[1])
    bob = Member(made.add_host(switch=made.switches[1]))
    for author, text in ((ann, "near"), (bob, "far")):
        author.sees("h1")
        author("send", text)
    laptop.hears(2)
    for author in (ann, bob):
        author.leave()
    near = Member(made.add_host(), history=True)
    far = Member(made.add_host(switch=made.switches[1]), history=True)
    assert (near.hears(1), far.hears(1)) == (["near"], ["far"])
    link = laptop.host.links["eth1"]
    laptop.host.unplug("eth1")
    lab.until(lambda: any("eth1" in change["left"] for change in laptop.events("InterfacesChanged")))
    made.ip(f"link set {link.port} master {made.switches[2].name}")
    laptop.host.plug("eth1")
    moved = Member(made.add_host(switch=made.switches[2]), history=True)
    moved.sees("h1", timeout=30.0)
    laptop("send", "here")
    assert moved.hears(1) == ["here"]
    time.sleep(COMPARED)
    assert (near.texts(), far.texts(), moved.texts()) == (["near", "here"], ["far"], ["here"])


def test_two_chats_on_two_lans_do_not_meet_through_a_third(lan: lab.MakeLan) -> None:
    made = lan(2, switches=2)
    far = made.add_host(switch=made.switches[1])
    chats = {}
    for name, host in (("laptop", on_both(made, made.hosts[0])), ("ann", made.hosts[1]), ("bob", far)):
        chats[name] = host.mcast("chat", "--json", "-n", name)
        chats[name].wait_for("230.0.0.1", stream="stderr")
    lab.until(lambda: all(name in chats["laptop"].stdout for name in ("ann", "bob")))
    for name in ("ann", "bob", "laptop"):
        chats[name].write(f"hello from {name}\n")
    lab.until(lambda: all("hello from laptop" in chats[name].stdout for name in ("ann", "bob")))
    lab.until(lambda: all(f"hello from {name}" in chats["laptop"].stdout for name in ("ann", "bob")))
    time.sleep(COMPARED)
    assert "bob" not in chats["ann"].stdout
    assert "ann" not in chats["bob"].stdout


def test_a_named_peer_is_told_nothing_of_the_lan(lan: lab.MakeLan) -> None:
    """Bob is on no LAN of ann's. He names the hub, which routes to him."""
    made = lan(2, switches=2, ipv6=False)
    hub = Member(on_both(made, made.hosts[0]))
    ann = Member(made.hosts[1])
    remote = made.add_host(switch=made.switches[1], ipv6=False)
    for host in (hub.host, remote):
        made.switches[1].port(host, "eth1" if host is hub.host else "eth0", mcast_flood=False)
    bob = Member(remote, peers=["10.10.0.1"])
    bob.sees("h1", timeout=30.0)
    hub.sees("h2", "h3", timeout=30.0)
    for member in (hub, ann, bob):
        member("send", member.host.name)
    assert sorted(hub.hears(2)) == ["h2", "h3"]
    time.sleep(COMPARED)
    assert ann.texts() == bob.texts() == ["h1"]
    assert names(ann) == names(bob) == {"h1"}


def test_ipv4_and_ipv6_are_one_network(lan: lab.MakeLan) -> None:
    """One with IPv4 only and one with IPv6 only get each other's messages from one that has both."""
    made = lan(1)
    hosts = [*made.hosts, made.add_host(ipv6=False), made.add_host(ipv4=False)]
    both, four, six = [Member(host, wait=False) for host in hosts]
    both.sees("h2", "h3", timeout=30.0)
    for member in (four, six, both):
        member("send", member.host.name)
    assert set(both.hears(2)) == {"h2", "h3"}
    assert set(four.hears(2, 60.0)) == {"h1", "h3"}
    assert set(six.hears(2, 60.0)) == {"h1", "h2"}
