"""The Trickle timer: often while something is new, rarely when all agree (RFC 6206)."""

from __future__ import annotations

from .backoff import backoff
from .generator import Generator

ENOUGH = 1  # RFC 6206's k: one consistent word in an interval is enough


class Trickle:
    """When to say what we hold; intervals in seconds, from `shortest` to `longest`.

    Within an interval the moment is exponentially spread, as in RFC 5401, so that of ten thousand few speak.
    """

    def __init__(self, generator: Generator, shortest: float, longest: float) -> None:
        self._generator = generator
        self._shortest, self._longest = shortest, longest
        self._interval = longest
        self._heard = 0
        self._speak: float | None = None
        self._spoken = False
        self._end = 0.0

    def reset(self, now: float, members: int) -> None:
        """Something is new: begin with the shortest interval, unless that is so already."""
        if self._speak is None or self._interval > self._shortest:
            self._interval = self._shortest
            self._begin(now, members)

    def consistent(self) -> None:
        """Somebody said the same."""
        self._heard += 1

    def when(self) -> float | None:
        """When to call due(); None before the first reset()."""
        return self._end if self._spoken else self._speak

    def due(self, now: float, members: int) -> bool:
        """Whether to speak now."""
        when = self.when()
        if when is None or now < when:
            return False
        if self._spoken:
            self._interval = min(2 * self._interval, self._longest)
            self._begin(now, members)
            return False
        self._spoken = True
        return self._heard < ENOUGH

    def _begin(self, now: float, members: int) -> None:
        half = self._interval / 2
        self._speak = now + half + backoff(self._generator, half, members)
        self._spoken = False
        self._end = now + self._interval
        self._heard = 0
