"""When to repeat which records exist, so that the last one before a silence is not lost."""

from __future__ import annotations

SCHEDULE = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds after the last data
WHILE_SENDING = 1.0  # seconds


class Heartbeats:
    """The schedule that starts anew with each flush."""

    def __init__(self) -> None:
        self._since = 0.0
        self._last = 0.0
        self._place = len(SCHEDULE)

    def when(self) -> float | None:
        """When the next heartbeat is due."""
        if self._place == len(SCHEDULE):
            return None
        if self._since - self._last >= WHILE_SENDING:
            return self._since
        return self._since + SCHEDULE[self._place]

    @property
    def place(self) -> int:
        """How many have been sent since the last data."""
        return self._place

    def sent(self, now: float) -> None:
        """Data left. While it goes on, a heartbeat a second still says what is held and how far we are."""
        if self._place:
            self._last = now
        self._since, self._place = now, 0

    def due(self, now: float) -> bool:
        """Whether to send one now."""
        when = self.when()
        if when is None or now < when:
            return False
        self._place += now >= self._since + SCHEDULE[self._place]
        self._last = now
        return True
