"""Switches, hosts and the cables between them."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from tests.lab import kernel, tools
from tests.lab.host import Host
from tests.lab.kernel import Traffic
from tests.lab.namespaces import LabError, Namespaces
from tests.lab.process import Running
from tests.lab.wiring import Link

READY_SECONDS = 10.0
GATEWAY = "255.254"
# Hundredths of a second; a switch trusts what it has learnt after this long (10 s when stock).
ANSWER_TIME = 20
# One table of 1,024 neighbours serves all namespaces of the machine; permanent ones are not counted.
FULL_NEIGHBOUR_TABLE = 20
# How every host begins: addresses usable at once, no search for routers, and a second address that outlives
# the first, as on every distribution.
_HOST_SETTINGS = {
    "net.ipv4.conf.default.promote_secondaries": 1,
    "net.ipv6.conf.all.accept_dad": 0,
    "net.ipv6.conf.default.accept_dad": 0,
    "net.ipv6.conf.default.router_solicitations": 0,
}
# A switch port with an IPv6 address would talk; the switch itself needs one to ask by MLD.
_SWITCH_SETTINGS = {
    "net.ipv6.conf.all.accept_dad": 0,
    "net.ipv6.conf.default.accept_dad": 0,
    "net.ipv6.conf.default.disable_ipv6": 1,
}


class Switch:
    """A switch with IGMP and MLD snooping, made of a bridge. Stock ones snoop and have no querier."""

    def __init__(self, lan: Lan, number: int) -> None:
        self.lan = lan
        self.number = number
        self.name = f"sw{number}"

    def configure(self, **options: str | int) -> None:
        """Set bridge options by their names in ip-link(8), e.g. configure(mcast_querier_interval=100)."""
        words = " ".join(f"{name} {value}" for name, value in options.items())
        self.lan.ip(f"link set {self.name} type bridge {words}")

    def snooping(self, on: bool) -> None:
        """Send groups only where somebody asked for them, or everywhere."""
        self.configure(mcast_snooping=int(on))

    def querier(self, on: bool) -> None:
        """Ask regularly who wants which groups. Groups are withheld once the first answers had their time."""
        self.lan.sysctl(None, {f"net.ipv6.conf.{self.name}.disable_ipv6": int(not on)})
        self.configure(mcast_querier=int(on))

    def members(self, group: str) -> set[str]:
        """Names of the hosts that the switch believes to be in a group."""
        shown = tools.execute(self.lan.namespaces, None, ["bridge", "-json", "mdb", "show", "dev", self.name])
        entries = json.loads(shown)[0]["mdb"]
        return {str(entry["port"]).partition("-")[0] for entry in entries if entry["grp"] == group}

    def port(self, host: Host, interface: str = "eth0", **options: bool) -> None:
        """Set options of a host's port by their names in bridge(8), e.g. mcast_flood=False, isolated=True."""
        words = [word for name, on in options.items() for word in (name, "on" if on else "off")]
        port = host.links[interface].port
        tools.execute(self.lan.namespaces, None, ["bridge", "link", "set", "dev", port, *words])


Cable = tuple[str, Switch, str]


class Lan:
    """N hosts, h1 … hN, each with eth0 on the first switch, in namespaces that nobody else sees.

    Host n has 10.9.0.n/16 with a default route to a gateway that is not there, and a link-local IPv6 address
    that can be used at once. Switch k has 10.(9+k).0.0/16. `user_namespace` forces how the rights come about.
    """

    def __init__(
        self,
        hosts: int = 3,
        *,
        switches: int = 1,
        snooping: bool = True,
        querier: bool = False,
        mtu: int = 1500,
        ipv4: bool = True,
        ipv6: bool = True,
        offload: bool = True,
        default_route: bool = True,
        user_namespace: bool | None = None,
    ) -> None:
        self.namespaces = Namespaces(user_namespace)
        self.directory = self.namespaces.directory
        self.mtu = mtu
        self.offload = offload
        self.default_route = default_route
        self.hosts: list[Host] = []
        self.switches: list[Switch] = []
        self.running: list[Running] = []
        try:
            self.sysctl(None, _SWITCH_SETTINGS)
            self.ip("link set lo up")
            for _ in range(switches):
                self.add_switch(snooping=snooping, querier=querier)
            self._add_hosts(hosts, ipv4, ipv6)
        except BaseException:
            self.close()
            raise

    @property
    def switch(self) -> Switch:
        """The first switch."""
        return self.switches[0]

    def close(self) -> None:
        """End everything that runs in the lab, then the lab."""
        self.namespaces.close()
        for process in self.running:
            process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add_switch(self, *, snooping: bool = True, querier: bool = False) -> Switch:
        """Put up one more switch, connected to nothing."""
        switch = Switch(self, len(self.switches))
        options = (
            f"forward_delay 0 mcast_snooping {int(snooping)} mcast_query_response_interval {ANSWER_TIME}"
        )
        self.ip(f"link add {switch.name} mtu {self.mtu} type bridge {options}")
        switch.querier(querier)
        self.ip(f"link set {switch.name} up")
        self.switches.append(switch)
        return switch

    def add_host(self, *, switch: Switch | None = None, ipv4: bool = True, ipv6: bool = True) -> Host:
        """Add a host with eth0 on a switch (the first, unless told), with the families it should have."""
        return self._add_hosts(1, ipv4, ipv6, switch)[0]

    def _add_hosts(self, count: int, ipv4: bool, ipv6: bool, switch: Switch | None = None) -> list[Host]:
        first = len(self.hosts) + 1
        new = [Host(self, number, ipv4, ipv6) for number in range(first, first + count)]
        tools.ip(self.namespaces, None, (f"netns add {host.name}" for host in new))
        for host in new:
            self.sysctl(host.name, {**_HOST_SETTINGS, "net.ipv6.conf.default.disable_ipv6": int(not ipv6)})
        self.hosts += new
        self.connect([(host.name, switch or self.switch, "eth0") for host in new], loopback=True)
        if len(self.hosts) > FULL_NEIGHBOUR_TABLE:
            self._introduce()
        return new

    def connect(self, cables: Sequence[Cable], *, ipv4: bool = True, loopback: bool = False) -> None:
        """Make an interface on each host named and plug it into the switch; return when all can be used."""
        links = [
            (self.host(name), self._link(self.host(name), switch, end, ipv4)) for name, switch, end in cables
        ]
        lines = []
        for host, link in links:
            peer = f"peer name {link.name} address {link.mac} mtu {self.mtu} netns {host.name}"
            lines.append(f"link add {link.port} mtu {self.mtu} type veth {peer}")
            lines.append(f"link set {link.port} master {link.switch.name} up")
        tools.ip(self.namespaces, None, lines)
        for host, link in links:
            host.links[link.name] = link
            start = ["link set lo up"] if loopback else []
            host.ip(*start, f"link set {link.name} up", *link.address_lines())
            if not self.offload:
                host.offload(False, link.name)
        self.wait_usable([(host.name, link.name) for host, link in links])

    def _link(self, host: Host, switch: Switch, name: str, ipv4: bool) -> Link:
        taken = {link.nth for link in host.links.values() if link.switch is switch}
        nth = next(number for number in itertools.count() if number not in taken)
        network = f"10.{9 + switch.number}"
        address = f"{network}.{nth}.{host.number}/16" if ipv4 and host.ipv4 else ""
        routed = any(link.gateway for link in host.links.values())
        first = bool(address) and self.default_route and not routed
        mac = f"02:09:00:{switch.number:02x}:{nth:02x}:{host.number:02x}"
        gateway = f"{network}.{GATEWAY}" if first else ""
        return Link(name, f"{host.name}-{name}", switch, nth, mac, address, gateway)

    def _introduce(self) -> None:
        """Give every host a permanent neighbour entry for every other one, in the families both have."""
        entries = [(host, *entry) for host in self.hosts for entry in _neighbour_entries(host)]
        for host in self.hosts:
            families = {4: host.ipv4, 6: host.ipv6}
            host.ip(*(line for other, family, line in entries if other is not host and families[family]))

    def host(self, name: str) -> Host:
        """The host of that name."""
        return next(host for host in self.hosts if host.name == name)

    def wait_usable(self, interfaces: Iterable[tuple[str, str]]) -> None:
        """Wait until these interfaces, each (host, interface), can send and receive."""
        deadline = time.monotonic() + READY_SECONDS
        waiting = list(interfaces)
        while waiting := [(host, name) for host, name in waiting if not self.host(host).usable(name)]:
            if time.monotonic() > deadline:
                raise LabError(f"no carrier or no usable IPv6 address after {READY_SECONDS} s: {waiting}")
            time.sleep(0.005)

    def traffic(self) -> Traffic:
        """What all hosts together have sent and received over their cables."""
        text = self.proc("/proc/net/dev")
        ports = (link.port for host in self.hosts for link in host.links.values())
        return sum((kernel.traffic_of_port(text, port) for port in ports), start=Traffic(0, 0, 0, 0))

    def sysctl(self, host: str | None, settings: Mapping[str, str | int]) -> None:
        """Set kernel settings of a host's network, or of the switches'."""
        files = {"/proc/sys/" + name.replace(".", "/"): str(value) for name, value in settings.items()}
        self.namespaces.write(host, files)

    def proc(self, path: str) -> str:
        """A file below /proc as the switches see it."""
        return self.namespaces.read(None, path)[0] or ""

    def ip(self, *commands: str) -> None:
        """Run lines of ip(8) where the switches and their ports are."""
        tools.ip(self.namespaces, None, commands)


MakeLan = Callable[..., Lan]


def _neighbour_entries(host: Host) -> list[tuple[int, str]]:
    """(family, line of ip(8)) for each address that others should know of a host."""
    link = host.links["eth0"]
    addresses = [(4, link.ipv4.partition("/")[0])] if link.ipv4 else []
    addresses += [(6, host.link_local())] if host.ipv6 else []
    return [
        (family, f"neighbour replace {address} lladdr {link.mac} dev eth0 nud permanent")
        for family, address in addresses
    ]
