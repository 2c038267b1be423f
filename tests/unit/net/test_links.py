"""Links, as far as they need no network: /proc/net/igmp, and when a network is lost."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from mcast.errors import SocketError
from mcast.interfaces import Interface
from mcast.net import links
from mcast.net.address import GroupAddress
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


class _Descriptors:
    """A process with `limit` descriptors, of which sockets take the lowest free ones."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken: set[int] = set()

    def take(self) -> int:
        number = next(number for number in range(self.limit + 1) if number not in self.taken)
        if number == self.limit:
            raise SocketError("too many open files", errno=errno.EMFILE)
        self.taken.add(number)
        return number


class _FakeReceiver:
    def __init__(self, group: GroupAddress, descriptors: _Descriptors) -> None:
        self.group, self._descriptors = group, descriptors
        self.joined: dict[int, int] = {}

    def join(self, index: int, _: object) -> None:
        self.joined[index] = self._descriptors.take()

    def leave(self, index: int) -> None:
        self._descriptors.taken.discard(self.joined.pop(index, -1))

    def fileno(self, index: int) -> int:
        return self.joined[index]


class _FakeSender:
    def __init__(self, interface: int, address: str, descriptors: _Descriptors) -> None:
        self.interface, self.address, self._number = interface, address, descriptors.take()
        self.source, self._descriptors = (address, 5), descriptors

    def fileno(self) -> int:
        return self._number

    def close(self) -> None:
        self._descriptors.taken.discard(self._number)


def _eths(*numbers: int) -> list[Interface]:
    """Interfaces in the order of preference, of which each has two addresses."""
    return [
        Interface(f"eth{n}", n, (f"10.{n}.0.1", f"10.{n}.0.2"), default_route=True, rank=rank)
        for rank, n in enumerate(numbers)
    ]


@pytest.fixture
def descriptors(monkeypatch: pytest.MonkeyPatch) -> _Descriptors:
    made = _Descriptors(100)
    monkeypatch.setattr(links, "Receiver", lambda group, pieces: _FakeReceiver(group, made))
    monkeypatch.setattr(links, "Sender", lambda index, address, **_: _FakeSender(index, address, made))
    monkeypatch.setattr(links, "_leaves_spare", lambda number: number + links.SPARE < made.limit)
    return made


def _names(used: tuple[Interface, ...]) -> list[str]:
    return [link.name for link in used]


PLAN = Plan((GroupAddress("230.0.0.1", 5),), unicast=True, hold=True)


def test_few_descriptors_are_for_the_preferred_interfaces(descriptors: _Descriptors) -> None:
    descriptors.limit = links.SPARE + 4
    many = links.Links(PLAN)
    change = many.update(_eths(3, 1, 2, 4))
    assert _names(many.used) == _names(change.joined) == ["eth3", "eth1"]
    assert [str(problem) for problem in change.problems] == [
        "too many open files to use eth2, eth4: raise the limit: ulimit -n"
    ]
    assert [choice.reason for choice in many.choices[2:]] == ["too many open files"] * 2
    assert len(descriptors.taken) <= 4

    # A better one comes: it takes the place of the worst, and nothing is told again.
    change = many.update(_eths(5, 3, 1, 2, 4))
    assert (_names(many.used), _names(change.joined), _names(change.left)) == (
        ["eth5", "eth3"],
        ["eth5"],
        ["eth1"],
    )
    assert not change.problems
    assert not many.update(_eths(5, 3, 1, 2, 4))

    descriptors.limit = 100
    assert _names(many.update(_eths(5, 3, 1, 2, 4)).joined) == ["eth1", "eth2", "eth4"]
    assert len(descriptors.taken) == 15


def test_the_first_interface_gets_the_last_descriptors(descriptors: _Descriptors) -> None:
    descriptors.limit = 2
    many = links.Links(PLAN)
    assert not many.update(_eths(1)).problems
    descriptors.limit = 1
    few = links.Links(PLAN)
    descriptors.taken.clear()
    (problem,) = few.update(_eths(1, 2)).problems
    assert str(problem).startswith("too many open files")
    assert _names(few.used) == ["eth1"]


def test_the_first_address_in_each_further_network_is_sent_from() -> None:
    addresses = (
        "10.0.0.1",
        "10.0.0.2",
        "10.1.0.1",
        "10.2.0.1",
        "10.2.0.2",
        "10.3.0.1",
        "10.4.0.1",
        "10.9.0.1",
    )
    networks = (*(f"10.{number}.0.0/16" for number in range(5)), "10.9.0.1/32")
    link = Interface("eth0", 2, ipv4=addresses, networks=networks)
    assert links._elsewhere(link) == ["10.1.0.1", "10.2.0.1", "10.3.0.1"]
    assert links._elsewhere(Interface("eth0", 2, ipv6=("fe80::1",))) == []
    alone = Interface("tun0", 3, ipv4=("10.8.0.1", "10.8.0.2"), networks=("10.8.0.1/32",))
    assert links._elsewhere(alone) == []
