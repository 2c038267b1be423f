"""A run follows its interfaces: they come, go, flap and change addresses, and nothing needs a restart."""

from __future__ import annotations

import time

import pytest

from tests import lab
from tests.lab import tools
from tests.lan.plain import GROUP, GROUP6, PORT, SITE6, run, send, states, texts, until
from tests.lan.remote import Remote

BOTH = ("-g", GROUP, "-g", GROUP6, "--json", "--events")


def both_heard(process: lab.Process, peer: lab.Peer, mark: str, interface: str = "eth0") -> bool:
    """Whether one line to the IPv4 and one to the IPv6 group are heard within a moment."""
    peer.send(GROUP, f"{mark} 4", interface=interface)
    peer.send(GROUP6, f"{mark} 6", interface=interface)
    deadline = time.monotonic() + 0.5
    while not {f"{mark} 4", f"{mark} 6"} <= set(texts(process)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_a_computer_that_starts_without_a_network_finds_it_when_it_comes(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    h2.remove_interface("eth0")
    process = run(h2, "listen", "-g", GROUP, "--json", "--events")
    process.wait_for("only this computer", stream="stderr")
    assert h2.memberships() == {"lo": {GROUP}}
    assert send(h2, "-g", GROUP, "here").returncode == 0
    until(lambda: texts(process) == ["here"])
    time.sleep(3.0)
    h2.add_interface(name="eth0")
    until(lambda: h2.memberships() == {"eth0": {GROUP}})
    lab.Peer(h1, PORT).send(GROUP, "everywhere")
    until(lambda: texts(process) == ["here", "everywhere"])
    assert states(process) == [("eth0", "joined"), ("lo", "left")]


def test_a_second_lan_comes_and_goes(lan: lab.MakeLan) -> None:
    made = lan(3, switches=2)
    h1, h2, h3 = made.hosts
    h3.add_interface(made.switches[1])
    near, far = lab.Peer(h1, PORT), lab.Peer(h3, PORT)
    process = run(h2, "listen", *BOTH)
    for _ in range(2):
        name = h2.add_interface(made.switches[1])
        until(lambda: h2.memberships() == {"eth0": {GROUP, GROUP6}, "eth1": {GROUP, GROUP6}})
        until(lambda: both_heard(process, far, "far", "eth1"))
        until(lambda: both_heard(process, near, "near"))
        h2.remove_interface(name)
        until(lambda: states(process)[-1:] == [("eth1", "left")])
        assert h2.memberships() == {"eth0": {GROUP, GROUP6}}
    assert states(process) == [("eth1", "joined"), ("eth1", "left")] * 2


@pytest.mark.parametrize("away", [0.0, 2.5], ids=["moment", "while"])
def test_a_link_that_flaps_is_heard_again(lan: lab.MakeLan, away: float) -> None:
    h1, h2 = lan(2).hosts
    peer = lab.Peer(h1, PORT)
    process = run(h2, "listen", *BOTH)
    h2.down()
    time.sleep(away)
    if away:
        until(lambda: ("eth0", "left") in states(process))
    h2.up()
    until(lambda: both_heard(process, peer, "back"))
    until(lambda: h2.memberships() == {"eth0": {GROUP, GROUP6}})


def test_a_pulled_cable_is_noticed_and_its_return_too(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    peer = lab.Peer(h1, PORT)
    process = run(h2, "listen", *BOTH)
    h2.unplug()
    until(lambda: ("eth0", "left") in states(process))
    until(lambda: "eth0" not in h2.memberships())
    h2.plug()
    until(lambda: both_heard(process, peer, "back"))


def test_a_chat_survives_a_change_of_its_address(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    process = run(h1, "chat", "-g", GROUP, "--json")
    other = run(h2, "listen", "-g", GROUP, "--json")
    process.write("before\n")
    until(lambda: texts(other) == ["before"])
    h1.add_address("10.9.7.7/16")
    h1.sysctl("net.ipv4.conf.eth0.promote_secondaries", 1)
    h1.delete_address("10.9.0.1/16")
    process.write("at once\n")
    until(lambda: texts(other) == ["before", "at once"])
    time.sleep(5.0)  # it looks once a second; no event tells that it has seen this
    process.write("after\n")
    until(lambda: texts(other) == ["before", "at once", "after"])
    sources = [event["source"].partition(":")[0] for event in other.objects()]
    assert (sources[0], sources[2]) == ("10.9.0.1", "10.9.7.7")
    lab.Peer(h2, PORT).send(GROUP, "hello")
    until(lambda: texts(process) == ["hello"])
    assert "not sent" not in process.stderr


def test_what_cannot_be_sent_is_said_and_the_chat_goes_on(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    process = run(h1, "chat", "-g", GROUP, "-i", "eth0")
    other = run(h2, "listen", "-g", GROUP)
    h1.down()
    process.write("lost\n")
    process.wait_for("not sent", stream="stderr")
    h1.up()

    def says_it() -> bool:
        process.write("again\n")
        time.sleep(0.3)
        return "again" in other.lines()

    until(says_it)
    process.close_stdin()
    assert process.wait() != 0, "a script learns that a line was not sent"
    assert "lost" not in other.lines()


def test_an_interface_asked_for_that_is_down_is_waited_for(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    h2.down()
    process = run(h2, "listen", "-g", GROUP, "-i", "eth0", "--json")
    process.wait_for("eth0: down", stream="stderr")
    h2.up()
    until(lambda: h2.memberships() == {"eth0": {GROUP}})
    lab.Peer(h1, PORT).send(GROUP, "hello")
    until(lambda: texts(process) == ["hello"])


@pytest.mark.parametrize("how", ["sysctl", "mtu"])
def test_ipv6_may_go_and_come_back_while_ipv4_stays(lan: lab.MakeLan, how: str) -> None:
    """Below an MTU of 1280 Linux destroys all that is IPv6 on an interface, memberships included."""
    h1, h2 = lan(2).hosts
    peer = lab.Peer(h1, PORT)
    process = run(h2, "listen", "-g", GROUP, "-g", SITE6, "--json")

    def ipv6(on: bool) -> None:
        if how == "sysctl":
            h2.sysctl("net.ipv6.conf.eth0.disable_ipv6", int(not on))
        else:
            h2.ip(f"link set eth0 mtu {1500 if on else 1000}")

    ipv6(False)
    until(lambda: h2.memberships() == {"eth0": {GROUP}})
    time.sleep(5.0)  # it looks once a second; no event tells that it has seen this
    ipv6(True)
    until(lambda: h2.memberships() == {"eth0": {GROUP, SITE6}})
    peer.send(SITE6, "six")
    peer.send(GROUP, "four")
    until(lambda: set(texts(process)) == {"six", "four"})


def test_two_interfaces_on_one_lan_show_each_line_once(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2, ipv6=False).hosts
    h2.add_interface()
    # Both answer for themselves only, as two cards in one LAN must.
    for name in ("all", "eth0", "eth1"):
        h2.sysctl(f"net.ipv4.conf.{name}.rp_filter", 0)
    process = run(h2, "listen", "-g", GROUP, "--json")
    assert h2.memberships() == {"eth0": {GROUP}, "eth1": {GROUP}}
    peer = lab.Peer(h1, PORT)
    for number in range(100):
        peer.send(GROUP, f"line {number}")
        peer.send(GROUP, "the same")
    peer.send(GROUP, "end")
    until(lambda: "end" in texts(process))
    time.sleep(0.2)
    assert texts(process) == [text for number in range(100) for text in (f"line {number}", "the same")] + [
        "end"
    ]


def test_two_lans_are_both_heard_and_the_first_is_spoken_to(lan: lab.MakeLan) -> None:
    made = lan(3, switches=2)
    h1, h2, h3 = made.hosts
    h2.add_interface(made.switches[1])
    h3.add_interface(made.switches[1])
    process = run(h2, "chat", "-g", GROUP, "--json")
    near, far = lab.Peer(h1, PORT), lab.Peer(h3, PORT)
    near.join(GROUP, "eth0")
    far.join(GROUP, "eth1")
    far.send(GROUP, "far", interface="eth1")
    near.send(GROUP, "near")
    until(lambda: sorted(texts(process)) == ["far", "near"])
    process.write("hello\n")
    assert near.wait_count(2) == 2
    assert [text for text, _ in near.take()] == ["near", "hello"]
    assert [text for text, _ in far.take()] == ["far"]


def test_the_lan_hears_us_though_a_vpn_has_the_default_route(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    for host in (h1, h2):
        host.add_tunnel()
    process = run(h2, "listen", *BOTH)
    assert h2.memberships() == {"eth0": {GROUP, GROUP6}}
    assert send(h1, "-g", GROUP, "-g", GROUP6, "hello").returncode == 0
    until(lambda: texts(process) == ["hello", "hello"])
    assert {event["interface"] for event in process.objects()} == {"eth0"}


def test_a_lan_that_is_itself_a_bridge_is_used(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    h2.add_bridge()
    process = run(h2, "listen", *BOTH)
    assert h2.memberships() == {"br0": {GROUP, GROUP6}}
    peer = lab.Peer(h1, PORT)
    until(lambda: both_heard(process, peer, "hello"))
    peer.join(GROUP)
    assert send(h2, "-g", GROUP, "hello").returncode == 0
    peer.wait_count(1)


@pytest.mark.parametrize(("group", "ipv4", "ipv6"), [(GROUP, True, False), (GROUP6, False, True)])
def test_one_ip_version_is_enough(lan: lab.MakeLan, group: str, ipv4: bool, ipv6: bool) -> None:
    h1, h2 = lan(2, ipv4=ipv4, ipv6=ipv6).hosts
    process = run(h2, "listen", "-g", group, "--json")
    assert h2.memberships() == {"eth0": {group}}
    assert send(h1, "-g", group, "hello").returncode == 0
    until(lambda: texts(process) == ["hello"])
    other = {GROUP: GROUP6, GROUP6: GROUP}[group]
    refused = send(h1, "-g", other, "-i", "eth0", "hello")
    assert refused.returncode == 3, refused.stderr


def test_twenty_five_interfaces_are_all_heard(lan: lab.MakeLan) -> None:
    made = lan(2, ipv6=False)
    h1, h2 = made.hosts
    h1.add_interface(made.add_switch(), "last")
    made.connect([("h2", made.add_switch(), f"x{number}") for number in range(23)])
    made.connect([("h2", made.switches[1], "last")])
    process = run(h2, "listen", "-g", GROUP, "--json")
    assert len(h2.memberships()) == 25
    peer = lab.Peer(h1, PORT)
    peer.send(GROUP, "first")
    peer.send(GROUP, "last", interface="last")
    until(lambda: sorted(texts(process)) == ["first", "last"])


REJOINING = """
    import sys
    from mcast.net import reader
    from mcast.cli import main
    reader.REJOIN_INTERVAL = 0.5
    sys.exit(main(sys.argv[1:]))
"""


def test_memberships_are_reported_again_and_again(lan: lab.MakeLan) -> None:
    """A switch that snoops without a querier forgets them otherwise."""
    made = lan(2)
    h1, h2 = made.hosts
    process = h2.python(REJOINING, "listen", "--plain", *BOTH)
    process.wait_for("listening to", stream="stderr")
    until(lambda: made.switch.members(GROUP) == made.switch.members(GROUP6) == {"h2"})
    time.sleep(1.2)  # the kernel repeats a first report within a second (RFC 3376, 8.11)
    for group in (GROUP, GROUP6):
        words = ["bridge", "mdb", "del", "dev", "sw0", "port", "h2-eth0", "grp", group]
        tools.execute(made.namespaces, None, words)
    until(lambda: made.switch.members(GROUP) == made.switch.members(GROUP6) == {"h2"})
    peer = lab.Peer(h1, PORT)
    until(lambda: both_heard(process, peer, "hello"))
    assert states(process) == []


def test_an_old_querier_makes_rejoining_needless_for_ipv4_only(lan: lab.MakeLan) -> None:
    made = lan(2)
    h1, h2 = made.hosts
    remote = Remote(h1)
    remote(f"plan = links.Plan((group('{GROUP}'), group('[{GROUP6}]')))")
    remote("l = links.Links(plan)")
    remote("l.update(interfaces.read())")
    remote("done = []")
    remote("Receiver.rejoin = lambda self, index: done.append(self.group.version)")
    remote("l.rejoin()")
    assert remote("done") == [4, 6]
    h2.query()
    remote.until("links.interfaces_with_querier() == {'eth0'}")
    remote("l.rejoin()")
    assert remote("done") == [4, 6, 6]


def test_a_sender_keeps_its_port_while_its_address_stays(lan: lab.MakeLan) -> None:
    host = lan(1).hosts[0]
    remote = Remote(host)
    remote(f"l = links.Links(links.Plan((group('{GROUP}'),)))")
    remote("l.update(interfaces.read())")
    before = remote(f"l.send_first(b'x', group('{GROUP}')).source")
    host.add_address("2001:db8::7/64")
    host.add_address("10.9.7.7/16")
    remote("l.update(interfaces.read())")
    assert remote(f"l.send_first(b'x', group('{GROUP}')).source") == before
    host.ip("address flush dev eth0", "address add 10.9.8.8/16 dev eth0")
    remote("l.update(interfaces.read())")
    assert remote(f"l.send_first(b'x', group('{GROUP}')).source[0]") == "10.9.8.8"
    remote("l.close()")
    assert remote("(l.endpoints, l.used)") == [[], []]
    assert host.memberships() == {}


def test_a_number_given_to_another_interface_is_joined_anew(lan: lab.MakeLan) -> None:
    """The number of an interface that is gone may be given again before anyone looked."""
    host = lan(1).hosts[0]
    remote = Remote(host)
    remote(f"l = links.Links(links.Plan((group('{GROUP}'),)))")
    remote("l.update(interfaces.read())")
    index = remote("index()")
    host.remove_interface("eth0")
    host.ip(
        f"link add eth7 index {index} type bridge", "link set eth7 up", "address add 10.9.0.1/16 dev eth7"
    )
    remote("import msgspec")
    remote("there = [msgspec.structs.replace(link, up=True) for link in interfaces.read()]")
    remote("change = l.update(there)")
    assert remote("([i.name for i in change.left], [i.name for i in change.joined])") == [["eth0"], ["eth7"]]
    assert host.memberships() == {"eth7": {GROUP}}


def test_what_stays_wrong_is_told_once_and_mended_when_it_can_be(lan: lab.MakeLan) -> None:
    host = lan(1).hosts[0]
    remote = Remote(host)
    remote("held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)")
    remote("held.bind(('', 3000))")
    remote(f"l = links.Links(links.Plan((group('{GROUP}'),)))")
    assert remote("[type(p).__name__ for p in l.update(interfaces.read()).problems]") == ["PortTaken"]
    assert remote("l.update(interfaces.read()).problems") == []
    remote("held.close()")
    assert remote("l.update(interfaces.read()).problems") == []
    assert host.memberships() == {"eth0": {GROUP}}
