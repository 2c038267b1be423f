"""Where to look and announce beyond the roster: the interfaces that mcast uses itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from mcast.interfaces import Interface, choose

ADDRESSES = 6
"""Addresses of a computer that are told: more would not fit into the string that is signed."""


class Scope:
    """Which interfaces to use, by name or address (all suitable ones if none is named), and IP versions.

    excluded: those that are not used.
    """

    def __init__(
        self,
        interfaces: Sequence[str] = (),
        versions: Sequence[int] = (4, 6),
        excluded: Sequence[str] = (),
    ) -> None:
        self.interfaces, self.versions, self.excluded = tuple(interfaces), tuple(versions), tuple(excluded)

    def used(self, table: Iterable[Interface]) -> tuple[Interface, ...]:
        """Those of the table to use."""
        choices = choose(
            table, self.interfaces, versions=self.versions, absent_ok=True, excluded=self.excluded
        )
        return tuple(choice.interface for choice in choices if choice.used)

    def addresses(self, links: Iterable[Interface]) -> list[str]:
        """At which others reach this computer, IPv4 first."""
        links = tuple(links)
        both = (link.ipv4 if version == 4 else link.ipv6 for version in self.versions for link in links)
        return list(dict.fromkeys(text for texts in both for text in texts))[:ADDRESSES]


def interface_of(address: str, links: Iterable[Interface], zone: str = "") -> str:
    """The name of our interface on whose network `address` is; empty if it is on none.

    zone: name or number of the interface on which a link-local address was heard.
    """
    there = ipaddress.ip_address(address)
    for link in links:
        if there.is_link_local and there.version == 6:
            near = zone in (link.name, str(link.index))
        else:
            near = any(there in ipaddress.ip_network(network) for network in link.networks)
        if near:
            return link.name
    return ""
