"""`mcast ping` on a real LAN: it counts what arrives, and shows in which direction multicast fails."""

from __future__ import annotations

from tests import lab
from tests.cli.test_schema import VALIDATOR


def sums(process: lab.Process) -> dict[str, dict[str, float]]:
    """The sums by way; all its JSON is what the schema describes."""
    for one in process.objects():
        VALIDATOR.validate(one)
    return {one["path"]: one for one in process.objects() if one["state"] == "summary"}


def test_ways_that_pass_and_one_that_does_not(pair: tuple[lab.Host, lab.Host], group: str) -> None:
    here, there = pair
    chat = there.mcast("chat", "--group", group, "--name", "bob")
    chat.wait_for("chatting in", stream="stderr")
    healthy = here.mcast("ping", "bob", "--group", group, "-C", "3", "--interval", "50ms", "--json")
    assert healthy.wait() == 0, healthy.stderr
    ways = sums(healthy)
    answers = [one for one in healthy.objects() if one["state"] == "answer"]
    assert {(one["ttl"], one["interface"]) for one in answers} == {(1, "eth0")}
    assert {(one["hops_there"], one["hops_back"]) for one in answers} == {(0, 0)}
    assert all(one["held_ms"] > 0 for one in answers)
    assert {way: (one["asked"], one["answered"]) for way, one in ways.items()} == {
        "unicast": (3, 3),
        "to-group": (3, 3),
        "from-group": (3, 3),
    }
    firewall = there.firewall("ip daddr 224.0.0.0/4 drop")
    try:
        deaf = here.mcast(
            "ping", "10.9.0.2:" + group.partition(":")[2], "--group", group, "-C", "2", "--json"
        )
        nobody = here.mcast("ping", "eve", "--group", group, "-C", "1")
        assert (deaf.wait(), nobody.wait()) == (0, 4)
    finally:
        firewall.remove()
    ways = sums(deaf)
    assert {way: one["answered"] for way, one in ways.items()} == {
        "unicast": 2,
        "to-group": 0,
        "from-group": 2,
    }
    assert nobody.stderr == "mcast: eve: nobody answers\n"


def test_a_router_on_the_way_is_a_hop() -> None:
    with lab.Lan(3, switches=2, ipv6=False) as lan:
        here, there, router = lan.hosts
        for host in (there, router):
            host.add_interface(lan.switches[1])
        there.down()
        router.sysctl("net.ipv4.ip_forward", 1)
        here.ip("route add 10.10.0.0/16 via 10.9.0.3")
        there.ip("route add 10.9.0.0/16 via 10.10.0.3")
        chat = there.mcast("chat", "-4", "--name", "bob", "--ttl", "2", "--peer", "10.9.0.1")
        chat.wait_for("chatting in", stream="stderr")
        ping = here.mcast("ping", "10.10.0.2", "-4", "--ttl", "5", "-C", "1")
        assert ping.wait() == 0, ping.stderr
        answer = next(line for line in ping.lines() if " unicast: seq=0 " in line)
        assert " ttl=1 hops=1 eth0" in answer
