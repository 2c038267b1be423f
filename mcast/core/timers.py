"""Deadlines by key: one heap instead of a timer object each."""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

SLACK = 64  # stale heap entries tolerated beyond the live ones, so that re-arming cannot grow the heap


class Timers(Generic[Key]):
    """Absolute deadlines, one a key; setting a key again moves it. `next` is the earliest, inf if none."""

    __slots__ = ("_heap", "_serial", "_when", "next")

    def __init__(self) -> None:
        self._when: dict[Key, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._serial = 0
        self.next = inf

    def __contains__(self, key: Key) -> bool:
        return key in self._when

    def __len__(self) -> int:
        return len(self._when)

    def set(self, key: Key, when: float) -> None:
        """Arm `key` for `when`, replacing an earlier deadline."""
        before = self._when.get(key)
        self._serial += 1
        self._when[key] = (when, self._serial)
        heappush(self._heap, (when, self._serial, key))
        if when < self.next:
            self.next = when
        elif before is not None and before[0] == self.next:
            self._find_next()
        if len(self._heap) > 2 * len(self._when) + SLACK:
            self._heap = [(when, serial, key) for key, (when, serial) in self._when.items()]
            heapify(self._heap)

    def cancel(self, key: Key) -> None:
        """Disarm `key`; nothing happens when it is not armed."""
        before = self._when.pop(key, None)
        if before is not None and before[0] == self.next:
            self._find_next()

    def get(self, key: Key) -> float | None:
        """The deadline of `key`."""
        entry = self._when.get(key)
        return None if entry is None else entry[0]

    def _find_next(self) -> None:
        heap = self._heap
        while heap:
            when, serial, key = heap[0]
            if self._when.get(key) == (when, serial):
                self.next = when
                return
            heappop(heap)
        self.next = inf

    def due(self, now: float) -> list[Key]:
        """The keys whose time has come, earliest first; they are disarmed."""
        keys: list[Key] = []
        while self.next <= now:
            self._find_next()
            if self.next > now:
                break
            key = heappop(self._heap)[2]
            del self._when[key]
            keys.append(key)
            self._find_next()
        return keys


def earliest(*deadlines: float | None) -> float | None:
    """The smallest of those that are set."""
    return min((when for when in deadlines if when is not None), default=None)
