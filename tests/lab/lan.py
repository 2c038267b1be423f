"""Switches, hosts and the cables between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

from tests.lab import tools
from tests.lab.host import Host
from tests.lab.namespaces import LabError, Namespaces
from tests.lab.process import Running
from tests.lab.wiring import Link

READY_SECONDS = 10.0
GATEWAY = "255.254"
# One table of 1,024 neighbours serves all namespaces of the machine; permanent ones are not counted.
FULL_NEIGHBOUR_TABLE = 20
_QUIET = {
    "net.ipv6.conf.all.accept_dad": 0,
    "net.ipv6.conf.default.accept_dad": 0,
    "net.ipv6.conf.default.router_solicitations": 0,
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
        """Ask regularly who wants which groups; the first question goes out at once."""
        self.configure(mcast_querier=int(on))

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
            self.namespaces.write(None, {"/proc/sys/net/ipv6/conf/default/disable_ipv6": "1"})
            tools.ip(self.namespaces, None, ["link set lo up"])
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
        # The switch needs an IPv6 address to ask by MLD; its ports must not have one, or they would talk.
        files = {"default/accept_dad": "0", "all/accept_dad": "0"}
        self.namespaces.write(
            None, {f"/proc/sys/net/ipv6/conf/{name}": value for name, value in files.items()}
        )
        options = f"forward_delay 0 mcast_snooping {int(snooping)} mcast_querier {int(querier)}"
        tools.ip(
            self.namespaces,
            None,
            [f"link add {switch.name} mtu {self.mtu} type bridge {options}"],
        )
        silent = "0" if querier else "1"
        self.namespaces.write(None, {f"/proc/sys/net/ipv6/conf/{switch.name}/disable_ipv6": silent})
        tools.ip(self.namespaces, None, [f"link set {switch.name} up"])
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
            settings = {**_QUIET, "net.ipv6.conf.default.disable_ipv6": int(not ipv6)}
            files = {"/proc/sys/" + name.replace(".", "/"): str(value) for name, value in settings.items()}
            self.namespaces.write(host.name, files)
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
        self.wait_ready([host.name for host, _ in links])

    def _link(self, host: Host, switch: Switch, name: str, ipv4: bool) -> Link:
        nth = sum(link.switch is switch for link in host.links.values())
        network = f"10.{9 + switch.number}"
        address = f"{network}.{nth}.{host.number}/16" if ipv4 and host.ipv4 else ""
        first = not host.links and bool(address) and self.default_route
        mac = f"02:09:00:{switch.number:02x}:{nth:02x}:{host.number:02x}"
        gateway = f"{network}.{GATEWAY}" if first else ""
        return Link(name, f"{host.name}-{name}", switch, nth, mac, address, gateway)

    def _introduce(self) -> None:
        """Give every host a permanent neighbour entry for every other one."""
        for host in self.hosts:
            others = [other for other in self.hosts if other is not host]
            host.ip(*(line for other in others for line in _neighbour_lines(other)))

    def host(self, name: str) -> Host:
        """The host of that name."""
        return next(host for host in self.hosts if host.name == name)

    def wait_ready(self, names: Iterable[str]) -> None:
        """Wait until the addresses of the hosts named can be used."""
        deadline = time.monotonic() + READY_SECONDS
        waiting = [self.host(name) for name in names]
        while waiting := [host for host in waiting if not host.ready()]:
            if time.monotonic() > deadline:
                raise LabError(f"no usable IPv6 address on {waiting} after {READY_SECONDS} s")
            time.sleep(0.005)

    def proc(self, path: str) -> str:
        """A file below /proc as the switches see it."""
        return self.namespaces.read(None, path)[0] or ""

    def ip(self, *commands: str) -> None:
        """Run lines of ip(8) where the switches and their ports are."""
        tools.ip(self.namespaces, None, commands)


MakeLan = Callable[..., Lan]


def _neighbour_lines(other: Host) -> list[str]:
    link = other.links["eth0"]
    addresses = [link.ipv4.partition("/")[0], other.link_local() if other.ipv6 else ""]
    return [
        f"neighbour replace {address} lladdr {link.mac} dev eth0 nud permanent"
        for address in addresses
        if address
    ]
