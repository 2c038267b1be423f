"""How a host is connected: interfaces, addresses, routes, memberships, traffic."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.lab import kernel, tools

if TYPE_CHECKING:
    from tests.lab.lan import Lan, Switch

TUNNEL_METRIC = 50
DEFAULT_METRIC = 100
FORWARDING = "3\n"  # BR_STATE_FORWARDING of linux/if_bridge.h


@dataclass(frozen=True)
class Link:
    """An interface of a host and the switch port at the other end of its cable.

    `nth` counts a host's interfaces on one switch; `ipv4` has a prefix length; empty texts mean none.
    """

    name: str
    port: str
    switch: Switch
    nth: int
    mac: str
    ipv4: str
    gateway: str

    def route_lines(self) -> list[str]:
        """Line of ip(8) that makes its default route."""
        line = f"route replace default via {self.gateway} dev {self.name} metric {DEFAULT_METRIC}"
        return [line] if self.gateway else []

    def address_lines(self) -> list[str]:
        """Lines of ip(8) that give it what it has in IPv4."""
        lines = [f"address add {self.ipv4} brd + dev {self.name}"] if self.ipv4 else []
        return lines + self.route_lines()


class Wiring:
    """The part of a host that is its network."""

    lan: Lan
    name: str
    ipv6: bool
    links: dict[str, Link]

    def interfaces(self) -> list[str]:
        """Names of its interfaces, lo included, in the kernel's order."""
        return [line.split(":")[0].strip() for line in self._proc("/proc/net/dev").splitlines()[2:]]

    def address(self, family: int = 4, interface: str = "eth0") -> str:
        """First address of family 4 or 6; for 6 the link-local one when there is no other."""
        if family == 6:
            usable = [address for name, address, ready in self._ipv6() if name == interface and ready]
            return min(usable, key=lambda address: address.startswith("fe80:"))
        shown = self.ip_json("-4", "address", "show", "dev", interface)
        return str(shown[0]["addr_info"][0]["local"])

    def link_local(self, interface: str = "eth0") -> str:
        """Its IPv6 link-local address, without the zone."""
        return next(
            found for name, found, _ in self._ipv6() if name == interface and found.startswith("fe80:")
        )

    def usable(self, interface: str) -> bool:
        """Whether both ends of the cable have a carrier, the port forwards, and IPv6 has an address.

        A port that is not in a bridge belongs to a `RoughSwitch`, which always forwards.
        """
        port = f"/sys/class/net/{self.links[interface].port}"
        carrier, state = self.lan.namespaces.read(None, f"{port}/carrier", f"{port}/brport/state")
        addressed = not self.ipv6 or any(name == interface and ready for name, _, ready in self._ipv6())
        return carrier == "1\n" and state in (FORWARDING, None) and addressed

    def memberships(self, *, kernel_own: bool = False) -> dict[str, set[str]]:
        """Groups joined on each interface that has any; `kernel_own` adds those the kernel joins itself."""
        igmp, igmp6 = self.lan.namespaces.read(self.name, "/proc/net/igmp", "/proc/net/igmp6")
        joined: dict[str, set[str]] = {}
        for interface, group in kernel.igmp_groups(igmp or "") | kernel.igmp6_groups(igmp6 or ""):
            if kernel_own or not kernel.is_own_group(group):
                joined.setdefault(interface, set()).add(group)
        return joined

    def counters(self, interface: str = "eth0") -> kernel.Traffic:
        """Ethernet traffic on the cable of one interface; what a loss rule drops has been received."""
        return kernel.traffic_of_port(self.lan.proc("/proc/net/dev"), self.links[interface].port)

    def udp_drops(self, port: int) -> int:
        """Datagrams that the sockets now open on a port dropped for want of buffer."""
        texts = self.lan.namespaces.read(self.name, "/proc/net/udp", "/proc/net/udp6")
        return sum(kernel.udp_drops(text or "", port) for text in texts)

    def add_interface(self, switch: Switch | None = None, name: str = "", *, ipv4: bool = True) -> str:
        """Plug one more interface into a switch (the first, unless told); its name, else a free ethN."""
        free = (f"eth{number}" for number in range(100) if f"eth{number}" not in self.interfaces())
        name = name or next(free)
        self.lan.connect([(self.name, switch or self.lan.switch, name)], ipv4=ipv4)
        return name

    def remove_interface(self, name: str) -> None:
        """Take an interface out for good."""
        tools.ip(self.lan.namespaces, self.name, [f"link delete {name}"])
        del self.links[name]

    def add_address(self, address: str, interface: str = "eth0") -> None:
        """Give it an address with prefix length, of either family, usable at once."""
        at_once = " nodad" if ":" in address else ""
        tools.ip(self.lan.namespaces, self.name, [f"address add {address} dev {interface}{at_once}"])

    def delete_address(self, address: str, interface: str = "eth0") -> None:
        """Take an address, with prefix length, away."""
        tools.ip(self.lan.namespaces, self.name, [f"address delete {address} dev {interface}"])

    def add_tunnel(self, name: str = "wg0", address: str = "10.66.0.2/24", *, tun: bool = False) -> None:
        """A stand-in for a VPN: takes the default route, says it can do multicast, swallows what it gets.

        A veth, or with `tun` one that says it is point-to-point, as real ones do (needs /dev/net/tun).
        """
        if tun:
            self.lan.namespaces.tunnel(self.name, name)
        else:
            far = f"{self.name}-{name}"
            self.lan.ip(f"link add {far} type veth peer name {name} netns {self.name}", f"link set {far} up")
        lines = [
            f"link set {name} arp off up",
            f"address add {address} dev {name}",
            f"route add default dev {name} metric {TUNNEL_METRIC}",
        ]
        tools.ip(self.lan.namespaces, self.name, lines)

    def add_bridge(self, name: str = "br0", interface: str = "eth0") -> None:
        """Make the LAN a bridge, as on a computer with virtual machines: addresses and route move to it."""
        link = replace(self.links.pop(interface), name=name)
        self.links[name] = link
        lines = [
            f"address flush dev {interface}",
            f"link add {name} address {link.mac} type bridge forward_delay 0",
            f"link set {interface} master {name}",
            f"link set {name} up",
            *link.address_lines(),
        ]
        tools.ip(self.lan.namespaces, self.name, lines)
        self.lan.wait_usable([(self.name, name)])

    def ip_json(self, *words: str) -> Any:
        """What `ip -json …` shows on the host, parsed."""
        return json.loads(tools.execute(self.lan.namespaces, self.name, ["ip", "-json", *words]))

    def _ipv6(self) -> list[tuple[str, str, bool]]:
        return kernel.ipv6_addresses(self._proc("/proc/net/if_inet6"))

    def _proc(self, path: str) -> str:
        return self.lan.namespaces.read(self.name, path)[0] or ""
