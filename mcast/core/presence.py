"""When to announce: a randomised interval with timer reconsideration, after RTCP (RFC 3550, section 6.3).

Unlike there the random share of the interval is drawn once for each announcement and kept when the timer is
reconsidered, and the first one is drawn as if the run had announced itself for long: ten thousand that join
at once go on announcing at an even rate, where redrawing has them all speak at the end of the first interval.
"""

from __future__ import annotations

from math import sqrt

from mcast.wire.frames import HEARS_IPV4, HEARS_IPV6, Announcement

from .generator import Generator

ANNOUNCEMENT_SIZE = 24 + 16 + 4 + 105 + 4 + 152  # header, tag, and the KEY and ANNOUNCEMENT frames
LINK_HEADERS = 62  # bytes of Ethernet, IPv6 and UDP around a datagram

EARLIEST, LATEST = 0.75, 1.25  # shares of the interval
YOUNG = (
    30.0  # seconds after joining in which only the bytes count: all who join together soon know each other
)


def announced_size(frame: Announcement, name: str) -> int:
    """Bytes on a link of an announcement beside the KEY with `name`: it leaves in each IP version heard."""
    versions = (frame.flags & (HEARS_IPV4 | HEARS_IPV6)).bit_count()
    return max(1, versions) * (ANNOUNCEMENT_SIZE + len(frame.attributes) + len(name.encode()) + LINK_HEADERS)


class Announcer:
    """Decides when this run announces itself; the group together stays within `rate` bytes a second.

    When it has been here for a while, also within one announcement in `spacing` seconds, as each wakes every
    computer in the group, as long as that makes the interval no longer than `patience`.
    """

    def __init__(
        self,
        generator: Generator,
        shortest: float,
        rate: int,
        now: float,
        spacing: float = 0.0,
        patience: float = 0.0,
    ) -> None:
        self._generator = generator
        self._shortest, self._rate = shortest, rate
        self._spacing, self._patience = spacing, patience
        self._size = 256.0
        self._members = 1
        self.waiting = 0  # strangers whose announcements are not verified yet; they count while we are young
        self._began = self._last = now
        self._share = 0.0
        self._spoke = self._settled = False
        self.next = now

    @property
    def interval(self) -> float:
        """The mean time until our next announcement."""
        return self.settled if self._settled else self._needed

    @property
    def settled(self) -> float:
        """The mean time between two announcements of a run that has been here for a while."""
        return max(self._needed, min(self._patience, self._members * self._spacing))

    @property
    def _needed(self) -> float:
        members = self._members + (0 if self._settled else self.waiting)
        return max(self._shortest, members * self._size / self._rate)

    def _draw(self) -> float:
        """The share of the interval after which to announce next."""
        u = self._generator.random()
        if self._spoke:
            return EARLIEST + (LATEST - EARLIEST) * u
        # What is left of an interval at any moment: renewal theory's residual of the uniform distribution.
        return u if u < EARLIEST else LATEST - sqrt(2 * (LATEST - EARLIEST) * (1 - u))

    def due(self, now: float) -> bool:
        """Whether to announce now. A timer that has run out is reconsidered with the group as it is now."""
        if now < self.next:
            return False
        self._settled = now - self._began >= YOUNG
        planned = self._last + self._share * self.interval
        if self.next > self._last and planned > now:
            self.next = planned
            return False
        self._share = self._draw()
        self._spoke = True
        self._last = now
        self.next = now + self._share * self.interval
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
        before = self.interval
        self._members = max(1, count)
        ratio = self.interval / before
        if ratio < 1.0 and self.next > now:
            self.next = now + ratio * (self.next - now)
            self._last = now - ratio * (now - self._last)
