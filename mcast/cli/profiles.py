"""Who I am, on disk: a profile keeps the seed of an identity and counts its incarnations.

The seed lies in the user's configuration directory (secret, worth a backup), the last incarnation in the
state directory. Nothing is written before the first call of `seed` or `next_incarnation`.
"""

from __future__ import annotations

import contextlib
import errno
import getpass
import os
import re
import socket
import sys
import time
import unicodedata
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import platformdirs

from mcast.core.peer_id import following
from mcast.errors import McastError, UsageError

SEED_SIZE = 32
MAX_INCARNATION = 2**63 - 1
NAME_LIMIT = 64
"""Bytes of UTF-8 that a display name may have."""

_LOCK_PATIENCE = 5.0
"""Seconds. A run holds the lock for one fsync."""
_BINARY = getattr(os, "O_BINARY", 0)
"""On Windows a descriptor is in text mode otherwise."""
_PROFILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SEED_FORM = re.compile(rb"mcast-identity 1 ([0-9a-f]{64}) ([0-9a-f]{8})\n?")
_INCARNATION_FORM = re.compile(rb"\d{19}\n")
_INVISIBLE = "\u115f\u3164"
"""Hangul fillers: printable by Unicode's word, yet blank."""


class Profile:
    """One identity of this user: `name` is letters, digits, - and _, its case does not matter.

    With `directory` both files lie there, instead of in the directories that the system's customs name.
    """

    def __init__(self, name: str = "default", directory: Path | None = None) -> None:
        if not _PROFILE_NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot name a profile", "use at most 64 letters, digits, - and _")
        self.name = name.lower()
        self._seed_path = (directory or config_directory() / "profiles") / f"seed-{self.name}"
        self._incarnation_path = (directory or _state_directory() / "profiles") / f"incarnation-{self.name}"

    @classmethod
    def temporary(cls) -> Profile:
        """An identity for this process only, that no file keeps: for when a file cannot be kept."""
        return _Temporary()

    def seed(self) -> bytes:
        """The 32 secret bytes the identity is made from, drawn at random and kept on first use.

        Runs that start at once agree on one seed. McastError when the file is damaged, or cannot be read
        or written: the caller may choose to go on with `temporary`.
        """
        with _explained(self._seed_path):
            if _is_missing(self._seed_path):
                self._make_seed()
            return _parse_seed(self._seed_path)

    def next_incarnation(self, now_unix: float, entropy: int) -> int:
        """The incarnation of a new run: that after the last one, at most 2^63 - 1.

        No two runs of a profile get the same, whatever the clock says. McastError when it cannot be kept.
        """
        with _explained(self._incarnation_path), _locked(self._incarnation_path) as file:
            incarnation = following(_read_incarnation(file), now_unix, entropy)
            if incarnation > MAX_INCARNATION:
                raise McastError(
                    f"{self._incarnation_path} holds the last incarnation there is", "remove that file"
                )
            _write_incarnation(file, incarnation)
            return incarnation

    def _make_seed(self) -> None:
        """Make and keep a seed, unless another run did so first."""
        _make_private_directory(self._seed_path.parent)
        with _locked(self._incarnation_path):
            if _is_missing(self._seed_path):
                _write_private(self._seed_path, _seed_text(os.urandom(SEED_SIZE)))

    def __repr__(self) -> str:
        return f"Profile({self.name!r})"


class _Temporary(Profile):
    """A profile in memory."""

    def __init__(self) -> None:
        self.name = "temporary"
        self._seed = os.urandom(SEED_SIZE)
        self._last = 0

    def seed(self) -> bytes:
        return self._seed

    def next_incarnation(self, now_unix: float, entropy: int) -> int:
        self._last = following(self._last, now_unix, entropy)
        return self._last


def config_directory() -> Path:
    """Where the user's configuration of mcast lies: `$XDG_CONFIG_HOME/mcast`, or what the system has."""
    return _absolute(platformdirs.user_config_path("mcast", appauthor=False), "XDG_CONFIG_HOME")


def _state_directory() -> Path:
    return _absolute(platformdirs.user_state_path("mcast", appauthor=False), "XDG_STATE_HOME")


def _absolute(path: Path, variable: str) -> Path:
    """`path`; McastError if it is relative, which is what a user without a home directory gets."""
    if not path.is_absolute():
        raise McastError(f"there is no home directory to keep {path.name} in", f"set HOME or {variable}")
    return path


def default_name() -> str:
    """The display name to start with: the user's name, else the host's; printable, 1 to 64 bytes of UTF-8."""
    for source in (_user_name, socket.gethostname):
        if name := _displayable(source()):
            return name
    return "someone"


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        # No such variable, no entry for this user id, no pwd module.
        return ""


def _displayable(text: str) -> str:
    """`text` without what cannot be shown or encoded, at most 64 bytes of UTF-8."""
    words = unicodedata.normalize("NFC", text).split()
    shown = "".join(char for char in " ".join(words) if char.isprintable() and char not in _INVISIBLE)
    return shown.encode("utf-8", "ignore")[:NAME_LIMIT].decode("utf-8", "ignore").strip()


def _seed_text(seed: bytes) -> bytes:
    return b"mcast-identity 1 %s %s\n" % (seed.hex().encode(), _checksum(seed))


def _checksum(seed: bytes) -> bytes:
    return sha256(b"mcast identity" + seed).hexdigest()[:8].encode()


def _parse_seed(path: Path) -> bytes:
    with path.open("rb") as file:
        match = _SEED_FORM.fullmatch(file.read(200))
        seed = bytes.fromhex(match[1].decode()) if match else b""
        if match is None or _checksum(seed) != match[2]:
            raise McastError(
                f"the identity in {path} is damaged",
                "restore it from a backup; without one move it away, and you are somebody new to others",
            )
        if sys.platform != "win32" and os.fstat(file.fileno()).st_mode & 0o077:
            with contextlib.suppress(OSError):
                os.fchmod(file.fileno(), 0o600)
        return seed


def _read_incarnation(file: int) -> int:
    """The last incarnation, 0 if there is none or it is damaged."""
    os.lseek(file, 0, os.SEEK_SET)
    text = os.read(file, 64)
    return int(text) if _INCARNATION_FORM.fullmatch(text) else 0


def _write_incarnation(file: int, incarnation: int) -> None:
    """Written over the old one, at the same width: that needs no room and is never half new."""
    text = b"%019d\n" % incarnation
    os.lseek(file, 0, os.SEEK_SET)
    if os.write(file, text) < len(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.ftruncate(file, len(text))
    os.fsync(file)


def _is_missing(path: Path) -> bool:
    """Whether nothing has that name. A link to nowhere is something: a disk that is not mounted, say."""
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    return False


def _write_private(path: Path, data: bytes) -> None:
    """Write a file that only this user can read: all of it or nothing, whenever the power fails."""
    temporary = path.with_name(f"{path.name}.new")
    # Left by a run that was killed; the caller holds the lock.
    temporary.unlink(missing_ok=True)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY
        with open(os.open(temporary, flags, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _make_private_directory(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns an OSError of the block into a McastError with its remedy."""
    try:
        yield
    except OSError as error:
        variable = "XDG_STATE_HOME" if path.name.startswith("incarnation-") else "XDG_CONFIG_HOME"
        do = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "make it readable and writable"
        raise McastError(
            f"cannot keep the profile in {error.filename or path}: {error.strerror or error}",
            f"{do}, or name another directory with {variable}, or use a temporary identity",
        ) from error


if sys.platform == "win32":
    import msvcrt

    # Locks are mandatory there: lock a byte that nobody reads.
    _LOCKED_BYTE = 1 << 30

    def _try_lock(file: int) -> None:
        os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

    def _unlock(file: int) -> None:
        os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

    _HELD: tuple[type[OSError], ...] = (PermissionError,)
else:
    import fcntl

    # flock(2), not lockf(3): it excludes the threads of one process too.
    def _try_lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)

    _HELD = (BlockingIOError,)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The descriptor of the file at `path`, made if need be, that no other run or thread has meanwhile."""
    _make_private_directory(path.parent)
    with _explained(path):
        file = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o600)
    try:
        _lock(file, path)
        try:
            yield file
        finally:
            # Closing would not do: a child forked meanwhile holds the descriptor, and with it the lock.
            _unlock(file)
    finally:
        os.close(file)


def _lock(file: int, path: Path) -> None:
    give_up = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            return _try_lock(file)
        except _HELD:
            if time.monotonic() > give_up:
                raise McastError(f"{path} stays locked", "end the program that holds it") from None
        time.sleep(0.005)
