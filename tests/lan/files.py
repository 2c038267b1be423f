"""What the tests of drop and get have in common."""

from __future__ import annotations

import random
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests import lab

MIB = 1 << 20


def contents(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def tree(path: Path) -> dict[str, str]:
    """The SHA-256 of each file below, "" for a directory."""
    return {
        str(one.relative_to(path)): "" if one.is_dir() else sha256(one.read_bytes()).hexdigest()
        for one in sorted(path.rglob("*"))
    }


def get(host: lab.Host, *options: str, name: str | None = None) -> lab.Process:
    """A get into the inbox of a host, once it waits."""
    inbox = str(host.home / "inbox")
    process = host.mcast("get", "--into", inbox, "--name", name or host.name, *options)
    process.wait_for("waiting for files in", stream="stderr")
    return process


def inbox(host: lab.Host) -> dict[str, str]:
    return tree(host.home / "inbox")


def last(process: lab.Process, kind: str) -> dict[str, Any]:
    """The last JSON line of a kind."""
    found: dict[str, Any] = [one for one in process.objects() if one["type"] == kind][-1]
    return found


def slow_drop(host: lab.Host, path: Path, *options: str, rate: str = "40mbit") -> tuple[lab.Process, bytes]:
    """A drop of 8 MiB that takes a while."""
    data = contents(8 * MIB, 3)
    path.write_bytes(data)
    host.rate(rate)
    return host.mcast("drop", str(path), "--json", *options), data


def wait_share(process: lab.Process, share: float) -> None:
    """Wait until so much is there."""

    def there() -> bool:
        found = [one for one in process.objects() if one["type"] == "progress"]
        return bool(found) and found[-1]["have"] > share * found[-1]["total"]

    lab.until(there)
