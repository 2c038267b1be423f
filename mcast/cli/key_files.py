"""Room keys as text, in a file or an environment variable. No error message and no repr shows a key.

# the key: 64 hex digits, or 43 or 44 characters of base64; then, optionally, the room id
3f9c…64 hex digits…   a1b2…32 hex digits…
"""

from __future__ import annotations

import base64
import os
import re
import stat
from pathlib import Path
from typing import Any

import msgspec

from mcast.errors import UsageError

from . import files

KEY_SIZE = 32
ROOM_ID_SIZE = 16

_SIZE_LIMIT = 4096
_FORMS = "64 hex digits or 43 characters of base64"
_HEX_KEY = re.compile(r"[0-9a-fA-F]{64}")
_BASE64_KEY = re.compile(r"[A-Za-z0-9+/_-]{43}=?")
_ROOM_ID = re.compile(r"[0-9a-fA-F]{32}")


class KeyMaterial(msgspec.Struct, frozen=True):
    """The `key` of a room (32 bytes) and, if it is given after the key, the `room_id` (16 bytes)."""

    key: bytes
    room_id: bytes | None = None

    def __repr__(self) -> str:
        return f"KeyMaterial(room_id={self.room_id!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("room_id", self.room_id)]


def parse_key(text: str, where: str) -> KeyMaterial:
    """The key in `text`, without comments after #. `where` tells in errors where the text is from.

    UsageError if it is not a key, or if the key is all zero.
    """
    # Some editors on Windows start a file with a byte order mark.
    lines = text.removeprefix("\ufeff").splitlines()
    fields = [word for line in lines for word in line.partition("#")[0].split()]
    if not fields:
        raise UsageError(f"{where} does not contain a key", f"a key is {_FORMS}")
    if len(fields) > 2:
        raise UsageError(f"{where} contains {len(fields)} words instead of a key", f"a key is {_FORMS}")
    key = _decode(fields[0])
    if key is None:
        size = f"{len(fields[0])} character{'s' if len(fields[0]) > 1 else ''}"
        raise UsageError(f"{where} does not contain a valid key ({size} found)", f"a key is {_FORMS}")
    if not any(key):
        raise UsageError(f"the key in {where} is all zero", "make a random one: openssl rand -hex 32")
    room = fields[1] if len(fields) == 2 else None
    if room is not None and not _ROOM_ID.fullmatch(room):
        raise UsageError(
            f"{where} does not contain a valid room id after the key", "a room id is 32 hex digits"
        )
    return KeyMaterial(key, bytes.fromhex(room) if room is not None else None)


def read_key_file(path: str | Path) -> tuple[KeyMaterial, str]:
    """The key in a file or pipe, and a warning to show; "" if no other user can read the file.

    UsageError if it cannot be read or does not contain a key.
    """
    data, mode = _read(path)
    if len(data) > _SIZE_LIMIT:
        raise UsageError(f"{path} is too large to be a key", f"a key is {_FORMS}")
    key, warning = parse_key(data.decode("utf-8", "replace"), str(path)), ""
    # On other systems the mode does not tell who can read the file.
    if os.name == "posix" and stat.S_ISREG(mode) and mode & 0o066:
        warning = f"other users can read or change the key file {path}: chmod 600 {path}"
    return key, warning


def _read(path: str | Path) -> tuple[bytes, int]:
    """The content of the file, up to one byte more than a key file may have, and its mode."""
    try:
        return files.read(path, _SIZE_LIMIT + 1)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
    except ValueError:
        reason = "a file cannot have such a name"
    if any(_decode(word) is not None for word in str(path).split()):
        # The name is the secret: do not show it.
        raise UsageError("a key was given instead of a file name", "save the key in a file and give its name")
    raise UsageError(
        f"cannot read the key file {str(path) or repr('')} ({reason})", "check its name and permissions"
    )


def _decode(word: str) -> bytes | None:
    """32 bytes from one word; None if it is not a key."""
    if _HEX_KEY.fullmatch(word):
        return bytes.fromhex(word)
    if not _BASE64_KEY.fullmatch(word):
        return None
    plain = word.rstrip("=").replace("-", "+").replace("_", "/")
    key = base64.b64decode(plain + "=")
    # The last character has two bits that belong to no byte: if they are set, it is a typing error.
    return key if base64.b64encode(key).decode().rstrip("=") == plain else None
