"""Read what the kernel tells of a host: memberships, addresses, traffic. Text of /proc in, values out."""

from __future__ import annotations

import ipaddress
import sys
from dataclasses import dataclass

# Joined by the kernel itself on every interface, bridges and routers included.
_OWN_GROUPS = {"224.0.0.1", "224.0.0.106", "ff01::1", "ff02::1", "ff02::2", "ff02::6a", "ff05::2", "ff01::2"}
_SOLICITED_NODE = ipaddress.IPv6Network("ff02::1:ff00:0/104")
_TENTATIVE = 0x40


@dataclass(frozen=True)
class Traffic:
    """What crossed a host's cable since it was plugged in: units, and bytes with their Ethernet headers.

    While offload is on, up to 64 KiB of datagrams count as one unit with one header: switch it off to count.
    """

    sent_bytes: int
    sent_units: int
    received_bytes: int
    received_units: int

    def __sub__(self, before: Traffic) -> Traffic:
        return Traffic(
            self.sent_bytes - before.sent_bytes,
            self.sent_units - before.sent_units,
            self.received_bytes - before.received_bytes,
            self.received_units - before.received_units,
        )

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.sent_bytes + other.sent_bytes,
            self.sent_units + other.sent_units,
            self.received_bytes + other.received_bytes,
            self.received_units + other.received_units,
        )


def udp_drops(text: str, port: int) -> int:
    """Datagrams dropped by the sockets of a port in /proc/net/udp or udp6, for want of buffer."""
    rows = (line.split() for line in text.splitlines()[1:])
    return sum(int(row[-1]) for row in rows if int(row[1].rpartition(":")[2], 16) == port)


def is_own_group(group: str) -> bool:
    """Whether the kernel joins this group without being asked."""
    return group in _OWN_GROUPS or (":" in group and ipaddress.IPv6Address(group) in _SOLICITED_NODE)


def igmp_groups(text: str) -> set[tuple[str, str]]:
    """(interface, group) for each group in /proc/net/igmp: a line an interface, indented ones its groups."""
    found, interface = set(), ""
    for line in text.splitlines()[1:]:
        words = line.split()
        if line[:1].isdigit():
            interface = words[1]
        else:
            # The address is printed as a number in the machine's byte order.
            packed = int(words[0], 16).to_bytes(4, sys.byteorder)
            found.add((interface, str(ipaddress.IPv4Address(packed))))
    return found


def igmp6_groups(text: str) -> set[tuple[str, str]]:
    """(interface, group) of each line of /proc/net/igmp6: index, interface, group in hex, …"""
    rows = (line.split() for line in text.splitlines())
    return {(row[1], str(ipaddress.IPv6Address(bytes.fromhex(row[2])))) for row in rows}


def traffic_of_port(text: str, port: str) -> Traffic:
    """Traffic of a switch port in /proc/net/dev, from the view of the host at its other end."""
    for line in text.splitlines():
        name, colon, numbers = line.partition(":")
        if colon and name.strip() == port:
            column = [int(number) for number in numbers.split()]
            return Traffic(column[0], column[1], column[8], column[9])
    raise KeyError(port)


def ipv6_addresses(text: str) -> list[tuple[str, str, bool]]:
    """(interface, address, ready) of each line of /proc/net/if_inet6; not ready while it is tentative."""
    rows = (line.split() for line in text.splitlines())
    return [
        (row[5], str(ipaddress.IPv6Address(bytes.fromhex(row[0]))), not int(row[4], 16) & _TENTATIVE)
        for row in rows
    ]
