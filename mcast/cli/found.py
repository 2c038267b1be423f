"""What DNS-SD and SSDP offer, as rows of `browse` beside the peers of the group.

A peer that announces by DNS-SD too is one peer: its entries are its own if their signature says so. All other
entries stand alone.
"""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import msgspec

from mcast.core.events import PeerId
from mcast.discovery.found import DOT, Changes, Found, record_of
from mcast.wire.attributes import Service

from .items import Item, PeerItem, author_field, head_of, service_field
from .output import escape
from .peer_table import Offer, Tags

Key = PeerId | tuple[str, str]
"""What a row's device is known by: a peer, or a protocol and the key that the entry has there."""


class Offers(msgspec.Struct, frozen=True):
    """The services and tags of a peer or device."""

    services: tuple[Service, ...]
    tags: Tags


class DeviceItem(Item):
    """A peer of the group, a device, or both: `native` and `found` are what is known of it. `type` as in
    PeerItem."""

    def __init__(self, kind: str, key: Key, native: PeerItem | None, found: Sequence[Found]) -> None:
        self.type, self.key = kind, key
        self._native, self._found = native, found
        services = native.offers.services if native else ()
        others = (Service(one.type, one.port) for one in found if one.type)
        tags: Tags = native.offers.tags if native else found[0].tags
        self.offers = Offers(tuple(dict.fromkeys((*services, *others))), tags)
        self.name = native.name if native else _name(found[0])
        self.foreign = native is None

    def row(self, service: Offer) -> dict[str, str]:
        """What tables show of one service; None for a device without. Nothing is escaped."""
        origin = "+".join(self._origins([service]))
        if self._native and (service is None or service in self._native.offers.services):
            return {**self._native.row(service), "origin": origin}
        one = self._entry(service)
        tags = (key if value is None else f"{key}={value}" for key, value in one.tags.items())
        return {
            "name": _name(one),
            "identity": one.peer_id.origin.hex()[:16] if one.peer_id else "",
            "service": one.type,
            "address": one.addresses[0] if one.addresses else "",
            "port": str(one.port or ""),
            "interface": one.interface,
            "age": "",
            "tags": " ".join(tags),
            "host": one.host,
            "origin": origin,
        }

    def texts(self, service: Offer) -> list[bytes]:
        """The strings of the TXT record."""
        if self._native and (service is None or service in self._native.offers.services):
            return self._native.texts(service)
        return list(self._entry(service).strings)

    def json_of(self, services: Iterable[Service]) -> dict[str, Any]:
        """The JSON object with only these of the services."""
        services = list(services)
        origin = self._origins(services or [None])
        if self._native:
            fields = {**self._native.json_of(services), "origin": origin}
            fields.pop("behind", None)  # a snapshot is shown at its end: nobody reads too slowly
            return fields
        first = self._found[0]
        author = author_field(first.peer_id, self.name) if first.peer_id else {"from": {"name": self.name}}
        verified = {"verified": first.peer_id is not None} if first.origin == "mdns" else {}
        return {
            **head_of(self.type, time.time()),
            **author,
            **({"interface": first.interface} if first.interface else {}),
            "tags": dict(self.offers.tags),
            "services": [service_field(one) for one in services],
            "origin": origin,
            **verified,
            **({"host": first.host} if first.host else {}),
            "addresses": list(first.addresses),
            **({} if first.is_text else {"txt_b64": base64.b64encode(record_of(first.strings)).decode()}),
            **({"reason": "withdrawn"} if self.type == "leave" else {}),
        }

    def environment(self) -> dict[str, str]:
        peer = self._found[0].peer_id
        who = f"{peer.origin.hex()[:16] if peer else '-'} {escape(self.name)}"
        return {"MCAST_FROM": who, "MCAST_ID": "", "MCAST_GROUP": ""}

    def _entry(self, service: Offer) -> Found:
        fitting = (
            one for one in self._found if service and (one.type, one.port) == (service.type, service.port)
        )
        return next(fitting, self._found[0])

    def _origins(self, services: Iterable[Offer]) -> list[str]:
        """By what protocols these services are known: `mdns?` if a signature does not hold."""
        origins: list[str] = []
        for service in services:
            if self._native and (service is None or service in self._native.offers.services):
                origins.append("mcast")
            origins += [
                f"{one.origin}?" if one.doubtful else one.origin
                for one in self._found
                if service is None or (one.type, one.port) == (service.type, service.port)
            ]
        return list(dict.fromkeys(origins))


def _name(found: Found) -> str:
    """The name; a peer's is shown as it has it itself."""
    return found.name.replace(DOT, ".") if found.peer_id else found.name


class Merger:
    """Puts together what is known of each peer. Its tables are as long as those that it is told from."""

    def __init__(self) -> None:
        self._native: dict[PeerId, PeerItem] = {}
        self._found: dict[PeerId, dict[str, Found]] = {}
        self._owners: dict[tuple[str, str], PeerId] = {}

    def native(self, item: PeerItem) -> DeviceItem:
        """A peer of the group joined, changed or left."""
        peer_id = item.peer.peer_id
        if item.type == "leave":
            self._native.pop(peer_id, None)
        else:
            self._native[peer_id] = item
        return self._peer(peer_id, item, ())

    def found(self, kind: str, found: Found) -> list[DeviceItem]:
        """An entry appeared, changed or went; who owns it may have changed as well."""
        key = found.origin, found.key
        items: list[DeviceItem] = []
        owner = None if kind == "leave" else found.peer_id
        before = self._owners.pop(key, None)
        if before is not None and before != owner:
            self._found[before].pop(found.key)
            if not self._found[before]:
                del self._found[before]
            items.append(self._peer(before, None, (found,)))
        if owner is not None:
            self._owners[key] = owner
            self._found.setdefault(owner, {})[found.key] = found
            if before is None:
                items.append(DeviceItem("leave", key, None, (found,)))
            items.append(self._peer(owner, None, ()))
        elif before is None or kind != "leave":
            items.append(DeviceItem(kind, key, None, (found,)))
        return items

    def _peer(self, peer_id: PeerId, native: PeerItem | None, found: Sequence[Found]) -> DeviceItem:
        """What is known of a peer now; `native` and `found` are what is known no longer."""
        now, entries = self._native.get(peer_id), tuple(self._found.get(peer_id, {}).values())
        if now is None and not entries:
            return DeviceItem("leave", peer_id, native, found)
        return DeviceItem("update", peer_id, now, entries)

    async def items(self, changes: Changes) -> AsyncIterator[list[DeviceItem]]:
        """The rows that change as entries do."""
        async for batch in changes.batches():
            yield [item for kind, found in batch for item in self.found(kind, found)]
