"""Records that cannot be judged yet: their key is unknown, or whether their run is live."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

import msgspec

from mcast.wire.records import Record

from .events import Address

Key = TypeVar("Key", bound=Hashable)

MOST = 64 * 1024  # bytes that wait in all
PATIENCE = 1.0  # seconds a record waits


class Waiter(msgspec.Struct, frozen=True):
    """One record, who sent it, until when it waits, and how old it was said to be."""

    record: Record
    source: Address
    until: float
    age: float


class Waiting(Generic[Key]):
    """Records by what they wait for. The attack: made-up keys; 64 KiB and a second bound them."""

    def __init__(self) -> None:
        self._waiters: dict[Key, list[Waiter]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return sum(map(len, self._waiters.values()))

    def add(self, key: Key, record: Record, source: Address, now: float, age: float = 0.0) -> bool:
        """Let `record` wait for `key`; False when there is no room."""
        if self._bytes + len(record.payload) > MOST:
            return False
        self._waiters.setdefault(key, []).append(Waiter(record, source, now + PATIENCE, age))
        self._bytes += len(record.payload)
        return True

    def take(self, key: Key) -> list[Waiter]:
        """What waited for `key`, which has come."""
        waiters = self._waiters.pop(key, [])
        self._bytes -= sum(len(waiter.record.payload) for waiter in waiters)
        return waiters

    def when(self) -> float | None:
        """When the first of them has waited long enough."""
        return min((waiters[0].until for waiters in self._waiters.values()), default=None)

    def tick(self, now: float) -> int:
        """Drop what has waited too long; how many records that were."""
        due = [key for key, waiters in self._waiters.items() if waiters[0].until <= now]
        return sum(len(self.take(key)) for key in due)
