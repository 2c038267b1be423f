"""The files that are received: written where they belong as their bytes come, and there once they are whole.

Until it is whole, all is kept in a directory `.mcast-….part` in the directory of the user:

    tree/      the files, with the names that they will have
    places     where they go, while they are moved there
    lock       locked by the program that receives them
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import sys
import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from mcast.errors import McastError, UsageError

from .lock import HELD, try_lock, unlock
from .manifest import BadManifest, Entry, decode
from .moving import case_matters, move, remove_tree
from .names import Siblings, is_safe, place

OPEN_FILES = 32
"""Files that are open at the same time."""
BLOCK = 512
"""Bytes of which st_blocks counts how many a file takes."""
_ZEROS = bytes(64 * 1024)
_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)

Local = tuple[str, ...]


def check_directory(into: Path) -> None:
    """UsageError if files cannot be kept in this directory, or if it is not there and cannot be created."""
    try:
        above = into.absolute().parents
    except OSError as error:
        problem = f"cannot keep files in {into}: the working directory is not there ({error.strerror})"
        raise UsageError(problem, "change into another directory, or give a full path") from None
    place = next((one for one in (into, *above) if os.path.lexists(one)), None)
    if place is None:
        root = above[-1] if above else into
        raise UsageError(f"cannot keep files in {into}: there is no {root}", "choose another directory")
    which = "it" if place == into else str(place)
    if not place.is_dir():
        raise UsageError(
            f"cannot keep files in {into}: {which} is not a directory", "choose another directory"
        )
    if not os.access(place, os.W_OK | os.X_OK):
        remedy = "change its permissions, or choose another directory"
        raise UsageError(f"cannot keep files in {into}: {which} is not writable", remedy)


class Incoming:
    """Writes the files of one transfer below the directory `into`, which is created if it does not exist.
    UsageError if that is not possible.

    overwrite: replace files of the same name instead of adding a number. executable: let files be executable
    that are so at the sender.

    entries: what the manifest lists. part: the directory of what is unfinished. places: where the files are,
    once finish() has moved them.

    Nothing is written before begin(). Offsets are those in the stream of all contents. Any thread may call
    any method. All raise a McastError if files cannot be read or written, with the reason. Others in the room
    are told it: it names no directory of this computer.
    """

    def __init__(
        self, into: str | os.PathLike[str], *, overwrite: bool = False, executable: bool = False
    ) -> None:
        self.into = Path(into)
        check_directory(self.into)
        self.entries: Sequence[Entry] = ()
        self.part = self.into
        self.places: tuple[Path, ...] = ()
        self._overwrite, self._executable = overwrite, executable
        self._tree = self.into
        self._local: dict[Local, Local] = {}
        self._targets: dict[str, Path] = {}
        self._files: list[Entry] = []
        self._starts: list[int] = []
        self._made: set[Path] = set()
        self._open: OrderedDict[Path, int] = OrderedDict()
        self._locked: int | None = None
        self._lock = threading.RLock()

    def begin(self, manifest: bytes, size: int, root: bytes) -> list[tuple[int, int]]:
        """Take the manifest of contents of `size` bytes. The first bytes of `root` name what is unfinished.

        Returns ranges that an earlier program may have written before it was interrupted. Each byte of them
        must be verified.
        """
        with self._lock, self._explained():
            try:
                entries = decode(manifest, size)
            except BadManifest as error:
                what = f"the sender's list of files is not valid ({error})"
                raise McastError(what, "do not take it") from None
            self.part = self.into / f".mcast-{root[:8].hex()}.part"
            self._tree = self.part / "tree"
            os.makedirs(self.into, exist_ok=True)
            self._make_part()
            self._take_lock(self.part / "lock")
            try:
                self._use(entries)
                self._load_targets()
                here, taken = self._found()
                self._require_space(size - taken)
            except BaseException:
                self._release()
                raise
            return here

    def write(self, offset: int, data: bytes) -> None:
        """Keep verified bytes."""
        with self._lock, self._explained():
            done = 0
            while done < len(data):
                entry, start = self._file_at(offset + done)
                piece = data[done : start + entry.size - offset]
                _write_at(self._descriptor(entry), offset + done - start, piece)
                done += len(piece)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes that were written, here or by an earlier program. Somebody may have changed them since."""
        with self._lock, self._explained():
            parts, at, end = [], offset, offset + size
            while at < end:
                entry, start = self._file_at(at)
                stop = min(end, start + entry.size)
                parts.append(_read_at(self._descriptor(entry), at - start, stop - at))
                at = stop
            return b"".join(parts)

    def finish(self) -> None:
        """Move the files to where the user wants them, and remove the rest.

        Call it once all bytes are written; after an error it may be called again.
        """
        with self._lock, self._explained():
            if not self._targets:
                self._complete_tree()
                self._choose_targets()
            self._close_files()
            for top, target in self._targets.items():
                if os.path.lexists(self._tree / top):
                    moved = move(self._tree / top, target, overwrite=self._overwrite)
                    if moved != target:
                        self._targets[top] = moved
                        self._save_targets()
            self.places = tuple(self._targets.values())
            self._release()
            remove_tree(self.part)

    def finish_without(self, missing: Sequence[tuple[int, int]]) -> str:
        """These ranges of the stream will not come, because files have changed at the sender. Move the others
        to where the user wants them; with nothing else, all stays. Returns which have changed, in words."""
        with self._lock, self._explained():
            lost = {entry.path for entry in self._lacking(missing)}
            kept = [entry for entry in self.entries if entry.path not in lost]
            if any(not entry.directory for entry in kept):
                self._close_files()
                for entry in self._files:
                    if entry.path in lost:
                        remove_tree(self._path(entry))
                self.entries = kept
                self.finish()
            first = min("/".join(path) for path in lost)
            if len(lost) == 1:
                return f"{first} changed while it was sent"
            return f"{first} and {len(lost) - 1:,} more changed while they were sent"

    def _lacking(self, missing: Sequence[tuple[int, int]]) -> Iterator[Entry]:
        for start, stop in missing:
            first, last = bisect_right(self._starts, start) - 1, bisect_left(self._starts, stop)
            yield from self._files[first:last]

    def abort(self) -> None:
        """Close the files. What is unfinished stays, and a later program goes on with it."""
        self.close()

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            self._close_files()
            self._release()

    # The beginning

    def _make_part(self) -> None:
        """Make the directory of what is unfinished, or take that of an earlier program.

        The attack: in a directory such as /tmp, to make it first, and to lead what is written elsewhere.
        """
        try:
            os.mkdir(self.part, 0o700)
        except FileExistsError:
            status = os.lstat(self.part)
            if not stat.S_ISDIR(status.st_mode):
                raise McastError(f"{self.part.name} is not a directory", "remove it") from None
            if sys.platform != "win32" and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
                what = f"{self.part.name} was made by somebody else, or others can write into it"
                raise McastError(what, "remove it, or choose another directory") from None
            if os.path.lexists(self._tree) and not stat.S_ISDIR(os.lstat(self._tree).st_mode):
                raise McastError(f"{self.part.name}/tree is not a directory", "remove it") from None

    def _take_lock(self, path: Path) -> None:
        file = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600)
        try:
            try_lock(file)
        except HELD:
            os.close(file)
            what = "another program receives this into the same directory"
            raise McastError(what, "wait for it, or choose another directory") from None
        except BaseException:
            os.close(file)
            raise
        self._locked = file

    def _release(self) -> None:
        if self._locked is not None:
            unlock(self._locked)
            os.close(self._locked)
            self._locked = None

    def _use(self, entries: list[Entry]) -> None:
        self.entries = entries
        self._local = place((entry.path for entry in entries), case=case_matters(self.part))
        self._files = [entry for entry in entries if entry.size]
        at = 0
        for entry in self._files:
            self._starts.append(at)
            at += entry.size

    def _load_targets(self) -> None:
        """Where an earlier program was moving the files to, if it came so far."""
        try:
            saved = msgspec.json.decode(self._places_file.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return
        except msgspec.MsgspecError:
            saved = {}
        if all(map(is_safe, [*saved, *saved.values()])):
            self._targets = {top: self.into / name for top, name in saved.items()}
        if not all(map(self._is_as_moved, self.entries)):
            # The user has removed or changed something since: it is the user's now.
            self._targets.clear()
            self._places_file.unlink()

    def _is_as_moved(self, entry: Entry) -> bool:
        """Whether the file or directory is here, and a file that was moved is what it was then."""
        path = self._path(entry)
        try:
            status = os.lstat(path)
        except OSError:
            return False
        if entry.directory or path.is_relative_to(self._tree):
            return True
        as_it_was = status.st_size == entry.size and status.st_mtime_ns == entry.modified * 1_000_000
        return stat.S_ISREG(status.st_mode) and as_it_was

    def _found(self) -> tuple[list[tuple[int, int]], int]:
        """The ranges of files that are here in full size, and how many bytes of the disk they take."""
        here, taken = [], 0
        for entry, start in zip(self._files, self._starts, strict=True):
            path = self._path(entry)
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(status.st_mode) and status.st_size == entry.size:
                self._made.add(path)
                here.append((start, start + entry.size))
                taken += min(entry.size, getattr(status, "st_blocks", 0) * BLOCK)
        return here, taken

    def _require_space(self, missing: int) -> None:
        free = shutil.disk_usage(self.into).free
        if missing > free:
            what = f"the disk has {free / 1e6:,.1f} MB free, but {missing / 1e6:,.1f} MB are needed"
            raise McastError(what, "free some disk space, or choose another directory")

    # The files

    def _file_at(self, at: int) -> tuple[Entry, int]:
        """The file in which that byte of the stream lies, and where it begins."""
        number = bisect_right(self._starts, at) - 1
        return self._files[number], self._starts[number]

    def _path(self, entry: Entry) -> Path:
        top, *below = self._local[entry.path]
        if top in self._targets and not os.path.lexists(self._tree / top):
            return self._targets[top].joinpath(*below)
        return self._tree.joinpath(top, *below)

    def _descriptor(self, entry: Entry) -> int:
        path = self._path(entry)
        if path not in self._open:
            if path not in self._made and not self._targets:
                self._make(entry, path)
            while len(self._open) >= OPEN_FILES:
                os.close(self._open.popitem(last=False)[1])
            self._open[path] = os.open(path, _FLAGS | (os.O_RDONLY if self.places else os.O_RDWR))
        self._open.move_to_end(path)
        return self._open[path]

    def _make(self, entry: Entry, path: Path) -> None:
        """Create a file in its full size, with the user's umask. Nobody else can open the directory above."""
        rights = entry.mode & (0o777 if self._executable else 0o666) | 0o600
        os.makedirs(path.parent, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, rights)
        try:
            os.ftruncate(file, 0)
            os.ftruncate(file, entry.size)
        finally:
            os.close(file)
        self._made.add(path)

    def _close_files(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    # The end

    @property
    def _places_file(self) -> Path:
        return self.part / "places"

    def _complete_tree(self) -> None:
        """Make what has no contents, and give all files their times."""
        for entry in self.entries:
            path = self._path(entry)
            if entry.directory:
                os.makedirs(path, exist_ok=True)
                continue
            if path not in self._made:
                self._make(entry, path)
            os.utime(path, ns=(entry.modified * 1_000_000,) * 2)

    def _choose_targets(self) -> None:
        names = Siblings(os.listdir(self.into), case=case_matters(self._tree))
        for top in dict.fromkeys(self._local[entry.path][0] for entry in self.entries):
            self._targets[top] = self.into / (top if self._overwrite else names.add(top))
        self._save_targets()

    def _save_targets(self) -> None:
        new = self._places_file.with_suffix(".new")
        new.write_bytes(msgspec.json.encode({top: target.name for top, target in self._targets.items()}))
        os.replace(new, self._places_file)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            do = "free some disk space" if full else "check the directory, or choose another one"
            what = f"cannot keep the files: {error.strerror or type(error).__name__}"
            raise McastError(what, do) from error


def _write_at(file: int, at: int, data: bytes) -> None:
    """Write data. Zeros that are there already are not written, so that a sparse file stays one."""
    for start in range(0, len(data), len(_ZEROS)):
        piece, place = data[start : start + len(_ZEROS)], at + start
        if not piece[0] and piece == _ZEROS[: len(piece)] and piece == _pread(file, len(piece), place):
            continue
        view = memoryview(piece)
        while view:
            written = _pwrite(file, view, place)
            view, place = view[written:], place + written


def _read_at(file: int, at: int, size: int) -> bytes:
    data = _pread(file, size, at)
    if len(data) < size:
        raise OSError(errno.EIO, "a file was changed by another program")
    return data


if sys.platform != "win32":
    _pwrite, _pread = os.pwrite, os.pread
else:

    def _pwrite(file: int, data: memoryview, at: int) -> int:
        os.lseek(file, at, os.SEEK_SET)
        return os.write(file, data)

    def _pread(file: int, size: int, at: int) -> bytes:
        os.lseek(file, at, os.SEEK_SET)
        return os.read(file, size)
