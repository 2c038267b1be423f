"""The bounded queue between the pump and the application."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable, Sequence

from mcast.errors import UsageError
from mcast.events import Event, Message, Overflow, PeerJoined, PeerLeft, PeerUpdated, PlainText

EVENTS_MAX = 100_000
BYTES_MAX = 64 << 20
EVENT_COST = 64


class Mailbox:
    """Events wait here, at most `events_max` with `bytes_max` of what peers sent. When nobody takes them the
    oldest go and an Overflow, in their place, says how many. Any thread may put and take."""

    def __init__(self, events_max: int = EVENTS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._events_max, self._bytes_max = events_max, bytes_max
        self._lock = threading.Lock()
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._dropped = self._dropped_messages = 0
        self._taken = False
        self.closed = False

    @property
    def backlog(self) -> int:
        """What waits, in bytes, if somebody has ever taken something; 64 for each event besides its own.

        A program that only sends takes nothing, and must not slow its peers down.
        """
        return self._bytes + EVENT_COST * len(self._events) if self._taken else 0

    def put(self, events: Sequence[Event]) -> None:
        """Add events; never waits. After close() they are dropped."""
        with self._lock:
            if self.closed:
                return
            self._events.extend(events)
            self._bytes += _weight(events)
            while len(self._events) > self._events_max or self._bytes > self._bytes_max:
                self._drop_oldest()
            self._wake()

    def close(self) -> None:
        """What is there can still be taken; then the end. Closing twice is fine."""
        with self._lock:
            self.closed = True
            self._wake()

    def pop(self) -> Event | None:
        """The oldest event, None when nothing waits."""
        with self._lock:
            return self._pop()

    def take(self) -> list[Event]:
        """All that waits, possibly nothing."""
        with self._lock:
            return self._take()

    async def wait(self) -> bool:
        """Whether something waits; a LoopMailbox waits for it."""
        return bool(self._events) or self._dropped > 0

    def _pop(self) -> Event | None:
        self._taken = True
        if self._dropped:
            return self._overflow()
        if not self._events:
            return None
        event = self._events.popleft()
        self._bytes -= len(event.data) if type(event) is Message else _weight((event,))
        return event

    def _take(self) -> list[Event]:
        self._taken = True
        events = list(self._events)
        if self._dropped:
            events.insert(0, self._overflow())
        self._events.clear()
        self._bytes = 0
        return events

    def _ready(self) -> bool:
        return bool(self._events) or self.closed or self._dropped > 0

    def _wake(self) -> None:
        """Called with the lock held when somebody who waits must look again."""

    def _drop_oldest(self) -> None:
        event = self._events.popleft()
        self._bytes -= _weight((event,))
        self._dropped += 1
        self._dropped_messages += type(event) is Message

    def _overflow(self) -> Overflow:
        overflow = Overflow(self._dropped, self._dropped_messages)
        self._dropped = self._dropped_messages = 0
        return overflow


class LoopMailbox(Mailbox):
    """A mailbox filled and emptied in one event loop."""

    def __init__(self, events_max: int = EVENTS_MAX, bytes_max: int = BYTES_MAX) -> None:
        super().__init__(events_max, bytes_max)
        self._waiting: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def wait(self) -> bool:
        """Until something waits; False at the end. Cancelling it loses nothing."""
        while not self._ready():
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
        return bool(self._events) or self._dropped > 0

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                try:
                    future.set_result(None)
                except RuntimeError:
                    if not future.get_loop().is_closed():
                        raise


class ThreadMailbox(Mailbox):
    """A mailbox that threads wait at."""

    def __init__(self, events_max: int = EVENTS_MAX, bytes_max: int = BYTES_MAX) -> None:
        super().__init__(events_max, bytes_max)
        self._something = threading.Condition(self._lock)

    def get(self, timeout: float | None = None) -> Event | None:
        """The oldest event, waited for at most `timeout` seconds; None when none came and at the end."""
        with self._lock:
            if not self._events and not self._ready():
                self._something.wait_for(self._ready, timeout)
            return self._pop()

    def get_all(self, timeout: float | None = None) -> list[Event]:
        """As get(), all that waits; an empty list when nothing came and at the end."""
        with self._lock:
            if not self._ready():
                self._something.wait_for(self._ready, timeout)
            return self._take()

    def _wake(self) -> None:
        self._something.notify_all()


def _weight(events: Iterable[Event]) -> int:
    """Bytes of these events that their senders chose."""
    total = 0
    for event in events:
        if type(event) is Message or isinstance(event, PlainText):
            total += len(event.data)
        elif isinstance(event, PeerJoined | PeerUpdated | PeerLeft):
            total += len(event.peer.attributes)
    return total
