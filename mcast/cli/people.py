"""How peers are called: name, the head of the identity, and a number where it runs several times."""

from __future__ import annotations

from mcast.core.peer_id import PeerId

from .render import escape

REMEMBERED = 4096
"""Runs with a number; the oldest go first, as a flooder may invent any number of them."""


class People:
    """Numbers the live runs of each identity, in the order they appeared: `ada·a3f2`, `ada·a3f2/2`."""

    def __init__(self) -> None:
        self._numbers: dict[PeerId, int] = {}
        self._taken: dict[bytes, set[int]] = {}

    def label(self, run: PeerId, name: str) -> str:
        """What to call `run`, escaped. Visitors, who never joined, have no number."""
        number = self._numbers.get(run, 1)
        suffix = f"/{number}" if number > 1 else ""
        return f"{escape(name)}·{run.origin.hex()[:4]}{suffix}"

    def left(self, run: PeerId) -> None:
        """`run` is gone; its number is free."""
        number = self._numbers.pop(run, None)
        if number is not None:
            taken = self._taken[run.origin]
            taken.discard(number)
            if not taken:
                del self._taken[run.origin]

    def joined(self, run: PeerId) -> None:
        """`run` is here; it gets the first number that is free."""
        if run in self._numbers:
            return
        if len(self._numbers) >= REMEMBERED:
            self.left(next(iter(self._numbers)))
        taken = self._taken.setdefault(run.origin, set())
        number = next(n for n in range(1, len(taken) + 2) if n not in taken)
        taken.add(number)
        self._numbers[run] = number
