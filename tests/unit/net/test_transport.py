"""Which addresses are on our own links."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from mcast.core.engine import Outgoing
from mcast.core.events import Detour
from mcast.errors import PermissionRefused, SocketError
from mcast.net import transport
from mcast.net.address import GroupAddress
from mcast.net.interface_table import Answers, Interface, assemble
from mcast.net.links import Links
from mcast.net.transport import Neighbourhood

LAN = Interface(
    "eth0",
    2,
    ipv4=("10.9.0.1",),
    ipv6=("fe80::1", "2001:db8::1"),
    networks=("10.9.0.0/16", "fe80::/64", "2001:db8::/64"),
)
OTHER = Interface("eth1", 3, ipv4=("192.168.1.1",), networks=("192.168.1.0/24",))


@pytest.mark.parametrize(
    ("host", "interface"),
    [
        ("10.9.3.4", 2),
        ("10.10.0.1", None),
        ("192.168.1.77", 3),
        ("8.8.8.8", None),
        ("2001:db8::77", 2),
        ("2001:db8:1::1", None),
        ("fe80::9%eth0", 2),
        ("fe80:0:0:1::9", 2),
    ],
)
def test_an_address_is_near_when_a_prefix_covers_it(host: str, interface: int | None) -> None:
    near = Neighbourhood([LAN, OTHER])
    assert near.interface_near(host) == interface
    assert near.interface_near(host) == interface


def test_a_link_that_tells_no_prefix_may_lead_to_all_of_its_ip_version() -> None:
    point = Interface("ppp0", 4, ipv4=("10.0.0.1",), networks=("10.0.0.1/32",))
    assert Neighbourhood([point]).interface_near("8.8.8.8") == 4
    assert Neighbourhood([point]).interface_near("2001:db8::1") is None
    assert Neighbourhood([Interface("w", 5, ipv6=("2001:db8::1",))]).interface_near("2001:db8:9::1") == 5
    assert Neighbourhood([]).interface_near("10.0.0.1") is None


def test_an_address_is_on_the_link_of_an_interface_that_may_lead_to_it() -> None:
    point = Interface("tun0", 4, ipv4=("10.8.0.1",), networks=("10.8.0.1/32",))
    near = Neighbourhood([point, LAN])
    assert near.interface_near("10.9.0.7") == 2, "what is known goes before what may be"
    assert near.covers(2, "10.9.0.7")
    assert near.covers(4, "10.8.0.2")
    assert not near.covers(2, "10.8.0.2")
    assert near.together("10.9.0.7", "10.9.0.1")
    assert not near.together("10.8.0.2", "10.8.0.1")


def test_made_up_addresses_are_not_remembered_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "NEIGHBOURS_MAX", 10)
    near = Neighbourhood([LAN])
    for number in range(100):
        assert near.interface_near(f"10.9.0.{number}") == 2
    assert len(near._known) <= 10


def test_networks_come_from_the_masks_that_the_system_tells() -> None:
    table = assemble(
        Answers(
            stats={"eth0": (True, 1500, "up,multicast")},
            names={"eth0": ["10.9.0.1"]},
            addresses={"eth0": ["10.9.0.1", "fe80::1%eth0", "10.77.0.1"]},
            indexes={"eth0": 2},
            masks={"10.9.0.1": "255.255.0.0", "fe80::1": "ffff:ffff:ffff:ffff::"},
        )
    )
    assert table[0].networks == ("10.9.0.0/16", "fe80::/64")


class Way:
    """A sender on an interface, which the system may refuse."""

    def __init__(self, interface: int, version: int = 4) -> None:
        self.interface, self.version, self.address = interface, version, "10.9.0.1"
        self.error: SocketError | None = None
        self.count = 0

    def send_to(self, data: bytes, address: tuple[str, int], *, timeout: float) -> None:
        """Send, or be refused."""
        if self.error is not None:
            raise self.error
        self.count += 1

    def send_all(
        self, datagrams: Sequence[bytes], address: tuple[str, int], *, timeout: float
    ) -> list[SocketError]:
        """Send all, or none."""
        return [] if self.error is None else [self.error] * len(datagrams)


class Wired:
    """A transport with two interfaces, or with other senders."""

    def __init__(self, *ways: Way) -> None:
        self.told: list[SocketError] = []
        self.ways = list(ways) or [Way(2), Way(3)]
        groups = [GroupAddress("230.0.0.1", 28003), GroupAddress("ff12::6d63", 28003)]
        links = SimpleNamespace(
            all=[LAN, OTHER],
            endpoints=self.ways,
            further=[],
            secondary=[],
            towards={},
            hosts=(),
            plan=SimpleNamespace(groups=groups),
        )
        self.transport = transport.Transport(
            cast(Links, links), lambda _: None, self.told.append, self._detoured
        )
        self.transport.rewire(None)
        self.detours: list[tuple[Detour, Sequence[bytes]]] = []

    def _detoured(self, detour: Detour, batch: Sequence[bytes], interfaces: object) -> None:
        self.detours.append((detour, batch))

    def send(self, *datagrams: Outgoing) -> PermissionRefused | None:
        """Send; why it did not leave."""
        self.transport.send(datagrams)
        return self.transport.refusal


DATA = Outgoing(b"x", None, True)


def test_a_detour_is_left_to_who_knows_it() -> None:
    wired = Wired()
    detour = Detour(2, 4)
    wired.send(Outgoing(b"a", detour), Outgoing(b"b", detour))
    assert wired.detours == [(detour, [b"a", b"b"])]
    assert not any(way.count for way in wired.ways)


REFUSED = PermissionRefused("not permitted", errno=1)


@pytest.mark.parametrize("count", [1, 2])
def test_a_refused_datagram_is_told_once_until_one_leaves(count: int) -> None:
    wired = Wired()
    for way in wired.ways:
        way.error = REFUSED
    assert wired.send(*[DATA] * count) is REFUSED
    assert wired.send(*[DATA] * count) is REFUSED
    assert not wired.transport.sent
    assert wired.told == [REFUSED] * 2, "once for each interface"
    wired.ways[1].error = None
    assert wired.send(*[DATA] * count) is None, "one interface is enough"
    assert wired.transport.sent
    assert list(wired.transport.refusals) == [(2, 4), (3, 4)]


def test_an_interface_that_is_down_refuses_nothing() -> None:
    wired = Wired()
    wired.ways[0].error = wired.ways[1].error = SocketError("down", errno=100)
    assert wired.send(DATA) is None
    assert not wired.transport.sent
    assert wired.told == []
    wired.ways[1].error = REFUSED
    assert wired.send(DATA) is REFUSED


def test_a_copy_for_a_static_peer_counts_as_sent() -> None:
    wired = Wired()
    for way in wired.ways:
        way.error = REFUSED
    assert wired.send(DATA) is REFUSED
    for way in wired.ways:
        way.error = None
    static, near = ("8.8.8.8", 28003), ("10.9.0.7", 28003)
    wired.transport.allow([static])
    wired.transport.heard(near, 2)
    assert wired.send(Outgoing(b"probe", near)) is REFUSED, "an answer is no message"
    assert wired.send(Outgoing(b"x", near, True)) is None
    wired.ways[0].error = wired.ways[1].error = REFUSED
    assert wired.send(DATA, Outgoing(b"x", static)) is REFUSED
    wired.ways[0].error = None
    assert wired.send(Outgoing(b"x", static)) is None


def test_records_leave_in_the_other_ip_version_where_one_is_refused() -> None:
    wired = Wired(Way(2), Way(2, version=6))
    wired.transport.rewire(4)
    ipv4, ipv6 = wired.ways
    assert wired.send(DATA) is None
    assert (ipv4.count, ipv6.count) == (1, 0)
    ipv4.error = REFUSED
    assert wired.send(DATA) is None
    assert (ipv4.count, ipv6.count) == (1, 1)
    ipv4.error = None
    assert wired.send(DATA) is None
    assert (ipv4.count, ipv6.count) == (2, 2), "it may be refused again"
