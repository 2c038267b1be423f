"""What the command line of scripts/bench asks for."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

APIS = ("batches", "messages", "blocking")
Changes = dict[str, Any]
"""Fields of mcast.settings.Settings that differ from the defaults."""


@dataclass
class Options:
    """See `scripts/bench --help`."""

    rounds: int = 3
    seconds: float = 2.0
    sizes: tuple[int, ...] = (64, 1024)
    receivers: tuple[int, ...] = (1, 4)
    offloads: tuple[bool, ...] = (True, False)
    apis: tuple[str, ...] = APIS
    settings: Changes = field(default_factory=dict)
    loss: tuple[float, ...] = (10.0, 30.0)
    hosts: tuple[int, ...] = (10, 50)
    count: int = 10_000
    endurance: int = 10_000_000
    quick: bool = False
    limit: bool = False
    peers: dict[str, Path] = field(default_factory=dict)
    """The Python that can import a peer, by the peer's name."""

    def python(self, contender: str) -> str:
        """The Python that runs a contender."""
        return str(self.peers.get(contender, sys.executable))


def say(text: str) -> None:
    """Progress, on standard error."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
