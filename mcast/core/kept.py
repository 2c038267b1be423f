"""Records that are kept, and which of them is oldest."""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from .peer_id import PeerId
from .timers import Timers

Name = tuple[PeerId, int]  # of a record: its run and sequence


class Kept(msgspec.Struct, frozen=True, gc=False):
    """The payload of a RECORD frame, verbatim, and when it was published: on arrival, or as we were told."""

    payload: bytes
    at: float


class Shelf:
    """Records by name. Those that came `new` are in the order of time; the `old`, of which we were told when
    they were published, are sorted in."""

    __slots__ = ("_order", "new", "old")

    def __init__(self) -> None:
        # Ordered: the oldest of a dict is found by a walk over all that were taken out before.
        self.new: OrderedDict[Name, Kept] = OrderedDict()
        self.old: dict[Name, Kept] = {}
        self._order: Timers[Name] = Timers()

    def __len__(self) -> int:
        return len(self.new) + len(self.old)

    def get(self, name: Name) -> Kept | None:
        """The record of that name."""
        return self.new.get(name) or self.old.get(name)

    def add_old(self, name: Name, kept: Kept) -> None:
        """One more of which we were told how old it is."""
        self.old[name] = kept
        self._order.set(name, kept.at)

    def pop(self, name: Name) -> Kept:
        """Take one out."""
        kept = self.new.pop(name, None)
        if kept is None:
            self._order.cancel(name)
            kept = self.old.pop(name)
        return kept

    def oldest(self) -> Name:
        """The oldest; at least one is old."""
        old = self._order.first()
        new = next(iter(self.new), None)
        return old if new is None or self.old[old].at < self.new[new].at else new

    def older(self, before: float) -> tuple[list[Name], list[Name]]:
        """Those that came new, and those that did not, published before that time."""
        new = []
        for name, kept in self.new.items():
            if kept.at >= before:
                break
            new.append(name)
        return new, self._order.due(before)
