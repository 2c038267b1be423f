"""The socket layer on real hosts: what it promises, and every trap that an option of it avoids."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests import lab
from tests.lab import tools
from tests.lan.remote import GROUP, GROUP6, SITE6, Remote, RemoteError

FAMILIES = [pytest.param(GROUP, 4, id="ipv4"), pytest.param(GROUP6, 6, id="ipv6")]
EVERY_SCOPE = [*FAMILIES, pytest.param(SITE6, 6, id="ipv6-site")]
NOTHING = 0.2
"""Seconds to wait for what must not come; a datagram that does come takes less than a millisecond."""


def two(lan: lab.MakeLan, **options: bool) -> tuple[Remote, Remote]:
    first, second = lan(2, **options).hosts
    return Remote(first), Remote(second)


@pytest.mark.parametrize(("group", "version"), EVERY_SCOPE)
def test_a_datagram_arrives_with_its_source_interface_and_ttl(
    lan: lab.MakeLan, group: str, version: int
) -> None:
    h1, h2 = two(lan)
    h2(f"r = receiver({group!r}, 'eth0')")
    h1(f"s = sender(version={version})")
    h1(f"s.send(b'hello', group({group!r}))")
    data, source, interface, ttl, _ = h2("r.receive(5)")
    port = h1("s.source[1]")
    host = {4: "10.9.0.1", 6: f"{h1.host.link_local()}%eth0"}[version]
    assert [data, source, interface, ttl] == ["hello", [host, port], h2("index()"), 1]
    assert h1("s.source") == source


@pytest.mark.parametrize(("group", "version"), FAMILIES)
def test_ttl_is_one_unless_told_and_zero_stays_on_the_computer(
    lan: lab.MakeLan, group: str, version: int
) -> None:
    h1, h2 = two(lan)
    for remote in (h1, h2):
        remote(f"r = receiver({group!r}, 'eth0')")
    for ttl in (None, 7, 255, 0):
        options = "" if ttl is None else f", ttl={ttl}"
        h1(f"sender(version={version}{options}).send(b'{ttl}', group({group!r}))")
        assert h1("r.receive(5).data") == str(ttl)
        if ttl == 0:
            assert h2.heard(timeout=NOTHING) == []
        else:
            assert h2("r.receive(5)")[3] == (ttl or 1)


@pytest.mark.parametrize("version", [4, 6])
def test_answers_go_no_further_than_questions(lan: lab.MakeLan, version: int) -> None:
    h1, h2 = two(lan)
    h2(f"s = sender(version={version})")
    host, port = h2("s.source")
    h1(f"sender(version={version}).send_to(b'answer', ({host!r}, {port}))")
    h2("heard = []")
    h2.until("heard.extend(s.drain()) or len(heard)", 1)
    assert h2("[(one.data, one.ttl) for one in heard]") == [["answer", 1]]


@pytest.mark.parametrize(("group", "version"), FAMILIES)
def test_this_computer_hears_itself_unless_told_not_to(lan: lab.MakeLan, group: str, version: int) -> None:
    h1 = Remote(lan(1).hosts[0])
    h1(f"r = receiver({group!r}, 'eth0')")
    h1(f"sender(version={version}).send(b'aloud', group({group!r}))")
    assert h1.heard() == ["aloud"]
    h1(f"sender(version={version}, loop=False).send(b'mute', group({group!r}))")
    assert h1.heard(timeout=NOTHING) == []


@pytest.mark.parametrize(("group", "version"), EVERY_SCOPE)
def test_two_programs_share_a_group_and_port(lan: lab.MakeLan, group: str, version: int) -> None:
    h1, h2 = two(lan)
    second = Remote(h2.host)
    for remote in (h2, second):
        remote(f"r = receiver({group!r}, 'eth0')")
    h1(f"sender(version={version}).send(b'both', group({group!r}))")
    assert h2.heard() == second.heard() == ["both"]


@pytest.mark.parametrize(("group", "host"), [(GROUP, ""), (GROUP6, "::")])
def test_a_port_held_by_a_program_that_does_not_share_is_said_so(
    lan: lab.MakeLan, group: str, host: str
) -> None:
    h1 = Remote(lan(1).hosts[0])
    h1(f"held = socket.socket(socket.AF_INET6 if {host!r} else socket.AF_INET, socket.SOCK_DGRAM)")
    h1(f"held.bind(({host!r}, 3000))")
    with pytest.raises(RemoteError, match=r"python\S* \(process \d+\) holds this port.*--port") as caught:
        h1(f"receiver({group!r}, 'eth0')")
    assert caught.value.name == "PortTaken"


@pytest.mark.parametrize(("group", "other", "version"), [(GROUP, "239.9.9.8", 4), (GROUP6, "ff12::9:8", 6)])
def test_groups_that_another_program_joined_do_not_leak_in(
    lan: lab.MakeLan, group: str, other: str, version: int
) -> None:
    """IP_MULTICAST_ALL: with 1, the default, and a wildcard bind, they would."""
    h1, h2 = two(lan)
    stranger = Remote(h2.host)
    stranger(f"r = receiver('[{other}]:3000' if {version} == 6 else '{other}:3000', 'eth0')")
    h2("multicast.bind_address = lambda group, interface: ('::' if group.version == 6 else '', group.port)")
    h2(f"r = receiver({group!r}, 'eth0')")
    h1(f"sender(version={version}).send(b'not ours', multicast.GroupAddress({other!r}, 3000))")
    assert stranger.heard() == ["not ours"]
    assert h2.heard(timeout=NOTHING) == []


@pytest.mark.parametrize(("group", "other", "version"), [(GROUP, "239.9.9.8", 4), (GROUP6, "ff12::9:8", 6)])
def test_another_group_on_the_port_is_not_heard_though_joined_by_the_same_program(
    lan: lab.MakeLan, group: str, other: str, version: int
) -> None:
    """Binding to the group and not to the wildcard; unicast to the port is kept out too."""
    h1, h2 = two(lan)
    h2(f"r = receiver({group!r}, 'eth0')")
    h2(f"other = Receiver(multicast.GroupAddress({other!r}, 3000))")
    h2("other.join(index())")
    h1(f"s = sender(version={version})")
    h1(f"s.send(b'other', multicast.GroupAddress({other!r}, 3000))")
    target = h2(f"address(version={version})")
    h1(f"s.send(b'unicast', multicast.GroupAddress({target!r}, 3000))")
    assert h2.heard("other") == ["other"]
    assert h2.heard(timeout=NOTHING) == h2.heard("other", timeout=NOTHING) == []


@pytest.mark.parametrize(("group", "version"), EVERY_SCOPE)
def test_a_vpn_that_took_the_default_route_gets_neither_joins_nor_datagrams(
    lan: lab.MakeLan, group: str, version: int
) -> None:
    """By index: a join or a send that leaves the choice to the kernel lands on wg0."""
    h1, h2 = two(lan)
    host = group.rpartition(":")[0].strip("[]")
    for remote in (h1, h2):
        remote.host.add_tunnel()
        remote.host.ip("route add ff00::/8 dev wg0 table local metric 1")
        remote(f"r = receiver({group!r}, 'eth0')")
    assert h2.host.memberships() == {"eth0": {host}}
    h1(f"sender(version={version}).send(b'over the LAN', group({group!r}))")
    assert h2.heard() == ["over the LAN"]


@pytest.mark.parametrize(("group", "version"), EVERY_SCOPE)
def test_no_default_route_is_needed(lan: lab.MakeLan, group: str, version: int) -> None:
    """IP_MULTICAST_IF: without it the kernel says ENETUNREACH."""
    h1, h2 = two(lan, default_route=False)
    h2(f"r = receiver({group!r}, 'eth0')")
    h1(f"sender(version={version}).send(b'hello', group({group!r}))")
    assert h2.heard() == ["hello"]


@pytest.mark.parametrize(("group", "version"), EVERY_SCOPE)
def test_each_interface_is_joined_and_sent_from_by_itself(lan: lab.MakeLan, group: str, version: int) -> None:
    made = lan(2, switches=2)
    for host in made.hosts:
        host.add_interface(made.switches[1])
    h1, h2 = map(Remote, made.hosts)
    h2(f"r = receiver({group!r}, 'eth0', 'eth1')")
    for name in ("eth1", "eth0"):
        h1(f"sender({name!r}, {version}).send({name.encode()!r}, group({group!r}))")
        data, _, interface, *_ = h2("r.receive(5)")
        assert (data, interface) == (name, h2(f"index({name!r})"))
        assert h2.heard(timeout=NOTHING) == [], "each datagram once, by the socket of its interface"


def test_an_address_on_two_interfaces_leaves_by_the_one_that_was_named(lan: lab.MakeLan) -> None:
    """IP_MULTICAST_IF: the address alone does not tell, as with an unnumbered tunnel."""
    made = lan(2, switches=2)
    for host in made.hosts:
        host.add_interface(made.switches[1])
    h1, h2 = map(Remote, made.hosts)
    for name in ("eth0", "eth1"):
        h1.host.add_address("10.77.0.1/32", name)
    h2(f"r = receiver({GROUP!r}, 'eth0', 'eth1')")
    for name in ("eth0", "eth1"):
        h1(f"Sender(index({name!r}), '10.77.0.1').send({name.encode()!r}, group({GROUP!r}))")
        data, _, interface, *_ = h2("r.receive(5)")
        assert (data, interface) == (name, h2(f"index({name!r})"))


@pytest.mark.parametrize("group", [GROUP6, SITE6])
def test_a_global_address_sends_by_its_interface(lan: lab.MakeLan, group: str) -> None:
    """IPV6_MULTICAST_IF: only a link-local address is bound to its interface."""
    made = lan(2, switches=2)
    for host in made.hosts:
        host.add_interface(made.switches[1])
    h1, h2 = map(Remote, made.hosts)
    h2(f"r = receiver({group!r}, 'eth0', 'eth1')")
    for number, name in enumerate(("eth0", "eth1")):
        h1.host.add_address(f"2001:db8:{number}::1/64", name)
        h1(f"s = Sender(index({name!r}), '2001:db8:{number}::1')")
        h1(f"s.send({name.encode()!r}, group({group!r}))")
        data, _, interface, *_ = h2("r.receive(5)")
        assert (data, interface) == (name, h2(f"index({name!r})"))


@pytest.mark.parametrize(("group", "version"), EVERY_SCOPE)
def test_an_interface_that_was_not_joined_is_not_heard(lan: lab.MakeLan, group: str, version: int) -> None:
    made = lan(2, switches=2)
    for host in made.hosts:
        host.add_interface(made.switches[1])
    h1, h2 = map(Remote, made.hosts)
    other = Remote(h2.host)
    other(f"r = receiver({group!r}, 'eth1')")
    h2(f"r = receiver({group!r}, 'eth0')")
    h1(f"sender('eth1', {version}).send(b'there', group({group!r}))")
    assert other.heard() == ["there"]
    assert h2.heard(timeout=NOTHING) == []


def test_a_link_scoped_group_is_bound_to_its_interface_and_a_wider_one_to_none(lan: lab.MakeLan) -> None:
    h1 = Remote(lan(1).hosts[0])
    h1(f"link, site = receiver({GROUP6!r}, 'eth0'), receiver({SITE6!r}, 'eth0')")
    bound = "[r._sockets[index()].getsockname()[3] for r in (link, site)]"
    assert h1(bound) == [h1("index()"), 0]


@pytest.mark.parametrize("group", [GROUP, GROUP6])
def test_a_join_that_fails_undoes_those_before_it(lan: lab.MakeLan, group: str) -> None:
    host = lan(1).hosts[0]
    for _ in range(4):
        host.add_interface()
    h1 = Remote(host)
    h1("before = len(os.listdir('/proc/self/fd'))")
    h1(f"r = Receiver(group({group!r}))")
    with pytest.raises(RemoteError, match="the interface has gone"):
        h1("r.join_all([index('eth0'), index('eth1'), 9999, index('eth2'), index('eth3')])")
    assert h1("r.joined") == []
    assert host.memberships() == {}
    assert h1("len(os.listdir('/proc/self/fd')) - before") == 0
    h1("r.join(index('eth2'))")
    with pytest.raises(RemoteError, match="the interface has gone"):
        h1("r.join_all([index('eth2'), index('eth0'), 9999])")
    assert h1("r.joined == (index('eth2'),)"), "what was joined before the call stays"


@pytest.mark.parametrize(("group", "host"), [(GROUP, "239.9.9.9"), (GROUP6, "ff12::9:9")])
def test_leaving_undoes_joining_and_both_may_be_repeated(lan: lab.MakeLan, group: str, host: str) -> None:
    made = lan(1).hosts[0]
    made.add_interface()
    h1 = Remote(made)
    h1(f"r = receiver({group!r}, 'eth0', 'eth1')")
    h1("r.join(index('eth0'))")
    assert made.memberships() == {"eth0": {host}, "eth1": {host}}
    for _ in range(2):
        h1("r.leave(index('eth0'))")
    assert made.memberships() == {"eth1": {host}}
    for _ in range(2):
        h1("r.close()")
    assert made.memberships() == {}
    with pytest.raises(RemoteError, match="no interface has joined"):
        h1("r.receive(0)")


def test_more_interfaces_than_one_socket_has_memberships(lan: lab.MakeLan) -> None:
    """Linux refuses the 21st membership of a socket with ENOBUFS."""
    host = lan(1).hosts[0]
    names = [f"x{number}" for number in range(25)]
    host.ip(*(f"link add {name} type bridge" for name in names), *(f"link set {name} up" for name in names))
    h1 = Remote(host)
    h1(f"r = receiver({GROUP!r}, *{names!r})")
    assert host.memberships() == {name: {"239.9.9.9"} for name in names}
    h1("r.close()")
    assert host.memberships() == {}


@pytest.mark.parametrize(
    ("group", "version"), [("232.9.9.9:3000", 4), ("[ff32::8000:9]:3000", 6), ("[ff35::8000:9]:3000", 6)]
)
def test_a_source_specific_join_hears_its_sources_only(lan: lab.MakeLan, group: str, version: int) -> None:
    h1, h2, h3 = map(Remote, lan(3).hosts)
    h2(f"r = Receiver(group({group!r}))")
    with pytest.raises(RemoteError, match=r"source-specific.*--source"):
        h2("r.join(index())")
    h2(f"r.join(index(), [{h1(f'address(version={version})')!r}])")
    for remote in (h3, h1):
        remote(f"sender(version={version}).send({remote.host.name.encode()!r}, group({group!r}))")
    assert h2.heard() == ["h1"]
    assert h2.heard(timeout=NOTHING) == []
    h2(f"r.join(index(), [{h3(f'address(version={version})')!r}])")
    for remote in (h1, h3):
        remote(f"sender(version={version}).send({remote.host.name.encode()!r}, group({group!r}))")
    assert h2.heard() == ["h3"], "joining with other sources replaces them"
    h2("r.rejoin(index())")
    for remote in (h1, h3):
        remote(f"sender(version={version}).send({remote.host.name.encode()!r}, group({group!r}))")
    assert h2.heard() == ["h3"], "a rejoin keeps the sources"
    assert h2.heard(timeout=NOTHING) == []
    h2("r.leave(index())")
    assert h2.host.memberships() == {}


def test_a_source_of_the_other_ip_version_is_refused_and_nothing_stays_open(lan: lab.MakeLan) -> None:
    h1 = Remote(lan(1).hosts[0])
    h1(f"r = Receiver(group({GROUP!r}))")
    h1("before = len(os.listdir('/proc/self/fd'))")
    with pytest.raises(RemoteError, match="differ in IP version") as caught:
        h1("r.join(index(), ['fe80::1'])")
    assert caught.value.name == "UsageError"
    assert h1("(r.joined, len(os.listdir('/proc/self/fd')) - before)") == [[], 0]


def test_draining_is_bounded_and_takes_empty_and_largest_datagrams(lan: lab.MakeLan) -> None:
    h1, h2 = two(lan)
    h2(f"r = receiver({GROUP!r}, 'eth0')")
    h1("s = sender()")
    h1(f"[s.send(b'%d' % number, group({GROUP!r})) for number in range(300)]")
    assert h2("texts(r.drain(index(), 10))") == [str(number) for number in range(10)]
    assert h2("len(r.drain(index()))") == 256
    assert h2("len(r.drain(index()))") == 300 - 10 - 256
    assert h2("r.drain(index())") == []
    assert h2("r.drain(9999)") == []
    h1(f"s.send(b'', group({GROUP!r}))")
    h1(f"s.send(b'x' * 65507, group({GROUP!r}))")
    assert h2("[len(r.receive(5).data) for _ in range(2)]") == [0, 65507]
    with pytest.raises(RemoteError, match=r"larger than the interface carries.*send less"):
        h1(f"s.send(b'x' * 65508, group({GROUP!r}))")


def test_no_interface_starves_another(lan: lab.MakeLan) -> None:
    made = lan(2, switches=2)
    for host in made.hosts:
        host.add_interface(made.switches[1])
    h1, h2 = map(Remote, made.hosts)
    h2(f"r = receiver({GROUP!r}, 'eth0', 'eth1')")
    h1(f"[sender('eth0').send(b'flood', group({GROUP!r})) for _ in range(50)]")
    h1(f"sender('eth1').send(b'lone', group({GROUP!r}))")
    assert "lone" in h2("texts(r.receive(5) for _ in range(3))")


def test_the_kernel_counts_what_was_not_read_in_time(lan: lab.MakeLan) -> None:
    h1, h2 = two(lan)
    h2(f"r = receiver({GROUP!r}, 'eth0', buffer=4096)")
    assert h2("r.kernel_drops") == 0
    h1("s = sender()")
    h1(f"[s.send(b'x' * 1000, group({GROUP!r})) for _ in range(500)]")
    received = h2("len(r.drain(index(), 1000))")
    assert received < 500
    assert h2("r.kernel_drops") == 500 - received
    h2("r.leave(index())")
    assert h2("r.kernel_drops") == 500 - received, "closing a socket does not forget its drops"


@pytest.mark.parametrize("user_namespace", [None, True], ids=["as we are", "unprivileged"])
def test_the_receive_buffer_that_was_granted_is_known(lan: lab.MakeLan, user_namespace: bool | None) -> None:
    h1 = Remote(lan(1, user_namespace=user_namespace).hosts[0])
    h1(f"r = Receiver(group({GROUP!r}))")
    assert h1("r.granted_buffer") == 0
    h1("r.join(index())")
    granted = h1("r.granted_buffer")
    # What it may take without privileges, at least; all of it where the kernel lets us.
    assert 64 << 10 <= granted <= h1("multicast.RECEIVE_BUFFER")
    assert h1("r._sockets[index()].getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)") == 2 * granted
    small = h1(f"receiver({GROUP!r}, 'eth0', buffer=40000).granted_buffer")
    assert small == 40000


def test_rejoining_revives_a_group_that_a_switch_forgot(lan: lab.MakeLan) -> None:
    """A querier asked once and fell silent; the switch ages its members out and withholds the group."""
    made = lan(3)
    h1, h2, _ = map(Remote, made.hosts)
    h1("s = sender()")
    h2(f"r = receiver({GROUP!r}, 'eth0')")
    made.switch.configure(mcast_querier_interval=100_000_000, mcast_membership_interval=200)
    made.hosts[2].query()
    until(lambda: made.switch.members("239.9.9.9") == {"h2"})
    until(lambda: made.switch.members("239.9.9.9") == set())
    say = f"s.send(b'hello', group({GROUP!r}))"
    h1(say)
    assert h2.heard(timeout=NOTHING) == []
    h2("r.rejoin(index())")
    until(lambda: made.switch.members("239.9.9.9") == {"h2"})
    h1(say)
    assert h2.heard() == ["hello"]


@pytest.mark.parametrize(("group", "host"), [(GROUP, "239.9.9.9"), (SITE6, "ff05::9:9")])
def test_rejoining_reports_the_membership_anew(lan: lab.MakeLan, group: str, host: str) -> None:
    made = lan(1)
    h1 = Remote(made.hosts[0])
    h1(f"r = receiver({group!r}, 'eth0')")
    until(lambda: made.switch.members(host) == {"h1"})
    time.sleep(3.0)  # the kernel repeats a first report within a second (RFC 3376, 8.11)
    tools.execute(
        made.namespaces, None, ["bridge", "mdb", "del", "dev", "sw0", "port", "h1-eth0", "grp", host]
    )
    assert made.switch.members(host) == set()
    h1("r.rejoin(index())")
    until(lambda: made.switch.members(host) == {"h1"})


def until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.02)


def test_rejoining_keeps_what_waits_and_fails_when_the_interface_is_gone(lan: lab.MakeLan) -> None:
    h1, h2 = two(lan)
    h2(f"r = receiver({GROUP!r}, 'eth0')")
    h1(f"sender().send(b'waits', group({GROUP!r}))")
    h2("r.rejoin(index())")
    assert h2.heard() == ["waits"]
    h2("gone = index()")
    h2.host.remove_interface("eth0")
    with pytest.raises(RemoteError, match="the interface has gone"):
        h2("r.rejoin(gone)")
    h2("r.leave(gone)")
    assert h2("r.joined") == []


def test_a_sender_says_what_stands_in_its_way(lan: lab.MakeLan) -> None:
    host = lan(1).hosts[0]
    h1 = Remote(host)
    h1("s = sender()")
    wall = host.firewall("ip daddr 224.0.0.0/4 drop", hook="output")
    with pytest.raises(RemoteError, match="not permitted: allow UDP") as caught:
        h1(f"s.send(b'x', group({GROUP!r}))")
    assert caught.value.name == "PermissionRefused"
    wall.remove()
    h1(f"s.send(b'x', group({GROUP!r}))")
    host.down()
    with pytest.raises(RemoteError, match=r"interface is down|no route") as caught:
        h1(f"s.send(b'x', group({GROUP!r}))")
    assert caught.value.name == "SocketError"
    with pytest.raises(RemoteError, match="gone"):
        h1("Sender(index(), '10.9.0.77')")


@pytest.mark.parametrize("ttl", [-1, 256])
def test_a_ttl_that_cannot_be_is_a_usage_error(lan: lab.MakeLan, ttl: int) -> None:
    h1 = Remote(lan(1).hosts[0])
    with pytest.raises(RemoteError, match="0 to 255") as caught:
        h1(f"s = sender(ttl={ttl})")
    assert caught.value.name == "UsageError"


def test_memberships_end_with_the_process_however_it_ends(lan: lab.MakeLan) -> None:
    host = lan(1).hosts[0]
    h1 = Remote(host)
    h1(f"r, r6 = receiver({GROUP!r}, 'eth0'), receiver({GROUP6!r}, 'eth0')")
    assert host.memberships() == {"eth0": {"239.9.9.9", "ff12::9:9"}}
    h1.process.signal(9)
    h1.process.wait()
    assert host.memberships() == {}
