"""Interfaces that are not as usual: small, not yet there, in several networks, tunnels, a taken port."""

from __future__ import annotations

import re

import pytest

from tests import lab
from tests.lan.test_unicast import chat, heard


def joined(process: lab.Process) -> set[str]:
    return {one["from"]["name"] for one in process.objects() if one["type"] == "join"}


def test_a_small_mtu_is_told_and_every_command_works(lan: lab.MakeLan) -> None:
    """Ethernet at 1000 on all computers, as in some tunnels of virtual machines."""
    made = lan(2)
    h1, h2 = made.hosts
    for host in made.hosts:
        host.mtu(1000)
    ada, bob = chat(h1, "ada"), chat(h2, "bob")
    assert "the MTU of eth0 is 1000" in ada.stderr
    ada.write("x" * 3000 + "\n")
    lab.until(lambda: [text for _, text in heard(bob)] == ["x" * 3000])
    assert h2.mcast("send", "-4", "--wait-acks", "1", "short").wait() == 0
    assert h2.mcast("browse", "-4", "-t").wait() == 0
    lab.until(lambda: "short" in [text for _, text in heard(ada)])
    offer = h2.mcast("announce", "-4", "-n", "printer", "--service", "_ipp._tcp:631")
    lab.until(lambda: "printer" in joined(ada))
    offer.interrupt()
    assert offer.wait() == 0


@pytest.mark.parametrize("options", [(), ("--plain",)], ids=["protocol", "plain"])
def test_a_watch_waits_for_an_interface_that_does_not_exist_yet(
    lan: lab.MakeLan, options: tuple[str, ...]
) -> None:
    h1, h2 = lan(2, ipv6=False).hosts
    h2.remove_interface("eth0")
    watch = h2.mcast("listen", "-4", "-i", "eth0", "-g", "230.0.0.1", "--json", *options)
    watch.wait_for("no interface yet (eth0: does not exist)", stream="stderr")
    refused = h2.mcast("send", "-4", "-i", "eth0", "-g", "230.0.0.1", *options, "hello")
    assert refused.wait() == 2
    assert "no interface 'eth0' on this computer" in refused.stderr
    h2.add_interface(name="eth0")
    watch.wait_for("now also using eth0", stream="stderr")
    assert h1.mcast("send", "-4", "-g", "230.0.0.1", *options, "hello").wait() == 0
    lab.until(lambda: [one["text"] for one in watch.objects() if one["type"] == "message"] == ["hello"])


def test_one_interface_that_is_there_is_used_while_another_is_waited_for(lan: lab.MakeLan) -> None:
    h1, _ = lan(2, ipv6=False).hosts
    watch = h1.mcast("listen", "-4", "-i", "eth0", "-i", "eth7")
    watch.wait_for("on eth0 (asked for with -i); waiting for eth7: does not exist", stream="stderr")


def test_an_excluded_interface_carries_nothing(lan: lab.MakeLan) -> None:
    made = lan(2, ipv6=False)
    h1, h2 = made.hosts
    other = made.add_switch()
    for host in (h1, h2):
        host.add_interface(other, "eth1")
    listener = h2.mcast("listen", "--json", "-x", "eth0")
    listener.wait_for("on eth1", stream="stderr")
    assert h1.mcast("send", "-x", "eth1", "by eth0 only").wait() == 0
    assert h1.mcast("send", "-i", "eth1", "-i", "eth0", "-x", "eth0", "by eth1 only").wait() == 0
    listener.wait_for("by eth1 only")
    none = h1.mcast("send", "-x", "eth0", "-x", h1.address(4, "eth1"), "by none")
    assert none.wait() == 3
    assert "left out with -x" in none.stderr
    assert [one["text"] for one in listener.objects() if one["type"] == "message"] == ["by eth1 only"]


def test_every_network_of_a_wire_is_spoken_to(lan: lab.MakeLan) -> None:
    """Without a default route, a computer drops what comes from a network that it has no address in."""
    made = lan(3, ipv6=False, default_route=False)
    h1, h2, h3 = made.hosts
    h1.add_address("192.168.5.1/24")
    h3.ip("address flush dev eth0", "address add 192.168.5.3/24 dev eth0")
    for host in made.hosts:
        for name in ("all", "eth0"):
            host.sysctl(f"net.ipv4.conf.{name}.rp_filter", 1)
    third = h3.mcast("listen", "-4", "--json")
    third.wait_for("listening", stream="stderr")
    first, second = chat(h1, "one"), chat(h2, "two")
    first.write("from one\n")
    lab.until(lambda: ("one", "from one") in heard(second))
    lab.until(lambda: ("one", "from one") in heard(third))
    answer = h3.mcast("send", "-4", "--wait-acks", "1", "from three")
    assert answer.wait() == 0
    lab.until(lambda: "from three" in [text for _, text in heard(first)])


def tunnel(made: lab.Lan, h1: lab.Host, h2: lab.Host) -> None:
    """A VPN between two hosts that passes unicast only."""
    made.ip(f"link add wg0 type veth peer name wg0 netns {h2.name}", f"link set wg0 netns {h1.name}")
    for number, host in enumerate((h1, h2), 1):
        host.ip(f"address add 10.66.0.{number}/24 dev wg0", "link set wg0 up")
        host.firewall('iifname "wg0" ip daddr 224.0.0.0/4 drop')


def test_a_tunnel_is_used_to_whom_the_user_named(lan: lab.MakeLan) -> None:
    made = lan(3, ipv6=False, switches=2)
    h1, h2, h3 = made.hosts
    h2.add_interface(made.switches[1], "eth1")
    h2.remove_interface("eth0")
    tunnel(made, h1, h2)
    ada = chat(h1, "ada")
    bob = chat(h2, "bob", "--peer", "10.66.0.1")
    eve = chat(h3, "eve")
    bob.write("hello ada\n")
    lab.until(lambda: ("bob", "hello ada") in heard(ada))
    ada.write("hello bob\n")
    lab.until(lambda: ("ada", "hello bob") in heard(bob))
    told = next(one for one in bob.objects() if one["type"] == "message")
    assert (told["interface"], told["source"].partition(":")[0]) == ("wg0", "10.66.0.1")
    visitor = h2.mcast("send", "-4", "--peer", "10.66.0.1", "--wait-acks", "1", "--linger", "10s", "visiting")
    assert visitor.wait() == 0, visitor.stderr
    lab.until(lambda: "visiting" in [text for _, text in heard(ada)])
    assert "hello ada" not in [text for _, text in heard(eve)], "what came by a tunnel is not carried on"


def test_a_tunnel_is_enough_where_there_is_no_other_network(lan: lab.MakeLan) -> None:
    made = lan(2, ipv6=False)
    h1, h2 = made.hosts
    h2.remove_interface("eth0")
    tunnel(made, h1, h2)
    ada = chat(h1, "ada")
    alone = h2.mcast("send", "-4", "hello")
    assert alone.wait() == 3
    assert h2.mcast("send", "-4", "--peer", "10.66.0.1", "--wait-acks", "1", "hello").wait() == 0
    lab.until(lambda: [text for _, text in heard(ada)] == ["hello"])


_FOREIGN = """
    import socket, sys, time

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as foreign:
        foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        foreign.bind(("", 28003))
        print("bound", flush=True)
        time.sleep(60)
"""


def test_a_program_that_sets_only_so_reuseport_is_named(lan: lab.MakeLan) -> None:
    h1 = lan(1, ipv6=False).hosts[0]
    h1.python(_FOREIGN).wait_for("bound")
    process = h1.mcast("listen", "-4")
    assert process.wait() == 1
    assert re.search(r"python\S* \(process \d+\) holds this port", process.stderr)
    assert "let it set SO_REUSEADDR (not SO_REUSEPORT)" in process.stderr
