"""Locks on files, of one thread of one process, which end with it."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import msvcrt

    # Locks are mandatory on Windows, so lock a byte that nobody reads.
    _LOCKED_BYTE = 1 << 30

    def try_lock(file: int) -> None:
        """Lock the open `file`. Raises one of HELD if somebody else has locked it."""
        os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

    def unlock(file: int) -> None:
        """Unlock it. Closing it is not enough if a child was forked meanwhile."""
        os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

    HELD: tuple[type[OSError], ...] = (PermissionError,)
else:
    import fcntl

    # flock(2), not lockf(3), because it also excludes other threads of this process.
    def try_lock(file: int) -> None:
        """Lock the open `file`. Raises one of HELD if somebody else has locked it."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(file: int) -> None:
        """Unlock it. Closing it is not enough if a child was forked meanwhile."""
        fcntl.flock(file, fcntl.LOCK_UN)

    HELD = (BlockingIOError,)
