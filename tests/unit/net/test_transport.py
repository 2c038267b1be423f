"""Which addresses are on our own links."""

from __future__ import annotations

import pytest

from mcast.net import transport
from mcast.net.interface_table import Answers, Interface, assemble
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
