"""The circuit breaker (RFC 8085, 3.1.10): nobody confirms what we send, so we stop sending."""

from __future__ import annotations


class Breaker:
    """Open after `seconds` of sending without a report. A pause of as long counts as a new beginning."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: float | None = None
        self._last = float("-inf")
        self.open = False

    def sent(self, now: float) -> None:
        """Records left."""
        if self._since is None or now - self._last >= self._seconds:
            self._since = now
        self._last = now

    def heard(self) -> bool:
        """A report came; whether that closes the breaker."""
        was, self.open, self._since = self.open, False, None
        return was

    def check(self, now: float) -> bool:
        """Whether it opens now; to be asked when somebody is here who could report."""
        if self.open or self._since is None or now - self._since < self._seconds:
            return False
        self.open = True
        return True
