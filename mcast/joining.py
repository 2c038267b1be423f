"""From what the caller of join() says to what the engine takes: the group, the room, the offer, a message.

Whatever cannot be is a UsageError here, before a socket is opened or anything has changed.
"""

from __future__ import annotations

import time
import os
from collections.abc import Mapping, Sequence

from .address import GroupAddress, parse_group, parse_port
from .core.runs import Run
from .crypto.keys import Identity
from .crypto.rooms import Room, derive, keyed_room, open_room
from .errors import MessageTooLarge, UsageError
from .wire.attributes import Attributes, Service, encode_attributes
from .wire.limits import MESSAGE_MAX

DEFAULT_GROUP = GroupAddress("230.0.0.1", 28003)
DEFAULT_TWIN = GroupAddress("ff12::6d63", 28003)
DEFAULT_PORT = 28003
SECRET_SIZE = 32
ROOM_ID_SIZE = 16
MACHINE_SIZE = 8


def parse_pair(
    group: str | None, port: int | None, versions: Sequence[int] = (4, 6)
) -> tuple[GroupAddress, ...]:
    """The group that `group` names, as one address or, for the default group, as its two halves."""
    if unknown := [version for version in versions if version not in (4, 6)] or not versions:
        raise UsageError(f"IP versions {unknown if versions else '()'} ", "choose from 4 and 6")
    named = parse_group(group, port, default_port=DEFAULT_PORT) if group else None
    halves = (DEFAULT_GROUP.host, DEFAULT_TWIN.host)
    if named is None or named.host in halves:
        number = named.port if named else port or DEFAULT_PORT
        groups = tuple(GroupAddress(host, number) for host in halves)
    else:
        groups = (named,)
    fitting = tuple(group for group in groups if group.version in versions)
    if not fitting:
        raise UsageError(f"{groups[0]} is no IPv{versions[0]} group", "name one, or drop -4 or -6")
    return fitting


def make_room(groups: Sequence[GroupAddress], name: str, key: bytes | None, room_id: bytes | None) -> Room:
    """The room called `name`; with a key the keyed one, which the name does not change."""
    if key is not None:
        if len(key) != 32:
            raise UsageError(f"a room key has 32 bytes, not {len(key)}", "see docs/security.md")
        return keyed_room(key, room_id or derive(key, info=b"mcast1 room id", size=16))
    place = groups[0]
    if place.host == DEFAULT_TWIN.host:
        place = GroupAddress(DEFAULT_GROUP.host, place.port)
    return open_room(str(place), name)


def make_attributes(tags: Mapping[str, str] | None, services: Sequence[str], name: str = "") -> Attributes:
    """Tags and services as they are announced; UsageError when they do not fit an announcement."""
    attributes = Attributes(dict(tags or {}), tuple(_service(text) for text in services), name)
    try:
        encode_attributes(attributes)
    except ValueError as error:
        raise UsageError(f"tags and services are too long: {error}", "offer less") from None
    return attributes


def _service(text: str) -> Service:
    kind, _, port = text.rpartition(":") if ":" in text else (text, "", "")
    if not kind or len(kind) > 255:
        raise UsageError(f"{text!r} names no service", "write TYPE or TYPE:PORT, such as _http._tcp:8080")
    return Service(kind, parse_port(port) if port else 0)


def message_id(run: Run, sequence: int, index: int) -> str:
    """A message's name: 16 hex digits of the origin, the epoch in hex, the sequence, and the place in it."""
    return f"{run.origin.hex()[:16]}-{run.epoch:x}-{sequence}-{index}"


