"""Reading and watching the interfaces of a real host."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import lab

NOTICED_SECONDS = 15.0
"""A change is noticed within 3; the rest is for a slow machine."""
START_SECONDS = 20.0
Row = dict[str, Any]

WATCH = """
import asyncio, json, msgspec, sys
from mcast import interfaces
from mcast.net import interface_monitor as watch

if sys.argv[1] == "comparing":
    watch._open_hint = watch._Comparison

async def main():
    async for table in interfaces.watch():
        used = [[c.interface.name, *c.versions] for c in interfaces.choose(table) if c.used]
        rows = {i.name: msgspec.structs.asdict(i) for i in table}
        print(json.dumps({"used": used, "rows": rows}), flush=True)

asyncio.run(main())
"""


class Watched:
    """A watch that runs on a host. `expect` waits for a table for which something holds."""

    def __init__(self, process: lab.Process) -> None:
        self.process = process
        self.seen = 0
        self.expect(bool, START_SECONDS)

    def expect(self, holds: Callable[[Row], object], timeout: float = NOTICED_SECONDS) -> Row:
        """The first table not yet looked at for which `holds`; it must come within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            line = self.process.wait_lines(self.seen + 1, deadline - time.monotonic())[self.seen]
            self.seen += 1
            table: Row = json.loads(line)
            if holds(table):
                return table


@pytest.fixture
def host(lan: lab.MakeLan) -> lab.Host:
    return lan(hosts=1).hosts[0]


@pytest.fixture(params=["noticing", "comparing"])
def watched(request: pytest.FixtureRequest, host: lab.Host) -> Iterator[Watched]:
    """A watch on the host that works in one of the two ways."""
    with host.python(WATCH, request.param) as process:
        yield Watched(process)


def test_an_interface_appears_and_vanishes(host: lab.Host, watched: Watched) -> None:
    name = host.add_interface()
    watched.expect(lambda table: [name, 4, 6] in table["used"])
    host.remove_interface(name)
    assert watched.expect(lambda table: name not in table["rows"])["used"] == [["eth0", 4, 6]]


def test_an_address_changes(host: lab.Host, watched: Watched) -> None:
    host.sysctl("net.ipv4.conf.eth0.promote_secondaries", 1)
    host.add_address("10.9.7.7/16")
    host.delete_address(host.links["eth0"].ipv4)
    watched.expect(lambda table: table["rows"]["eth0"]["ipv4"] == ["10.9.7.7"])


def test_a_link_goes_down_and_up(host: lab.Host, watched: Watched) -> None:
    host.down()
    assert watched.expect(lambda table: not table["rows"]["eth0"]["up"])["used"] == [["lo", 4]]
    host.up()
    watched.expect(lambda table: ["eth0", 4, 6] in table["used"])


def test_a_cable_is_pulled_and_plugged(host: lab.Host, watched: Watched) -> None:
    host.unplug()
    watched.expect(lambda table: not table["rows"]["eth0"]["up"])
    host.plug()
    watched.expect(lambda table: ["eth0", 4, 6] in table["used"])


def test_the_default_route_moves(host: lab.Host, watched: Watched) -> None:
    name = host.add_interface()
    watched.expect(lambda table: [link[0] for link in table["used"]] == ["eth0", name])
    host.ip("route delete default", f"route add default via 10.9.255.254 dev {name}")
    watched.expect(lambda table: [link[0] for link in table["used"]] == [name, "eth0"])


def test_an_address_counts_once_it_is_known_to_be_unique(host: lab.Host, watched: Watched) -> None:
    host.ip("link add late type veth peer name far")
    host.sysctl("net.ipv6.conf.late.accept_dad", 1)
    host.ip("link set late up", "link set far up")
    watched.expect(lambda table: ["late", 6] in table["used"], 2 * NOTICED_SECONDS)


READ = """
import json
from mcast import interfaces
from msgspec.structs import asdict
choices = interfaces.choose(interfaces.read())
print(json.dumps([[c.interface.name, c.used, c.reason, asdict(c.interface)] for c in choices]))
"""


def chosen(host: lab.Host) -> dict[str, list[Any]]:
    """What mcast makes of the host's interfaces, best first: name to [used, reason, interface]."""
    with host.python(READ) as process:
        (rows,) = map(json.loads, process.wait_lines(1))
    return {name: rest for name, *rest in rows}


def test_a_default_route_into_a_tunnel_leaves_the_lan_in_use(host: lab.Host) -> None:
    host.add_tunnel("wg0")
    rows = chosen(host)
    assert rows["wg0"][:2] == [False, "tunnel"]
    assert rows["wg0"][2]["default_route"]
    assert rows["eth0"][:2] == [True, "default route"]


def test_the_better_default_route_comes_first(host: lab.Host) -> None:
    host.add_interface()
    host.ip("route add default via 10.9.255.254 dev eth1 metric 20")
    assert list(chosen(host))[:2] == ["eth1", "eth0"]


def test_a_lan_that_is_a_bridge(host: lab.Host) -> None:
    host.add_bridge("br0")
    rows = chosen(host)
    assert rows["br0"][:2] == [True, "default route"]
    assert rows["eth0"][:2] == [False, "part of a bridge or bond"]


def test_a_bridge_with_a_containers_name_and_no_gateway_but_the_default_route(host: lab.Host) -> None:
    host.ip("link add br-0123456789ab type bridge", "address add 10.77.0.1/16 dev br-0123456789ab")
    host.ip("link add port type veth peer name far", "link set port master br-0123456789ab up")
    host.ip("link set far up", "link set br-0123456789ab up")
    assert chosen(host)["br-0123456789ab"][:2] == [False, "container bridge"]
    host.ip("route replace default dev br-0123456789ab metric 5")
    assert chosen(host)["br-0123456789ab"][:2] == [True, "default route"]


def test_labelled_addresses_a_tun_device_and_one_without_any_address(host: lab.Host) -> None:
    host.ip("address add 10.9.9.9/16 dev eth0 label eth0:1", "tuntap add tun7 mode tun", "link set tun7 up")
    host.ip("link add bare type veth peer name far", "link set far up")
    rows = chosen(host)
    assert rows["eth0"][2]["ipv4"] == ["10.9.0.1", "10.9.9.9"]
    assert rows["tun7"][:2] == [False, "tunnel"]
    assert rows["bare"][:2] == [False, "down"]
    assert set(rows) == {"lo", "eth0", "tun7", "bare", "far"}
