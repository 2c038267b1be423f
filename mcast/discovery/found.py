"""What is found beyond the roster, by whatever protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Literal

import msgspec

from mcast.core.events import PeerId
from mcast.crypto.offers import is_credential

ADDRESSES_KEY = "mcast-at"
"""Key of the string with the addresses that a peer of mcast signs."""


class Found(msgspec.Struct, frozen=True):
    """A service of a device.

    key: what it is known by, with `origin`. `type` is that of DNS-SD (`_http._tcp`) or UPnP (`MediaServer`).
    `strings` are those of a TXT record, `interface` is ours by which it can be reached, as far as is known.
    `peer_id`: the peer of mcast that it belongs to; its signature was checked. `doubtful`: it says that it
    belongs to one, but that does not hold.
    """

    origin: Literal["mdns", "ssdp"]
    key: str
    name: str
    type: str
    host: str = ""
    port: int = 0
    addresses: tuple[str, ...] = ()
    strings: tuple[bytes, ...] = ()
    interface: str = ""
    peer_id: PeerId | None = None
    doubtful: bool = False

    @property
    def tags(self) -> dict[str, str | None]:
        """Keys and values of the strings, the first of each key. None: a key without a value.

        Bytes that are not UTF-8 become `\\xNN`. Strings by which peers of mcast are known are left out.
        """
        tags: dict[str, str | None] = {}
        seen: set[bytes] = set()
        for string in self.strings:
            key, equals, value = string.partition(b"=")
            if not key or key.lower() in seen or (self.peer_id and _is_ours(string)):
                continue
            seen.add(key.lower())
            tags.setdefault(_text(key), _text(value) if equals else None)
        return tags

    @property
    def is_text(self) -> bool:
        """Whether all strings are UTF-8."""
        try:
            b"".join(string + b"\0" for string in self.strings).decode()
        except UnicodeDecodeError:
            return False
        return True


def _is_ours(string: bytes) -> bool:
    return is_credential(string) or string.startswith(f"{ADDRESSES_KEY}=".encode())


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


class Changes:
    """What appears, changes and goes, for one reader, however slowly it reads: it is told what is so now.

    Holds at most `limit` entries; then new ones are refused, and counted. The attack is made-up entries by
    the thousand: who was here before stays listed.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._now: dict[str, Found] = {}
        self._told: dict[str, Found] = {}
        self._news: dict[str, None] = {}
        self._ready = asyncio.Event()
        self.refused = 0

    def __len__(self) -> int:
        return len(self._now)

    def put(self, found: Found) -> None:
        """It is here, as it is said now."""
        if found.key not in self._now and len(self._now) >= self._limit:
            self.refused += 1
        elif self._now.get(found.key) != found:
            self._now[found.key] = found
            self._tell(found.key)

    def remove(self, key: str) -> None:
        """It is gone."""
        if self._now.pop(key, None) is not None:
            self._tell(key)

    def _tell(self, key: str) -> None:
        self._news[key] = None
        self._ready.set()

    async def batches(self) -> AsyncIterator[list[tuple[str, Found]]]:
        """What is new since the last batch, each a `join`, `update` or `leave`. Without end."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            news, self._news = self._news, {}
            if batch := [change for key in news if (change := self._change(key))]:
                yield batch

    def _change(self, key: str) -> tuple[str, Found] | None:
        now, before = self._now.get(key), self._told.pop(key, None)
        if now is not None:
            self._told[key] = now
        if now == before:
            return None
        if now is None:
            return ("leave", before) if before else None
        return ("update" if before else "join", now)


DOT = "\u2024"
"""Stands for a dot in the names of peers: zeroconf would take what is before it for a name of its own."""


def record_of(strings: Iterable[bytes]) -> bytes:
    """A TXT record of these strings, at most 255 bytes each."""
    return b"".join(bytes((len(string),)) + string for string in strings)
