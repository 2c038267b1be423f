"""What leaves, and by which sockets: to the group on every link, to one address by the way it was heard."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter

import msgspec

from mcast.core.engine import Outgoing
from mcast.core.events import Address
from mcast.errors import SocketError
from mcast.multicast import Sender
from mcast.net.links import Links
from mcast.net.routes import Routes

_WAY = attrgetter("destination", "record", "interfaces")
SEND_PATIENCE = 0.05
"""Seconds to wait for room in a socket's buffer, with the loop standing still meanwhile."""
DEAD = {errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.ENODEV, errno.EINVAL, errno.ENETDOWN, errno.EBADF}


class Way(msgspec.Struct, frozen=True):
    """A sender and the group address it carries to."""

    sender: Sender
    target: tuple[str, int]


class Carrier:
    """Sends over `links`. What does not leave now is repaired later: failures are only counted, by errno.

    `on_dead` is told of a sender that has to be replaced.
    """

    def __init__(self, links: Links, routes: Routes, on_dead: Callable[[Sender], None]) -> None:
        self.failures: Counter[str] = Counter()
        self._links, self._routes, self._on_dead = links, routes, on_dead
        self._ways: list[Way] = []
        self._record_ways: list[Way] = []
        self._named: frozenset[str] = frozenset()

    def named(self, addresses: Iterable[Address]) -> None:
        """The user wants to meet who is there: they are spoken to, wherever they are."""
        self._named = frozenset(str(address[0]) for address in addresses if isinstance(address, tuple))

    def rewire(self, shared: int | None) -> None:
        """Decide anew which senders carry what.

        Presence, requests and answers go everywhere in every IP version. Records, the bulk, leave once a
        link: in the `shared` version that every peer hears, in all of them where there is none.
        """
        by_link: dict[int, list[Way]] = {}
        for group in self._links.plan.groups:
            for sender in self._links.endpoints:
                if sender.version == group.version:
                    by_link.setdefault(sender.interface, []).append(Way(sender, (group.host, group.port)))
        self._ways = [way for ways in by_link.values() for way in ways]
        self._record_ways = [
            way
            for ways in by_link.values()
            for way in [way for way in ways if way.sender.version == shared] or ways
        ]

    def send(self, outgoing: Sequence[Outgoing]) -> None:
        """Send datagrams in their order; those that go the same way in a row, together."""
        for (destination, record, interfaces), some in groupby(outgoing, _WAY):
            batch = [datagram.data for datagram in some]
            if destination is not None:
                for data in batch:
                    self._answer(data, destination)
                continue
            for way in self._record_ways if record else self._ways:
                if interfaces is not None and way.sender.interface not in interfaces:
                    continue
                if len(batch) == 1:
                    self._send(way.sender, batch[0], way.target)
                    continue
                for error in way.sender.send_all(batch, way.target, timeout=SEND_PATIENCE):
                    self._failed(way.sender, error)

    def _answer(self, data: bytes, destination: Address) -> None:
        """To one address, out of the interface from which it was last heard.

        Only who spoke to us from our own link is spoken to, and whom the user named: what others tell of an
        address, and where a datagram claims to come from, may be a lie that aims us at somebody.
        """
        if not isinstance(destination, tuple):
            return
        host, port = destination[:2]
        near = self._routes.link_of(host)
        if host not in self._named and (near is None or not self._routes.spoke(host, port)):
            self.failures["unheard" if near else "off-link"] += 1
            return
        version, interface = 6 if ":" in host else 4, self._routes.way_back(destination)
        able = [sender for sender in self._links.endpoints if sender.version == version]
        chosen = [sender for sender in able if sender.interface == interface] or able
        if chosen:
            self._send(chosen[0], data, (host, port))

    def _send(self, sender: Sender, data: bytes, target: tuple[str, int]) -> None:
        try:
            sender.send_to(data, target, timeout=SEND_PATIENCE)
        except SocketError as error:
            self._failed(sender, error)

    def _failed(self, sender: Sender, error: SocketError) -> None:
        self.failures[errno.errorcode.get(error.errno or 0, "unknown")] += 1
        if error.errno in DEAD:
            self._on_dead(sender)
