"""The machine that was measured on, and how."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.lab import REPOSITORY

PACKAGES = ("mcast-lan", "msgspec", "cryptography", "PyNaCl", "typer", "prompt_toolkit", "psutil", "zeroconf")
COUNTED = (
    "Ethernet bytes (headers included) at the hosts' cables, from /proc/net/dev, with offloads off so that "
    "every datagram counts by itself; rates are messages the program was handed, by the time from the first "
    "send to the last delivery, mean of the receivers"
)


def describe() -> dict[str, Any]:
    """What must be known to compare these figures with others."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
        "kernel": f"{platform.system()} {platform.release()}",
        "rmem_max": int(Path("/proc/sys/net/core/rmem_max").read_text()),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "counted": COUNTED,
    }


def text(machine: dict[str, Any]) -> str:
    """The same for people."""
    packages = ", ".join(f"{name} {found}" for name, found in machine["packages"].items())
    refused = [f"\nLeft out: {name}: {why}" for name, why in machine.get("not_installed", {}).items()]
    return (
        f"{machine['time']}, commit {machine['commit']}\n"
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load']}, {machine['memory_mib']} MiB, "
        f"{machine['kernel']}, net.core.rmem_max {machine['rmem_max']}\n"
        f"Python {machine['python']}; {packages}\n"
        f"Counted: {machine['counted']}." + "".join(refused)
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
