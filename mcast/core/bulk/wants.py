"""Which items of one level are wanted: a byte for each group of them, and four more where it is in part."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from mcast.wire.bulk import FAN, Entry

from .layout import FULL, Layout

NONE, SOME, ALL = 0, 1, 2
GROUP_BYTES = 5
"""Bytes that a group takes at most."""
CHUNK = 4096
"""Groups whose masks are held together, as long as one of them is wanted in part: where all or nothing is
wanted, as in most of a large transfer, masks take no memory."""


class Wants:
    """A set of items of one level. Long runs of whole groups are found at the speed of memory."""

    __slots__ = ("_last", "_masks", "_states", "groups")

    def __init__(self, layout: Layout, level: int, *, all_of_it: bool = False) -> None:
        self.groups = layout.groups(level) if layout.counts else 0
        self._last = layout.full(level, self.groups - 1) if self.groups else 0
        self._states = bytearray((ALL if all_of_it else NONE,)) * self.groups
        self._masks: dict[int, array[int]] = {}

    def full(self, group: int) -> int:
        """The mask of a whole group."""
        return self._last if group == self.groups - 1 else FULL

    def get(self, group: int) -> int:
        """What is wanted of a group."""
        state = self._states[group]
        if state == SOME:
            return self._masks[group // CHUNK][group % CHUNK]
        return 0 if state == NONE else self.full(group)

    def has(self, index: int) -> bool:
        """Whether that item is wanted."""
        return bool(self.get(index >> 5) >> (index & 31) & 1)

    def set(self, group: int, mask: int) -> None:
        """Want of a group just this."""
        if mask == 0 or mask == self.full(group):
            self._set_run(group, group + 1, NONE if mask == 0 else ALL)
            return
        masks = self._masks.get(group // CHUNK)
        if masks is None:
            masks = self._masks[group // CHUNK] = array("I", bytes(4 * CHUNK))
        self._states[group] = SOME
        masks[group % CHUNK] = mask

    def add(self, group: int, mask: int) -> None:
        """Want this of a group, too."""
        self.set(group, self.get(group) | mask & self.full(group))

    def add_run(self, start: int, stop: int) -> None:
        """Want all of the groups [start, stop)."""
        self._set_run(start, stop, ALL)

    def add_items(self, start: int, stop: int) -> None:
        """Want the items [start, stop), which are some."""
        first, last = start // FAN, (stop - 1) // FAN
        if first < last:
            self.add_run(first + 1, last)
        for group in {first, last}:
            low, high = max(0, start - FAN * group), min(FAN, stop - FAN * group)
            self.add(group, (1 << high) - (1 << low))

    def discard_run(self, start: int, stop: int) -> None:
        """Want nothing of the groups [start, stop)."""
        self._set_run(start, stop, NONE)

    def _set_run(self, start: int, stop: int, state: int) -> None:
        states = self._states
        partly = bool(self._masks) and states.find(SOME, start, stop) >= 0
        states[start:stop] = bytes((state,)) * (stop - start)
        if partly:
            for chunk in [one for one in self._masks if start // CHUNK <= one <= (stop - 1) // CHUNK]:
                if states.find(SOME, chunk * CHUNK, (chunk + 1) * CHUNK) < 0:
                    del self._masks[chunk]

    def discard(self, index: int) -> bool:
        """An item is wanted no more; whether it was."""
        group, bit = index >> 5, 1 << (index & 31)
        mask = self.get(group)
        if not mask & bit:
            return False
        self.set(group, mask & ~bit)
        return True

    def next(self, start: int) -> int:
        """The first group from `start` on of which something is wanted; -1 if there is none."""
        some = self._states.find(SOME, start)
        whole = self._states.find(ALL, start, some if some >= 0 else self.groups)
        return whole if whole >= 0 else some

    def run(self, start: int, stop: int | None = None) -> int:
        """How many groups from `start` on, before `stop`, are wanted as a whole."""
        states = self._states
        if states[start] != ALL:
            return 0
        stop = self.groups if stop is None else stop
        for other in (NONE, SOME):
            found = states.find(other, start, stop)
            stop = found if found >= 0 else stop
        return stop - start

    def idle(self, start: int, stop: int) -> int:
        """Of how many of the groups [start, stop) nothing is wanted."""
        return self._states.count(NONE, start, stop)

    def outside(self, entry: Entry) -> Iterator[Entry]:
        """What an entry of a report has that is not wanted."""
        group, stop = entry.group, min(entry.group + max(1, entry.run), self.groups)
        if not entry.run:
            mask = entry.mask & self.full(group) & ~self.get(group) if group < stop else 0
            if mask:
                yield Entry(group, mask)
            return
        while group < stop:
            following = self.next(group)
            if not 0 <= following < stop:
                yield Entry(group, 0, stop - group)
                return
            if group < following:
                yield Entry(group, 0, following - group)
            group = following + self.run(following, stop)
            if group == following:
                yield Entry(group, self.full(group) & ~self.get(group))
                group += 1
