"""Telling copies from repeats: one datagram that came in through two interfaces is one, sent twice is two."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

import msgspec

WINDOW = 1.0
"""Seconds within which the copy of a datagram comes in through another interface."""
LIMIT = 8192
"""Datagrams remembered; the oldest go first, so that a flooder only shortens the window."""


class CopyFilter:
    """Says of each arrival whether it is new, by the interfaces that its equals came in on.

    An arrival is a copy of the oldest equal one within `WINDOW` seconds that has not yet been seen on its
    interface; with none such it is new.
    """

    def __init__(self) -> None:
        self._order: deque[tuple[float, Hashable]] = deque()
        self._by_key: dict[Hashable, _Equals] = {}

    def fresh(self, key: Hashable, interface: int, now: float) -> bool:
        """Whether this arrival of `key` on `interface` is a new datagram; remembers it."""
        self._forget(now)
        equals = self._by_key.setdefault(key, _Equals())
        if not equals.arrive(interface):
            return False
        self._order.append((now, key))
        return True

    def _forget(self, now: float) -> None:
        while self._order and (now - self._order[0][0] > WINDOW or len(self._order) >= LIMIT):
            _, key = self._order.popleft()
            equals = self._by_key[key]
            equals.first += 1
            if equals.first == equals.end:
                del self._by_key[key]


class _Equals(msgspec.Struct):
    """Equal datagrams, numbered; `first` to `end` are remembered, `next` is what each interface sees next."""

    first: int = 0
    end: int = 0
    next: dict[int, int] = {}

    def arrive(self, interface: int) -> bool:
        number = max(self.next.get(interface, 0), self.first)
        self.next[interface] = number + 1
        if number < self.end:
            return False
        self.end += 1
        return True
