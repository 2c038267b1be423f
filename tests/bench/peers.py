"""Other programs of the kind, in an environment of their own: neither mcast nor its tests need them."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

from tests.bench.options import say
from tests.lab import REPOSITORY

PACKAGES = {
    "lcm": "lcm",
    "zenoh": "eclipse-zenoh",
    "cyclonedds": "cyclonedds",
    "pyre": "zeromq-pyre",
    "zeroconf": "zeroconf",
}
"""The module of each peer, and the package that has it."""
ENVIRONMENT = REPOSITORY / ".venv-peers"


def install() -> tuple[dict[str, Path], dict[str, str]]:
    """The Python that can import each peer, and why it could not be installed for those that cannot be."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        say(f"making {ENVIRONMENT}")
        venv.create(ENVIRONMENT, with_pip=True)
    found: dict[str, Path] = {}
    refused: dict[str, str] = {}
    for module, package in PACKAGES.items():
        why = "" if _imports(python, module) == "" else _install(python, package) or _imports(python, module)
        if why:
            refused[module] = why
            say(f"{package} is left out: {why}")
        else:
            found[module] = python
    return found, refused


def versions(peers: dict[str, Path]) -> dict[str, str]:
    """What was installed."""
    code = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    return {
        PACKAGES[module]: subprocess.run(
            [str(python), "-c", code, PACKAGES[module]], capture_output=True, text=True, check=False
        ).stdout.strip()
        for module, python in peers.items()
    }


def _install(python: Path, package: str) -> str:
    say(f"installing {package}")
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    command = [str(python), "-m", "pip", "install", "--quiet", "--retries", "1", package]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return _last_line(done.stderr, "pip failed") if done.returncode else ""


def _imports(python: Path, module: str) -> str:
    """Empty, or why it cannot be imported."""
    command = [str(python), "-c", f"import {module}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return _last_line(done.stderr, "it cannot be imported") if done.returncode else ""


def _last_line(text: str, otherwise: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else f"{otherwise} (Python {sys.version_info.major}.{sys.version_info.minor})"
