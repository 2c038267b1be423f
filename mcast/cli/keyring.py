"""The keys of this user's rooms: key files, called after their rooms, in the configuration directory."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from mcast.crypto.rooms import passphrase_room
from mcast.errors import McastError, UsageError
from mcast.runtime.joining import parse_pair, place_of

from . import words
from .key_files import KEY_SIZE, ROOM_ID_SIZE, KeyMaterial, read_key_file
from .profiles import config_directory

NAME_MAX = 64
"""Bytes in the name of a room with a key. On the disk each may become three characters."""
PASSPHRASE_MIN = 16
"""Characters of a passphrase that somebody thought of."""
VARIETY_MIN = 8
"""Different characters of one."""
SECRET_SIZE = 10
"""Random bytes of a key. Each becomes a word; Argon2id makes every guess cost a tenth of a second."""
ROTATED, WHOLE = b" rotated", b" whole"
"""Purposes of words: of a key that replaces another, and of such a key with the id of its room."""
FINGERPRINT = 4
"""Words by which two people compare their keys."""
_FROM = "# made from: "
_FORMER = "# former key: "
OVERLAP = 600
"""Seconds after a change of the key in which the former one is accepted."""


class RoomKey(msgspec.Struct, frozen=True):
    """The key of a room, and the `secret` it was made from: words, or a passphrase.

    `rotated`: it replaced another key of the same room: `former`, which is accepted until `until` (unix
    seconds), and empty after that.
    """

    room: str
    secret: str
    material: KeyMaterial
    rotated: bool = False
    former: bytes = b""
    until: float = 0.0

    def overlapping(self, now: float) -> dict[str, Any]:
        """The arguments of join() by which what is sealed with the former key is still taken."""
        return {"former_key": self.former, "overlap": self.until - now} if self.former else {}

    def __repr__(self) -> str:
        return f"RoomKey(room={self.room!r})"


def check_name(room: str) -> str:
    """The name of a room that can have a key. UsageError if it cannot."""
    if not 0 < len(room.encode()) <= NAME_MAX or not room.isprintable() or room.strip() != room:
        raise UsageError(
            f"a room called {room!r} cannot have a key",
            f"use a name of 1 to {NAME_MAX} bytes without controls",
        )
    return room


def check_passphrase(passphrase: str) -> str:
    """A passphrase. UsageError if it can be guessed: whoever records datagrams can try many at home."""
    if len(passphrase) < PASSPHRASE_MIN:
        problem = f"the passphrase has {len(passphrase)} characters"
        raise UsageError(
            problem, f"use at least {PASSPHRASE_MIN}, for instance five words that do not belong together"
        )
    if len(set(passphrase.casefold())) < VARIETY_MIN:
        problem = f"the passphrase has only {len(set(passphrase.casefold()))} different characters"
        raise UsageError(problem, f"use at least {VARIETY_MIN}")
    return passphrase


def find(room: str) -> RoomKey | None:
    """The key of `room`; None if there is none. UsageError if it cannot be read."""
    try:
        path = _path(room)
        path.stat()
    except UsageError:
        raise
    except (OSError, McastError):  # none; or no home directory, or that of another user
        return None
    material, _ = read_key_file(path)
    secret, former = "", ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in path.read_text("utf-8").splitlines():
            if line.startswith(_FROM):
                secret = line.removeprefix(_FROM)
            if line.startswith(_FORMER):
                former = line.removeprefix(_FORMER)
    return RoomKey(room, secret, material, *_former(former))


def _former(line: str) -> tuple[bool, bytes, float]:
    """Whether there was a former key, the key if it is still accepted, and until when."""
    key, _, until = line.partition(" until ")
    try:
        when, data = float(until), bytes.fromhex(key)
    except ValueError:
        return bool(line), b"", 0.0
    return True, data if len(data) == KEY_SIZE and when > time.time() else b"", when


def save(room: str, secret: str, group: str | None, *, replace: bool = False) -> RoomKey:
    """Make the key of `room` in `group` from a secret, and keep it. Takes a tenth of a second.

    UsageError if there is another key and it is not to be replaced.
    """
    made = passphrase_room(secret, place_of(parse_pair(group, None)), check_name(room))
    key = RoomKey(room, secret, KeyMaterial(made.key, made.id))
    there = find(room)
    if there is not None and there.material != key.material and not replace:
        raise UsageError(f"you have another key for the room {room}", "add --replace to lose that one")
    _save(key)
    return key


def rotate(room: str, secret: str, group: str | None) -> RoomKey:
    """Replace the key of `room` by one that is made from a secret: the room stays the same.

    The former key is accepted for ten minutes more. UsageError if there is no key.
    """
    there = find(check_name(room))
    if there is None or there.material.room_id is None:
        raise UsageError(f"there is no key for the room {room} to replace", "ask for: mcast key share ROOM")
    key = passphrase_room(secret, place_of(parse_pair(group, None)), room).key
    if key == there.material.key:
        return there
    material = KeyMaterial(key, there.material.room_id)
    made = RoomKey(room, secret, material, True, there.material.key, time.time() + OVERLAP)
    _save(made)
    return made


def enter(room: str, secret: str, room_id: bytes, group: str | None, *, replace: bool = False) -> RoomKey:
    """Keep the key of a room that was replaced before: it has an id that this key does not tell."""
    key = passphrase_room(secret, place_of(parse_pair(group, None)), check_name(room)).key
    made = RoomKey(room, secret, KeyMaterial(key, room_id), True)
    there = find(room)
    if there is not None and there.material != made.material and not replace:
        raise UsageError(f"you have another key for the room {room}", "add --replace to lose that one")
    _save(made)
    return made


def add(room: str, typed: str, group: str | None, *, replace: bool = False) -> RoomKey:
    """Keep the key that somebody's words make: a new one, one that replaces ours, or one with a room's id.

    UsageError if they are no words, or if there is another key and it is not to be replaced.
    """
    if len(typed.split()) > SECRET_SIZE + 1:
        data = words.decode(typed, SECRET_SIZE + ROOM_ID_SIZE, WHOLE)
        secret = words.encode(data[:SECRET_SIZE], ROTATED)
        return enter(room, secret, data[SECRET_SIZE:], group, replace=replace)
    try:
        secret = words.encode(words.decode(typed, SECRET_SIZE, ROTATED), ROTATED)
    except UsageError:
        return save(room, words.encode(words.decode(typed, SECRET_SIZE)), group, replace=replace)
    return rotate(room, secret, group)


def add_typed(room: str, typed: str, group: str | None) -> RoomKey:
    """Keep the key that words make, or else a passphrase. One mistyped word must not make a passphrase."""
    if words.known(typed) > SECRET_SIZE // 2:
        return add(room, typed, group)
    return save(room, check_passphrase(typed), group)


def fingerprint(key: RoomKey) -> str:
    """The words by which two people compare their keys."""
    return words.fingerprint(key.material.key, FINGERPRINT)


def _save(key: RoomKey) -> None:
    material = key.material
    former = f"{_FORMER}{key.former.hex()} until {key.until:.0f}"
    lines = (
        f"# The key of the room {key.room}. Whoever has it can read and write there.",
        f"{_FROM}{key.secret}",
        *((former,) if key.rotated else ()),
        f"{material.key.hex()} {(material.room_id or b'').hex()}",
    )
    _write(_path(key.room), "".join(f"{line}\n" for line in lines))


def stamp(room: str) -> float:
    """When the key of `room` was changed; 0 if there is none."""
    try:
        return _path(room).stat().st_mtime
    except (OSError, McastError):
        return 0.0


def remove(room: str) -> bool:
    """Remove the key of `room`; False if there is none."""
    try:
        _path(room).unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _problem(error) from error
    return True


def rooms() -> list[str]:
    """The rooms that have a key here."""
    try:
        return sorted(unquote(path.stem) for path in _directory().glob("*.key"))
    except OSError as error:
        raise _problem(error) from error


def _directory() -> Path:
    return config_directory() / "keys"


def _path(room: str) -> Path:
    return _directory() / f"{quote(room, safe='').replace('.', '%2E')}.key"


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise _problem(error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _problem(error: OSError) -> McastError:
    return McastError(
        f"cannot use {error.filename}: {error.strerror or error}",
        "make it writable, or set XDG_CONFIG_HOME to another directory",
    )
