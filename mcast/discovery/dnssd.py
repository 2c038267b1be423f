"""Announces the services of a peer by DNS-SD (RFC 6763) over multicast DNS (RFC 6762).

    async with Advertiser(group, told=print):
        ...                                     # avahi-browse, dns-sd and Finder show them

zeroconf sends and answers. What it leaves out is here: the interfaces as they come and go, probes as RFC 6762
has them, and conflicts that appear later. Every entry is signed (`mcast.crypto.offers`).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Self, cast

from zeroconf import (
    BadTypeInNameException,
    DNSOutgoing,
    DNSQuestion,
    DNSRecord,
    DNSService,
    RecordUpdate,
    RecordUpdateListener,
    ServiceInfo,
    Zeroconf,
    service_type_name,
)

from mcast.aio import Group
from mcast.core.events import PeerId
from mcast.crypto.offers import Offer, is_credential
from mcast.wire.attributes import Attributes, Service

from .found import ADDRESSES_KEY, DOT, record_of
from .mdns import Mdns
from .scope import Scope

LABEL = 63
"""Bytes of a name, without the type."""
STRING = 255
"""Bytes of a string in a TXT record."""
PROBES, PROBE_WAIT = 3, 0.25
"""Questions whether a name is free, and seconds after each. RFC 6762, 8.1."""
PATIENCE, PAUSE = 15, 5.0
"""Conflicts after which each new attempt waits so many seconds. RFC 6762, 8.1: the attack is a host that
claims every name."""
_QUERY, _IN, _SRV, _ANY = 0, 1, 33, 255
_TYPE = re.compile(r"_[A-Za-z0-9_-]{1,62}\._(tcp|udp)")
_CONTROLS = re.compile(r"[\0-\x1f\x7f]")


class Advertiser:
    """The services of a group's peer in DNS-SD, while this asynchronous context manager is entered.

    told: called with a line for the user, such as the new name if a name is taken.
    """

    def __init__(self, group: Group, told: Callable[[str], None] = lambda _: None) -> None:
        self._group, self._told = group, told
        self._mdns = Mdns(Scope(group.plan.requested, group.plan.versions, group.plan.excluded))
        self._mdns.on_links = self._moved
        self._entries: dict[Service, _Entry] = {}
        self._watch = _Watch()

    async def __aenter__(self) -> Self:
        self._host = host_label(socket.gethostname(), self._group.peer_id)
        await self._mdns.__aenter__()
        self._zeroconf.async_add_listener(self._watch, None)
        self.refresh()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Say goodbye under the names in use."""
        tasks = [entry.task for entry in self._entries.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._mdns.__aexit__()

    @property
    def names(self) -> dict[Service, str]:
        """The names under which services are announced now."""
        entries = self._entries.items()
        return {service: entry.name for service, entry in entries if entry.info is not None}

    def refresh(self) -> None:
        """Announce what the group offers now, and withdraw the rest: after each Group.announce()."""
        offers = self._group.offers
        for problem in unsuited(offers):
            self._told(f"DNS-SD: {problem}")
        services = dict.fromkeys(filter(_is_suited, offers.services))
        for service in [one for one in self._entries if one not in services]:
            self._withdraw(self._entries.pop(service))
        for service in services:
            if service in self._entries:
                self._renew(self._entries[service])
            else:
                entry = self._entries[service] = _Entry(service)
                entry.task = asyncio.create_task(self._keep(entry))
                entry.task.add_done_callback(_report)

    @property
    def _zeroconf(self) -> Zeroconf:
        return self._mdns.zeroconf.zeroconf

    async def _keep(self, entry: _Entry) -> None:
        """Find a name for the entry and announce it; again whenever somebody else has the name too."""
        conflicts, told = 0, ""
        while True:
            for name in candidates(self._group.name or socket.gethostname(), self._group.origin.hex()[:4]):
                if conflicts >= PATIENCE:
                    await asyncio.sleep(PAUSE)
                info = self._info(entry.service, name)
                if self._watch.claims.get(info.key, entry) is entry and await self._free(entry, info):
                    break
                conflicts += 1
            entry.name, entry.info = name, self._info(entry.service, name)
            # It probes in a way of its own, which takes longer: that was done already.
            await self._zeroconf.async_register_service(entry.info, cooperating_responders=True, strict=False)
            if conflicts and name != told:
                self._told(f"DNS-SD: another {entry.service.type} has this name, announced as {name}")
                told = name
            await entry.conflict.wait()
            conflicts += 1
            info, entry.info = entry.info, None
            # No goodbye: it would take the other one out of everybody's list.
            self._zeroconf.registry.async_remove(info)

    async def _free(self, entry: _Entry, info: ServiceInfo) -> bool:
        """Claim the name, and probe for it. False if somebody has it; then it is claimed no longer."""
        entry.conflict.clear()
        self._watch.claims[info.key] = entry
        entry.record = info.dns_service()
        if not self._watch.knows_other(self._zeroconf, entry.record):
            await asyncio.sleep(random.uniform(0, PROBE_WAIT))  # noqa: S311 - not a secret
            for _ in range(PROBES):
                # Not by unicast, which another program on this computer might get: RFC 6762, 15.1.
                probe = DNSOutgoing(_QUERY)
                probe.add_question(DNSQuestion(info.name, _ANY, _IN))
                # add_authorative_answer() takes pointers only, as zeroconf's own probes have.
                probe.authorities.append(cast(Any, entry.record))
                self._zeroconf.async_send(probe)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PROBE_WAIT):
                        await entry.conflict.wait()
                    break
            else:
                return True
        del self._watch.claims[info.key]
        return False

    def _info(self, service: Service, name: str) -> ServiceInfo:
        """The signed records of a service under a name."""
        addresses = self._mdns.scope.addresses(self._mdns.links)
        strings = (*text_strings(self._group.offers.tags), f"{ADDRESSES_KEY}={','.join(addresses)}".encode())
        offer = Offer(name, service.type, f"{self._host}.local", service.port, strings)
        kind = f"{service.type}.local."
        return ServiceInfo(
            kind,
            f"{name}.{kind}",
            service.port,
            properties=record_of((*strings, self._group.sign_offer(offer))),
            server=f"{self._host}.local.",
            parsed_addresses=addresses,
        )

    async def _moved(self) -> None:
        """The addresses changed. zeroconf announces on new interfaces what is registered by then."""
        for entry in self._entries.values():
            self._renew(entry)

    def _renew(self, entry: _Entry) -> None:
        """Announce the entry again, if it is announced and its records have changed."""
        if entry.info is None:
            return
        info = self._info(entry.service, entry.name)
        if (info.text, info.addresses) != (entry.info.text, entry.info.addresses):
            entry.info = info
            entry.doing = asyncio.ensure_future(self._zeroconf.async_update_service(info))

    def _withdraw(self, entry: _Entry) -> None:
        """Say goodbye for the entry, if it is announced."""
        entry.task.cancel()
        self._watch.claims = {key: one for key, one in self._watch.claims.items() if one is not entry}
        if entry.info is not None:
            entry.doing = asyncio.ensure_future(self._zeroconf.async_unregister_service(entry.info))


class _Entry:
    """One service. `info` are its records once it is announced, `record` is what it claims."""

    def __init__(self, service: Service) -> None:
        self.service, self.name = service, ""
        self.info: ServiceInfo | None = None
        self.record: DNSService
        self.conflict = asyncio.Event()
        self.task: asyncio.Task[None]
        self.doing: asyncio.Future[Any] | None = None


class _Watch(RecordUpdateListener):
    """Notices that somebody else has a name that we claim. `claims` are ours by key."""

    def __init__(self) -> None:
        self.claims: dict[str, _Entry] = {}

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        for update in records:
            entry = self.claims.get(update.new.key)
            if entry is not None and _contradicts(entry.record, update.new, now):
                entry.conflict.set()

    def async_update_records_complete(self) -> None:
        pass

    @staticmethod
    def knows_other(zc: Zeroconf, ours: DNSService) -> bool:
        """Whether it was heard already that somebody else has the name."""
        known = zc.cache.get_all_by_details(ours.name, _SRV, _IN)
        now = max((record.created for record in known), default=0.0)
        return any(_contradicts(ours, record, now) for record in known)


def _report(task: asyncio.Task[None]) -> None:
    """Have the loop tell of an error at once, not when nobody waits for the task any more."""
    if not task.cancelled() and (error := task.exception()) is not None:
        task.get_loop().call_exception_handler({"message": "DNS-SD failed", "exception": error, "task": task})


def _contradicts(ours: DNSService, record: DNSRecord, now: float) -> bool:
    """Whether it is about our name, alive, and somebody else's."""
    if not isinstance(record, DNSService) or record.is_expired(now):
        return False
    return (record.server_key, record.port) != (ours.server_key, ours.port)


def candidates(name: str, digits: str) -> Iterator[str]:
    """Names to try in turn: the peer's own, one with the start of its identity, then numbered ones."""
    yield _label(name)
    yield _label(name, f"·{digits}")
    for number in itertools.count(2):
        yield _label(name, f"·{digits} ({number})")


def _label(name: str, suffix: str = "") -> str:
    """`name` as a name in DNS-SD, and `suffix`: at most 63 bytes, no control characters."""
    size = LABEL - len(suffix.encode())
    clean = _CONTROLS.sub(" ", name).replace(".", DOT).encode("utf-8", "replace")
    return clean[:size].decode("utf-8", "ignore") + suffix


def host_label(host: str, peer_id: PeerId) -> str:
    """The name of the host in DNS-SD: one for each peer, so that it is nobody else's, Avahi's neither."""
    short = re.sub(r"[^A-Za-z0-9-]+", "-", host.partition(".")[0]).strip("-")[:40] or "mcast"
    run = sha256(b"mcast2 host" + peer_id.origin + peer_id.incarnation.to_bytes(8, "big")).hexdigest()
    return f"{short}-{run[:8]}".lower()


def _is_suited(service: Service) -> bool:
    """Whether DNS-SD has a place for it: a type such as `_http._tcp`, and a port."""
    if not service.port or not _TYPE.fullmatch(service.type):
        return False
    try:
        service_type_name(f"{service.type}.local.", strict=False)
    except BadTypeInNameException:
        return False
    return True


def unsuited(offers: Attributes) -> Iterator[str]:
    """What DNS-SD cannot show of the offers, each in a line."""
    for service in offers.services:
        if not _is_suited(service):
            yield f"{service.type} is left out: it needs a type such as _http._tcp, and a port"
    for key, value in offers.tags.items():
        if _string(key, value) is None:
            yield f"the tag {key} is left out: it is too long, or its name is reserved"


def text_strings(tags: Mapping[str, str]) -> list[bytes]:
    """The strings of a TXT record for tags, without those that have no place there."""
    found = (_string(key, value) for key, value in sorted(tags.items()))
    return [string for string in found if string is not None]


def _string(key: str, value: str) -> bytes | None:
    string = f"{key}={value}".encode("utf-8", "replace")
    reserved = is_credential(string) or string.partition(b"=")[0].lower() == ADDRESSES_KEY.encode()
    return None if reserved or not key or len(string) > STRING else string
