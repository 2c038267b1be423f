"""Checks the arguments of join() and send() and converts them for the engine.

Wrong arguments raise a UsageError here, before a socket is opened or anything has changed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence

from mcast.core.events import PeerId
from mcast.core.incarnation import following
from mcast.crypto.keys import Identity
from mcast.crypto.rooms import (
    Room,
    derive,
    in_directory,
    keyed_room,
    open_room,
    with_lookalikes,
    with_open_twin,
)
from mcast.errors import MessageTooLarge, UsageError
from mcast.net.address import GroupAddress, parse_group, parse_port
from mcast.wire.attributes import Attributes, Service, decode_attributes, encode_attributes
from mcast.wire.limits import KEY_SIZE, MACHINE_SIZE, MESSAGE_MAX, NAME_MAX, ROOM_ID_SIZE

Data = str | bytes | bytearray | memoryview
"""Types of a message."""
DEFAULT_GROUP = GroupAddress("230.0.0.1", 28003)
DEFAULT_TWIN = GroupAddress("ff12::6d63", 28003)
DEFAULT_PORT = 28003
ROOM_NAME_MAX = 255


def parse_pair(
    group: str | None, port: int | None, versions: Sequence[int] = (4, 6)
) -> tuple[GroupAddress, ...]:
    """Parse `group`. The default group has two addresses, one for each IP version; others have one.

    port: as in parse_group(). versions: keep the addresses of these IP versions only.
    """
    if not versions or any(version not in (4, 6) for version in versions):
        raise UsageError(f"{versions!r} are not IP versions", "choose from 4 and 6")
    if port is not None:
        port = parse_port(port)
    if not isinstance(group, str | None):
        raise UsageError(f"group must be text, not {type(group).__name__}", "write ADDRESS or ADDRESS:PORT")
    address = parse_group(group, port, default_port=DEFAULT_PORT) if group else None
    twins = (DEFAULT_GROUP.host, DEFAULT_TWIN.host)
    if address is None or address.host in twins:
        number = address.port if address else port or DEFAULT_PORT
        groups = tuple(GroupAddress(host, number) for host in twins)
    else:
        groups = (address,)
    fitting = tuple(group for group in groups if group.version in versions)
    if not fitting:
        raise UsageError(f"{groups[0]} is not an IPv{versions[0]} group", "use one, or leave out -4 or -6")
    return fitting


def make_room(groups: Sequence[GroupAddress], name: str, key: bytes | None, room_id: bytes | None) -> Room:
    """The room of `key` if there is one, whatever the name; else the open room with that name."""
    if not isinstance(name, str) or len(_encoded(name)) > ROOM_NAME_MAX:
        raise UsageError(f"room must be a name of at most {ROOM_NAME_MAX} bytes", "choose a shorter one")
    if key is not None:
        secret = _secret(key, KEY_SIZE, "a room key")
        made = derive(secret, info=b"mcast2 room id", size=ROOM_ID_SIZE)
        known = keyed_room(secret, made if room_id is None else _secret(room_id, ROOM_ID_SIZE, "a room id"))
        return in_directory(with_open_twin(known, place_of(groups), name), place_of(groups), name)
    if room_id is not None:
        raise UsageError("room_id needs a key", "an open room has no id of its own")
    place = place_of(groups)
    return in_directory(with_lookalikes(open_room(place, name), place, name), place, name)


def place_of(groups: Sequence[GroupAddress]) -> str:
    """The group as rooms are named after it: the default one by its IPv4 half (docs/protocol.md)."""
    group = groups[0]
    return str(GroupAddress(DEFAULT_GROUP.host, group.port) if group.host == DEFAULT_TWIN.host else group)


def make_identity(seed: bytes | None) -> Identity:
    """The identity made from 32 secret bytes, or a new random one."""
    if seed is None:
        return Identity(os.urandom(KEY_SIZE))
    return Identity(_secret(seed, KEY_SIZE, "an identity"))


def make_key(key: bytes) -> bytes:
    """The key of a room. Raises UsageError for another size."""
    return _secret(key, KEY_SIZE, "a room key")


def make_former_key(former_key: bytes | None, key: bytes | None) -> bytes | None:
    """The key of before. Raises UsageError if there is none now."""
    if former_key is not None and key is None:
        raise UsageError("former_key needs a key", "an open room has none")
    return None if former_key is None else make_key(former_key)


def make_incarnation(incarnation: int | None) -> int:
    """The given incarnation (1 to 2**63 - 1), or one made from the clock."""
    if incarnation is None:
        return following(0, time.time(), int.from_bytes(os.urandom(2), "big"))
    if not isinstance(incarnation, int) or not 0 < incarnation < 1 << 63:
        raise UsageError(f"{incarnation!r} is not an incarnation", "use a number from 1 to 2**63 - 1")
    return incarnation


def make_machine(machine: bytes) -> bytes:
    """The 8 bytes that identify a computer. Raises UsageError for another size."""
    return _secret(machine, MACHINE_SIZE, "a machine")


def check_ttl(ttl: int) -> int:
    """The TTL. Raises UsageError unless it is from 0 to 255."""
    if not isinstance(ttl, int) or not 0 <= ttl <= 255:
        raise UsageError(f"{ttl!r} is not a TTL", "use 0 to 255")
    return ttl


def make_name(name: str | None) -> str:
    """The peer's name. Raises UsageError unless it is text of at most 64 bytes of UTF-8."""
    name = "" if name is None else name
    if not isinstance(name, str) or len(_encoded(name)) > NAME_MAX:
        raise UsageError(f"{name!r} is not a valid name", f"use text of at most {NAME_MAX} bytes")
    return name


def make_guest(name: str) -> str:
    """The name of a guest. Raises UsageError unless it is text of 1 to 64 bytes of UTF-8."""
    if not make_name(name):
        raise UsageError("the guest's name is empty", f"use text of at most {NAME_MAX} bytes")
    return name


def make_attributes(tags: Mapping[str, str] | None, services: Sequence[str], name: str = "") -> Attributes:
    """Tags and services as they are announced. Raises UsageError if they do not fit an announcement."""
    offered = tuple(_service(text) for text in list_of("services", services))
    attributes = Attributes(dict(tags or {}), offered, name)
    try:
        # Peers that cannot decode our announcement would not see us.
        if decode_attributes(encode_attributes(attributes)) != attributes:
            raise UsageError(
                "tags and services do not fit: one is not text of at most 255 characters", "shorten it"
            )
    except UsageError:
        raise
    except (ValueError, TypeError) as error:
        raise UsageError(f"tags and services do not fit: {error}", "offer less") from None
    return attributes


def wants_history(history: bool, last: int | None, since: float | None) -> bool:
    """Whether history is requested. Raises UsageError for an invalid number of messages or seconds."""
    if last is not None and (isinstance(last, bool) or not isinstance(last, int) or last < 0):
        raise UsageError(f"last={last!r} is not a number of messages", "use a whole number, 0 or more")
    if since is not None and not (isinstance(since, (int, float)) and 0 <= since < float("inf")):
        raise UsageError(f"since={since!r} is not a number of seconds", "use 0 or more")
    return history or last is not None or since is not None


def make_payload(data: Data) -> bytes:
    """The bytes of a message; text becomes UTF-8.

    Raises MessageTooLarge above 64 KiB, UsageError for other types.
    """
    if type(data) is bytes:
        payload = data
    elif isinstance(data, str):
        payload = _encoded(data)
    elif isinstance(data, bytes | bytearray | memoryview):
        payload = bytes(data)
    else:
        raise UsageError(f"a message is text or bytes, not {type(data).__name__}", "encode it first")
    if len(payload) > MESSAGE_MAX:
        raise MessageTooLarge(
            f"a message of {len(payload)} bytes is larger than {MESSAGE_MAX}", "send it in parts"
        )
    return payload


def make_payloads(messages: Iterable[Data]) -> list[bytes]:
    """make_payload() of each message. Raises UsageError for a single message in place of several."""
    if isinstance(messages, str | bytes | bytearray | memoryview):
        raise UsageError("this is one message, not several", "send it with send()")
    return [
        data if type(data) is bytes and len(data) <= MESSAGE_MAX else make_payload(data) for data in messages
    ]


def list_of(what: str, values: Sequence[str]) -> tuple[str, ...]:
    """The values. Raises UsageError for a bare string, which would be taken letter by letter."""
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise UsageError(f"{what} must be a list of text, not {values!r}", f"write {what}=[…]")
    return tuple(values)


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError("the text contains a lone surrogate", "send bytes instead") from None


def _secret(value: object, size: int, what: str) -> bytes:
    if not isinstance(value, bytes | bytearray) or len(value) != size:
        got = f"{len(value)}" if isinstance(value, bytes | bytearray) else type(value).__name__
        raise UsageError(f"{what} has {size} bytes, not {got}", "see docs/security.md")
    return bytes(value)


def _service(text: str) -> Service:
    kind, _, port = text.rpartition(":") if ":" in text else (text, "", "")
    if not kind or len(kind) > 255:
        raise UsageError(f"{text!r} is not a service", "write TYPE or TYPE:PORT, such as _http._tcp:8080")
    return Service(kind, parse_port(port) if port else 0)


def private_id(peer_id: PeerId, number: int, letter: int = 0) -> str:
    """The id of a message to one peer: like message_id(), with `p` and its number at the end.

    That of a letter is the same each time it is sent.
    """
    if letter:
        return f"{peer_id.origin.hex()[:16]}-letter-{letter:x}"
    return f"{peer_id.origin.hex()[:16]}-{peer_id.incarnation:x}-p{number}"


def message_id(peer_id: PeerId, sequence: int, index: int) -> str:
    """A message's id: 16 hex digits of the author's origin, its incarnation in hex, sequence and index."""
    return f"{peer_id.origin.hex()[:16]}-{peer_id.incarnation:x}-{sequence}-{index}"
