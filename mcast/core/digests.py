"""When what we hold is worth summing up, and which sums were heard."""

from __future__ import annotations


class Digests:
    """Digests heard lately, each with its time, so that two who will never agree do not talk all the time.

    The attack: new digests without end; they cost one short interval each, and push out each other.
    """

    def __init__(self, limit: int, memory: float) -> None:
        self._heard: dict[bytes, float] = {}
        self._limit, self._memory = limit, memory

    def new(self, digest: bytes, now: float) -> bool:
        """Whether it was not heard within `memory` seconds."""
        last = self._heard.pop(digest, float("-inf"))
        self._heard[digest] = now
        if len(self._heard) > self._limit:
            del self._heard[next(iter(self._heard))]
        return now - last > self._memory


class News:
    """Whether records are still coming in: while they are, what members hold differs for the moment.

    `quiet` seconds without one, or `patience` seconds since the last time it was quiet, and it counts.
    """

    def __init__(self, quiet: float, patience: float) -> None:
        self._quiet, self._patience = quiet, patience
        self._last = self._counted = float("-inf")
        self._fresh = False

    def came(self, now: float) -> None:
        """A record came or left."""
        self._last, self._fresh = now, True

    def counts(self, now: float) -> bool:
        """Whether a digest means something now."""
        if now - self._last < self._quiet and now - self._counted < self._patience:
            return False
        self._counted = now
        return True

    def when(self) -> float | None:
        """When due() will tell that it has become quiet."""
        return self._last + self._quiet if self._fresh else None

    def due(self, now: float) -> bool:
        """Whether it has become quiet. Once."""
        if not self._fresh or now < self._last + self._quiet:
            return False
        self._fresh = False
        return True
