"""Meeting where multicast is dead, and who has the group's port on a host."""

from __future__ import annotations

from typing import Any

from tests import lab
from tests.lan.remote import Remote


def deafen(made: lab.Lan, *hosts: lab.Host) -> None:
    """The switch drops multicast to these hosts."""
    for host in hosts:
        made.switch.port(host, mcast_flood=False)


def chat(host: lab.Host, name: str, *options: str) -> lab.Process:
    process = host.mcast("chat", "--json", "-n", name, "-4", *options)
    process.wait_for("230.0.0.1", stream="stderr")
    return process


def heard(process: lab.Process) -> list[Any]:
    """The texts that arrived, each with its author."""
    return [(one["from"]["name"], one["text"]) for one in process.objects() if one["type"] == "message"]


def test_two_chats_meet_although_one_side_alone_names_the_other(lan: lab.MakeLan) -> None:
    made = lan(3, ipv6=False)
    h1, h2, h3 = made.hosts
    deafen(made, h1, h2, h3)
    ada, eve = chat(h1, "ada"), chat(h3, "eve")
    bob = chat(h2, "bob", "--peer", "10.9.0.1")
    bob.write("hello ada\n")
    lab.until(lambda: heard(ada) == [("bob", "hello ada")])
    ada.write("hello bob\n")
    lab.until(lambda: heard(bob) == [("ada", "hello bob")])
    bob.interrupt()
    lab.until(lambda: any(one["type"] == "leave" for one in ada.objects()))
    acks = ("--wait-acks", "1", "--linger", "10s")
    visitor = h2.mcast("send", "-4", "--peer", "10.9.0.1", *acks, "from a visitor")
    look = ("browse", "-4", "-t", "--json", "--peer", "10.9.0.1")
    looker = lab.snapshot(h2.mcast, *look, complete=lambda browse: browse.objects())
    assert visitor.wait() == looker.wait() == 0
    lab.until(lambda: [text for _, text in heard(ada)] == ["hello ada", "from a visitor"])
    assert [one["from"]["name"] for one in looker.objects()] == ["ada"]
    assert eve.objects() == []


def test_everyone_on_a_host_is_found_by_its_address(lan: lab.MakeLan) -> None:
    made = lan(2, ipv6=False)
    h1, h2 = made.hosts
    deafen(made, h2)
    first, second = chat(h1, "first"), chat(h1, "second")
    lab.until(lambda: "second" in first.stdout)
    bob = chat(h2, "bob", "--peer", "10.9.0.1")
    bob.write("to both\n")
    lab.until(lambda: heard(first) == heard(second) == [("bob", "to both")])
    second.write("from second\n")
    lab.until(lambda: heard(bob) == [("second", "from second")])


_JOIN = """
    import asyncio
    from mcast import aio

    async def main():
        async with aio.join(versions=(4,), peers=["10.9.0.1"]) as group:
            print(group.stats()["unicast-peers"])

    asyncio.run(main())
"""


def test_all_programs_of_a_named_host_are_met_before_the_first_message(lan: lab.MakeLan) -> None:
    made = lan(2, ipv6=False)
    h1, h2 = made.hosts
    deafen(made, h2)
    first, _ = chat(h1, "first"), chat(h1, "second")
    lab.until(lambda: "second" in first.stdout)
    joins = [h2.python(_JOIN) for _ in range(3)]
    assert [join.wait() for join in joins] == [0, 0, 0]
    assert [join.stdout for join in joins] == ["2\n"] * 3


_ASK = """
    import os, socket, sys
    from mcast.aio import make_room, parse_pair
    from mcast.crypto.seal import Sealer
    from mcast.wire.codec import encode_frames
    from mcast.wire.frames import Who

    sealer = Sealer(make_room(parse_pair(None, None), "", None, None), os.urandom(8))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind((sys.argv[1], 0))
        asking.settimeout(float(sys.argv[2]))
        asking.sendto(sealer.seal(encode_frames([Who(bytes(8))])), ("10.9.0.1", 28003))
        try:
            print("answered by port", asking.recvfrom(2000)[1][1])
        except TimeoutError:
            print("no answer")
"""


def asked(host: lab.Host, source: str, patience: float = 10.0) -> str:
    """What comes back in time to `source`, an address of `host`, that asks h1 who is there."""
    process = host.python(_ASK, source, str(patience))
    assert process.wait() == 0
    return process.stdout.strip()


def test_off_the_link_only_named_peers_are_answered(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2, ipv6=False).hosts
    h2.ip("address add 192.0.2.7/32 dev eth0")
    h1.ip("route add 192.0.2.7/32 dev eth0")
    ada = chat(h1, "ada")
    assert asked(h2, "10.9.0.2") == "answered by port 28003"
    assert asked(h2, "192.0.2.7", 0.7) == "no answer"
    ada.interrupt()
    chat(h1, "ada", "--peer", "192.0.2.7")
    assert asked(h2, "192.0.2.7") == "answered by port 28003"


_LINKS = """
def held(links):
    return sorted({sender.source[1] for sender in links.endpoints})

def opened(**options):
    made = links.Links(links.Plan((group("230.0.0.1:28003"),), unicast=True, **options))
    made.update(interfaces.read())
    return made

def foreign(host, family=socket.AF_INET):
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((host, 28003))
    return made
"""


def test_the_port_of_the_group_has_one_holder_a_host(lan: lab.MakeLan) -> None:
    h1 = lan(1).hosts[0]
    one, two = Remote(h1), Remote(h1)
    for remote in (one, two):
        remote(_LINKS)
        remote("a = opened(hold=True)")
    assert one("(a.holding, a.unicast_port, held(a))") == [True, 0, [28003]]
    assert one("len({sender.version for sender in a.endpoints})") == 2
    port = two("a.unicast_port")
    assert two("(a.holding, held(a))") == [False, [port]], "one port at all addresses"
    assert two("a.claim()") is False
    assert two("held(opened())") != [28003], "a visitor does not want it"
    one("a.close()")
    assert two("(a.claim(), a.holding, a.unicast_port)") == [True, True, 0]
    h1.ip("address add 10.9.7.7/16 dev eth0", "address add 2001:db8::1/64 dev eth0 nodad")
    two("a.update(interfaces.read())")
    assert sorted(two("[sender.source[0] for sender in a.secondary]")) == ["10.9.7.7", "2001:db8::1"]
    h1.ip("address del 10.9.7.7/16 dev eth0")
    two("a.update(interfaces.read())")
    assert two("[sender.source for sender in a.secondary]") == [["2001:db8::1", 28003]]
    two("a.close()")


def test_other_programs_at_the_port_are_left_alone(lan: lab.MakeLan) -> None:
    """Simple multicast programs bind every address, with SO_REUSEADDR, before and after us."""
    h1, h2 = lan(2, ipv6=False).hosts
    remote = Remote(h1)
    remote(_LINKS)
    remote("a = opened(hold=True)")
    remote("f = foreign('')")
    remote("g = foreign('230.0.0.1')")
    assert remote("a.holding") is True
    plain = h1.mcast("listen", "--plain", "-g", "230.0.0.1:28003")
    plain.wait_for("listening", stream="stderr")
    remote("f.setsockopt(0, 35, socket.inet_aton('230.0.0.1') + socket.inet_aton('10.9.0.1'))")
    h2.mcast("send", "--plain", "-g", "230.0.0.1:28003", "to all").wait()
    remote("f.settimeout(5)")
    assert remote("f.recv(100)") == "to all"
    plain.wait_for("to all")
    remote("a.close()")
    remote("a = opened(hold=True)")
    assert remote("(a.holding, a.unicast_port == 28003)") == [False, False], "it was there first"
