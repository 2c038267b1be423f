"""The bounded queue of events between the driver and the application."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence

from mcast.errors import UsageError
from mcast.events import (
    Answer,
    Event,
    Message,
    Overflow,
    PeerJoined,
    PeerLeft,
    PeerUpdated,
    PlainText,
    PrivateMessage,
    Question,
    TransferOffered,
)

EVENTS_MAX = 100_000
BYTES_MAX = 64 << 20
"""Events, and bytes chosen by other peers, that wait at most. Then the oldest are dropped: a flood, or an
application that takes nothing, cannot fill the memory."""
EVENT_COST = 64
"""Bytes that an event counts in `backlog` besides its own."""
PATIENCE = 1.0
"""Seconds that events may wait while senders slow down for them. It takes them up to another second to be as
fast again. An application that stops reading must not stop the group."""
GRAIN = 0.1
"""Events that come within so many seconds count as having come together."""


class EventQueue:
    """A bounded queue for the tasks of one event loop. Any thread may put and take, but not wait.

    If the queue is full, the oldest events are dropped and an Overflow takes their place.
    """

    def __init__(self, events_max: int = EVENTS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._events_max, self._bytes_max = events_max, bytes_max
        self._lock = threading.RLock()
        self._events: deque[Event] = deque()
        self._arrivals: deque[tuple[int, float]] = deque()  # number of an event, and when it came
        self._count = 0  # events that ever came
        self._arrived = 0.0
        self._bytes = 0
        self._dropped = self._dropped_messages = 0
        self._in_use = False
        self._waiting: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.closed = False

    @property
    def backlog(self) -> int:
        """Bytes that wait and that senders should slow down for.

        0 until something is taken: a program that only sends must not slow its peers. 0 too while the oldest
        event has waited for longer than PATIENCE: the application catches up, or events are dropped.
        """
        if not (self._in_use and self._arrivals):
            return 0
        late = time.monotonic() - self._arrivals[0][1] > PATIENCE
        return 0 if late else self._bytes + EVENT_COST * len(self._events)

    @property
    def behind(self) -> float:
        """Seconds since the events arrived that were taken last."""
        return time.monotonic() - self._arrived if self._arrived else 0.0

    def put(self, events: Sequence[Event]) -> None:
        """Add events without waiting. After close() they are dropped."""
        with self._lock:
            if self.closed or not events:
                return
            now = time.monotonic()
            if not self._arrivals or now - self._arrivals[-1][1] >= GRAIN:
                self._arrivals.append((self._count, now))
            self._count += len(events)
            for event in events:
                self._bytes += len(event.data) if type(event) is Message else _size(event)
            self._events.extend(events)
            while len(self._events) > self._events_max or self._bytes > self._bytes_max:
                event = self._next()
                self._dropped += 1
                self._dropped_messages += isinstance(event, Message | PrivateMessage | Question | Answer)
            self._wake()

    def pop(self) -> Event | None:
        """Take the oldest event. None if the queue is empty."""
        with self._lock:
            self._in_use = True
            if self._dropped:
                return self._overflow()
            if not self._events:
                return None
            self._arrived = self._arrivals[0][1]
            return self._next()

    def take(self) -> list[Event]:
        """Take all events; if they have waited for longer than PATIENCE, those that came about together."""
        with self._lock:
            self._in_use = True
            events: list[Event] = [self._overflow()] if self._dropped else []
            if not self._events:
                return events
            self._arrived = self._arrivals[0][1]
            if len(self._arrivals) > 1 and time.monotonic() - self._arrived > PATIENCE:
                some = self._arrivals[1][0] - (self._count - len(self._events))
                return events + [self._next() for _ in range(some)]
            events += self._events
            self._events.clear()
            self._arrivals.clear()
            self._bytes = 0
            return events

    def _next(self) -> Event:
        """Remove the oldest event, and its time once no other event came with it."""
        event = self._events.popleft()
        self._bytes -= len(event.data) if type(event) is Message else _size(event)
        if not self._events:
            self._arrivals.clear()
        elif len(self._arrivals) > 1 and self._arrivals[1][0] <= self._count - len(self._events):
            self._arrivals.popleft()
        return event

    def close(self) -> None:
        """Accept no more events; those in the queue can still be taken. May be called twice."""
        with self._lock:
            self.closed = True
            self._wake()

    async def wait(self) -> bool:
        """Wait until there is an event; False if the queue is closed and empty. May be cancelled."""
        while not (self._events or self._dropped):
            if self.closed:
                return False
            loop = asyncio.get_running_loop()
            if self._loop not in (None, loop):
                raise UsageError("events are taken in one event loop", "use mcast.join() from threads")
            self._loop = loop
            future = loop.create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)
        return True

    def _wake(self) -> None:
        """Wake all who wait. Called with the lock held."""
        for future in self._waiting:
            if not future.done():
                try:
                    future.set_result(None)
                except RuntimeError:
                    if not future.get_loop().is_closed():
                        raise

    def _overflow(self) -> Overflow:
        overflow = Overflow(self._dropped, self._dropped_messages)
        self._dropped = self._dropped_messages = 0
        return overflow


class ThreadEventQueue(EventQueue):
    """An event queue at which threads wait, with get() and get_all()."""

    def __init__(self, events_max: int = EVENTS_MAX, bytes_max: int = BYTES_MAX) -> None:
        super().__init__(events_max, bytes_max)
        self._changed = threading.Condition(self._lock)

    def get(self, timeout: float | None = None) -> Event | None:
        """Take the oldest event after at most `timeout` seconds. None if none came, or at the end."""
        with self._lock:
            if not self._events:
                self._changed.wait_for(self._ready, timeout)
            return self.pop()

    def get_all(self, timeout: float | None = None) -> list[Event]:
        """Take all events after at most `timeout` seconds. Empty if none came, or at the end."""
        with self._lock:
            self._changed.wait_for(self._ready, timeout)
            return self.take()

    def _ready(self) -> bool:
        return bool(self._events) or self._dropped > 0 or self.closed

    def _wake(self) -> None:
        self._changed.notify_all()


def _size(event: Event) -> int:
    """Bytes of the event whose number other peers choose."""
    if isinstance(event, Message | PlainText | PrivateMessage | Question | Answer):
        return len(event.data)
    if isinstance(event, TransferOffered):
        return len(event.title)
    if isinstance(event, PeerJoined | PeerUpdated | PeerLeft):
        return len(event.peer.attributes)
    return 0
