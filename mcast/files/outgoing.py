"""The files that are sent: found, listed in a manifest, and read as one stream of bytes."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import threading
import weakref
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import msgspec

from mcast.errors import McastError, UsageError

from .manifest import DEPTH_MAX, ENTRIES_MAX, PATH_MAX, TIME_MAX, Entry, encode
from .names import NAME_MAX, Siblings, is_safe, shortened, wire_name

EDGE = 2048
"""Bytes of the beginning and the end of each of several files that are kept while they are sent: a block has
the end of one file and the beginning of the next, and must not be lost with the other. Larger blocks, which
need jumbo frames, may be."""
IN_MEMORY = 1 << 20
"""Bytes of them that are kept in memory; beyond that they are in a file."""
GIVE = "give files or directories"
OPEN_FILES = 16
"""Files that are open at the same time."""
_OPEN = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


class Skipped(msgspec.Struct, frozen=True):
    """A file that is not sent, and why not."""

    path: str
    reason: str


class FileChanged(McastError):
    """A file is not any more what it was when it was offered."""


class _File(msgspec.Struct, frozen=True):
    path: str
    entry: Entry
    stamp: tuple[int, ...]
    follow: bool


class Outgoing:
    """Files and directories as a manifest and one stream of bytes, their contents. Any thread may read it.

    entries: what the manifest lists. skipped: what was found and is not sent. size: bytes of the stream.
    changed: what is not any more what it was when it was read first, by its name, and why. Its bytes are read
    as zeros; those of the others go on. With nothing left, read() raises FileChanged. lost: the ranges of the
    stream that are zeros now.
    """

    def __init__(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        self.skipped: list[Skipped] = []
        self.changed: dict[str, str] = {}
        self.lost: list[tuple[int, int]] = []
        found = [*self._found(paths)]
        if not found:
            why = "; ".join(f"{one.path}: {one.reason}" for one in self.skipped[:3])
            raise UsageError(f"there is nothing to send ({why})" if why else "there is nothing to send", GIVE)
        self.entries: Sequence[Entry] = [one.entry for one in found]
        self.manifest = encode(self.entries)
        self._files = [one for one in found if one.entry.size]
        self._starts, self.size = [], 0
        for file in self._files:
            self._starts.append(self.size)
            self.size += file.entry.size
        self._open: OrderedDict[int, int] = OrderedDict()
        self._lock = threading.Lock()
        self._edges = Edges([file.entry.size for file in self._files])
        self._read_to = 0

    @property
    def title(self) -> str:
        """What is sent, in a few words: `a.iso`, `photos/`, `a.iso and 2 more`."""
        tops = {entry.path[0]: entry.directory or len(entry.path) > 1 for entry in self.entries}
        name, directory = next(iter(tops.items()))
        end = "/" if directory else ""
        end += f" and {len(tops) - 1} more" if len(tops) > 1 else ""
        return shortened(name, "", NAME_MAX - len(end)) + end

    @property
    def read_to(self) -> int:
        """How far the stream was read from its beginning, without a gap."""
        return self._read_to

    @property
    def files(self) -> int:
        """How many files are sent."""
        return sum(not entry.directory for entry in self.entries)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the stream; fewer at its end. They are read first from the beginning to the end: a file
        that changes until then cannot be offered."""
        parts, at, end = [], offset, min(offset + size, self.size)
        with self._lock:
            first = offset == self._read_to
            while at < end:
                number = bisect_right(self._starts, at) - 1
                file, start = self._files[number], self._starts[number]
                stop = min(end, start + file.entry.size)
                if first:
                    data = self._read(number, at - start, stop - at)
                    self._edges.keep(number, at - start, data)
                else:
                    data = self._read_again(number, at - start, stop - at)
                parts.append(data)
                at = stop
            self._read_to = max(self._read_to, end if first else 0)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def spoil(self, start: int, stop: int) -> None:
        """Some of these bytes are not what they were, though the times of their files do not tell.
        FileChanged if no file is left that has not changed."""
        numbers = range(max(0, bisect_right(self._starts, start) - 1), bisect_left(self._starts, stop))
        if not any(_name(self._files[number]) in self.changed for number in numbers):
            for number in numbers:
                self._give_up(number, _changed(self._files[number]))
        if len(self.changed) == len(self._files):
            raise _changed(self._files[numbers[0]])

    def _give_up(self, number: int, why: McastError) -> None:
        self.changed[_name(self._files[number])] = why.message
        start, whole = self._starts[number], self._files[number].entry.size
        if whole > 2 * EDGE:
            self.lost.append((start + EDGE, start + whole - EDGE))

    def close(self) -> None:
        """Close the files. What is read later opens them again."""
        with self._lock:
            self._edges.close()
            while self._open:
                os.close(self._open.popitem()[1])

    def _read_again(self, number: int, at: int, size: int) -> bytes:
        """Bytes of a file that was read before; what is kept of one that has changed, and zeros."""
        name = _name(self._files[number])
        if name not in self.changed:
            try:
                return self._read(number, at, size)
            except McastError as error:
                if len(self.changed) + 1 == len(self._files):
                    raise
                self._give_up(number, error)
        return self._edges.read(number, at, size)

    def _read(self, number: int, at: int, size: int) -> bytes:
        file = self._files[number]
        try:
            descriptor = self._descriptor(number)
            if _stamp(os.fstat(descriptor)) != file.stamp:
                raise _changed(file)
            data = _read_at(descriptor, at, size)
        except OSError as error:
            raise McastError(f"cannot read {_name(file)}: {error.strerror}", "send it again") from None
        if len(data) < size:
            raise _changed(file)
        return data

    def _descriptor(self, number: int) -> int:
        descriptor = self._open.get(number)
        if descriptor is None:
            while len(self._open) >= OPEN_FILES:
                os.close(self._open.popitem(last=False)[1])
            file = self._files[number]
            descriptor = self._open[number] = _opened(file.path, file.follow)
        self._open.move_to_end(number)
        return descriptor

    def _found(self, paths: Iterable[str | os.PathLike[str]]) -> Iterator[_File]:
        tops = Siblings()
        count = 0
        for one_path in paths:
            given = os.fspath(one_path)
            name = Path(given).name or Path(given).resolve().name
            if name in ("", ".", ".."):
                name = Path(given).resolve().name
            if not name:
                raise UsageError(f"{given} has no name", "give a directory in it")
            if not os.path.lexists(given):
                raise UsageError(f"there is no file {given or repr(given)}", "check the name")
            for one in self._walk(given, (tops.add(wire_name(name)),)):
                count += 1
                if count > ENTRIES_MAX:
                    raise UsageError(
                        f"{given} makes it more than {ENTRIES_MAX} files and directories",
                        "send fewer at once, or pack them with tar",
                    )
                yield one

    def _walk(self, given: str, path: tuple[str, ...]) -> Iterator[_File]:
        """The file `given`, or all below it if it is a directory. A link is followed only here."""
        waiting = [(given, path, True)]
        while waiting:
            local, path, follow = waiting.pop()
            try:
                one = _look(local, path, follow)
                if one.entry.directory:
                    names = sorted(os.listdir(local), reverse=True)
            except OSError as error:
                self._skip(local, error.strerror or str(error))
                continue
            except _Unfit as unfit:
                self._skip(local, str(unfit))
                continue
            yield one
            if one.entry.directory:
                for name in names:
                    wire = wire_name(name)
                    if wire != name and wire in names:
                        self._skip(os.path.join(local, name), f"{wire} is beside it")
                    else:
                        waiting.append((os.path.join(local, name), (*path, wire), False))

    def _skip(self, path: str, reason: str) -> None:
        self.skipped.append(Skipped(path, reason))


class Edges:
    """The beginnings and ends of several files, of these sizes: each has a place in a temporary file."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = sizes
        self._places = [0, *accumulate(min(size, 2 * EDGE) for size in sizes)]
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - see below
        self.close = weakref.finalize(self, self._file.close)  # forget them: zeros are left

    def keep(self, number: int, at: int, data: bytes) -> None:
        """Bytes of a file, of which those at its edges are kept."""
        for start, stop, place in self._parts(number, at, len(data)) if len(self._sizes) > 1 else ():
            self._file.seek(place)
            self._file.write(data[start:stop])

    def read(self, number: int, at: int, size: int) -> bytes:
        """Bytes of a file as they were; zeros where they are not kept."""
        data = bytearray(size)
        for start, stop, place in self._parts(number, at, size) if self.close.alive else ():
            self._file.seek(place)
            data[start:stop] = self._file.read(stop - start)
        return bytes(data)

    def _parts(self, number: int, at: int, size: int) -> Iterator[tuple[int, int, int]]:
        """What [at, at + size) of a file has of its edges: from, to, and the place of it."""
        whole = self._sizes[number]
        for low, high, slot in ((0, EDGE, 0), (max(EDGE, whole - EDGE), whole, EDGE)):
            start, stop = max(at, low), min(at + size, high, whole)
            if start < stop:
                yield start - at, stop - at, self._places[number] + slot + start - low


class _Unfit(Exception):
    """Why something cannot be sent."""


def _look(local: str, path: tuple[str, ...], follow: bool) -> _File:
    """What lies at `local`. It is opened, so that what cannot be read is known before anything is offered."""
    length = sum(len(part.encode()) + 1 for part in path)
    if not is_safe(path[-1]) or len(path) > DEPTH_MAX or length > PATH_MAX:
        raise _Unfit("its path is too long")
    status = os.stat(local, follow_symlinks=follow)
    if stat.S_ISDIR(status.st_mode):
        return _File(local, _entry(path, status), (), follow)
    if stat.S_ISLNK(status.st_mode):
        raise _Unfit("it is a link")
    if not stat.S_ISREG(status.st_mode):
        raise _Unfit("it is not a regular file")
    descriptor = _opened(local, follow)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):  # since then
            raise _Unfit("it is not a regular file")
    finally:
        os.close(descriptor)
    return _File(local, _entry(path, status), _stamp(status), follow)


def _opened(path: str, follow: bool) -> int:
    return os.open(path, _OPEN if follow else _OPEN | _NO_LINK)


def _entry(path: tuple[str, ...], status: os.stat_result) -> Entry:
    directory = stat.S_ISDIR(status.st_mode)
    modified = min(max(status.st_mtime_ns // 1_000_000, 0), TIME_MAX)
    return Entry(path, directory, 0 if directory else status.st_size, modified, status.st_mode & 0o777)


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _changed(file: _File) -> FileChanged:
    return FileChanged(f"{_name(file)} changed while it was sent", "send it again")


def _name(file: _File) -> str:
    """What others know it by: they are told why a transfer has ended, but not where our files are."""
    return "/".join(file.entry.path)


if sys.platform != "win32":

    def _read_at(descriptor: int, at: int, size: int) -> bytes:
        return os.pread(descriptor, size, at)

else:

    def _read_at(descriptor: int, at: int, size: int) -> bytes:
        os.lseek(descriptor, at, os.SEEK_SET)
        return os.read(descriptor, size)
