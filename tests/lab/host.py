"""One computer on the LAN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.lab.faults import Faults
from tests.lab.programs import Programs
from tests.lab.wiring import Link, Wiring

if TYPE_CHECKING:
    from tests.lab.lan import Lan


class Host(Programs, Wiring, Faults):
    """A host has a network, a name, a /sys and a home of its own; other files and processes are shared."""

    def __init__(self, lan: Lan, number: int, ipv4: bool, ipv6: bool) -> None:
        self.lan = lan
        self.name = f"h{number}"
        self.number = number
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.home = lan.directory / self.name
        self.home.mkdir()
        self.links: dict[str, Link] = {}
        self.tables = 0

    def __repr__(self) -> str:
        return f"Host({self.name!r})"
