"""The manifest: the list of files and directories with which the bytes of every transfer begin.

A transfer is one stream of bytes: the manifest, then the contents of its files, one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from mcast.errors import UsageError

from .names import is_safe

ENTRIES_MAX = 50_000
"""Files and directories in one transfer. The attack is a list that takes a receiver's memory."""
MANIFEST_MAX = 8 * 1024 * 1024
"""Bytes of a manifest: 160 for each entry, if there are as many as may be."""
DEPTH_MAX = 64
PATH_MAX = 3000
"""Bytes of a path with its slashes. Linux takes 4095 for the whole path, that of the receiver included."""
SIZE_MAX = 1 << 53
"""Bytes of all files together: numbers of JSON readers are exact so far."""
TIME_MAX = 1 << 43
"""Milliseconds, in the year 2248: every file system and Python take that."""

_Part = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_Path = Annotated[tuple[_Part, ...], msgspec.Meta(min_length=1, max_length=DEPTH_MAX)]


class Entry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A file or a directory. `path` are its names from the top down, `modified` is in unix ms."""

    path: _Path
    directory: bool
    size: Annotated[int, msgspec.Meta(ge=0, le=SIZE_MAX)] = 0
    modified: Annotated[int, msgspec.Meta(ge=0, le=TIME_MAX)] = 0
    mode: Annotated[int, msgspec.Meta(ge=0, le=0o777)] = 0


class BadManifest(Exception):
    """A manifest that no honest sender makes; the text says why."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Annotated[list[Entry], msgspec.Meta(min_length=1, max_length=ENTRIES_MAX)])


def encode(entries: Sequence[Entry]) -> bytes:
    """The manifest of `entries`. UsageError if it would be too large."""
    data = _encoder.encode(entries)
    if len(data) > MANIFEST_MAX:
        raise UsageError("the names of the files are too long together", "send fewer, or pack them with tar")
    if sum(entry.size for entry in entries) > SIZE_MAX:
        raise UsageError("the files are too large for one transfer", "send less at once")
    return data


def decode(data: bytes, contents: int) -> list[Entry]:
    """The entries of a manifest whose files have so many bytes together. BadManifest for anything else.

    No path leads out of a directory, none is there twice, and only directories have others below them.
    """
    if len(data) > MANIFEST_MAX:
        raise BadManifest("it is too long")
    try:
        entries = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadManifest("it cannot be read") from None
    directories = {entry.path: entry.directory for entry in entries}
    if len(directories) < len(entries):
        raise BadManifest("a path is in it twice")
    for entry in entries:
        _check(entry)
        if any(not directories.get(entry.path[:depth], True) for depth in range(1, len(entry.path))):
            raise BadManifest("something lies below a file")
    if sum(entry.size for entry in entries) != contents:
        raise BadManifest("its sizes are wrong")
    return entries


def _check(entry: Entry) -> None:
    if not all(map(is_safe, entry.path)):
        raise BadManifest(f"the name {'/'.join(entry.path)[:PATH_MAX]!r} is not allowed")
    if sum(len(part.encode()) + 1 for part in entry.path) > PATH_MAX:
        raise BadManifest("a path is too long")
    if entry.directory and entry.size:
        raise BadManifest("a directory has a size")
