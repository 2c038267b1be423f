"""Which addresses are on our wire."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable
from pathlib import Path

ROUTES = Path("/proc/net/route")


def is_near(networks: Iterable[str], address: str) -> bool:
    """Whether an address is in one of these networks, as `10.9.0.0/16`."""
    host = ipaddress.ip_address(address)
    return any(host in ipaddress.ip_network(text) for text in networks)


def through_gateway(address: str) -> bool | None:
    """Whether the system sends through a router to an IPv4 address (Linux); None if it does not tell."""
    host = int(ipaddress.IPv4Address(address))
    best, gateway = -1, None
    try:
        rows = [line.split() for line in ROUTES.read_text(encoding="ascii").splitlines()[1:]]
        for row in rows:
            # The kernel prints the four bytes of an address as one number of this machine.
            target, router, mask = (_number(row[place]) for place in (1, 2, 7))
            if host & mask == target and mask.bit_count() > best:
                best, gateway = mask.bit_count(), bool(router)
    except (OSError, ValueError, IndexError):
        return None
    return gateway


def _number(text: str) -> int:
    return int.from_bytes(int(text, 16).to_bytes(4, sys.byteorder), "big")
