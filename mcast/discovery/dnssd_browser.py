"""Finds what others offer by DNS-SD (RFC 6763) over multicast DNS (RFC 6762).

    async with Browser(Scope()) as browser:
        async for batch in browser.changes.batches(): ...

zeroconf asks and remembers. Here is what a hostile network must not do: entries and types have bounds, and an
entry is taken for that of a peer of mcast only if its signature says so.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, Self

from zeroconf import IPVersion, ServiceStateChange
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo

from mcast.core.events import PeerId
from mcast.crypto.offers import Offer, check, is_credential
from mcast.interfaces import Interface

from .found import ADDRESSES_KEY, Changes, Found
from .mdns import Mdns
from .scope import Scope, interface_of

ENTRIES, TYPES = 1000, 100
"""Entries and types that are listed. The attack is made-up ones by the thousand."""
REFUSED = 20_000
"""Entries beyond that after which types are browsed anew, as zeroconf remembers each entry. It is more than
its cache holds, which tells of all that it has at once."""
WORKERS, WAITING, PATIENCE = 8, 1000, 3000
"""Entries that are asked for at once, that wait for that, and milliseconds for each. Most come complete."""
_ALL_TYPES = "_services._dns-sd._udp.local."
_TYPE = re.compile(r"_[A-Za-z0-9_-]{1,62}\._(tcp|udp)\.local\.")
_GLOB = re.compile(r"[*?[]")


class Browser:
    """What is offered by DNS-SD, while this asynchronous context manager is entered. `changes` tells of it.

    types: shell globs for the types to look for (`_http._tcp`, `_ipp*`).
    """

    def __init__(self, scope: Scope, types: Sequence[str] = ("*",)) -> None:
        self.changes = Changes(ENTRIES)
        self._types = types
        self._mdns = Mdns(scope)
        self._browsers: dict[str, AsyncServiceBrowser] = {}
        self._refused = 0
        self._waiting: asyncio.Queue[tuple[str, str]] = asyncio.Queue(WAITING)
        self._workers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._mdns.__aenter__()
        for kind in self._types if not any(map(_GLOB.search, self._types)) else [_ALL_TYPES]:
            self._browse(kind if kind == _ALL_TYPES else f"{kind}.local.")
        self._workers = [asyncio.create_task(self._ask()) for _ in range(WORKERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        for browser in self._browsers.values():
            await browser.async_cancel()
        await self._mdns.__aexit__()

    def _browse(self, kind: str) -> None:
        """Look for entries of a type from now on, unless it is none or there are too many."""
        wanted = kind == _ALL_TYPES or (
            _TYPE.fullmatch(kind)
            and any(fnmatchcase(kind.removesuffix(".local."), glob) for glob in self._types)
        )
        if wanted and kind not in self._browsers and len(self._browsers) < TYPES:
            handler: Callable[..., None] = self._changed
            self._browsers[kind] = AsyncServiceBrowser(self._mdns.zeroconf.zeroconf, kind, handlers=[handler])

    def _changed(self, service_type: str, name: str, state_change: ServiceStateChange, **_: Any) -> None:
        """zeroconf tells of an entry, or of a type."""
        if service_type == _ALL_TYPES:
            if state_change is not ServiceStateChange.Removed:
                self._browse(name)
        elif state_change is ServiceStateChange.Removed:
            self.changes.remove(name.lower())
        elif not self._take(_asked(service_type, name)) and not self._waiting.full():
            self._waiting.put_nowait((service_type, name))

    def _take(self, info: AsyncServiceInfo) -> bool:
        """Whether an entry is complete by what is known. Then it is told of."""
        if not info.load_from_cache(self._mdns.zeroconf.zeroconf):
            return False
        before = self.changes.refused
        if found := found_from(info, self._mdns.links):
            self.changes.put(found)
        self._refused += self.changes.refused - before
        if self._refused > REFUSED:
            self._refused = 0
            asyncio.get_running_loop().call_soon(self._renew)
        return True

    def _renew(self) -> None:
        """Have zeroconf forget what was refused."""
        for kind, browser in list(self._browsers.items()):
            browser._async_cancel()
            del self._browsers[kind]
            self._browse(kind)

    async def _ask(self) -> None:
        """Ask for what did not come complete."""
        while True:
            kind, name = await self._waiting.get()
            info = _asked(kind, name)
            if await info.async_request(self._mdns.zeroconf.zeroconf, PATIENCE):
                self._take(info)


def _asked(kind: str, name: str) -> AsyncServiceInfo:
    """What is to be filled with the records of an entry, whatever its name: the constructor refuses some."""
    info = AsyncServiceInfo(kind, f"_.{kind}")
    info.name = name
    return info


def found_from(info: AsyncServiceInfo, links: Iterable[Interface]) -> Found | None:
    """The entry that zeroconf has the records of; None if it is none."""
    kind, host = info.type.removesuffix(".local."), (info.server or "").rstrip(".")
    suffix = f".{info.type}"
    if not info.name.lower().endswith(suffix.lower()) or not host:
        return None
    name, port = info.name[: -len(suffix)], info.port or 0
    strings = tuple(strings_of(info.text or b""))
    addresses = info.parsed_scoped_addresses(IPVersion.All)
    plain = tuple(address.partition("%")[0] for address in addresses)
    credentials = [string for string in strings if is_credential(string)]
    signed = tuple(string for string in strings if not is_credential(string))
    peer = check(Offer(name, kind, host, port, signed), credentials)
    if peer is not None and not set(plain) <= _signed_addresses(signed):
        peer = None
    return Found(
        "mdns",
        info.name.lower(),
        name,
        kind,
        host,
        port,
        plain,
        strings,
        next(filter(None, (_interface(address, links) for address in addresses)), ""),
        None if peer is None else PeerId(*peer),
        bool(credentials) and peer is None,
    )


def strings_of(record: bytes) -> Iterator[bytes]:
    """The strings of a TXT record. One that does not fit is cut."""
    at = 0
    while at < len(record):
        end = at + 1 + record[at]
        if end > at + 1:
            yield record[at + 1 : end]
        at = end


def _signed_addresses(strings: Iterable[bytes]) -> set[str]:
    head = f"{ADDRESSES_KEY}=".encode()
    texts = (
        string.removeprefix(head).decode("ascii", "replace") for string in strings if string.startswith(head)
    )
    return {address for text in texts for address in text.split(",")}


def _interface(address: str, links: Iterable[Interface]) -> str:
    plain, _, zone = address.partition("%")
    return interface_of(plain, links, zone)
