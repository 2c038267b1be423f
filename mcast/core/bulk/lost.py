"""What a source has no more: the blocks of files that have changed.

Their nodes are sent all the same: what came of these blocks can only be told from garbage with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from mcast.wire.bulk import FAN, Entry

from .layout import Layout
from .wants import Wants

ENTRIES = 4096
"""Entries of a report that are looked at, once what is lost is taken out of them. The attack: to ask for all,
again and again in one report, when files by the thousand have changed."""

Missing = tuple[tuple[int, tuple[Entry, ...]], ...]


class Lost:
    """The blocks of a transfer that are lost, `count` of them."""

    def __init__(self, layout: Layout) -> None:
        self.count = 0
        self._layout = layout
        self._blocks: Wants | None = None

    def add(self, start: int, stop: int) -> None:
        """The blocks [start, stop) are lost."""
        if self._blocks is None:
            self._blocks = Wants(self._layout, 0)
        self.count += _add(self._blocks, start, stop, self._layout.blocks)

    def mask(self, group: int) -> int:
        """The mask of the blocks of a group that are lost."""
        return 0 if self._blocks is None else self._blocks.get(group)

    def without(self, missing: Missing) -> Missing:
        """What a receiver lacks, without what is lost."""
        if self._blocks is None:
            return missing
        left = []
        for level, entries in missing:
            if level == 0:
                rest = (part for entry in entries for part in _rest(self._blocks, entry))
                entries = tuple(islice(rest, ENTRIES))
            if entries:
                left.append((level, entries))
        return tuple(left)


def _add(wants: Wants, start: int, stop: int, count: int) -> int:
    """Add the items [start, stop), of `count` that there are; how many were not there."""
    first, last = start // FAN, (stop - 1) // FAN
    whole, end = -(-start // FAN), last + 1 if stop == count else stop // FAN
    added = 0
    if whole < end:
        added = min(FAN * end, count) - FAN * whole - _number(wants, whole, end, count)
        wants.add_run(whole, end)
    for group in {first, last}:
        if not whole <= group < end:
            low, high = max(0, start - FAN * group), min(FAN, stop - FAN * group)
            mask = (1 << high) - (1 << low)
            added += (mask & ~wants.get(group)).bit_count()
            wants.add(group, mask)
    return added


def _number(wants: Wants, group: int, stop: int, count: int) -> int:
    """How many items of the groups [group, stop) are in it."""
    number, group = 0, wants.next(group)
    while 0 <= group < stop:
        run = wants.run(group, stop)
        if run:
            number += min(FAN * (group + run), count) - FAN * group
        else:
            number += wants.get(group).bit_count()
        group = wants.next(group + max(1, run))
    return number


def _rest(wants: Wants, entry: Entry) -> Iterator[Entry]:
    """What is left of an entry without these."""
    group, stop = entry.group, min(entry.group + max(1, entry.run), wants.groups)
    if not entry.run:
        mask = entry.mask & wants.full(group) & ~wants.get(group) if group < stop else 0
        if mask:
            yield Entry(group, mask)
        return
    while group < stop:
        following = wants.next(group)
        if not 0 <= following < stop:
            yield Entry(group, 0, stop - group)
            return
        if group < following:
            yield Entry(group, 0, following - group)
        group = following + wants.run(following, stop)
        if group == following:
            yield Entry(group, wants.full(group) & ~wants.get(group))
            group += 1
