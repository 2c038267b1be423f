"""Whose records of which run were too old for us, so that they are not fetched there again and again."""

from __future__ import annotations

from .events import Address
from .peer_id import PeerId

REFUSALS = 1024  # first in, first out
REFUSED = 600.0  # seconds


class Refusals:
    """The highest record of a run that was too old, by who handed it out.

    The attack: a forged age under an honest giver's address. So it is believed of that giver alone, for a
    while, and no other is asked less.
    """

    def __init__(self) -> None:
        self._refused: dict[tuple[Address, PeerId], tuple[int, float]] = {}

    def add(self, giver: Address, run: PeerId, sequence: int, now: float) -> None:
        """What `giver` holds of `run` up to `sequence` is too old."""
        high = max(sequence, self.below(giver, run, now) - 1)
        self._refused.pop((giver, run), None)
        self._refused[giver, run] = high, now + REFUSED
        if len(self._refused) > REFUSALS:
            del self._refused[next(iter(self._refused))]

    def below(self, giver: Address, run: PeerId, now: float) -> int:
        """The first record of `run` that is worth asking `giver` for."""
        high, until = self._refused.get((giver, run), (0, now))
        return high + 1 if now < until else 1
