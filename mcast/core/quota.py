"""Token buckets, one a key."""

from __future__ import annotations

from collections.abc import Hashable


class Bucket:
    """`rate` a second, at most `depth` saved up."""

    __slots__ = ("_at", "_depth", "_level", "_rate")

    def __init__(self, rate: float, depth: float, now: float) -> None:
        self._rate, self._depth = rate, depth
        self._level, self._at = depth, now

    def level(self, now: float) -> float:
        """What may be spent now; negative while a debt is paid off."""
        if now > self._at:
            if self._level < self._depth:  # what was credited above it stays
                self._level = min(self._depth, self._level + (now - self._at) * self._rate)
            self._at = now
        return self._level

    def take(self, amount: float, now: float) -> bool:
        """Spend `amount` if it is there."""
        if self.level(now) < amount:
            return False
        self._level -= amount
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


class Quotas:
    """One bucket for each of at most `limit` keys.

    First in, first out: a flooder who keeps its bucket in use cannot keep others out, and a new bucket
    starts full only to `depth`, which bounds what a change of identity gains.
    """

    def __init__(self, rate: float, depth: float, limit: int, most: float = 0.0) -> None:
        self._rate, self._depth, self._limit, self._most = rate, depth, limit, most
        self._buckets: dict[Hashable, Bucket] = {}
        self._credited = 0.0
        self._seen: dict[Hashable, float] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def of(self, key: Hashable, now: float) -> Bucket:
        """The bucket of `key`, which exists from the first time it is asked for."""
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._limit:
                oldest = next(iter(self._buckets))
                del self._buckets[oldest], self._seen[oldest]
            bucket = self._buckets[key] = Bucket(self._rate, self._depth, now)
        else:
            bucket.credit(self._credited - self._seen[key], self._most)
        self._seen[key] = self._credited
        return bucket

    def credit(self, amount: float) -> None:
        """Add `amount` to every bucket that exists, each up to `most`."""
        self._credited += amount
