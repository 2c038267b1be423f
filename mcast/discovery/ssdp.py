"""Finds routers, televisions and network drives by SSDP, the search of UPnP.

    async with Searcher(Scope()) as searcher:
        async for batch in searcher.changes.batches(): ...

async-upnp-client reads and writes the datagrams. A device says where its description is. It is fetched only
from the address that answered, if that is on a network of ours: no datagram can make us ask another server.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

import aiohttp
from async_upnp_client.ssdp import (
    SSDP_PORT,
    SsdpProtocol,
    build_ssdp_search_packet,
    decode_ssdp_packet,
    determine_source_target,
    get_ssdp_socket,
)
from defusedxml.ElementTree import fromstring

from mcast.interfaces import Interface, Table, read, watch

from .found import Changes, Found
from .scope import Scope, interface_of

ENTRIES, OF_ADDRESS = 256, 16
"""Devices that are listed, in all and of one address. The attack is made-up ones by the thousand."""
ASK_AT = (0.0, 0.3, 1.0)
"""Seconds at which to search first: a datagram may be lost."""
ASK_EVERY, GONE = 30.0, 3
"""Seconds between searches later, and how many may go without an answer."""
WAIT = 1
"""Seconds within which devices answer (MX)."""
FETCHES, WAITING, FETCH_TIME, FETCH_BYTES = 4, 64, 1.5, 64 * 1024
"""Descriptions that are fetched at once and that wait for it, seconds for each, and bytes."""
DATAGRAM, TEXT = 2048, 200
"""Bytes of a datagram that is read, characters of a text that is kept."""
ROOT = "upnp:rootdevice"
_TYPE = re.compile(r"urn:[^:]{1,100}:device:([A-Za-z0-9_.-]{1,64}):\d{1,5}")

Address = tuple[Any, ...]


class Searcher:
    """The devices that answer, while this asynchronous context manager is entered: see `changes`."""

    def __init__(self, scope: Scope) -> None:
        self.changes = Changes(ENTRIES)
        self._scope = scope
        self._links: tuple[Interface, ...] = ()
        self._ears: dict[tuple[str, str], list[_Ear]] = {}
        self._silent: dict[str, int] = {}
        self._of: Counter[str] = Counter()
        self._waiting: asyncio.Queue[tuple[Found, str]] = asyncio.Queue(WAITING)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        table = read()
        await self._use(self._scope.used(table))
        # Whatever is in the environment, a proxy is never asked, and no cookie is kept.
        self._web = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=FETCH_TIME),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        jobs = [self._follow(table), self._search(), *(self._fetch() for _ in range(FETCHES))]
        self._tasks = [asyncio.create_task(job) for job in jobs]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._web.close()
        await self._use(())

    async def _follow(self, table: Table) -> None:
        async for now in watch(table):
            if (links := self._scope.used(now)) != self._links:
                await self._use(links)

    async def _use(self, links: Sequence[Interface]) -> None:
        """Listen and search on these interfaces, and on no others."""
        self._links = tuple(links)
        wanted = {(link.name, source[0]): source for link in links for source in self._sources(link)}
        for key in [key for key in self._ears if key not in wanted]:
            for ear in self._ears.pop(key):
                ear.close()
        for key, source in wanted.items():
            if key not in self._ears:
                # The second hears what devices say by themselves. If the port is taken, the first must do.
                ears = [await self._listen(source, port) for port in (0, SSDP_PORT)]
                self._ears[key] = [ear for ear in ears if ear is not None]
                self._ask(self._ears[key])

    def _sources(self, link: Interface) -> list[Address]:
        """Where to search from on an interface: a socket address of each IP version."""
        sources: list[Address] = []
        if 4 in self._scope.versions and link.ipv4:
            sources.append((link.ipv4[0], 0))
        if 6 in self._scope.versions and link.link_local:
            sources.append((link.link_local, 0, 0, link.index))
        return sources

    async def _listen(self, source: Address, port: int) -> _Ear | None:
        try:
            source, target = determine_source_target(source)
            sock, _, target = get_ssdp_socket(source, target)
        except OSError:  # the interface has gone, which _follow() sees too
            return None
        try:
            six = sock.family == socket.AF_INET6
            level, option = (
                (socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS)
                if six
                else (socket.IPPROTO_IP, socket.IP_MULTICAST_TTL)
            )
            sock.setsockopt(level, option, 1)
            sock.bind(("", port))
            loop = asyncio.get_running_loop()
            _, ear = await loop.create_datagram_endpoint(lambda: _Ear(loop, self, target), sock=sock)
        except OSError:
            sock.close()
            return None
        return ear

    def _ask(self, ears: Iterable[_Ear]) -> None:
        for ear in ears:
            ear.ask()

    async def _search(self) -> None:
        """Search, and forget who does not answer any more."""
        began = asyncio.get_running_loop().time()
        for at in ASK_AT:
            await asyncio.sleep(max(0.0, began + at - asyncio.get_running_loop().time()))
            self._ask(ear for ears in self._ears.values() for ear in ears)
        while True:
            await asyncio.sleep(ASK_EVERY)
            for key, count in list(self._silent.items()):
                self._silent[key] = count + 1
                if count >= GONE:
                    self.forget(key)
            self._ask(ear for ears in self._ears.values() for ear in ears)

    def heard(self, headers: Mapping[str, str], source: Address) -> None:
        """A device says that it is here, or that it goes."""
        host = str(source[0]).partition("%")[0]
        udn, _, kind = headers.get("usn", "").partition("::")
        zone = str(source[3]) if len(source) == 4 else ""
        interface = interface_of(host, self._links, zone)
        if kind != ROOT or not udn.startswith("uuid:") or not interface:
            return
        # The address is part of it, so that nobody else can say goodbye for the device.
        key = f"{udn[:TEXT]} {host}"
        if headers.get("nts") == "ssdp:byebye":
            self.forget(key)
        elif key in self._silent:
            self._silent[key] = 0
        elif len(self._silent) < ENTRIES and self._of[host] < OF_ADDRESS and not self._waiting.full():
            self._silent[key] = 0
            self._of[host] += 1
            url = headers.get("location", "")
            here = Found("ssdp", key, host, "", "", 0, (host,), (), interface)
            self._waiting.put_nowait((here, url if _is_at(url, host) else ""))

    def forget(self, key: str) -> None:
        """The device is gone."""
        if self._silent.pop(key, None) is not None:
            self._of -= Counter([key.rpartition(" ")[2]])
            self.changes.remove(key)

    async def _fetch(self) -> None:
        """Fetch descriptions, and list the devices, with what their addresses tell if there is none."""
        while True:
            here, url = await self._waiting.get()
            found = here
            # Whatever its server does: the device is there.
            with contextlib.suppress(
                aiohttp.ClientError, OSError, TimeoutError, ValueError, SyntaxError, LookupError
            ):
                if url:
                    found = described(here, url, await self._description(url))
            if found.key in self._silent:
                self.changes.put(found)

    async def _description(self, url: str) -> bytes:
        """The start of what is at `url`, without following it anywhere else."""
        options: dict[str, Any] = {"allow_redirects": False, "headers": {"Accept-Encoding": "identity"}}
        async with self._web.get(url, **options) as response:
            if response.status != 200:
                return b""
            data = b""
            while len(data) <= FETCH_BYTES and (more := await response.content.read(FETCH_BYTES)):
                data += more
            return data[: FETCH_BYTES + 1]


class _Ear(SsdpProtocol):
    """A socket. What it hears goes to the searcher, and no datagram raises anything."""

    def __init__(self, loop: asyncio.AbstractEventLoop, searcher: Searcher, target: Address) -> None:
        super().__init__(loop)
        self._searcher, self._target = searcher, target

    def ask(self) -> None:
        with contextlib.suppress(OSError):
            self.send_ssdp_packet(build_ssdp_search_packet(self._target, WAIT, ROOT), self._target)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        if len(data) > DATAGRAM or not data.startswith((b"NOTIFY * HTTP/1.1", b"HTTP/1.1 200 OK")):
            return
        try:
            _, headers = decode_ssdp_packet(data, self.local_addr, addr)
            told = {name: str(headers.get_lower(name, "")) for name in ("usn", "nts", "location")}
        except Exception:  # its parser was made for HTTP of servers that one has chosen
            return
        self._searcher.heard(told, addr)

    def error_received(self, exc: Exception) -> None:
        pass  # a destination that cannot be reached now

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()


def _is_at(url: str, host: str) -> bool:
    """Whether a description is at the address that told of it, by HTTP."""
    try:
        parts = urlsplit(url)
        there = ipaddress.ip_address((parts.hostname or "").partition("%")[0])
        port = parts.port or 80
    except ValueError:
        return False
    return parts.scheme == "http" and not parts.username and str(there) == host and port > 0


def described(here: Found, url: str, data: bytes) -> Found:
    """The device with what its description says. ValueError, SyntaxError or LookupError if it is none."""
    port = urlsplit(url).port or 80
    if len(data) > FETCH_BYTES:
        raise ValueError("too long")
    root: Element = fromstring(data, forbid_dtd=True)
    device = root.find("{*}device")
    if device is None:
        raise ValueError("no device")
    texts = {name: (device.findtext(f"{{*}}{name}") or "").strip()[:TEXT] for name in _NAMES}
    kind = _TYPE.fullmatch(texts["deviceType"])
    tags = (
        f"{tag}={texts[name]}".encode("utf-8", "replace")
        for name, tag in _NAMES.items()
        if tag and texts[name]
    )
    return Found(
        "ssdp",
        here.key,
        texts["friendlyName"] or here.name,
        kind[1] if kind else "",
        "",
        port,
        here.addresses,
        tuple(tags),
        here.interface,
    )


_NAMES = {"friendlyName": "", "deviceType": "", "manufacturer": "manufacturer", "modelName": "model"}
"""Elements of a description, and the tags that some of them become."""
