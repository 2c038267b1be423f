"""The blocking API: the asyncio one behind plain calls.

    with mcast.join("230.0.0.1", name="ada") as group:
        group.send("hello")
        for message in group.messages(timeout=5):
            print(message.name, message.text)

Each group runs an event loop in a thread of its own. Calls may come from any thread but that one.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar

from . import aio
from .core.runs import Run
from .errors import GroupClosed, MessageTooLarge, UsageError
from .events import Event, Message, PeerView
from .interfaces import Choice
from .settings import Settings
from .wire.limits import MESSAGE_MAX

T = TypeVar("T")

UNSENT_MAX = 4096
"""Messages handed over and not yet taken by the loop before send() waits."""
UNTAKEN_MAX = 100_000
"""Events fetched for the application before the loop's own bounded mailbox keeps the rest."""
CLOSE_PATIENCE = 3.0
"""Seconds to wait for goodbye and the thread's end; a loop that hangs is left behind."""


class Receipt:
    """A message that was sent; see aio.Receipt."""

    __slots__ = ("_group", "_receipt")

    def __init__(self, group: Group) -> None:
        self._group = group
        self._receipt: aio.Receipt | None = None

    @property
    def id(self) -> str:
        """The message's name; waits until it has one, which is at once."""
        return self._settled().id

    @property
    def heard_by(self) -> tuple[Run, ...]:
        """The runs that confirmed that they have this message and all before it."""
        receipt = self._settled()
        return self._group._call(lambda: receipt.heard_by)

    def confirmed(self, count: int | None = None, *, timeout: float = 2.0) -> bool:
        """Wait until `count` peers confirmed, or with None everyone who is here and at least one."""
        return self._group._await(self._settled().confirmed(count, timeout=timeout))

    def _settled(self) -> aio.Receipt:
        self._group._wait_until(lambda: self._receipt is not None)
        if self._receipt is None:
            raise GroupClosed("the group was closed before this message was sent", "join again")
        return self._receipt


class Group:
    """A joined group; made by join(). `with` it, or close() it."""

    def __init__(self, group: aio.Group) -> None:
        self._group = group
        self._loop = asyncio.SelectorEventLoop()
        self._changed = threading.Condition()
        self._unsent: deque[tuple[bytes, Receipt]] = deque()
        self._untaken: deque[Event] = deque()
        self._ended = False
        self._error: BaseException | None = None
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="mcast", daemon=True)
        self._thread.start()
        try:
            self._await(self._enter())
        except BaseException:
            self._stop()
            raise
        _open_groups.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Send what is queued, say goodbye, leave. Closing twice is fine; so is closing in a forked child."""
        if self._ended or os.getpid() != self._pid:
            return
        self._refuse_own_thread()
        with contextlib.suppress(TimeoutError):
            future = asyncio.run_coroutine_threadsafe(self._leave(), self._loop)
            future.result(CLOSE_PATIENCE)
        self._stop()
        _open_groups.discard(self)

    def send(self, data: str | bytes) -> Receipt:
        """Send a message to everybody, waiting while too much is queued. Errors as in aio.Group.send()."""
        payload = data.encode("utf-8") if isinstance(data, str) else bytes(data)
        if len(payload) > MESSAGE_MAX:
            raise MessageTooLarge(
                f"a message of {len(payload)} bytes is larger than {MESSAGE_MAX}", "send it in parts"
            )
        self._refuse_own_thread()
        self._wait_until(lambda: len(self._unsent) < UNSENT_MAX)
        receipt = Receipt(self)
        with self._changed:
            self._check_open()
            idle = not self._unsent
            self._unsent.append((payload, receipt))
        if idle:
            self._loop.call_soon_threadsafe(self._start_sending)
        return receipt

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """All events, until the group is closed or none came for `timeout` seconds.

        Each is given once; what nobody takes is dropped in the end: see aio.Group.batches().
        """
        while (event := self._next(timeout)) is not None:
            yield event

    def messages(self, timeout: float | None = None) -> Iterator[Message]:
        """Messages alone, until the group is closed or none came for `timeout` seconds."""
        limit = _limit(timeout)
        while (event := self._next(None if limit is None else limit - time.monotonic())) is not None:
            if isinstance(event, Message):
                yield event
                limit = _limit(timeout)

    def peers(self) -> list[PeerView]:
        """Who is here, this run not counted."""
        return self._call(self._group.peers)

    def stats(self) -> dict[str, int]:
        """Counters; see aio.Group.stats()."""
        return self._call(self._group.stats)

    def announce(self, *, tags: Mapping[str, str] | None = None, services: Sequence[str] = ()) -> None:
        """Tell everybody what this peer offers from now on."""
        self._call(lambda: self._group.announce(tags=tags, services=services))

    @property
    def run(self) -> Run:
        """This run: its origin and epoch."""
        return self._group.run

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The interfaces, whether they are used, and why."""
        return self._group.choices

    # In the loop's thread.

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        finally:
            self._loop.close()

    async def _enter(self) -> None:
        await self._group.__aenter__()
        self._room = asyncio.Event()
        self._fetching = asyncio.create_task(self._fetch())
        self._sending: asyncio.Task[None] | None = None

    async def _leave(self) -> None:
        if self._sending is not None:
            await self._sending
        await self._group.close()
        self._room.set()
        await self._fetching

    async def _fetch(self) -> None:
        async for batch in self._group.batches():
            with self._changed:
                self._untaken.extend(batch)
                self._changed.notify_all()
            if len(self._untaken) > UNTAKEN_MAX:
                self._room.clear()
                await self._room.wait()

    def _start_sending(self) -> None:
        if self._sending is None or self._sending.done():
            self._sending = self._loop.create_task(self._send_all())

    async def _send_all(self) -> None:
        while self._unsent:
            payload, receipt = self._unsent[0]
            receipt._receipt = await self._group.send(payload)
            with self._changed:
                self._unsent.popleft()
                self._changed.notify_all()

    # In any other thread.

    def _next(self, timeout: float | None) -> Event | None:
        if not self._wait_until(lambda: bool(self._untaken), timeout):
            return None
        with self._changed:
            if len(self._untaken) == UNTAKEN_MAX // 2 and not self._ended:
                self._loop.call_soon_threadsafe(self._room.set)
            return self._untaken.popleft() if self._untaken else None

    def _wait_until(self, is_so: Callable[[], bool], timeout: float | None = None) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: is_so() or self._ended, timeout)
            return bool(is_so())

    def _await(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            self._refuse_own_thread()
            self._check_open()
        except BaseException:
            coroutine.close()
            raise
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _call(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            return function()

        return self._await(call())

    def _check_open(self) -> None:
        if os.getpid() != self._pid:
            raise GroupClosed("a group does not live on in a forked process", "join again there")
        if self._ended:
            raise GroupClosed("this group has been closed", "join again")

    def _refuse_own_thread(self) -> None:
        if threading.get_ident() == self._thread.ident:
            raise UsageError("a blocking call from the group's own event loop", "use mcast.aio there")

    def _stop(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_PATIENCE)


def join(
    group: str | None = None,
    *,
    port: int | None = None,
    room: str = "",
    name: str | None = None,
    key: bytes | None = None,
    room_id: bytes | None = None,
    interfaces: Sequence[str] = (),
    versions: Sequence[int] = (4, 6),
    ttl: int = 1,
    identity: bytes | None = None,
    epoch: int | None = None,
    tags: Mapping[str, str] | None = None,
    services: Sequence[str] = (),
    gap_timeout: float | None = None,
    visitor: bool = False,
    passive: bool = False,
    quiet: bool = False,
    settings: Settings | None = None,
) -> Group:
    """Join a group and return it joined; arguments and errors as in aio.join()."""
    return Group(
        aio.join(
            group,
            port=port,
            room=room,
            name=name,
            key=key,
            room_id=room_id,
            interfaces=interfaces,
            versions=versions,
            ttl=ttl,
            identity=identity,
            epoch=epoch,
            tags=tags,
            services=services,
            gap_timeout=gap_timeout,
            visitor=visitor,
            passive=passive,
            quiet=quiet,
            settings=settings,
        )
    )


_open_groups: weakref.WeakSet[Group] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """A program that ends with a group open says goodbye all the same."""
    for group in list(_open_groups):
        group.close()


def _limit(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout
