"""Two clocks: the monotonic one drives timers, the wall clock only goes into what is signed."""

from __future__ import annotations

from mcast.wire.limits import TIMESTAMP_MAX


class Clock:
    """`now` is handed in with every call; the wall clock is set at the start and when it was corrected."""

    def __init__(self, now: float, wall: float) -> None:
        self.started = now
        self.now = now
        self._offset = wall - now

    def advance(self, now: float) -> float:
        """The time to work with: never before what was seen."""
        if now > self.now:
            self.now = now
        return self.now

    def set(self, now: float, wall: float) -> None:
        """The computer's wall clock says `wall` (unix seconds)."""
        self._offset = wall - now

    def unix_ms(self, now: float) -> int:
        """Unix milliseconds, within what the wire can carry."""
        return min(TIMESTAMP_MAX, max(0, round((now + self._offset) * 1000)))
