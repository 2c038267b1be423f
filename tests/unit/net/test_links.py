"""Links, as far as they need no network: /proc/net/igmp, and when a network is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from mcast.interfaces import Interface
from mcast.net import links
from mcast.net.links import Plan

TABLE = """\
Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter
1\tlo        :     1      V3
\t\t\t\t010000E0     1 0:00000000\t\t0
2\teth0      :     3      {eth0}
\t\t\t\t010000E6     1 0:00000000\t\t0
\t\t\t\tFB0000E0     1 0:00000000\t\t0
3\ten:1      :     1      {other}
\t\t\t\t010000E0     1 0:00000000\t\t0
"""


WithQuerier = Callable[[str], frozenset[str]]


@pytest.fixture
def with_querier(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> WithQuerier:
    """`with_querier(table)`: the interfaces with a querier when /proc/net/igmp holds `table`."""
    path = tmp_path / "igmp"
    monkeypatch.setattr(links, "_IGMP", path)

    def read(table: str) -> frozenset[str]:
        path.write_text(table, encoding="latin-1")
        return links.interfaces_with_querier()

    return read


@pytest.mark.parametrize(
    ("eth0", "other", "found"),
    [
        ("V3", "V3", set()),
        ("V2", "V3", {"eth0"}),
        ("V1", "V3", {"eth0"}),
    ],
)
def test_interfaces_in_an_old_mode_have_one(
    with_querier: WithQuerier, eth0: str, other: str, found: set[str]
) -> None:
    assert with_querier(TABLE.format(eth0=eth0, other=other)) == found


@pytest.mark.parametrize("table", ["", "\n\n", "Idx\n", "V2\n", "2 V2\n", "x eth0 : 3 V2\n", "\x00\xff V2"])
def test_a_table_of_another_form_has_none(with_querier: WithQuerier, table: str) -> None:
    assert with_querier(table) == set()


def test_without_the_table_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(links, "_IGMP", tmp_path / "none")
    assert links.interfaces_with_querier() == set()


def test_a_network_is_lost_when_no_address_of_it_is_left() -> None:
    made = links.Links(Plan(()))

    def lost(*interfaces: Interface) -> bool:
        return bool(made.update(interfaces).lost_networks)

    home = Interface("eth0", 2, ipv4=("10.0.0.1",), ipv6=("fe80::1", "2001:db8::1"))
    assert not lost()
    assert not lost(home)
    assert not lost(msgspec.structs.replace(home, ipv4=()))
    assert lost(msgspec.structs.replace(home, ipv4=("10.0.0.9",), ipv6=("fe80::1",)))
    assert lost()
    assert not lost()
    assert not lost(home)


def test_of_several_networks_the_one_that_is_lost_is_named() -> None:
    made = links.Links(Plan(()))
    wired = Interface("eth0", 2, ipv4=("10.0.0.1",), ipv6=())
    wireless = Interface("wlan0", 3, ipv4=("10.1.0.1",), ipv6=())
    assert made.update([wired, wireless]).lost_networks == ()
    moved = msgspec.structs.replace(wireless, ipv4=("10.2.0.1",))
    assert made.update([wired, moved]).lost_networks == (wireless.index,)
    assert made.update([moved]).lost_networks == (wired.index,)
    assert made.update([]).lost_networks == (None,)
