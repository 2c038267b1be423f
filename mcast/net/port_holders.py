"""Which programs hold a UDP port of this computer (Linux, proc(5)); nobody elsewhere."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
NAMED_MAX = 3
"""Programs that are named."""


def holders(port: int) -> tuple[str, ...]:
    """What holds `port`: `python3 (process 123)`, or `a program of root` if we may not look closer."""
    sockets = dict(_sockets(port))
    names = {_owner(inode, uid): None for inode, uid in sockets.items()}
    return tuple(names)[:NAMED_MAX]


def _sockets(port: int) -> Iterator[tuple[str, int]]:
    """The inode and the owner's number of each UDP socket that is bound to `port`."""
    for table in ("udp", "udp6"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            rows = (_PROC / "net" / table).read_text(encoding="ascii").splitlines()[1:]
            for row in map(str.split, rows):
                if int(row[1].rpartition(":")[2], 16) == port:
                    yield row[9], int(row[7])


def _owner(inode: str, uid: int) -> str:
    for process in _PROC.iterdir():
        with contextlib.suppress(OSError):  # it is not ours, or has ended
            if process.name.isdigit() and _has(process, f"socket:[{inode}]"):
                name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
                return f"{name} (process {process.name})"
    return f"a program of {_user(uid)}"


def _has(process: Path, target: str) -> bool:
    return any(os.readlink(descriptor) == target for descriptor in (process / "fd").iterdir())


def _user(uid: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return f"user {uid}"
