"""When to announce: RTCP's randomised interval with timer reconsideration (RFC 3550, section 6.3)."""

from __future__ import annotations

from math import e

from .generator import Generator

COMPENSATION = e - 1.5  # reconsideration makes intervals longer than meant; RFC 3550 divides by this


class Announcer:
    """Decides when this run announces itself; the group together stays within `rate` bytes a second."""

    def __init__(self, generator: Generator, shortest: float, rate: int, now: float) -> None:
        self._generator = generator
        self._shortest, self._rate = shortest, rate
        self._size = 256.0
        self._members = 1
        self._last = now
        self.next = now

    @property
    def interval(self) -> float:
        """The mean time between two announcements of one run."""
        return max(self._shortest, self._members * self._size / self._rate)

    def _random(self) -> float:
        return self.interval * (0.5 + self._generator.random()) / COMPENSATION

    def due(self, now: float) -> bool:
        """Whether to announce now. A timer that has run out is reconsidered with the group as it is now."""
        if now < self.next:
            return False
        waited = self._last + self._random()
        if self.next > self._last and waited > now:
            self.next = waited
            return False
        self._last = now
        self.next = now + self._random()
        return True

    def begin(self, when: float) -> None:
        """Announce for the first time at `when`, however large the group."""
        self._last = self.next = when

    def soon(self, now: float, delay: float = 0.0) -> None:
        """Something in the announcement changed: say it within `delay`, at most once a second."""
        self._last = self.next = min(self.next, max(now + delay, self._last + 1.0))

    def sized(self, size: int) -> None:
        """One announcement of `size` bytes, link headers included, was sent or heard."""
        self._size += (size - self._size) / 16

    def members(self, count: int, now: float) -> None:
        """The group has `count` members. Fewer than before brings the timer forward (RFC 3550, 6.3.4)."""
        count = max(1, count)
        if count < self._members and self.next > now:
            ratio = count / self._members
            self.next = now + ratio * (self.next - now)
            self._last = now - ratio * (now - self._last)
        self._members = count
