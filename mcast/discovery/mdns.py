"""python-zeroconf on the interfaces that mcast uses, as they come and go: it does not watch them itself."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Self

from zeroconf import IPVersion
from zeroconf.asyncio import AsyncZeroconf

from mcast.interfaces import Interface, Table, read, watch
from mcast.net.errnos import explain_bind

from .scope import Scope

PORT = 5353


class Mdns:
    """Multicast DNS on the interfaces of a scope, as an asynchronous context manager.

    links: the interfaces in use now. on_links: called before others are used. Entering raises a SocketError,
    such as PortTaken if a program holds port 5353 alone.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.links: tuple[Interface, ...] = ()
        self.on_links: Callable[[], Awaitable[None]] | None = None
        self._following: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        table = read()
        self.links = self.scope.used(table)
        self.zeroconf = self._open()
        try:
            await self.zeroconf.zeroconf.async_wait_for_start()
        except BaseException:
            await self.zeroconf.async_close()
            raise
        self._following = asyncio.create_task(self._follow(table))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Send goodbyes for what is registered, and close. Takes a quarter of a second if there is any."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self.zeroconf.async_close()

    def _open(self) -> AsyncZeroconf:
        """Both IP versions from the start: zeroconf would have to open its sockets anew for the other one."""
        four, six = (number in self.scope.versions for number in (4, 6))
        version = IPVersion.All if four and six and socket.has_ipv6 else IPVersion.V6Only
        if not six or not socket.has_ipv6:
            version = IPVersion.V4Only
        try:
            # RuntimeError: an interface vanished meanwhile. _follow() sees it too.
            with contextlib.suppress(RuntimeError):
                return AsyncZeroconf(_choice(self.links, self.scope), ip_version=version)
            return AsyncZeroconf([], ip_version=version)
        except OSError as error:
            raise explain_bind(error, "cannot use multicast DNS (port 5353)", PORT) from error

    async def _follow(self, table: Table) -> None:
        async for now in watch(table):
            links = self.scope.used(now)
            if links == self.links:
                continue
            self.links = links
            if self.on_links is not None:
                await self.on_links()
            with contextlib.suppress(OSError, RuntimeError):  # the next change tries again
                await self.zeroconf.async_update_interfaces(_choice(links, self.scope))


def _choice(links: Iterable[Interface], scope: Scope) -> list[str | int | tuple[tuple[str, int, int], int]]:
    """The interfaces as zeroconf wants them: an IPv4 address, and the index for IPv6."""
    chosen: list[str | int | tuple[tuple[str, int, int], int]] = []
    for link in links:
        if 4 in scope.versions and link.ipv4:
            chosen.append(link.ipv4[0])
        if 6 in scope.versions and 6 in link.versions:
            chosen.append(link.index)
    return chosen
