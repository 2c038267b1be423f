"""When to repeat which records exist, so that the last one before a silence is not lost."""

from __future__ import annotations

SCHEDULE = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds after the last data
STEADY = (
    0.25  # and as often while data never pauses: it tells the group round-trip time, which repair waits by
)


class Heartbeats:
    """The schedule that starts anew with each flush."""

    def __init__(self) -> None:
        self._since = self._spoken = float("-inf")
        self._place = len(SCHEDULE)

    def when(self) -> float | None:
        """When the next heartbeat is due."""
        if self._place == len(SCHEDULE):
            return None
        after = self._since + SCHEDULE[self._place]
        return min(after, self._spoken + STEADY) if self._place == 0 else after

    @property
    def place(self) -> int:
        """How many have been sent since the last data."""
        return self._place

    def sent(self, now: float) -> None:
        """Data left."""
        if now - self._since >= STEADY:
            self._spoken = now
        self._since, self._place = now, 0

    def due(self, now: float) -> bool:
        """Whether to send one now."""
        when = self.when()
        if when is None or now < when:
            return False
        self._place += 1
        self._spoken = now
        return True
