"""The bounded queue between the pump and the application."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from .events import Event, Message, Overflow

EVENTS_MAX = 100_000
BYTES_MAX = 64 << 20


class Mailbox:
    """Events wait here in lists. When nobody takes them the oldest go, counted; memory stays bounded."""

    def __init__(self, events_max: int = EVENTS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._events_max, self._bytes_max = events_max, bytes_max
        self._lists: list[Sequence[Event]] = []
        self._count = 0
        self._bytes = 0
        self._dropped = self._dropped_messages = 0
        self._ready = asyncio.Event()
        self.closed = False

    def put(self, events: Sequence[Event]) -> None:
        """Add events; never waits."""
        self._lists.append(events)
        self._count += len(events)
        self._bytes += _size(events)
        while (self._count > self._events_max or self._bytes > self._bytes_max) and len(self._lists) > 1:
            self._drop(self._lists.pop(0))
        self._ready.set()

    def close(self) -> None:
        """What is there can still be taken; then the end."""
        self.closed = True
        self._ready.set()

    async def take(self) -> list[Event]:
        """All that waits, at least one event; an empty list after the end."""
        while not self._lists and not self._dropped and not self.closed:
            self._ready.clear()
            await self._ready.wait()
        events = [event for events in self._lists for event in events]
        if self._dropped:
            events.insert(0, Overflow(self._dropped, self._dropped_messages))
        self._lists, self._count, self._bytes = [], 0, 0
        self._dropped = self._dropped_messages = 0
        return events

    def _drop(self, events: Sequence[Event]) -> None:
        self._count -= len(events)
        self._bytes -= _size(events)
        self._dropped += len(events)
        self._dropped_messages += sum(isinstance(event, Message) for event in events)


def _size(events: Sequence[Event]) -> int:
    return sum(len(event.data) for event in events if isinstance(event, Message))
