"""Which addresses are on our own links: only those are answered, whoever claims to be where."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from mcast.net.interface_table import Interface

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
REMEMBERED = 4096
"""Addresses that need not be looked at again; all are forgotten when a flooder makes up more."""
_ALL = {4: ipaddress.ip_network("0.0.0.0/0"), 6: ipaddress.ip_network("::/0")}


class Neighbourhood:
    """The networks of the interfaces in use.

    A point-to-point link, or an address whose prefix the system does not tell, says nothing about who is at
    the other end: then all addresses of its IP version count, and the TTL of 1 keeps answers on the link.
    """

    def __init__(self, links: Iterable[Interface]) -> None:
        self._networks = [(network, link.index) for link in links for network in _networks(link)]
        self._known: dict[str, int | None] = {}

    def interface(self, host: str) -> int | None:
        """The index of the interface on whose link `host` is; None when it is on none."""
        if host not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known = {}
            address = ipaddress.ip_address(host.partition("%")[0])
            found = (index for network, index in self._networks if _covers(network, address))
            self._known[host] = next(found, None)
        return self._known[host]


def _networks(link: Interface) -> list[Network]:
    known = [ipaddress.ip_network(text) for text in link.networks]
    sized = [network for network in known if network.num_addresses > 1]
    addresses = map(ipaddress.ip_address, link.addresses)
    vague = {address.version for address in addresses if not any(address in network for network in sized)}
    return [*sized, *(_ALL[version] for version in sorted(vague))]


def _covers(network: Network, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address in network or (address.version == network.version == 6 and address.is_link_local)
