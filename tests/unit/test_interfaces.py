"""The table and the policy, on what many systems answer (tables/*.json), and their properties."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import netifaces
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcast import interfaces
from mcast.errors import SocketError, UnknownInterface
from mcast.interfaces import Choice, choose, find
from mcast.net import interface_table as iftable
from mcast.net.interface_table import Answers, Interface, Table, assemble

TABLES = {
    path.stem: json.loads(path.read_text("utf-8")) for path in Path(__file__).parent.glob("tables/*.json")
}
CASES = [
    pytest.param(name, case, id=f"{name}-{','.join(case['requested']) or 'default'}-{case['versions']}")
    for name, record in sorted(TABLES.items())
    for case in record["cases"]
]


def answers(record: dict[str, Any]) -> Answers:
    """What the system of a recorded table answers. A `label` is a second name for addresses of a link."""
    links = record["links"]
    key = {name: link.get("guid", name) for name, link in links.items()}
    return Answers(
        stats={n: (i["up"], i["mtu"], i["flags"]) for n, i in links.items() if "label" not in i},
        names={name: link["addresses"] for name, link in links.items()},
        addresses={key[name]: link["addresses"] for name, link in links.items()},
        defaults=[key[name] for name in record["defaults"]],
        indexes={key[name]: link["index"] for name, link in links.items() if "label" not in link},
        tentative=record.get("tentative", ()),
        enslaved=[name for name, link in links.items() if link.get("enslaved")],
    )


def table(name: str) -> Table:
    return assemble(answers(TABLES[name]))


def named(name: str, system: str) -> Interface:
    return next(interface for interface in table(system) if interface.name == name)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_policy_on_recorded_tables(name: str, case: dict[str, Any]) -> None:
    choices = choose(table(name), case["requested"], versions=case["versions"])
    assert [[c.interface.name, c.used, c.reason, list(c.versions)] for c in choices] == case["choices"]


def test_windows_interfaces_get_index_address_and_route_through_their_guid() -> None:
    wifi = named("Wi-Fi", "windows")
    assert (wifi.index, wifi.ipv4, wifi.ipv6) == (12, ("192.168.0.44",), ("fe80::4d2:77aa:bb:1",))
    assert wifi.default_route
    assert wifi.multicast


def test_labels_are_addresses_of_their_interface() -> None:
    assert named("eth0", "two_nics").ipv4 == ("10.0.0.2", "10.0.9.2")


def test_addresses_under_duplicate_detection_are_left_out() -> None:
    assert named("eth1", "two_nics").ipv6 == ()


def test_link_local_comes_first_and_is_what_senders_bind() -> None:
    wlan = named("wlan0", "linux_laptop")
    assert wlan.ipv6 == ("fe80::8c1f:2dff:fe3a:1", "2001:db8:1::23")
    assert wlan.address(6) == wlan.link_local == "fe80::8c1f:2dff:fe3a:1"
    assert wlan.address(4) == "192.168.1.23"


def test_without_address() -> None:
    bare = named("eth2", "some_without_ipv4")
    assert (bare.address(4), bare.address(6), bare.link_local, bare.versions) == (None, None, None, ())


def test_what_vanished_has_no_address() -> None:
    record = {**TABLES["two_nics"]}
    gone = Answers(**{**_fields(answers(record)), "indexes": {"lo": 1, "eth0": 2}})
    eth1 = next(interface for interface in assemble(gone) if interface.name == "eth1")
    assert (eth1.index, eth1.addresses) == (0, ())


def _fields(given: Answers) -> dict[str, Any]:
    return {name: getattr(given, name) for name in Answers.__struct_fields__}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("en0", ["en0"]),
        ("EN0", ["en0"]),
        ("192.168.178.20", ["en0"]),
        ("2001:DB8:2:0::20", ["en0"]),
        ("fe80::1%lo0", ["lo0"]),
        ("fe80::1%1", ["lo0"]),
        ("fe80::1%en0", []),
        ("fe80::60d1:3cff:fe01:203", ["awdl0", "llw0"]),
        ("", []),
        ("%", []),
        ("1.2.3", []),
    ],
)
def test_find(wanted: str, found: list[str]) -> None:
    assert [interface.name for interface in find(table("macos"), wanted)] == found


def test_exact_name_beats_another_that_differs_in_case() -> None:
    twins = (Interface("Lan", 1), Interface("lan", 2))
    assert [interface.index for interface in find(twins, "lan")] == [2]
    assert [interface.index for interface in find(twins, "LAN")] == [1, 2]


def test_unknown_lists_the_known() -> None:
    with pytest.raises(UnknownInterface, match=r"no interface 'eth7'.*known are: eth1, eth0, lo"):
        choose(table("two_nics"), ["eth0", "eth7"])
    with pytest.raises(UnknownInterface, match="known are: none"):
        choose((), ["eth7"])


def test_unknown_is_passed_over_in_a_watch() -> None:
    choices = choose(table("two_nics"), ["eth7", "eth0"], absent_ok=True)
    assert [choice.interface.name for choice in choices if choice.used] == ["eth0"]
    assert (choices[0].interface.name, choices[0].reason) == ("eth7", "does not exist")
    assert not any(choice.used for choice in choose(table("two_nics"), ["eth7"], absent_ok=True))


def test_an_excluded_interface_is_not_used_requested_or_not() -> None:
    for requested in ([], ["eth0", "eth1"]):
        choices = choose(table("two_nics"), requested, excluded=["eth0", "eth9"])
        assert [choice.interface.name for choice in choices if choice.used] == ["eth1"]
        assert [one.reason for one in choices if one.interface.name == "eth0"] == ["left out with -x"]
    none = choose(table("two_nics"), excluded=["eth0", "eth1"])
    assert not any(choice.used for choice in none), "loopback would reach nobody"


def test_no_interface_at_all() -> None:
    assert choose(()) == ()


def test_a_tunnel_with_only_a_link_local_address_does_not_lead_out() -> None:
    loopback = Interface("lo", 1, ipv4=("127.0.0.1",), loopback=True, multicast=False)
    tunnel = Interface("utun0", 2, ipv6=("fe80::1",), tunnel=True)
    assert [c.used for c in choose((loopback, tunnel))] == [True, False]
    reaching = Interface("utun0", 2, ipv6=("fe80::1", "2001:db8::1"), tunnel=True)
    assert [c.used for c in choose((loopback, reaching))] == [False, False]


@pytest.mark.parametrize(
    "other",
    [
        Interface("eth0", 2, ipv4=("10.0.0.1",), enslaved=True),
        Interface("eth0", 2, ipv4=("10.0.0.1",), up=False),
        Interface("docker0", 2, ipv4=("172.17.0.1",)),
        Interface("awdl0", 2, ipv6=("fe80::1",)),
        Interface("eth0", 2),
    ],
    ids=["port", "down", "container", "apple", "bare"],
)
def test_only_this_computer_when_no_address_leads_out(other: Interface) -> None:
    loopback = Interface("lo", 1, ipv4=("127.0.0.1",), loopback=True, multicast=False)
    assert choose((loopback, other))[0] == Choice(loopback, True, "only this computer", (4,))


# Properties

ADDRESSES4 = st.sampled_from(["10.0.0.1", "10.0.0.2", "169.254.7.7", "192.0.2.9", "127.0.0.1"])
ADDRESSES6 = st.sampled_from(["fe80::1", "fe80::2", "2001:db8::1", "::1"])
NAMES = st.sampled_from(
    [
        "lo",
        "eth0",
        "eth1",
        "br0",
        "br-0123456789ab",
        "docker0",
        "wg0",
        "utun2",
        "awdl0",
        "veth1234567",
        "Wi-Fi",
    ]
)
INTERFACES = st.builds(
    Interface,
    name=NAMES,
    index=st.integers(0, 20),
    ipv4=st.lists(ADDRESSES4, max_size=2, unique=True).map(tuple),
    ipv6=st.lists(ADDRESSES6, max_size=2, unique=True).map(tuple),
    up=st.booleans(),
    multicast=st.booleans(),
    loopback=st.booleans(),
    tunnel=st.booleans(),
    default_route=st.booleans(),
    rank=st.integers(0, 2),
    enslaved=st.booleans(),
)
SYSTEMS = st.lists(INTERFACES, max_size=6, unique_by=lambda interface: interface.name).map(tuple)
REQUESTS = st.lists(NAMES | ADDRESSES4 | ADDRESSES6 | st.text(max_size=8), max_size=3)
VERSIONS = st.sampled_from([(4,), (6,), (4, 6)])


@given(SYSTEMS, REQUESTS, VERSIONS)
def test_choose_answers_for_every_interface_or_names_the_unknown(
    system: Table, requested: list[str], versions: tuple[int, ...]
) -> None:
    try:
        choices = choose(system, requested, versions=versions)
    except UnknownInterface:
        assert any(not find(system, wanted) for wanted in requested)
        choices = choose(system, requested, versions=versions, absent_ok=True)
        absent = {wanted for wanted in requested if not find(system, wanted)}
        assert {c.interface.name for c in choices if c.interface not in system} == absent
        choices = tuple(c for c in choices if c.interface in system)
    assert sorted(c.interface.name for c in choices) == sorted(i.name for i in system)
    for choice in choices:
        assert choice.reason
        assert choice.used == bool(choice.versions)
        assert set(choice.versions) <= {*versions} & {*choice.interface.versions}
        assert choice.interface.up or not choice.used


@given(SYSTEMS.flatmap(lambda system: st.tuples(st.just(system), st.permutations(system))), VERSIONS)
def test_choose_does_not_depend_on_the_order_of_the_table(
    two: tuple[Table, list[Interface]], versions: tuple[int, ...]
) -> None:
    system, shuffled = two
    assert choose(system, versions=versions) == choose(shuffled, versions=versions)


@given(SYSTEMS, VERSIONS)
def test_loopback_only_when_nothing_else_is_used(system: Table, versions: tuple[int, ...]) -> None:
    used = [choice.interface for choice in choose(system, versions=versions) if choice.used]
    assert len(used) == 1 or not any(interface.loopback for interface in used)
    assert not any(interface.tunnel for interface in used if not interface.loopback)


@given(SYSTEMS, VERSIONS)
def test_default_routes_come_first_then_by_index(system: Table, versions: tuple[int, ...]) -> None:
    used = [choice.interface for choice in choose(system, versions=versions) if choice.used]
    order = [(not i.default_route, i.rank if i.default_route else 0, i.index) for i in used]
    assert order == sorted(order)


@given(
    st.builds(
        Answers,
        stats=st.dictionaries(NAMES, st.tuples(st.booleans(), st.integers(0, 70000), st.text(max_size=20))),
        names=st.dictionaries(NAMES, st.lists(st.text(max_size=20))),
        addresses=st.dictionaries(NAMES | st.text(max_size=5), st.lists(ADDRESSES4 | ADDRESSES6 | st.text())),
        defaults=st.lists(NAMES),
        indexes=st.dictionaries(NAMES, st.integers(1, 9)),
    )
)
def test_any_answer_makes_a_table(answered: Answers) -> None:
    assert {interface.name for interface in assemble(answered)} == set(answered.stats)


# What is asked of the system


def test_read_knows_this_computers_loopback() -> None:
    loopbacks = [interface for interface in interfaces.read() if interface.loopback]
    assert loopbacks
    assert all(interface.index for interface in loopbacks)


def test_default_is_what_choose_uses() -> None:
    used = [choice.interface for choice in choose(interfaces.read()) if choice.used]
    assert list(interfaces.default()) == used


def test_read_survives_what_refuses_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Any:
        raise PermissionError("sandboxed")

    monkeypatch.setattr(psutil, "net_if_addrs", refuse)
    monkeypatch.setattr(netifaces, "gateways", refuse)
    monkeypatch.setattr(netifaces, "ifaddresses", refuse)
    monkeypatch.setattr(iftable, "_IF_INET6", "/nowhere")
    assert all(not i.addresses and not i.default_route for i in interfaces.read())
    monkeypatch.setattr(psutil, "net_if_stats", refuse)
    assert interfaces.read() == ()


@pytest.mark.parametrize("call", ["net_if_stats", "net_if_addrs"])
def test_a_process_without_files_left_takes_no_interface_for_gone(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(psutil, call, refuse)
    with pytest.raises(SocketError, match="ulimit -n"):
        interfaces.read()


@pytest.mark.parametrize("call", ["gateways", "ifaddresses"])
def test_a_route_or_address_that_cannot_be_asked_for_has_not_gone(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Any:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(netifaces, call, refuse)
    with pytest.raises(SocketError, match="cannot read the interfaces"):
        interfaces.read()


def test_an_interface_that_vanishes_between_two_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> Any:
        raise ValueError("You must specify a valid interface name.")

    monkeypatch.setattr(netifaces, "ifaddresses", gone)
    assert all(not interface.addresses for interface in interfaces.read())


def test_the_default_of_either_family_precedes_other_default_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    four = [("10.0.0.254", "eth0", True), ("10.1.0.254", "eth1", False)]
    six = [("fe80::1", "eth3", False), ("fe80::2", "eth2", True)]
    gateways = {"default": {}, netifaces.AF_INET: four, netifaces.AF_INET6: six}
    monkeypatch.setattr(netifaces, "gateways", lambda: gateways)
    assert iftable._default_routes()[:4] == ("eth0", "eth2", "eth1", "eth3")


def test_default_routes_without_gateway_come_from_the_kernels_table() -> None:
    text = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
ppp0\t00000000\t00000000\t0001\t0\t0\t50\t00000000\t0\t0\t0
tun0\t00000000\t0108080A\t0003\t0\t0\t0\t00000080\t0\t0\t0
eth0\t0000090A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""
    assert iftable._gatewayless(text.splitlines()) == ["ppp0"]


def test_addresses_that_do_not_bind_yet_come_from_the_kernels_table() -> None:
    tentative, optimistic, failed, fine = (
        "fe800000000000000000000000000001 02 40 20 c0 eth0",
        "fe800000000000000000000000000002 02 40 20 c4 eth0",
        "fe800000000000000000000000000003 02 40 20 88 eth0",
        "fe800000000000000000000000000004 02 40 20 80 eth0",
    )
    assert iftable._tentative([tentative, optimistic, failed, fine]) == {"fe80::1", "fe80::3"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("docker0", "container bridge"),
        ("Docker12", "container bridge"),
        ("docker_gwbridge", "container bridge"),
        ("docker", "up, multicast"),
        ("br-0123456789ab", "container bridge"),
        ("br-lan", "up, multicast"),
        ("virbr0-nic", "container bridge"),
        ("vethernet", "up, multicast"),
        ("vEthernet (WSL (Hyper-V firewall))", "container bridge"),
        ("vEthernet (Wslan)", "up, multicast"),
        ("veth1234567", "container bridge"),
        ("veth0", "up, multicast"),
        ("awdl0", "Apple peer-to-peer link"),
        ("llw", "up, multicast"),
        ("WG0", "tunnel"),
        ("gpd0", "tunnel"),
        ("gpd", "up, multicast"),
        ("stf9x", "tunnel"),
        ("Wi-Fi", "up, multicast"),
    ],
)
def test_what_a_name_tells(name: str, reason: str) -> None:
    link = Interface(name, 2, ipv4=("10.9.0.1",), tunnel=iftable.is_tunnel_name(name))
    (choice,) = choose([link])
    assert choice.reason == reason
