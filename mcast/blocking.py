"""The blocking API: join a group, send messages, iterate over events, from any thread.

    with mcast.join("230.0.0.1", name="ada") as group:
        group.send("hello")
        for message in group.messages(timeout=5):
            print(message.name, message.text)

Each group runs the asyncio API in an event loop with a thread of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar, overload

from . import aio
from .aio import Acks as Acks
from .aio import Service as Service
from .core.events import PeerId
from .errors import GroupClosed, McastError
from .events import Event, Message, PeerView, Question, RoomView, TransferOffered
from .interfaces import Choice
from .runtime.asking import AT_ONCE, TIME_LIMIT, Answers, Recipient
from .runtime.discovering import Change
from .runtime.event_queue import ThreadEventQueue
from .runtime.group import OVERLAP, Paths
from .runtime.joining import Data
from .runtime.loop_thread import LoopThread

if TYPE_CHECKING:
    from pathlib import Path

    from .files.outgoing import Skipped
    from .runtime.bulk.streams import Sink, Source
    from .runtime.bulk.transfers import Drop as AioDrop
    from .runtime.bulk.transfers import Fetch as AioFetch
    from .runtime.bulk.views import Failure, Progress, Verdict

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")

UNSENT_MAX = 256 << 10
"""Bytes that wait for the event loop before send() blocks."""
UNSENT_COST = 64
"""Bytes that a message counts besides its own, so that the number of empty messages is bounded too."""
TAKE_INTERVAL = 0.005
"""Seconds between two looks of the loop at the messages that threads sent. Meanwhile threads need not wake
it. The interval between two flushes is the same."""
DRAIN_PATIENCE = 1.5
"""Seconds that close() gives queued messages to leave."""
CLOSE_PATIENCE = 3.0
"""Seconds that close() takes at most."""


class Receipt:
    """Tells who has received a message that was sent, or all those that were sent together."""

    __slots__ = ("_error", "_group", "_receipt", "_since")

    def __init__(self, group: Group, since: Receipt | None = None) -> None:
        self._group, self._since = group, since
        self._receipt: aio.Receipt | None = None
        self._error: McastError | None = None

    def __repr__(self) -> str:
        return f"Receipt({'not sent yet' if self._receipt is None else self._receipt.id})"

    @property
    def id(self) -> str:
        """The message's id, as in logs and in the JSON of the command line; see aio.message_id().

        Waits until the message has left the queue. Raises GroupClosed if the group was closed before that.
        """
        return self._settled().id

    @property
    def heard_by(self) -> tuple[PeerView, ...]:
        """Peers that confirmed this message. In an open room anyone can invent peers."""
        receipt = self._settled()
        return self._group._call(lambda: receipt.heard_by)

    @property
    def unheard_by(self) -> tuple[PeerView, ...]:
        """Peers that were here since it was sent, also if they have left, and have not confirmed it."""
        receipt = self._settled()
        return self._group._call(lambda: receipt.unheard_by)

    def acked(self, by: aio.By | None = None, *, timeout: float = 2.0) -> Acks:
        """Wait until this message is confirmed, at most `timeout` seconds. Returns who did and who did not.

        by: how many peers must confirm it, or which: a name, an id (16 hex digits or more) or a peer, or
            several of these. None means everybody: each peer in the roster and whoever joins meanwhile, at
            least one. Before that a visitor asks who is here, which takes about half a second.

        The result is true if they did. Anybody can take any name: where that matters, use ids.
        """
        return self._group._thread.run(self._settled().acked(by, timeout=timeout))

    def confirmed(self, count: int | None = None, *, timeout: float = 2.0) -> bool:
        """Wait until peers have confirmed this message. Returns False after `timeout` seconds.

        count: how many must confirm; None means every peer in the roster so far, and at least one.
        """
        return self._group._thread.run(self._settled().confirmed(count, timeout=timeout))

    def _settled(self) -> aio.Receipt:
        if self._receipt is None:
            self._group._settle(self)
        if self._receipt is None:
            raise self._error or GroupClosed(
                "the group was closed before this message was sent", "join again"
            )
        return self._receipt if self._since is None else self._receipt.since(self._since._settled())


class Transfer:
    """What Drop and Fetch have in common. `id` names the transfer, `offer` is what was offered."""

    def __init__(self, group: Group, transfer: AioDrop | AioFetch) -> None:
        self._group = group
        self._of_loop = transfer
        self.id, self.offer = transfer.id, transfer.offer

    @property
    def failure(self) -> Failure | None:
        """Why it ended, if it did without success."""
        return self._of_loop.failure

    def progress(self) -> Progress:
        """How it stands. Cheap: call it as often as a screen needs."""
        return self._group._call(self._of_loop.progress)

    def changed(self, timeout: float | None = None) -> bool:
        """Wait until progress() may differ, at least 0.1 s. False if nothing changed within `timeout`."""
        return self._group._thread.run(self._of_loop.changed(timeout))


class Drop(Transfer):
    """A transfer that we offer. It is served until withdraw(), or until the group is closed."""

    def __init__(self, group: Group, drop: AioDrop) -> None:
        super().__init__(group, drop)
        self._drop = drop

    def wait(
        self,
        *,
        receivers: int | Sequence[PeerId | PeerView | str] | None = None,
        timeout: float | None = None,
    ) -> Verdict:
        """Wait until so many, or these (ids, peers, names), have it whole or have failed.

        None: all that have accepted, at least one. The verdict is true if they have it whole.
        """
        return self._group._thread.run(self._drop.wait(receivers=receivers, timeout=timeout))

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The files that are not sent, such as links, and why; empty with a source of one's own."""
        return self._drop.skipped

    def withdraw(self) -> None:
        """Say that it is offered no more, and close the source."""
        self._group._thread.run(self._drop.withdraw())


class Fetch(Transfer):
    """A transfer that we accepted. Once whole it is served to others, until close() or the group's end."""

    def __init__(self, group: Group, fetch: AioFetch) -> None:
        super().__init__(group, fetch)
        self._fetch = fetch

    @property
    def paths(self) -> tuple[Path, ...]:
        """Where the files are, once it is whole; empty with a sink of one's own."""
        return self._fetch.paths

    def wait(self, timeout: float | None = None) -> Failure | None:
        """Wait until it is whole and the sink has finished. Returns None then, else why it is not.

        While nobody serves it, it waits for somebody who does. Raises TimeoutError after `timeout` seconds.
        """
        return self._group._thread.run(self._fetch.wait(timeout))

    def cancel(self) -> None:
        """Stop, unless it is whole; the sink is aborted. Others are told."""
        self._group._thread.run(self._fetch.cancel())

    def close(self) -> None:
        """Serve it no more, and close the sink. What is not whole is cancelled."""
        self._group._thread.run(self._fetch.close())


class PrivateReceipt:
    """Tells whether a message to one peer has arrived."""

    __slots__ = ("_group", "_receipt")

    def __init__(self, group: Group, receipt: aio.PrivateReceipt) -> None:
        self._group, self._receipt = group, receipt

    @property
    def id(self) -> str:
        """The message's id, as in logs and in the JSON of the command line."""
        return self._receipt.id

    @property
    def peer_id(self) -> PeerId:
        """The peer that the message is for."""
        return self._receipt.peer_id

    @property
    def delivered(self) -> bool | None:
        """True when the peer's program has the message, False when it was given up; None before that."""
        return self._group._call(lambda: self._receipt.delivered)

    def confirmed(self, *, timeout: float = 2.0) -> bool:
        """Wait until the message was delivered. Returns False if it was given up, or after `timeout` s."""
        return self._group._thread.run(self._receipt.confirmed(timeout=timeout))


class Group:
    """A group, made by join(). Use it in a `with` statement, or close() it. Any thread may use it."""

    def __init__(self, group: aio.Group) -> None:
        self._group = group
        self._queue = group._queue = ThreadEventQueue()
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

    def __repr__(self) -> str:
        return repr(self._group)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Send what is queued, say goodbye and leave. Takes about 60 ms, at most 3 s.

        May be called twice, and while other threads send (they get GroupClosed) or iterate (they end). In a
        forked child it does nothing.
        """
        if self._thread.forked:
            return
        self._thread.require()
        with self._lock:
            self._closing = True
            self._changed.notify_all()
        self._thread.stop(CLOSE_PATIENCE)
        self._queue.close()
        with self._lock:
            self._changed.notify_all()
        _open_groups.discard(self)

    @overload
    def send(self, data: Data, *, guest: str | None = None) -> Receipt: ...

    @overload
    def send(self, data: Data, *, to: Recipient, letter: int = 0) -> PrivateReceipt: ...

    def send(
        self, data: Data, *, to: Recipient | None = None, guest: str | None = None, letter: int = 0
    ) -> Receipt | PrivateReceipt:
        """Send a message to the group, or to one peer.

        Waits while too much is queued, but not until the message has left.

        data: text (sent as UTF-8) or bytes, at most 64 KiB. Messages of one thread to the group arrive in
            their order.
        to: a peer, as in peers(), or anything that a peer sent. Then the message is private: sealed for that
            peer alone, repeated for 10 s until it is confirmed, and never sent to the group.
        guest: the name of somebody who is not in the group and for whom this program speaks, at most 64 bytes
            of UTF-8. Others see that it is a guest's message, and by whom it came.
        letter: with `to`, a number (at most 2**63 - 1) by which the peer knows the message again if you send
            it once more because it was not confirmed, also after a restart. Take a random one.
        Raises MessageTooLarge, UsageError for another type or in a passive group, GroupClosed after close().
        Nothing was sent then.
        """
        payload = self._group.payload(data)
        self._thread.require()
        if to is not None:
            return PrivateReceipt(self, self._thread.run(self._group.send(payload, to=to, letter=letter)))
        receipt = Receipt(self)
        if guest is None:
            self._put(payload, receipt)
        else:
            receipt._receipt = self._thread.run(self._send_for(guest, payload))
        return receipt

    def send_many(self, messages: Iterable[Data]) -> Receipt | None:
        """Send messages in their order. Waits while too much is queued.

        Returns the receipt of the last message, which covers all before it; None if there are no messages.
        Raises the errors of send() before anything is sent, and GroupClosed if the group is closed meanwhile.
        """
        payloads = self._group.payloads(messages)
        self._thread.require()
        if not payloads:
            return None
        first = Receipt(self)
        self._put(payloads[0], first)
        if len(payloads) == 1:
            return first
        for payload in payloads[1:-1]:
            self._put(payload, None)
        receipt = Receipt(self, first)
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

    def ask(
        self, data: Data, *, timeout: float = 2.0, count: int | None = None, wait_all: bool = False
    ) -> Answers:
        """Ask all peers that answer questions (see on_ask), and wait until each of them has answered.

        data: the question, text or bytes, at most 64 KiB. Each peer gets it sealed for itself alone.
        timeout: seconds after which not to wait any longer. Answers that come later are events.
        count: stop when so many have answered.
        wait_all: wait until `timeout` for peers that come in the meantime.
        Raises what send() raises.
        """
        return self._thread.run(self._group.ask(data, timeout=timeout, count=count, wait_all=wait_all))

    def drop(
        self,
        what: Source | Paths,
        *,
        title: str | None = None,
        count: int | None = None,
        to: Iterable[Recipient] | None = None,
        way: str = "auto",
    ) -> Drop:
        """Offer a transfer to all in the room, and serve it to those who accept it, until withdraw().

        what: a file or a directory, several of them, or a Source of bytes. It is read once before it is
            offered, to make its hash tree.
        title: a short text about it, at most 255 bytes of UTF-8. Default: the names of the files.
        count: how many files it has, for those who decide whether to accept it. Default: the number of files.
        to: peers that it is for, as in send(), at most 32 identities. Nobody else can get it or learn its
            title, not even in an open room; others learn its exact size. Default: everybody.
        way: "auto", or "multicast" or "unicast" to have only that.
        Raises UsageError, McastError if 32 transfers are open, GroupClosed, and what the source raises.
        """
        dropped = self._thread.run(self._group.drop(what, title=title, count=count, to=to, way=way))
        return Drop(self, dropped)

    def accept(
        self,
        offer: TransferOffered,
        sink: Sink | None = None,
        *,
        into: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        executable: bool = False,
        way: str = "auto",
    ) -> Fetch:
        """Fetch what a peer offers, from it and from all others who have it.

        offer: a TransferOffered event, or one of offered().
        sink: where it goes, if not into files.
        into: the directory for the files. They are there once they are whole; see Fetch.paths.
        overwrite: replace files of the same name. Default: a number is added to the new name.
        executable: let files be executable that are so at the sender. Default: False.
        way: as in drop().
        Raises what drop() raises. What the sink raises ends the transfer: see Fetch.wait().
        """
        accepting = self._group.accept(
            offer, sink, into=into, overwrite=overwrite, executable=executable, way=way
        )
        return Fetch(self, self._thread.run(accepting))

    def holders(self, offer: TransferOffered) -> list[PeerView]:
        """Who is here and says that it has all of a transfer, so that it can be accepted with success."""
        return self._call(lambda: self._group.holders(offer))

    def offered(self) -> list[TransferOffered]:
        """What others offer and have not withdrawn, the oldest first: at most 256, of one identity 16."""
        return self._call(self._group.offered)

    def on_ask(
        self, handler: Callable[[Question], Data | None], *, time_limit: float = TIME_LIMIT
    ) -> Callable[[Question], Data | None]:
        """Answer the questions of others: a decorator for a function that takes a Question.

        It runs in a thread of its own, and returns the answer: text or bytes, or None if the question is not
        for it. If it raises a McastError, the asker gets its text instead of an answer. Eight questions are
        answered at the same time, each within `time_limit` seconds; the asker is told if that does not work.
        Others see from now on that this peer answers.
        """
        workers = Workers(handler)
        self._call(lambda: self._group.on_ask(workers.answer, time_limit=time_limit))
        return handler

    def batches(self, timeout: float | None = None) -> Iterator[list[Event]]:
        """Iterate over all events, in lists of those that wait, until the group is closed.

        timeout: stop after so many seconds without an event; None waits for ever. Each event is given once,
        even if several threads iterate. Events that nobody takes are dropped beyond 100,000 or 64 MiB, the
        oldest first; then an Overflow tells how many.
        """
        while batch := self._events().get_all(timeout):
            yield batch

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """Iterate over all events one by one; see batches(). If you stop early, the rest stays queued."""
        while (event := self._events().get(timeout)) is not None:
            yield event

    def messages(self, timeout: float | None = None) -> Iterator[Message]:
        """Iterate over messages only, until the group is closed.

        timeout: stop after so many seconds without a message; None waits for ever. All other events are
        dropped, even an Overflow: use events() if you need them.
        """
        while (message := self._next_message(timeout)) is not None:
            yield message

    def peers(self) -> list[PeerView]:
        """The other peers in the roster. In an open room anyone can invent peers."""
        return self._call(self._group.peers)

    def rooms(self, timeout: float = 0.6) -> list[RoomView]:
        """Ask which other open rooms there are in the group, and wait `timeout` seconds for answers.

        A room with a key is never named. Anybody can make up rooms.
        """
        return self._thread.run(self._group.rooms(timeout))

    def describe(self, topic: str) -> None:
        """What to tell of this room, if it is open, to those who ask for rooms: the first 64 bytes of it."""
        self._call(functools.partial(self._group.describe, topic))

    def rekey(self, key: bytes, *, overlap: float = OVERLAP) -> None:
        """Change the key of the room: seal with `key` (32 bytes) from now on.

        For `overlap` seconds, what others seal with the key of before is still taken. Who does not get the
        new key hears nothing from now on, and is not heard after that time.

        Raises UsageError in an open room.
        """
        self._call(lambda: self._group.rekey(key, overlap=overlap))

    def stats(self) -> dict[str, int]:
        """Counters: `sent-…` by frame, `dropped-…` by reason, `send-…` failed sends by errno, and sizes.

        After close() they are the last ones.
        """
        return self._call(self._group.stats)

    def traffic(self) -> dict[str, dict[str, int]]:
        """Datagrams of UDP and their bytes, by the name of each interface in use.

        `sent`, `sent_bytes`, `received` and `received_bytes`. What was sent to several groups or in both IP
        versions counts for each. Our own datagrams, which come back to us, do not count as received.
        """
        return self._call(self._group.traffic)

    def announce(self, *, tags: Mapping[str, str] | None = None, services: Sequence[str] = ()) -> None:
        """Replace what this peer offers to others.

        tags: names and values.
        services: each `TYPE` or `TYPE:PORT`, such as `_http._tcp:8080`.
        Raises UsageError if they do not fit an announcement, GroupClosed after close().
        """
        self._call(lambda: self._group.announce(tags=tags, services=services))

    @property
    def name(self) -> str:
        """How others see this peer."""
        return self._group.name

    @property
    def peer_id(self) -> PeerId:
        """This peer: its origin (16 bytes) and incarnation."""
        return self._group.peer_id

    @property
    def behind(self) -> float:
        """How many seconds ago the events came that were taken last: how slowly the program takes them."""
        return self._events().behind

    @property
    def choices(self) -> tuple[Choice, ...]:
        """All interfaces, with whether each is used and why."""
        return self._group.choices

    # Called in the loop's thread.

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
        """Send the messages of all threads, and look again later until there are none."""
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

    async def _send_for(self, guest: str, payload: bytes) -> aio.Receipt:
        """Send a guest's message after those that are queued."""
        while self._unsent:
            self._take()
            await asyncio.sleep(TAKE_INTERVAL)
        return await self._group.send(payload, guest=guest)

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

    # Called in any other thread.

    def _events(self) -> ThreadEventQueue:
        self._thread.require()
        return self._queue

    def _next_message(self, timeout: float | None) -> Message | None:
        queue = self._events()
        limit = None if timeout is None else time.monotonic() + timeout
        while (event := queue.get(None if limit is None else limit - time.monotonic())) is not None:
            if isinstance(event, Message):
                return event
        return None

    def _settle(self, receipt: Receipt) -> None:
        """Wait until the loop has taken the message, or the group is closed."""
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


class Workers:
    """Runs the handler of on_ask() in threads, AT_ONCE at most: daemons, so that none keeps the program."""

    def __init__(self, handler: Callable[[Question], Data | None]) -> None:
        self._handler = handler
        self._free = threading.Semaphore(AT_ONCE)

    async def answer(self, question: Question) -> Data | None:
        """Run the handler. Raises McastError if all threads hang."""
        if not self._free.acquire(blocking=False):
            raise McastError("the replier is busy", "ask again later")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Data | None] = loop.create_future()

        def done(data: Data | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(data)
            else:
                future.set_exception(error)

        def work() -> None:
            data, failure = None, None
            try:
                data = self._handler(question)
            except Exception as error:
                failure = error
            self._free.release()
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(done, data, failure)

        threading.Thread(target=work, name="mcast-on-ask", daemon=True).start()
        return await future


class Browser:
    """Shows who is in a group, without being seen itself. Made by browse(); `group` is the group it is in.

    Use it in a `with` statement, or close() it. Iterating gives a PeerJoined for each peer that matches,
    those that are here first, a PeerUpdated when it changes, and a PeerLeft when it is gone or matches no
    more.
    """

    def __init__(self, browser: aio.Browser) -> None:
        self._browser = browser
        self.group = Group(browser.group)
        self.group._call(browser.start)

    def __repr__(self) -> str:
        return repr(self._browser)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the group."""
        self.group.close()

    def peers(self) -> list[PeerView]:
        """The peers that match and are here now. In the first half second it waits until they are known."""
        return self.group._thread.run(self._browser.peers())

    def changes(self, timeout: float | None = None) -> Iterator[Change]:
        """Iterate over the changes, until the group is closed.

        timeout: stop after so many seconds without one; None waits for ever.
        """
        limit = None if timeout is None else time.monotonic() + timeout
        events = self.group._events()
        while (event := events.get(None if limit is None else limit - time.monotonic())) is not None:
            if change := self._browser.change(event):
                yield change
                limit = None if timeout is None else time.monotonic() + timeout

    def __iter__(self) -> Iterator[Change]:
        return self.changes()


class Announcer(Browser):
    """Offers services and tags in a group, and shows who else is there. Made by announce()."""

    def __init__(self, announcer: aio.Announcer) -> None:
        super().__init__(announcer)
        self._announcer = announcer

    def update(self, *, tags: Mapping[str, str] | None = None, services: Sequence[str] | None = None) -> None:
        """Offer other tags or other services from now on. None leaves them as they are.

        Raises UsageError if they do not fit an announcement, GroupClosed after close().
        """
        self.group._call(lambda: self._announcer.update(tags=tags, services=services))


def _blocking(join: Callable[P, aio.Group]) -> Callable[P, Group]:
    """aio.join() for the blocking API: with the same arguments, it returns a group that is entered."""

    @functools.wraps(join)
    def blocking_join(*args: P.args, **kwargs: P.kwargs) -> Group:
        return Group(join(*args, **kwargs))

    arguments = (join.__doc__ or "").partition("\n")[2].replace("Entering raises", "It also raises")
    blocking_join.__module__ = __name__
    blocking_join.__doc__ = f"Join a group and return it. All arguments are optional.\n{arguments}"
    return blocking_join


join = _blocking(aio.join)


def _entered(make: Callable[P, A], kind: Callable[[A], B]) -> Callable[P, B]:
    """aio.browse() or aio.announce() for the blocking API: what it returns is entered."""

    @functools.wraps(make)
    def entered(*args: P.args, **kwargs: P.kwargs) -> B:
        return kind(make(*args, **kwargs))

    entered.__module__ = __name__
    entered.__doc__ = (make.__doc__ or "").replace("to enter with `async with`", "for a `with` statement")
    return entered


browse = _entered(aio.browse, Browser)
announce = _entered(aio.announce, Announcer)

_open_groups: set[Group] = set()


@atexit.register
def _close_all() -> None:
    """Say goodbye in the groups that a program has open when it ends."""
    for group in list(_open_groups):
        group.close()


def _abandon_all() -> None:
    """A forked child has no loop thread, and must not touch the loop that its parent uses."""
    for group in _open_groups:
        group._abandon()
    _inherited.extend(_open_groups)
    _open_groups.clear()


_inherited: list[Group] = []

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_abandon_all)
