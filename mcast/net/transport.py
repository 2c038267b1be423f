"""Sends the engine's datagrams: to the group on every link, or to one address the way it was heard."""

from __future__ import annotations

import errno
import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter

from mcast.core.engine import Outgoing
from mcast.core.events import Address
from mcast.errors import SocketError
from mcast.interfaces import Interface
from mcast.multicast import Sender
from mcast.net.links import Links

SEND_PATIENCE = 0.05
"""Seconds to wait for room in a socket's buffer. The event loop stands still meanwhile."""
DEAD = {errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.ENODEV, errno.EINVAL, errno.ENETDOWN, errno.EBADF}
ROUTES_MAX = 4096
"""Addresses whose interface is remembered. The oldest go first: forged sources could fill the memory."""
NEIGHBOURS_MAX = 4096
"""Cached answers of interface_near(). A flood from forged sources only empties the cache."""

SocketName = tuple[str, int] | tuple[str, int, int, int]
Route = tuple[Sender, tuple[str, int]]
"""A sender and the group address that it sends to."""
_way = attrgetter("destination", "record", "interfaces")


class Transport:
    """Sends over `links`. A datagram that cannot be sent is lost and repaired later like any other.

    `on_dead` is called with a sender that has to be replaced. `failures` counts failed sends by errno.
    """

    def __init__(self, links: Links, on_dead: Callable[[Sender], None]) -> None:
        self.failures: Counter[str] = Counter()
        self._links, self._on_dead = links, on_dead
        self._routes: list[Route] = []
        self._record_routes: list[Route] = []
        self._static_hosts: frozenset[str] = frozenset()
        self._neighbourhood = Neighbourhood(())
        self._heard_on: dict[tuple[object, ...], int] = {}
        self._last: tuple[tuple[str, int], int] | None = None
        self._last_name: SocketName = ("", 0)

    def allow(self, addresses: Iterable[Address]) -> None:
        """Send to these addresses even if they are on none of our links: the user named them."""
        self._static_hosts = frozenset(str(one[0]) for one in addresses if isinstance(one, tuple))

    def rewire(self, shared: int | None) -> None:
        """Choose the senders again after the links or the peers' IP versions have changed.

        Records are most of the traffic: they leave once a link, in the `shared` IP version that every peer
        receives, or in all versions if there is none. Everything else leaves in every IP version.
        """
        self._neighbourhood = Neighbourhood(self._links.used)
        by_link: dict[int, list[Route]] = {}
        for group in self._links.plan.groups:
            for sender in self._links.endpoints:
                if sender.version == group.version:
                    by_link.setdefault(sender.interface, []).append((sender, (group.host, group.port)))
        self._routes = [route for routes in by_link.values() for route in routes]
        self._record_routes = [
            route
            for routes in by_link.values()
            for route in [route for route in routes if route[0].version == shared] or routes
        ]

    def send(self, outgoing: Sequence[Outgoing]) -> None:
        """Send datagrams in order. Consecutive ones that go the same way are sent together."""
        for (destination, record, interfaces), some in groupby(outgoing, _way):
            batch = [datagram.data for datagram in some]
            if destination is not None:
                self._send_unicast(batch, destination)
                continue
            for sender, group in self._record_routes if record else self._routes:
                if interfaces is not None and sender.interface not in interfaces:
                    continue
                if len(batch) > 1:
                    for error in sender.send_all(batch, group, timeout=SEND_PATIENCE):
                        self._failed(sender, error)
                    continue
                try:
                    sender.send_to(batch[0], group, timeout=SEND_PATIENCE)
                except SocketError as error:
                    self._failed(sender, error)

    def heard(self, source: tuple[str, int], interface: int) -> SocketName:
        """Remember by which interface a datagram came. Returns the source as a socket address.

        An IPv6 address has the interface as its scope, so that an answer finds the way back.
        """
        if (source, interface) == self._last:
            return self._last_name
        self._last = (source, interface)
        host, port = source[0].partition("%")[0], source[1]
        self._heard_on.pop((host, port), None)
        self._heard_on[host, port] = interface
        if len(self._heard_on) > ROUTES_MAX:
            del self._heard_on[next(iter(self._heard_on))]
        self._last_name = (host, port, 0, interface) if ":" in host else (host, port)
        return self._last_name

    def interface_of(self, source: tuple[object, ...]) -> int | None:
        """The index of the interface that last heard `source`, or on whose link it must be."""
        if len(source) > 3 and isinstance(source[3], int):
            return source[3]
        return self._heard_on.get(source[:2]) or self._neighbourhood.interface_near(str(source[0]))

    def _send_unicast(self, batch: Sequence[bytes], destination: Address) -> None:
        """Send to one address, out of the interface that last heard it.

        Allowed are only addresses on our own links that have sent us something, and static peers. Anything
        else could be forged, by a false source or by what others tell, to aim our traffic at a victim.
        """
        if not isinstance(destination, tuple):
            return
        host, port = destination[:2]
        near = self._neighbourhood.interface_near(host)
        if host not in self._static_hosts and (near is None or not self._has_spoken(host, port)):
            self.failures["unheard" if near else "off-link"] += len(batch)
            return
        version = 6 if ":" in host else 4
        scope = destination[3] if len(destination) > 3 else 0
        interface = self._heard_on.get((host, port)) or scope or near
        able = [sender for sender in self._links.endpoints if sender.version == version]
        sender = next((sender for sender in able if sender.interface == interface), able[0] if able else None)
        if sender is None:
            return
        for data in batch:
            try:
                sender.send_to(data, (host, port), timeout=SEND_PATIENCE)
            except SocketError as error:
                self._failed(sender, error)

    def _has_spoken(self, host: str, port: int) -> bool:
        """Whether we heard that address, or another port of it: a port's holder tells of others there."""
        return (host, port) in self._heard_on or any(known == host for known, _ in self._heard_on)

    def _failed(self, sender: Sender, error: SocketError) -> None:
        self.failures[errno.errorcode.get(error.errno or 0, "unknown")] += 1
        if error.errno in DEAD:
            self._on_dead(sender)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_EVERYWHERE = {4: ipaddress.ip_network("0.0.0.0/0"), 6: ipaddress.ip_network("::/0")}


class Neighbourhood:
    """Which addresses are on the links of the interfaces in use.

    A point-to-point link, or an address without a known prefix, does not tell who is at the other end. Then
    all addresses of its IP version count, and the TTL of 1 keeps answers on the link.
    """

    def __init__(self, links: Iterable[Interface]) -> None:
        self._networks = [(network, link.index) for link in links for network in _networks(link)]
        self._known: dict[str, int | None] = {}

    def interface_near(self, host: str) -> int | None:
        """The index of the interface on whose link `host` is; None if it is on none."""
        if host not in self._known:
            if len(self._known) >= NEIGHBOURS_MAX:
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
    return [*sized, *(_EVERYWHERE[version] for version in sorted(vague))]


def _covers(network: Network, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address in network or (address.version == network.version == 6 and address.is_link_local)
