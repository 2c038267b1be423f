"""The ways that are measured besides the group and unicast: other groups and broadcast (wire.frames.Path).

A member uses them only for some seconds, after somebody whose address is validated has asked for an answer by
one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import partial

from mcast.core.events import Detour
from mcast.errors import SocketError
from mcast.interfaces import Interface
from mcast.multicast import Datagram, Receiver, Sender
from mcast.net.address import GroupAddress
from mcast.net.links import Links
from mcast.wire.frames import Path

OPEN = 15.0
"""Seconds for which the groups stay joined after the last answer by one of these ways."""
DRAINED = 64
"""Datagrams read from the broadcast socket before others get their turn."""
BROADCAST = "255.255.255.255"
HOSTS = {
    (Path.SCOPED, 4): "239.255.77.67",
    (Path.SCOPED, 6): "ff12::6d63:1",
    (Path.LOCAL, 4): "224.0.0.254",  # for experiments, RFC 4727, section 2.4.2
    (Path.LOCAL, 6): "ff02::1",
    (Path.BROADCAST, 4): BROADCAST,
}


def detour_host(path: int, version: int, groups: Iterable[GroupAddress]) -> str | None:
    """The address that stands for this way, None if there is none; `groups` are those of the room."""
    if path == Path.GROUP:
        return next((group.host for group in groups if group.version == version), None)
    return HOSTS.get((Path(path), version))


class BroadcastReceiver:
    """Receives what is sent to 255.255.255.255 at one port on one interface. SocketError if it cannot."""

    def __init__(self, link: Interface, port: int) -> None:
        self._index = link.index
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "SO_BINDTODEVICE"):
                name = link.name.encode() + b"\0"
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
            self._socket.bind((BROADCAST, port))
        except OSError as error:
            self._socket.close()
            raise SocketError(f"cannot hear broadcasts: {error.strerror}", errno=error.errno) from error

    def fileno(self) -> int:
        """The file descriptor."""
        return self._socket.fileno()

    def drain(self) -> list[Datagram]:
        """What waits, without blocking."""
        datagrams = []
        with contextlib.suppress(OSError):
            for _ in range(DRAINED):
                data, source = self._socket.recvfrom(65535)
                datagrams.append(Datagram(data, source, self._index, None))
        return datagrams

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Detours:
    """Sends answers by these ways over `links` and, for a while after each, hears what comes by them.

    `on_datagrams(group, datagrams)` gets it, in the running loop.
    """

    def __init__(
        self, links: Links, on_datagrams: Callable[[GroupAddress | None, list[Datagram]], None]
    ) -> None:
        self._links, self._on_datagrams = links, on_datagrams
        self._open: list[Receiver | BroadcastReceiver] = []
        self._descriptors: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def answer(self, detour: Detour, batch: Sequence[bytes], interfaces: Container[int] | None) -> None:
        """Send datagrams by this way, on these interfaces."""
        self._keep_open()
        host = detour_host(detour.path, detour.version, self._links.plan.groups)
        for link in self._links.used if host is not None else ():
            if (interfaces is None or link.index in interfaces) and detour.version in link.versions:
                with contextlib.suppress(SocketError):
                    self._send(link, detour, str(host), batch)

    def _send(self, link: Interface, detour: Detour, host: str, batch: Sequence[bytes]) -> None:
        port = self._links.plan.groups[0].port
        here = (link.index, detour.version)
        endpoints = (one for one in self._links.endpoints if (one.interface, one.version) == here)
        endpoint = next(endpoints, None)
        if endpoint is not None and detour.path != Path.BROADCAST:
            endpoint.send_all(batch, (host, port))
            return
        with Sender(link.index, link.address(detour.version) or "", broadcast=True) as sender:
            sender.send_all(batch, (host, port))

    def _keep_open(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        else:
            for receiver, descriptor, drain in self._receivers():
                loop.add_reader(descriptor, self._read, drain)
                self._descriptors.append(descriptor)
                if receiver not in self._open:
                    self._open.append(receiver)
        self._timer = loop.call_later(OPEN, self.close)

    def _receivers(self) -> Iterator[tuple[Receiver | BroadcastReceiver, int, Callable[[], list[Datagram]]]]:
        """What can be opened: the receiver, its descriptor, and what reads it."""
        port = self._links.plan.groups[0].port
        for (path, version), host in HOSTS.items():
            for link in self._links.used:
                if version not in link.versions or version not in self._links.plan.versions:
                    continue
                with contextlib.suppress(SocketError):
                    if path == Path.BROADCAST:
                        heard = BroadcastReceiver(link, port)
                        yield heard, heard.fileno(), heard.drain
                        continue
                    receiver = Receiver(GroupAddress(host, port))
                    receiver.join(link.index)
                    yield receiver, receiver.fileno(link.index), partial(receiver.drain, link.index)

    def _read(self, drain: Callable[[], list[Datagram]]) -> None:
        with contextlib.suppress(SocketError):
            if datagrams := drain():
                self._on_datagrams(self._links.plan.groups[0], datagrams)

    def close(self) -> None:
        """Leave these groups. May be called twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop = asyncio.get_running_loop()
            for descriptor in self._descriptors:
                loop.remove_reader(descriptor)
        for receiver in self._open:
            receiver.close()
        self._open, self._descriptors = [], []
