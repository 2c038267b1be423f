"""Which receiver lacks which of our records, as far as NACKs told: so repairs can be coded together.

A coded repair serves as many receivers as it has records, if each of them lacks one of these and has the
others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from mcast.wire.limits import CODED_MAX

from .peer_id import PeerId

V = TypeVar("V")

REACH = 512  # sequences from one record to its partners: what came long ago a receiver may no longer have
RECORDS = 4096  # remembered; a flood of NACKs that needs more has all forgotten, and repairs go plain
ASKERS = 16  # of one record; with more of them there is hardly one that can go along
CODED_TRIES = 3  # coded repairs of a record; then a plain one, for whoever can make nothing of these


class Askers:
    """Who asked for a record since it was last repaired, and how often it was coded.

    What is wrong here, by a forger or because somebody kept silent, costs repairs and misleads nobody.
    """

    def __init__(self) -> None:
        self._of: dict[int, set[PeerId]] = {}
        self._tries: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._of) + len(self._tries)

    def note(self, asker: PeerId, sequences: Iterable[int]) -> None:
        """`asker` lacks `sequences`, which are going to be repaired."""
        for sequence in sequences:
            askers = self._of.get(sequence)
            if askers is None:
                askers = _room(self._of)[sequence] = set()
            if len(askers) < ASKERS:
                askers.add(asker)

    def partners(self, sequence: int, waiting: Iterable[int]) -> list[int]:
        """Those of `waiting` that go well with `sequence`: nobody asked for two of them."""
        served = set(self._codable(sequence))
        if not served:
            return []
        near = [
            other
            for other in waiting
            if abs(other - sequence) <= REACH
            and served.isdisjoint(self._of.get(other, served))
            and self._codable(other)
        ]
        near.sort(key=lambda other: -len(self._of[other]))  # what most lack is the hardest to match
        chosen: list[int] = []
        for other in near:
            if len(chosen) == CODED_MAX - 1:
                break
            if served.isdisjoint(self._of[other]):
                served |= self._of[other]
                chosen.append(other)
        return chosen

    def _codable(self, sequence: int) -> set[PeerId]:
        """Who asked for a record that may be coded; nobody for one that may not."""
        askers = self._of.get(sequence, set())
        if len(askers) >= ASKERS or self._tries.get(sequence, 0) >= CODED_TRIES:
            return set()
        return askers

    def coded(self, sequences: Iterable[int]) -> None:
        """A coded repair of `sequences` leaves."""
        for sequence in sequences:
            self._of.pop(sequence, None)
            tries = self._tries.get(sequence, 0)
            _room(self._tries)[sequence] = tries + 1

    def plain(self, sequence: int) -> None:
        """A plain repair of `sequence` leaves."""
        self._of.pop(sequence, None)


def _room(table: dict[int, V]) -> dict[int, V]:
    """`table`, emptied if it is full."""
    if len(table) >= RECORDS:
        table.clear()
    return table
