"""Room keys: open ones that anybody can derive, and secret ones."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mcast.wire.limits import KEY_SIZE, ROOM_ID_SIZE

from .stretch import stretch

KEY_ID_SIZE = 4
_OPEN = b"mcast2 open room"
_DIRECTORY = b"mcast2 room directory"
_PASSPHRASE = b"mcast2 passphrase room"


def derive(secret: bytes, *, salt: bytes = b"", info: bytes, size: int = KEY_SIZE) -> bytes:
    """HKDF-SHA256 (RFC 5869) of `secret`: `size` bytes for the purpose that `info` names."""
    return HKDF(SHA256(), length=size, salt=salt, info=info).derive(secret)


class Room(msgspec.Struct, frozen=True):
    """A room's `id` (16 bytes, in every signature), `key` (32 bytes), `key_id` (4 bytes, in every datagram).

    `public` says that anyone can derive the key: what is said there can be read by anyone on the LAN.
    `lookalikes`: key ids of rooms that somebody may mean when typing this one's name, and their names.
    `directory` is where the open rooms of the group are named, this one as `name` if it is one of them.
    """

    id: bytes
    key: bytes
    key_id: bytes
    public: bool
    lookalikes: Mapping[bytes, str] = {}
    directory: Room | None = None
    name: str = ""

    def __repr__(self) -> str:
        return f"Room(id={self.id!r}, key_id={self.key_id!r}, public={self.public})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("id", self.id), ("key_id", self.key_id), ("public", self.public)]


def _room(room_id: bytes, key: bytes, *, public: bool) -> Room:
    return Room(room_id, key, derive(key, info=b"mcast2 key id", size=KEY_ID_SIZE), public)


def _place(group: str, name: str) -> bytes:
    """Group (`230.0.0.1:28003`) and room name, each behind its length, so that no two pairs look alike."""
    parts = (group.encode(), name.encode())
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def open_room(group: str, name: str) -> Room:
    """The open room called `name` in `group`, the text of a GroupAddress (of a pair, the IPv4 half)."""
    place = _place(group, name)
    room_id = sha256(_OPEN + place).digest()[:ROOM_ID_SIZE]
    return _room(room_id, derive(place, salt=_OPEN, info=b"mcast2 room key"), public=True)


def in_directory(room: Room, group: str, name: str) -> Room:
    """The room `room`, which knows the directory of the group; if it is open, it is named there."""
    place = _place(group, "")
    room_id = sha256(_DIRECTORY + place).digest()[:ROOM_ID_SIZE]
    directory = _room(room_id, derive(place, salt=_DIRECTORY, info=b"mcast2 room key"), public=True)
    return msgspec.structs.replace(room, directory=directory, name=name if room.public else "")


def with_lookalikes(room: Room, group: str, name: str) -> Room:
    """The open room `name`, which knows rooms whose names differ in upper and lower case only.

    Of all such names it knows the likely ones.
    """
    others = {name.lower(), name.upper(), name.title(), name.capitalize(), name.swapcase()} - {name}
    return msgspec.structs.replace(
        room, lookalikes={open_room(group, other).key_id: other for other in sorted(others)}
    )


def with_open_twin(room: Room, group: str, name: str) -> Room:
    """The keyed room `room`, which knows the open room of its name: who forgot the key is there."""
    return msgspec.structs.replace(room, lookalikes={open_room(group, name).key_id: name}) if name else room


def keyed_room(key: bytes, room_id: bytes) -> Room:
    """The room with this secret key (32 bytes) and the id (16 bytes) made with its first key.

    ValueError for other sizes.
    """
    if len(key) != KEY_SIZE or len(room_id) != ROOM_ID_SIZE:
        raise ValueError(f"a room has a key of {KEY_SIZE} bytes and an id of {ROOM_ID_SIZE}")
    return _room(room_id, key, public=False)


def passphrase_room(passphrase: str, group: str, name: str) -> Room:
    """The room of all who know `passphrase`: Argon2id, RFC 9106's second option (64 MiB).

    Takes about a tenth of a second. The caller judges whether the passphrase is strong enough.
    """
    salt = sha256(_PASSPHRASE + _place(group, name)).digest()[:16]
    secret = stretch(passphrase.encode(), salt)
    return _room(
        derive(secret, info=b"mcast2 room id", size=ROOM_ID_SIZE),
        derive(secret, info=b"mcast2 room key"),
        public=False,
    )
