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
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Self, TypeVar

from . import aio
from .core.peer_id import PeerId
from .errors import GroupClosed, McastError
from .events import Event, Message, PeerView
from .interfaces import Choice
from .runtime.event_queue import ThreadMailbox
from .runtime.joining import Data
from .runtime.loop_thread import LoopThread
from .settings import Settings

T = TypeVar("T")

UNSENT_MAX = 256 << 10
"""Bytes handed over and not yet taken by the loop before send() waits."""
UNSENT_COST = 64
"""Bytes that a message counts beyond its own, so that empty ones are bounded too."""
TAKE_INTERVAL = 0.005
"""Seconds for which the loop goes on looking for messages by itself, and threads need not wake it: a flush
leaves no sooner after another."""
DRAIN_PATIENCE = 1.5
CLOSE_PATIENCE = 3.0
"""Seconds for what is queued to leave, and for that, goodbye and the thread's end together."""


class Receipt:
    """A message that was sent; see aio.Receipt."""

    __slots__ = ("_error", "_group", "_receipt")

    def __init__(self, group: Group) -> None:
        self._group = group
        self._receipt: aio.Receipt | None = None
        self._error: McastError | None = None

    @property
    def id(self) -> str:
        """The message's name; waits until it has one, which is at once unless much is queued.

        Raises GroupClosed when the group was closed before the message could leave.
        """
        return self._settled().id

    @property
    def heard_by(self) -> tuple[PeerId, ...]:
        """The runs that confirmed that they have this message and all before it. In an open room anyone can
        make up as many as he likes."""
        receipt = self._settled()
        return self._group._call(lambda: receipt.heard_by)

    @property
    def unheard_by(self) -> tuple[PeerId, ...]:
        """The peers heard of that have not confirmed yet."""
        receipt = self._settled()
        return self._group._call(lambda: receipt.unheard_by)

    def confirmed(self, count: int | None = None, *, timeout: float = 2.0) -> bool:
        """Wait until `count` peers confirmed, or with None everyone who is here and at least one; False when
        `timeout` seconds were not enough."""
        return self._group._thread.run(self._settled().confirmed(count, timeout=timeout))

    def _settled(self) -> aio.Receipt:
        if self._receipt is None:
            self._group._settle(self)
        if self._receipt is None:
            raise self._error or GroupClosed(
                "the group was closed before this message was sent", "join again"
            )
        return self._receipt


class Group:
    """A joined group; made by join(). `with` it, or close() it. Calls may come from any thread."""

    def __init__(self, group: aio.Group) -> None:
        self._group = group
        self._mailbox = group._mailbox = ThreadMailbox()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._unsent: list[tuple[bytes, Receipt | None]] = []
        self._unsent_bytes = 0
        self._awake = self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._thread = LoopThread(self._leave)
        try:
            self._thread.run(self._enter())
        except BaseException:
            self._thread.stop(CLOSE_PATIENCE)
            raise
        _open_groups.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Send what is queued, say goodbye, leave: about 60 ms, three seconds at most.

        Closing twice is fine, and so is closing while other threads send or iterate: they get GroupClosed, or
        the end. In a forked child it does nothing.
        """
        if self._thread.forked:
            return
        self._thread.require()
        with self._lock:
            self._closing = True
            self._changed.notify_all()
        self._thread.stop(CLOSE_PATIENCE)
        self._mailbox.close()
        with self._lock:
            self._changed.notify_all()
        _open_groups.discard(self)

    def send(self, data: Data) -> Receipt:
        """Send a message to everybody, waiting while too much is queued. Returns before it has left.

        Raises MessageTooLarge above 64 KiB, UsageError for anything but text and bytes and in a passive
        group, GroupClosed after close(); nothing was sent then. Messages of one thread keep their order.
        """
        payload = self._group.payload(data)
        self._thread.require()
        receipt = Receipt(self)
        self._put(payload, receipt)
        return receipt

    def send_many(self, messages: Iterable[Data]) -> Receipt | None:
        """Send messages in their order, waiting while too much is queued.

        The last one's receipt: who confirmed it has all before it, too. None if there were no messages.
        Errors as in send(), before anything is sent; GroupClosed also when it is closed meanwhile.
        """
        payloads = self._group.payloads(messages)
        self._thread.require()
        if not payloads:
            return None
        for payload in payloads[:-1]:
            self._put(payload, None)
        receipt = Receipt(self)
        self._put(payloads[-1], receipt)
        return receipt

    def _put(self, payload: bytes, receipt: Receipt | None) -> None:
        with self._lock:
            while self._unsent_bytes >= UNSENT_MAX and not self._closing:
                self._changed.wait()
            if self._closing:
                raise GroupClosed("this group has been closed", "join again")
            self._unsent.append((payload, receipt))
            self._unsent_bytes += len(payload) + UNSENT_COST
            asleep, self._awake = not self._awake, True
        if asleep:
            self._thread.call_soon(self._take)

    def batches(self, timeout: float | None = None) -> Iterator[list[Event]]:
        """All events, in lists of what came since the last look, until the group is closed or nothing came
        for `timeout` seconds.

        Each event is given once, whichever thread iterates. What nobody takes is dropped after 100,000 events
        or 64 MiB, the oldest first, and an Overflow says so.
        """
        while batch := self._waiting().get_all(timeout):
            yield batch

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """All events, one by one; see batches(). What is not reached stays for the next who iterates."""
        while (event := self._waiting().get(timeout)) is not None:
            yield event

    def messages(self, timeout: float | None = None) -> Iterator[Message]:
        """Messages alone, until the group is closed or none came for `timeout` seconds.

        Other events are dropped on the way, an Overflow too: whoever must know uses events().
        """
        while (message := self._next_message(timeout)) is not None:
            yield message

    def peers(self) -> list[PeerView]:
        """Who is here, this run not counted. In an open room anyone can make up as many as he likes."""
        return self._call(self._group.peers)

    def stats(self) -> dict[str, int]:
        """Counters; see aio.Group.stats(). After close() the last."""
        return self._call(self._group.stats)

    def announce(self, *, tags: Mapping[str, str] | None = None, services: Sequence[str] = ()) -> None:
        """Tell everybody what this peer offers from now on; arguments as in join(). UsageError when it does
        not fit, GroupClosed after close()."""
        self._call(lambda: self._group.announce(tags=tags, services=services))

    @property
    def name(self) -> str:
        """How others see this peer."""
        return self._group.name

    @property
    def peer_id(self) -> PeerId:
        """This run: its origin and incarnation."""
        return self._group.peer_id

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The interfaces, whether they are used, and why."""
        return self._group.choices

    # In the loop's thread.

    async def _enter(self) -> None:
        await self._group.__aenter__()

    async def _leave(self) -> None:
        limit = time.monotonic() + DRAIN_PATIENCE
        while self._unsent and time.monotonic() < limit:
            self._take()
            await asyncio.sleep(TAKE_INTERVAL)
        if self._timer is not None:
            self._timer.cancel()
        await self._group.close()

    def _take(self) -> None:
        """Send what threads handed over, and look again later: only after a vain look must they wake us."""
        if self._timer is not None:
            self._timer.cancel()
        if self._group.writable:
            with self._lock:
                batch, self._unsent, self._unsent_bytes = self._unsent, [], 0
                self._awake = bool(batch)
            self._send(batch)
            with self._lock:
                self._changed.notify_all()
        if self._awake:
            self._timer = asyncio.get_running_loop().call_later(TAKE_INTERVAL, self._take)

    def _send(self, batch: list[tuple[bytes, Receipt | None]]) -> None:
        try:
            receipts = self._group.send_all([payload for payload, _ in batch])
        except McastError as error:
            for _, receipt in batch:
                if receipt is not None:
                    receipt._error = error
        else:
            for (_, receipt), sent in zip(batch, receipts, strict=True):
                if receipt is not None:
                    receipt._receipt = sent

    # In any other thread.

    def _waiting(self) -> ThreadMailbox:
        """The mailbox, for a thread that may wait at it."""
        self._thread.require()
        return self._mailbox

    def _next_message(self, timeout: float | None) -> Message | None:
        mailbox = self._waiting()
        limit = None if timeout is None else time.monotonic() + timeout
        while (event := mailbox.get(None if limit is None else limit - time.monotonic())) is not None:
            if isinstance(event, Message):
                return event
        return None

    def _settle(self, receipt: Receipt) -> None:
        """Wait until the loop took the message, or the group is closed."""
        self._thread.require()
        self._thread.call_soon(self._take)
        with self._lock:
            self._changed.wait_for(
                lambda: receipt._receipt is not None or receipt._error is not None or self._thread.over
            )

    def _call(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            return function()

        self._thread.require()
        return function() if self._thread.over else self._thread.run(call())

    def _abandon(self) -> None:
        self._thread.abandon()


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
    sources: Sequence[str] = (),
    identity: bytes | None = None,
    incarnation: int | None = None,
    tags: Mapping[str, str] | None = None,
    services: Sequence[str] = (),
    gap_timeout: float | None = None,
    visitor: bool = False,
    passive: bool = False,
    quiet: bool = False,
    history: bool = False,
    last: int | None = None,
    since: float | None = None,
    wait: bool = False,
    machine: bytes = bytes(8),
    peers: Sequence[str] = (),
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
            sources=sources,
            identity=identity,
            incarnation=incarnation,
            tags=tags,
            services=services,
            gap_timeout=gap_timeout,
            visitor=visitor,
            passive=passive,
            quiet=quiet,
            history=history,
            last=last,
            since=since,
            wait=wait,
            machine=machine,
            peers=peers,
            settings=settings,
        )
    )


_open_groups: set[Group] = set()


@atexit.register
def _close_all() -> None:
    """A program that ends with a group open says goodbye all the same."""
    for group in list(_open_groups):
        group.close()


def _abandon_all() -> None:
    """A forked child has no loop thread, and must not touch the loop that its parent goes on with."""
    for group in _open_groups:
        group._abandon()
    _inherited.extend(_open_groups)
    _open_groups.clear()


_inherited: list[Group] = []

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_abandon_all)
