"""Profiles on disk: each keeps the seed of an identity and counts its incarnations.

The seed is in the user's configuration directory (secret, worth a backup), the last incarnation in the state
directory. Nothing is written before the first call of `seed` or `next_incarnation`.
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
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import platformdirs

from mcast.core.incarnation import following
from mcast.errors import McastError, UsageError
from mcast.files.lock import HELD, try_lock, unlock

from . import files

SEED_SIZE = 32
MAX_INCARNATION = 2**63 - 1
NAME_LIMIT = 64
"""Longest display name, in bytes of UTF-8."""

_LOCK_PATIENCE = 5.0
"""Seconds to wait for the lock. Others hold it for the time of one fsync."""
_PROFILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SEED_FORM = re.compile(rb"mcast-identity 1 ([0-9a-f]{64}) ([0-9a-f]{8})\n?")
_INCARNATION_FORM = re.compile(rb"\d{19}\n")
_SEVERAL = b"several"
_INVISIBLE = "\u115f\u3164"
"""Hangul fillers: str.isprintable() accepts them, but they show nothing."""


class Profile:
    """One identity of this user. `name` has letters, digits, - and _; upper and lower case are the same.

    With `directory`, both files are there instead of in the user's configuration and state directories.
    """

    def __init__(self, name: str = "default", directory: Path | None = None) -> None:
        if not _PROFILE_NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} is not a valid name of a profile", "use at most 64 letters, digits, - and _"
            )
        self.name = name.lower()
        self._seed_path = (directory or config_directory() / "profiles") / f"seed-{self.name}"
        state = directory or _state_directory() / "profiles"
        self._incarnation_path = state / f"incarnation-{self.name}"
        self._computer_path = state / f"computer-{self.name}"

    def seed(self) -> bytes:
        """The 32 secret bytes of the identity, created at random on first use.

        Processes that start at the same time agree on one seed. McastError if the file is damaged or cannot
        be read or written.
        """
        with _explained(self._seed_path):
            # A broken link is not missing: its disk may just not be mounted.
            if not os.path.lexists(self._seed_path):
                self._make_seed()
            return _parse_seed(self._seed_path)

    @property
    def file(self) -> Path:
        """Where the identity is kept."""
        return self._seed_path

    @property
    def exists(self) -> bool:
        """Whether the identity was made."""
        return os.path.lexists(self._seed_path)

    def adopt(self, seed: bytes) -> Path | None:
        """Keep `seed` from now on. Returns where the identity of before is now, None if there was none.

        McastError if it cannot be done.
        """
        with _explained(self._seed_path):
            _make_private_directory(self._seed_path.parent)
            with _locked(self._incarnation_path):
                aside = None
                if self.exists:
                    aside = self._seed_path.with_name(f"old-{time.strftime('%Y%m%d-%H%M%S')}-{self.name}")
                    os.replace(self._seed_path, aside)
                write_private(self._seed_path, seed_text(seed))
        return aside

    def next_incarnation(self, now_unix: float, entropy: int) -> int:
        """A new incarnation, higher than the last one and at most 2^63 - 1.

        No two processes get the same one, even if the clock goes back. McastError if it cannot be saved.
        """
        with _explained(self._incarnation_path), _locked(self._incarnation_path) as file:
            incarnation = following(_read_incarnation(file), now_unix, entropy)
            if incarnation > MAX_INCARNATION:
                raise McastError(
                    f"{self._incarnation_path} contains the highest incarnation", "remove that file"
                )
            _write_incarnation(file, incarnation)
            return incarnation

    def shared(self, computer: bytes) -> tuple[bool, bool]:
        """Whether another computer uses this profile too, as in a home directory on NFS; and if that is new.

        `computer` names this one; empty if it is unknown. The profile remembers the computer that used it
        first, and for ever that there was another one.
        """
        with _explained(self._computer_path):
            try:
                known, _ = files.read(self._computer_path, 64, pipes=False)
            except FileNotFoundError:
                known = b""
            now = known or computer if known in (b"", computer) or not computer else _SEVERAL
            if now != known:
                _make_private_directory(self._computer_path.parent)
                self._computer_path.write_bytes(now)
            return now == _SEVERAL, now == _SEVERAL != known

    def _make_seed(self) -> None:
        """Create and save a seed, unless another process did so first."""
        _make_private_directory(self._seed_path.parent)
        with _locked(self._incarnation_path):
            if not os.path.lexists(self._seed_path):
                write_private(self._seed_path, seed_text(os.urandom(SEED_SIZE)))

    def __repr__(self) -> str:
        return f"Profile({self.name!r})"


def config_directory() -> Path:
    """The directory of the user's configuration: `$XDG_CONFIG_HOME/mcast`, or the system's equivalent."""
    return _directory(platformdirs.user_config_path, "XDG_CONFIG_HOME")


def data_directory() -> Path:
    """The directory of what mcast keeps: `$XDG_DATA_HOME/mcast`, or the system's equivalent."""
    return _directory(platformdirs.user_data_path, "XDG_DATA_HOME")


def _state_directory() -> Path:
    return _directory(platformdirs.user_state_path, "XDG_STATE_HOME")


def _directory(locate: Callable[..., Path], variable: str) -> Path:
    """The directory. McastError for a user without a home directory."""
    # Without a home, platformdirs returns a relative path; from version 4.12 on it raises RuntimeError.
    with contextlib.suppress(RuntimeError):
        path = locate("mcast", appauthor=False)
        if path.is_absolute():
            return path
    raise McastError("this user has no home directory", f"set HOME or {variable}")


def machine_id(purpose: bytes) -> bytes:
    """8 bytes that name this computer, different for each purpose; empty if it has no machine-id(5)."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with contextlib.suppress(OSError):
            if text := Path(path).read_text().strip():
                return sha256(b"mcast2 machine" + purpose + text.encode()).digest()[:8]
    return b""


def default_name() -> str:
    """The default display name: the user's name, else the host's; printable, 1 to 64 bytes of UTF-8."""
    for source in (_user_name, socket.gethostname):
        if name := _displayable(source()):
            return name
    return "someone"


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        # No variable, no entry for this user id, or no pwd module.
        return ""


def _displayable(text: str) -> str:
    """`text` without characters that cannot be shown or encoded, at most 64 bytes of UTF-8."""
    words = unicodedata.normalize("NFC", text).split()
    shown = "".join(char for char in " ".join(words) if char.isprintable() and char not in _INVISIBLE)
    return shown.encode("utf-8", "ignore")[:NAME_LIMIT].decode("utf-8", "ignore").strip()


def _checksum(seed: bytes) -> bytes:
    return sha256(b"mcast identity" + seed).hexdigest()[:8].encode()


def seed_of(data: bytes) -> bytes | None:
    """The seed in the content of an identity's file; None if there is none, or if it is damaged."""
    match = _SEED_FORM.fullmatch(data)
    seed = bytes.fromhex(match[1].decode()) if match else b""
    return seed if match is not None and _checksum(seed) == match[2] else None


def seed_text(seed: bytes) -> bytes:
    """The content of an identity's file."""
    return b"mcast-identity 1 %s %s\n" % (seed.hex().encode(), _checksum(seed))


def _parse_seed(path: Path) -> bytes:
    data, mode = files.read(path, 200, pipes=False)
    seed = seed_of(data)
    if seed is None:
        raise McastError(
            f"the identity in {path} is damaged",
            "restore it from a backup, or move it away to start with a new identity",
        )
    if sys.platform != "win32" and mode & 0o077:
        with contextlib.suppress(OSError):
            path.chmod(0o600)
    return seed


def _read_incarnation(file: int) -> int:
    """The last incarnation; 0 if there is none or the file is damaged."""
    os.lseek(file, 0, os.SEEK_SET)
    text = os.read(file, 64)
    return int(text) if _INCARNATION_FORM.fullmatch(text) else 0


def _write_incarnation(file: int, incarnation: int) -> None:
    """Overwrite the old incarnation at the same width: this needs no disk space and is never half done."""
    text = b"%019d\n" % incarnation
    os.lseek(file, 0, os.SEEK_SET)
    if os.write(file, text) < len(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.ftruncate(file, len(text))
    os.fsync(file)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only this user can read, completely or not at all, even if the power fails."""
    temporary = path.with_name(f"{path.name}.new")
    # A killed process may have left it. The caller holds the lock.
    temporary.unlink(missing_ok=True)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | files.BINARY
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
    """Turn an OSError of the block into a McastError with a remedy."""
    try:
        yield
    except OSError as error:
        variable = "XDG_CONFIG_HOME" if path.name.startswith("seed-") else "XDG_STATE_HOME"
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        do = "free some disk space" if full else "make it readable and writable"
        raise McastError(
            f"cannot use the profile in {error.filename or path}: {error.strerror or error}",
            f"{do}, or set {variable} to another directory",
        ) from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The descriptor of the file at `path`, created if missing and locked for this thread only."""
    _make_private_directory(path.parent)
    with _explained(path):
        file = os.open(path, os.O_RDWR | os.O_CREAT | files.BINARY, 0o600)
    try:
        with _explained(path):
            files.require_regular(file)
        _lock(file, path)
        try:
            yield file
        finally:
            # Closing is not enough: a child forked meanwhile would keep the descriptor, and with it the lock.
            unlock(file)
    finally:
        os.close(file)


def _lock(file: int, path: Path) -> None:
    give_up = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            return try_lock(file)
        except HELD:
            if time.monotonic() > give_up:
                raise McastError(f"{path} is locked by another program", "end that program") from None
        time.sleep(0.005)
