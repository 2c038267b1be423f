"""Keys that others asked for: whoever has one answers, unless somebody was faster."""

from __future__ import annotations

from .timers import Timers

MOST = 64  # answers under way; the attack is a flood of requests, the newest are refused
ONCE = 0.2  # seconds in which a key is not sent twice
AGAIN = 0.25  # seconds after which an unknown key is asked for again
ASKED = 256  # origins remembered as asked for, oldest first out


class KeyAnswers:
    """When to send whose key, and when to ask for one."""

    def __init__(self) -> None:
        self._timers: Timers[bytes] = Timers()
        self._sent: dict[bytes, float] = {}
        self._asked: dict[bytes, float] = {}

    def requested(self, origin: bytes, now: float, delay: float) -> bool:
        """Somebody asks for the key of `origin`, which we have; False when it is not sent."""
        if len(self._timers) >= MOST or now - self._sent.get(origin, float("-inf")) < ONCE:
            return False
        if origin not in self._timers:
            self._timers.set(origin, now + delay)
        return True

    def heard(self, origin: bytes, now: float) -> None:
        """The key was sent by somebody."""
        self._timers.cancel(origin)
        _remember(self._sent, origin, now)

    def when(self) -> float | None:
        """When the next key is to be sent."""
        return self._timers.next()

    def due(self, now: float) -> list[bytes]:
        """The origins whose key to send now."""
        origins = self._timers.due(now)
        for origin in origins:
            _remember(self._sent, origin, now)
        return origins

    def wanted(self, origin: bytes, now: float) -> bool:
        """We lack the key of `origin`: whether to ask for it now."""
        if now - self._asked.get(origin, float("-inf")) < AGAIN:
            return False
        _remember(self._asked, origin, now)
        return True


def _remember(table: dict[bytes, float], origin: bytes, now: float) -> None:
    table.pop(origin, None)
    table[origin] = now
    if len(table) > ASKED:
        del table[next(iter(table))]
