"""The randomness that is handed in: `random.Random` fits, and so does a recorded one."""

from __future__ import annotations

from typing import Protocol


class Generator(Protocol):
    """A source of randomness for timers; never for keys."""

    def random(self) -> float:
        """Uniform in [0, 1)."""
        ...

    def getrandbits(self, bits: int, /) -> int:
        """Uniform in [0, 2**bits)."""
        ...
