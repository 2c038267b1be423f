"""Token buckets, one a key."""

from __future__ import annotations

from collections.abc import Hashable
from math import exp

MEMORY = 10.0  # seconds after which a third is left of what a new bucket is credited with


class TokenBucket:
    """`rate` a second, at most `depth` saved up."""

    __slots__ = ("_at", "_depth", "_level", "_rate")

    def __init__(self, rate: float, depth: float, now: float) -> None:
        self._rate, self._depth = rate, depth
        self._level, self._at = depth, now

    def level(self, now: float) -> float:
        """What may be spent now; negative while a debt is paid off."""
        if now > self._at:
            filled = self._level + (now - self._at) * self._rate
            if filled > self._depth:
                filled = self._depth
            if filled > self._level:
                self._level = filled
            self._at = now
        return self._level

    def retune(self, rate: float, depth: float, now: float) -> None:
        """From now on another rate and depth; what is saved up above it is lost."""
        self.level(now)
        self._rate, self._depth = rate, depth
        self._level = min(self._level, depth)

    def take(self, amount: float, now: float, least: float = 0.0) -> bool:
        """Spend `amount` if it, and not less than `least`, is there."""
        level = self.level(now)
        if level < amount or level < least:
            return False
        self._level = level - amount
        return True

    def spend(self, amount: float, now: float) -> None:
        """Spend `amount`, going into debt if need be."""
        self._level = self.level(now) - amount

    def credit(self, amount: float, most: float) -> None:
        """Add `amount` beyond the rate; never above `most`."""
        self._level = max(self._level, min(most, self._level + amount))

    def when(self, amount: float, now: float) -> float:
        """The time at which `amount` will be there."""
        lacking = amount - self.level(now)
        return now if lacking <= 0 else now + lacking / self._rate


class TokenBuckets:
    """One bucket for each of at most `limit` keys.

    First in, first out: a flooder who keeps its bucket in use cannot keep others out, and a new bucket
    starts full only to `depth`, which bounds what a change of identity gains.
    """

    def __init__(self, rate: float, depth: float, limit: int) -> None:
        self._rate, self._depth, self._limit = rate, depth, limit
        self._buckets: dict[Hashable, TokenBucket] = {}
        self._recent, self._credited_at = 0.0, 0.0

    def __len__(self) -> int:
        return len(self._buckets)

    def of(self, key: Hashable, now: float) -> TokenBucket:
        """The bucket of `key`."""
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._limit:
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[key] = TokenBucket(self._rate, self._depth, now)
            bucket.credit(self._faded(now), float("inf"))
        return bucket

    def credit(self, amount: float, most: float, now: float) -> None:
        """Add `amount` to every bucket, up to `most`; a new bucket gets what was credited lately."""
        self._recent, self._credited_at = min(most, self._faded(now) + amount), now
        for bucket in self._buckets.values():
            bucket.credit(amount, most)

    def _faded(self, now: float) -> float:
        return self._recent * exp((self._credited_at - now) / MEMORY)
