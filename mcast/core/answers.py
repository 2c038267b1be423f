"""Keys that others asked for: whoever has one answers, unless somebody was faster."""

from __future__ import annotations

from .timers import Timers, earliest

MOST = 64  # answers and requests under way; the attack is a flood of either, the newest are refused
ONCE = 0.2  # seconds in which a key is not sent twice
AGAIN = 0.25  # seconds after which an unknown key is asked for again
DEFERRALS = 2  # others' requests that put ours off; a forger must not keep us from asking
ASKED = 256  # origins remembered as asked for, oldest first out


class KeyAnswers:
    """When to send whose key, and when to ask for one."""

    def __init__(self) -> None:
        self._timers: Timers[bytes] = Timers()
        self._asking: Timers[bytes] = Timers()
        self._sent: dict[bytes, float] = {}
        self._asked: dict[bytes, float] = {}
        self._deferrals: dict[bytes, float] = {}

    def requested(self, origin: bytes, now: float, delay: float) -> bool:
        """Somebody asks for the key of `origin`, which we have; False when it is not sent."""
        if len(self._timers) >= MOST or now - self._sent.get(origin, float("-inf")) < ONCE:
            return False
        if origin not in self._timers:
            self._timers.set(origin, now + delay)
        return True

    def heard(self, origin: bytes, now: float) -> None:
        """The key was sent by somebody, and it is genuine."""
        self._timers.cancel(origin)
        self._asking.cancel(origin)
        self._deferrals.pop(origin, None)
        _remember(self._sent, origin, now)

    def when(self) -> float | None:
        """When a key is to be sent or asked for."""
        return earliest(self._timers.next(), self._asking.next())

    def due(self, now: float) -> list[bytes]:
        """The origins whose key to send now."""
        origins = self._timers.due(now)
        for origin in origins:
            _remember(self._sent, origin, now)
        return origins

    def wanted(self, origin: bytes, now: float, delay: float) -> None:
        """We lack the key of `origin`: ask for it after `delay`, unless it was asked for lately."""
        lately = now - self._asked.get(origin, float("-inf")) < AGAIN
        if not lately and origin not in self._asking and len(self._asking) < MOST:
            self._asking.set(origin, now + delay)

    def overheard(self, origin: bytes, now: float) -> None:
        """Somebody asks for the key of `origin`: we wait for the answer, but not for ever."""
        deferrals = self._deferrals.get(origin, 0)
        if deferrals >= DEFERRALS:
            return
        _remember(self._deferrals, origin, deferrals + 1)
        _remember(self._asked, origin, now)
        if origin in self._asking:
            self._asking.set(origin, now + AGAIN)

    def ask(self, now: float) -> list[bytes]:
        """The origins whose keys to ask for now."""
        origins = self._asking.due(now)
        for origin in origins:
            _remember(self._asked, origin, now)
            self._deferrals.pop(origin, None)
        return origins


def _remember(table: dict[bytes, float], origin: bytes, value: float) -> None:
    table.pop(origin, None)
    table[origin] = value
    if len(table) > ASKED:
        del table[next(iter(table))]
