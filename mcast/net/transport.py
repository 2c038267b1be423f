"""Sends the engine's datagrams: to the group on every link, or to one address the way it was heard."""

from __future__ import annotations

import errno
import ipaddress
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from itertools import groupby
from operator import attrgetter

import msgspec

from mcast.core.engine import Outgoing
from mcast.core.events import Address, Detour
from mcast.errors import PermissionRefused, SocketError
from mcast.interfaces import Interface
from mcast.multicast import Sender
from mcast.net.links import Links
from mcast.net.socket_options import SocketName

SEND_PATIENCE = 0.05
"""Seconds to wait for room in a socket's buffer. The event loop stands still meanwhile."""
DEAD = {errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.ENODEV, errno.EINVAL, errno.ENETDOWN, errno.EBADF}
ROUTES_MAX = 4096
"""Hosts whose interface is remembered. The oldest go first: forged sources could fill the memory."""
NEIGHBOURS_MAX = 4096
"""Cached answers of interface_near(). A flood from forged sources only empties the cache."""


class Traffic(msgspec.Struct):
    """Datagrams and bytes of UDP that went out and came in by one interface."""

    sent: int = 0
    sent_bytes: int = 0
    received: int = 0
    received_bytes: int = 0

    def count_sent(self, batch: Sequence[bytes]) -> None:
        """These have left."""
        self.sent += len(batch)
        self.sent_bytes += sum(map(len, batch))

    def count_received(self, batch: Sequence[bytes]) -> None:
        """These have arrived."""
        self.received += len(batch)
        self.received_bytes += sum(map(len, batch))


Route = tuple[Sender, tuple[str, int]]
"""A sender and the group address that it sends to."""
_way = attrgetter("destination", "record", "interfaces")


class Transport:
    """Sends over `links`. A datagram that cannot be sent is lost and repaired later like any other.

    `on_dead` is called with a sender that has to be replaced, `on_refused` once for each interface and IP
    version by which the system does not let us send, `on_detour` with what goes neither to the group nor to
    an address. `failures` counts failed sends by errno. `refusal` is why it let the last datagram leave by no
    interface at all, None if one left; `sent` tells whether any ever did. `traffic` is by the number of an
    interface; nothing of a batch counts that was refused in part. An interface that is down refuses
    nothing: it may come back.
    """

    def __init__(
        self,
        links: Links,
        on_dead: Callable[[Sender], None],
        on_refused: Callable[[PermissionRefused], None],
        on_detour: Callable[[Detour, Sequence[bytes], Container[int] | None], None],
    ) -> None:
        self.failures: Counter[str] = Counter()
        self.traffic: defaultdict[int, Traffic] = defaultdict(Traffic)
        self.refusal: PermissionRefused | None = None
        self.refusals: dict[tuple[int, int], PermissionRefused] = {}
        self.sent = False
        self._links, self._on_dead, self._on_refused = links, on_dead, on_refused
        self._on_detour = on_detour
        self._shared: int | None = None
        self._routes: list[Route] = []
        self._record_routes: list[Route] = []
        self._static_hosts: frozenset[str] = frozenset()
        self._further: list[Route] = []
        self._neighbourhood = Neighbourhood(())
        self._inhabited: set[str] = set()
        self._heard_on: dict[str, int] = {}
        self._last: tuple[tuple[str, int], int] | None = None
        self._last_name: SocketName = ("", 0)

    def allow(self, addresses: Iterable[SocketName]) -> None:
        """Send to these addresses even if they are on none of our links: the user named them."""
        self._static_hosts = frozenset(address[0] for address in addresses)

    def rewire(self, shared: int | None) -> None:
        """Choose the senders again after the links or the peers' IP versions have changed.

        Records are most of the traffic: they leave once a link, in the `shared` IP version that every peer
        receives, or in all versions if there is none, or if it was ever refused there. Everything else leaves
        in every IP version, and in each IPv4 network of an interface; records do so once somebody was heard
        there.
        """
        self._shared = shared
        links = self._links
        self._neighbourhood = Neighbourhood(links.all)
        by_link: dict[int, list[Route]] = {}
        for sender, group in self._to_groups(links.endpoints):
            by_link.setdefault(sender.interface, []).append((sender, group))
        further = self._to_groups(links.further)
        self._further = [route for route in further if route[0].address not in self._inhabited]
        self._routes = [*(route for routes in by_link.values() for route in routes), *further]
        self._record_routes = [
            route
            for routes in by_link.values()
            for route in [route for route in routes if self._suffices(route[0])] or routes
        ]
        self._record_routes += [route for route in further if route not in self._further]

    def _to_groups(self, senders: Iterable[Sender]) -> list[Route]:
        groups = self._links.plan.groups
        return [
            (sender, (group.host, group.port))
            for group in groups
            for sender in senders
            if sender.version == group.version
        ]

    def _suffices(self, sender: Sender) -> bool:
        """Whether records need to leave its interface only by this sender."""
        return sender.version == self._shared and (sender.interface, sender.version) not in self.refusals

    def send(self, outgoing: Sequence[Outgoing]) -> None:
        """Send datagrams in order. Consecutive ones that go the same way are sent together."""
        for (destination, record, interfaces), some in groupby(outgoing, _way):
            batch = [datagram.data for datagram in some]
            if isinstance(destination, Detour):
                self._on_detour(destination, batch, interfaces)
                continue
            if destination is not None:
                self._send_unicast(batch, destination, record)
                continue
            routes = self._record_routes if record else self._routes
            left, refusal = self._send_by(routes, batch, interfaces)
            if refusal is not None and not left:
                others = [route for route in self._routes if route not in routes]
                left, _ = self._send_by(others, batch, interfaces)
            if left:
                self.sent, self.refusal = True, None
            elif isinstance(refusal, PermissionRefused):
                self.refusal = refusal

    def _send_by(
        self, routes: Sequence[Route], batch: Sequence[bytes], interfaces: Container[int] | None
    ) -> tuple[bool, SocketError | None]:
        """Send to the group; whether it left by one of the routes, and why it did not by another."""
        left, refusal = False, None
        for sender, group in routes:
            if interfaces is not None and sender.interface not in interfaces:
                continue
            if len(batch) > 1:
                errors = sender.send_all(batch, group, timeout=SEND_PATIENCE)
            else:
                try:
                    sender.send_to(batch[0], group, timeout=SEND_PATIENCE)
                    errors = []
                except SocketError as error:
                    errors = [error]
            for failed in errors:
                refusal = self._refused(sender, failed)
            if not errors:
                left = True
                self.traffic[sender.interface].count_sent(batch)
        return left, refusal

    def heard(self, source: tuple[str, int], interface: int) -> SocketName:
        """Remember by which interface a datagram came. Returns the source as a socket address.

        An IPv6 address has the interface as its scope, so that an answer finds the way back.
        """
        if (source, interface) == self._last:
            return self._last_name
        self._last = (source, interface)
        host, port = source[0].partition("%")[0], source[1]
        self._heard_on.pop(host, None)
        self._heard_on[host] = interface
        if len(self._heard_on) > ROUTES_MAX:
            del self._heard_on[next(iter(self._heard_on))]
        if self._further:
            self._heard_in_network(host, interface)
        self._last_name = (host, port, 0, interface) if ":" in host else (host, port)
        return self._last_name

    def interface_of(self, source: tuple[object, ...]) -> int | None:
        """The index of the interface that last heard `source`, or on whose link it must be."""
        if len(source) > 3 and isinstance(source[3], int):
            return source[3]
        host = str(source[0])
        return self._heard_on.get(host) or self._neighbourhood.interface_near(host)

    def beyond_ttl(self, host: str) -> bool:
        """Whether `host` is on none of our links, and our TTL lets nothing cross a router."""
        return self._links.plan.ttl < 2 and self._neighbourhood.interface_near(host) is None

    def _heard_in_network(self, host: str, interface: int) -> None:
        """Send records to the IPv4 network of `host`, too, if it is not that of the interface's endpoint."""
        if host in self._links.hosts:
            return
        for route in self._further:
            sender = route[0]
            if sender.interface == interface and self._neighbourhood.together(host, sender.address):
                self._inhabited.add(sender.address)
                self._further.remove(route)
                self._record_routes.append(route)
                return

    def _refused(self, sender: Sender, error: SocketError) -> SocketError:
        """A datagram to the group did not leave by `sender`. Returns the error."""
        self._failed(sender, error)
        way = (sender.interface, sender.version)
        if isinstance(error, PermissionRefused) and way not in self.refusals:
            self.refusals[way] = error
            self.rewire(self._shared)
            self._on_refused(error)
        return error

    def _send_unicast(self, batch: Sequence[bytes], destination: Address, record: bool) -> None:
        """Send to one address, out of the interface that last heard it.

        Allowed are only addresses on our own links that have sent us something, and static peers. Anything
        else could be forged, by a false source or by what others tell, to aim our traffic at a victim.
        """
        if not isinstance(destination, tuple):
            return
        host, port = destination[:2]
        interface = self._heard_on.get(host)
        if host not in self._static_hosts and (
            interface is None or not self._neighbourhood.covers(interface, host)
        ):
            self.failures["off-link" if interface else "unheard"] += len(batch)
            return
        leads, _ = self._links.towards.get(host, (0, ""))
        scope = destination[3] if len(destination) > 3 else 0
        interface = interface or leads or scope or self._neighbourhood.interface_near(host)
        sender = self._sender_to(host, interface)
        if sender is None:
            return
        for data in batch:
            try:
                sender.send_to(data, (host, port), timeout=SEND_PATIENCE)
            except SocketError as error:
                self._failed(sender, error)
            else:
                self.traffic[sender.interface].count_sent((data,))
                if record or host in self._static_hosts:  # a copy of what goes to the group
                    self.sent, self.refusal = True, None

    def _sender_to(self, host: str, interface: int | None) -> Sender | None:
        """The sender of that interface, preferably at an address in the network of `host`."""
        version = 6 if ":" in host else 4
        senders = (*self._links.endpoints, *self._links.secondary)
        able = [sender for sender in senders if sender.version == version]
        here = [sender for sender in able if sender.interface == interface] or able
        if len(here) < 2:
            return here[0] if here else None
        near = (sender for sender in here if self._neighbourhood.together(host, sender.address))
        return next(near, here[0])

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
        pairs = [(network, link.index) for link in links for network in _networks(link)]
        self._networks = sorted(pairs, key=lambda pair: pair[0].prefixlen == 0)  # the vague ones last
        self._known: dict[str, list[tuple[Network, int]]] = {}

    def interface_near(self, host: str) -> int | None:
        """The index of the interface on whose link `host` is; None if it is on none."""
        return next((index for _, index in self._around(host)), None)

    def covers(self, interface: int, host: str) -> bool:
        """Whether `host` may be on the link of that interface."""
        return any(index == interface for _, index in self._around(host))

    def together(self, host: str, own: str) -> bool:
        """Whether `host` is in the network of our address `own`."""
        address = ipaddress.ip_address(own)
        return any(network.prefixlen and address in network for network, _ in self._around(host))

    def _around(self, host: str) -> list[tuple[Network, int]]:
        """The networks that `host` may be in, with the interface of each."""
        known = self._known.get(host)
        if known is None:
            if len(self._known) >= NEIGHBOURS_MAX:
                self._known = {}
            address = ipaddress.ip_address(host.partition("%")[0])
            known = [(network, index) for network, index in self._networks if _covers(network, address)]
            self._known[host] = known
        return known


def _networks(link: Interface) -> list[Network]:
    known = [ipaddress.ip_network(text) for text in link.networks]
    sized = [network for network in known if network.num_addresses > 1]
    addresses = map(ipaddress.ip_address, link.addresses)
    vague = {address.version for address in addresses if not any(address in network for network in sized)}
    return [*sized, *(_EVERYWHERE[version] for version in sorted(vague))]


def _covers(network: Network, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address in network or (address.version == network.version == 6 and address.is_link_local)
