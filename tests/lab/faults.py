"""What can be wrong with a host: its interface, its cable, its firewall, its settings."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.lab import tools

if TYPE_CHECKING:
    from tests.lab.lan import Lan
    from tests.lab.wiring import Link

_OFFLOADS = ("gso", "tso", "gro", "tx-udp-segmentation")

# A general query (type 0x11, answers within 0.5 s) with the router alert option.
_QUERY = """
import socket, struct, sys
query = struct.pack("!BBH4s", 0x11, 5, 0xFFFF - 0x1105, b"")
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([0x94, 4, 0, 0]))
out = struct.pack("4s4si", b"", b"", socket.if_nametoindex(sys.argv[1]))
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, out)
s.sendto(query, ("224.0.0.1", 0))
"""


class Firewall:
    """Rules that hold on a host until `remove()`."""

    def __init__(self, host: Faults, table: str) -> None:
        self._host = host
        self._table = table

    def remove(self) -> None:
        """End these rules."""
        self._host.nft(f"delete table {self._table}")


class Faults:
    """The part of a host that goes wrong, at any time, and comes right again."""

    lan: Lan
    name: str
    links: dict[str, Link]
    tables: int

    def loss(self, percent: float) -> None:
        """Lose this share of the UDP that arrives over a cable, from now on; 0 ends it.

        What the host sends to itself is not lost. With offload on, whole 64 KiB runs are: see `offload`.
        """
        share = f"numgen random mod 10000 < {round(percent * 100)}" if percent < 100 else ""
        rule = f"meta l4proto udp fib saddr type != local {share} drop"
        chain = (
            f"table inet loss {{\n chain input {{\n type filter hook input priority -300\n {rule}\n }}\n}}"
        )
        # "table" before "delete" makes the script right whether or not there was one.
        self.nft("table inet loss\ndelete table inet loss\n" + (chain if percent else ""))

    def firewall(self, *rules: str, hook: str = "input", policy: str = "accept") -> Firewall:
        """Put nft rules such as "ip protocol igmp drop" on a hook; the policy is for all else."""
        self.tables += 1
        table = f"inet firewall{self.tables}"
        body = "\n".join([f"type filter hook {hook} priority 0; policy {policy}", *rules])
        self.nft(f"table {table} {{\n chain rules {{\n {body}\n }}\n}}")
        return Firewall(self, table)

    def narrow(self, size: int) -> Firewall:
        """Lose UDP that arrives over a cable in packets of more than `size` bytes, and tell nobody.

        With offload on, the packets are larger than what crosses the cable: see `offload`.
        """
        return self.firewall(f"meta l4proto udp fib saddr type != local meta length > {size} drop")

    def nft(self, script: str) -> None:
        """Run any nft script on the host, all of it or nothing."""
        tools.execute(self.lan.namespaces, self.name, ["nft", "-f", "-"], script + "\n")

    def offload(self, on: bool, interface: str = "eth0") -> None:
        """Segmentation offload: off, every datagram crosses the cable by itself, as on a real network."""
        words = [word for name in _OFFLOADS for word in (name, "on" if on else "off")]
        tools.execute(self.lan.namespaces, self.name, ["ethtool", "-K", interface, *words])

    def rate(self, rate: str | None, interface: str = "eth0") -> None:
        """Limit what it sends, e.g. "8mbit"; None ends it."""
        change = ["delete"] if rate is None else ["replace"]
        limit = [] if rate is None else ["tbf", "rate", rate, "burst", "16kb", "latency", "100ms"]
        argv = ["tc", "qdisc", *change, "dev", interface, "root", *limit]
        tools.execute(self.lan.namespaces, self.name, argv)

    def down(self, interface: str = "eth0") -> None:
        """Switch an interface off: the kernel takes its routes and IPv6 addresses away."""
        self.ip(f"link set {interface} down")

    def up(self, interface: str = "eth0") -> None:
        """Switch it on again; its default route comes back, as a network manager would see to."""
        link = self.links[interface]
        self.ip(f"link set {interface} up", *link.route_lines())
        self.lan.wait_usable([(self.name, interface)])

    def unplug(self, interface: str = "eth0") -> None:
        """Pull the cable: the interface stays up but has no carrier."""
        self.lan.ip(f"link set {self.links[interface].port} down")

    def plug(self, interface: str = "eth0") -> None:
        """Put the cable back."""
        self.lan.ip(f"link set {self.links[interface].port} up")
        self.lan.wait_usable([(self.name, interface)])

    def query(self, interface: str = "eth0") -> None:
        """Ask once by IGMPv2 who is in which group, as a querier would that then falls silent (RFC 2236)."""
        tools.execute(self.lan.namespaces, self.name, [sys.executable, "-c", _QUERY, interface])

    def mtu(self, size: int, interface: str = "eth0") -> None:
        """Change the MTU at both ends of the cable."""
        self.lan.ip(f"link set {self.links[interface].port} mtu {size}")
        self.ip(f"link set {interface} mtu {size}")

    def sysctl(self, name: str, value: str | int) -> None:
        """Set a kernel setting of the host's network, e.g. sysctl("net.ipv4.conf.all.rp_filter", 1)."""
        self.lan.sysctl(self.name, {name: value})

    def ip(self, *commands: str) -> None:
        """Run lines of ip(8) on the host."""
        tools.ip(self.lan.namespaces, self.name, commands)
