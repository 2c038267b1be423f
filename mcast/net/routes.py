"""By which interface an address was heard: that is the way back to it."""

from __future__ import annotations

from mcast.multicast import Datagram
from mcast.net.links import Links

ROUTES = 4096
"""Addresses whose interface is remembered; oldest out, as a flooder with many addresses would fill it."""

SocketName = tuple[str, int] | tuple[str, int, int, int]


class Routes:
    """The interfaces by which addresses were heard last, over the `links` in use."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._interfaces: dict[tuple[object, ...], int] = {}
        self._last_from: tuple[tuple[str, int], int] | None = None
        self._last_name: SocketName = ("", 0)

    def heard(self, datagram: Datagram) -> SocketName:
        """The source as sockets name it: IPv6 with its scope, so that an answer finds the way back."""
        heard_from = (datagram.source, datagram.interface)
        if heard_from == self._last_from:
            return self._last_name
        self._last_from = heard_from
        host, port = datagram.source
        bare = host.partition("%")[0]
        self._interfaces.pop((bare, port), None)
        self._interfaces[bare, port] = datagram.interface
        if len(self._interfaces) > ROUTES:
            del self._interfaces[next(iter(self._interfaces))]
        self._last_name = (bare, port) if ":" not in bare else (bare, port, 0, datagram.interface)
        return self._last_name

    def interface_of(self, source: tuple[object, ...]) -> int | None:
        """The index of the interface through which `source` was last heard, or on whose link it must be."""
        if len(source) > 3 and isinstance(source[3], int):
            return source[3]
        return self._interfaces.get(source[:2]) or self.link_of(str(source[0]))

    def link_of(self, host: str) -> int | None:
        """The index of the interface on whose link an address is; None where it is on none of ours."""
        return self._links.neighbourhood.interface(host)

    def way_back(self, name: SocketName) -> int | None:
        """The index of the interface for an answer; None: any."""
        host, port = name[:2]
        scope = name[3] if len(name) > 3 else 0
        return self._interfaces.get((host, port)) or scope or self.link_of(host)

    def spoke(self, host: str, port: int) -> bool:
        """Whether that address has spoken to us, or another port of it: a holder tells of others there."""
        return (host, port) in self._interfaces or any(known == host for known, _ in self._interfaces)
