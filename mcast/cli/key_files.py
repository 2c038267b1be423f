"""Room keys as text, in a file or an environment variable. No message and no repr ever shows one.

# the key: 64 hex digits, or 43 or 44 characters of base64; then, if it is known, the room id
3f9c…64 hex digits…   a1b2…32 hex digits…
"""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from mcast.errors import UsageError

KEY_SIZE = 32
ROOM_ID_SIZE = 16

_SIZE_LIMIT = 4096
_FORMS = "64 hex digits or 43 characters of base64, then at most a room id of 32 hex digits"
_HEX_KEY = re.compile(r"[0-9a-fA-F]{64}")
_BASE64_KEY = re.compile(r"[A-Za-z0-9+/_-]{43}=?")
_ROOM_ID = re.compile(r"[0-9a-fA-F]{32}")


class KeyMaterial(msgspec.Struct, frozen=True):
    """A room's `key` (32 bytes) and, where it was written beside it, the `room_id` (16 bytes)."""

    key: bytes
    room_id: bytes | None = None

    def __repr__(self) -> str:
        return f"KeyMaterial(room_id={self.room_id!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("room_id", self.room_id)]


def parse_key(text: str, where: str) -> KeyMaterial:
    """The key in `text`, what follows a # in a line left out. `where` says in errors where it came from.

    UsageError when it is no key, or all zero.
    """
    # Editors on Windows put a byte order mark in front.
    lines = text.removeprefix("\ufeff").splitlines()
    fields = [word for line in lines for word in line.partition("#")[0].split()]
    if not fields:
        raise UsageError(f"there is no key in {where}", f"a key is {_FORMS}")
    if len(fields) > 2:
        raise UsageError(f"{where} holds {len(fields)} words, not a key", f"a key is {_FORMS}")
    key = _decode(fields[0])
    if key is None:
        raise UsageError(f"what {where} holds is no key ({len(fields[0])} characters)", f"a key is {_FORMS}")
    if not any(key):
        raise UsageError(f"the key in {where} is all zero", "make one at random: openssl rand -hex 32")
    room = fields[1] if len(fields) == 2 else None
    if room is not None and not _ROOM_ID.fullmatch(room):
        raise UsageError(f"after the key {where} holds no room id", "a room id is 32 hex digits")
    return KeyMaterial(key, bytes.fromhex(room) if room is not None else None)


def read_key_file(path: str | Path) -> tuple[KeyMaterial, str]:
    """The key in a file, or in a pipe, and a warning to show, "" if no other user can read it.

    UsageError when the file cannot be read or holds no key.
    """
    data, mode = _read(path)
    if len(data) > _SIZE_LIMIT:
        raise UsageError(f"{path} is too large to be a key", f"a key is {_FORMS}")
    return parse_key(data.decode("utf-8", "replace"), str(path)), _warning(path, mode)


def _read(path: str | Path) -> tuple[bytes, int]:
    """At most one byte more than a key file may have, and the file's mode."""
    try:
        with Path(path).open("rb") as file:
            return file.read(_SIZE_LIMIT + 1), os.fstat(file.fileno()).st_mode
    except OSError as error:
        reason = error.strerror or "it cannot be read"
    except ValueError:
        reason = "no file can have such a name"
    if any(_decode(word) is not None for word in str(path).split()):
        # The name is the secret, so it is not shown.
        raise UsageError("a key was given, not a file's name", "write the key into a file and name that")
    raise UsageError(f"cannot read the key file {path}: {reason}", "check its name and permissions")


def _warning(path: str | Path, mode: int) -> str:
    # Elsewhere the mode says nothing of who may read.
    if os.name == "posix" and stat.S_ISREG(mode) and mode & 0o066:
        return f"other users can read or change the key file {path}: chmod 600 {path}"
    return ""


def _decode(word: str) -> bytes | None:
    """32 bytes from one word, None if it is no key."""
    for form, decode in _DECODERS.items():
        if form.fullmatch(word):
            return decode(word)
    return None


def _from_base64(word: str) -> bytes | None:
    """Either alphabet. None where the last character holds bits that belong to no byte: a typing error."""
    plain = word.rstrip("=").replace("-", "+").replace("_", "/")
    key = base64.b64decode(plain + "=")
    return key if base64.b64encode(key).decode().rstrip("=") == plain else None


_DECODERS: dict[re.Pattern[str], Callable[[str], bytes | None]] = {
    _HEX_KEY: bytes.fromhex,
    _BASE64_KEY: _from_base64,
}
