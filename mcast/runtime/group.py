"""A group as the application sees it, for asyncio: join, send, receipts, events."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Self, overload

import msgspec

from mcast.core.context import Mode
from mcast.core.engine import Engine
from mcast.core.engine import Receipt as SentMessage
from mcast.core.events import Event as CoreEvent
from mcast.core.events import Notice, PeerId
from mcast.core.history.store import SavedRecord
from mcast.crypto.keys import Identity
from mcast.crypto.offers import Offer, credential
from mcast.crypto.rooms import Room
from mcast.errors import GroupClosed, PermissionRefused, UsageError
from mcast.events import (
    Answer,
    Event,
    InterfacesChanged,
    Message,
    PeerView,
    PlainText,
    Question,
    RoomView,
    TransferOffered,
    Unheard,
)
from mcast.interfaces import Choice
from mcast.multicast import Datagram
from mcast.net.address import GroupAddress
from mcast.net.links import Change, Links, Plan
from mcast.net.plain_text import decode, payload_limit
from mcast.runtime.asking import (
    TIME_LIMIT,
    Answers,
    Asking,
    Handler,
    PrivateReceipt,
    Recipient,
    Replying,
    RollCall,
    recipient,
    recipients,
)
from mcast.runtime.driver import HEARS, Driver
from mcast.runtime.event_queue import EventQueue
from mcast.runtime.joining import (
    Data,
    make_attributes,
    make_guest,
    make_key,
    make_payload,
    make_payloads,
    message_id,
)
from mcast.runtime.loop_thread import separate_selector
from mcast.runtime.static_peers import PeerName, Problems, StaticPeers
from mcast.settings import Settings
from mcast.wire.attributes import Attributes
from mcast.wire.bulk import BulkNotice, encode_notice
from mcast.wire.contents import ContentKind
from mcast.wire.frames import ANSWERS, HOLDER, LISTENER
from mcast.wire.limits import DATAGRAM_SAFE, NUMBER_MAX

if TYPE_CHECKING:
    from mcast.runtime.bulk.streams import Sink, Source
    from mcast.runtime.bulk.transfers import Bulk, Drop, Fetch

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""A file or a directory, or several."""
PORTION, PORTION_BYTES = 64, 64 * 1024
"""Messages of send_many(), and their bytes, that are queued before it looks again whether there is room."""
ASK_AGAIN = 0.25
"""Seconds, at least, after which peers that have not confirmed a message are asked again."""
MEETING = 5.0
"""Seconds that it takes at most, in a crowd, to know who is here."""

OVERLAP = 600.0
"""Seconds after a change of the key in which the old one is accepted, so that all can type the new one."""

By = int | str | PeerId | PeerView | Sequence[str | PeerId | PeerView]
"""Who is to confirm: so many peers, or these, each by its name, id, or as a peer."""


class Acks(msgspec.Struct, frozen=True):
    """Who confirmed a message. It is true if those who were to confirm it did.

    `confirmed` are the peers that have it. `missing` are those that were here since it was sent and have not
    confirmed it, also if they have left.
    """

    complete: bool
    confirmed: tuple[PeerView, ...]
    missing: tuple[PeerView, ...]

    def __bool__(self) -> bool:
        return self.complete


class Receipt:
    """Tells who has received a message that was sent, or all those up to it that were sent together."""

    __slots__ = ("_first", "_group", "_message")

    def __init__(self, group: Group, message: SentMessage, first: int | None = None) -> None:
        self._group, self._message = group, message
        self._first = message.sequence if first is None else first

    def __repr__(self) -> str:
        return f"Receipt({self.id})"

    def since(self, earlier: Receipt) -> Receipt:
        """The receipt of all messages from that of `earlier` to this one."""
        return Receipt(self._group, self._message, earlier._first)

    @property
    def id(self) -> str:
        """The message's id, as in logs and in the JSON of the command line; see aio.message_id()."""
        return message_id(self._message.peer_id, self._message.sequence, self._message.index)

    @property
    def heard_by(self) -> tuple[PeerView, ...]:
        """Peers that confirmed this message. In an open room anyone can invent peers."""
        return tuple(map(self._group._engine.peer, self._heard_by))

    @property
    def unheard_by(self) -> tuple[PeerView, ...]:
        """Peers that were here since it was sent, also if they have left, and have not confirmed it."""
        return tuple(map(self._group._engine.peer, self._unheard_by))

    async def acked(self, by: By | None = None, *, timeout: float = 2.0) -> Acks:
        """Wait until this message is confirmed, at most `timeout` seconds. Returns who did and who did not.

        by: how many peers must confirm it, or which: a name, an id (16 hex digits or more) or a peer, or
            several of these. None means everybody: each peer in the roster and whoever joins meanwhile, at
            least one. Before that a visitor asks who is here, which takes about half a second.

        The result is true if they did. Anybody can take any name: where that matters, use ids.
        """
        if by is None:
            await self._group.acquaint()
        return await self._wait(by, timeout)

    async def confirmed(self, count: int | None = None, *, timeout: float = 2.0) -> bool:
        """Wait until peers have confirmed this message. Returns False after `timeout` seconds.

        count: how many must confirm; None means every peer in the roster so far, and at least one.
        """
        return bool(await self._wait(count, timeout))

    async def _wait(self, by: By | None, timeout: float) -> Acks:
        """Ask for confirmations until there are enough. The last look is what is returned."""
        group = self._group
        engine, driver = group._engine, group._driver
        limit = driver.now + timeout
        ask_at, asked = driver.now + ASK_AGAIN, False
        while True:
            enough, now = self._enough(by), driver.now
            if enough or now >= limit or engine.closing or group.refusal is not None:
                return Acks(enough, self.heard_by, self.unheard_by)
            # The fastest peer confirms unasked; then the others are asked. If none confirms for a while, its
            # report was lost, or signed with a key that we did not know yet: all are asked.
            if now >= ask_at or (self._heard_by and not asked):
                asked = True
                ask_at = now + max(ASK_AGAIN, engine.ask_reports(now))
                driver.step()
            await driver.progress(min(limit, ask_at) - now)

    def _enough(self, by: By | None) -> bool:
        """Whether those who have to confirm have."""
        if by is None:
            return bool(self._heard_by) and not self._unheard_by
        if isinstance(by, int):
            return len(self._heard_by) >= by
        wanted = [by] if isinstance(by, str | PeerId | PeerView) else by
        confirmed, missing = self.heard_by, self.unheard_by
        return all(_has(confirmed, one) and not _has(missing, one) for one in wanted)

    @property
    def _heard_by(self) -> list[PeerId]:
        return self._group._engine.heard_by(self._message.sequence, self._first)

    @property
    def _unheard_by(self) -> list[PeerId]:
        return self._group._engine.unheard_by(self._message.sequence, self._first)


def _has(peers: Sequence[PeerView], wanted: str | PeerId | PeerView) -> bool:
    """Whether the peer that is `wanted` is among them."""
    if isinstance(wanted, PeerView):
        wanted = wanted.peer_id
    if isinstance(wanted, PeerId):
        return any(peer.peer_id == wanted for peer in peers)
    return any(peer.is_called(wanted) for peer in peers)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of aio.join(), checked and converted."""

    plan: Plan
    room: Room
    identity: Identity
    incarnation: int
    name: str
    attributes: Attributes
    machine: bytes
    former_key: bytes | None
    overlap: float
    settings: Settings
    static_peers: Sequence[PeerName]
    mode: Mode
    listener: bool = False


class Group:
    """A group, made by aio.join(). Enter it with `async with` in the event loop that will use it.

    Entering raises UnknownInterface, NoInterface, UsageError for an unknown static peer, or a SocketError
    such as PortTaken or PermissionRefused.
    """

    def __init__(self, options: Options) -> None:
        self.plan, self.groups = options.plan, options.plan.groups
        self.room, self.name = options.room, options.name
        self.origin = options.identity.origin
        self.offers = options.attributes
        self.started = Change()
        self.links = Links(options.plan)
        self._options = options
        self._static_peers = StaticPeers(options.static_peers, options.plan.versions)
        self._entered = self._open = self._closed = self._forked = self._acquainted = False
        self._queue = EventQueue()
        self._turn = asyncio.Lock()
        self._handler: tuple[Handler, float] | None = None
        self._replying: Replying | None = None
        self._askings: list[Asking] = []
        self._retiring: asyncio.TimerHandle | None = None
        self._plain_told = False
        self._transfers: Bulk | None = None

    def __repr__(self) -> str:
        state = "" if self._open else ", closed" if self._closed else ", not entered"
        return f"Group({str(self.groups[0])!r}, name={self.name!r}{state})"

    async def __aenter__(self) -> Self:
        if self._entered:
            raise UsageError("a group can only be entered once", "join again")
        self._entered = True
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._driver = Driver(
            self.links, self._queue, self._received_plain, self._changed, self._received_special
        )
        try:
            await self._static_peers.resolve(first=True)
            self.started = self._driver.open()
            self._driver.reach(self._static_peers.addresses)
            self.links.require(self.started)
            self._engine = self._make_engine()
            self._began = self._driver.now
            self._start_replying()
            if self._options.former_key is not None:
                self._engine.accept_key(self._options.former_key)
                self._retire_later(self._options.overlap)
            self._driver.start(self._engine)
            problems = await self._static_peers.meet(self._driver, self._engine)
            self.started = msgspec.structs.replace(self.started, problems=self.started.problems + problems)
        except BaseException:
            self._ended()
            await self._driver.finish()
            raise
        self._guard = self._loop.create_task(self._until_the_loop_ends())
        self._static_peers.start(self._driver, self._engine, self._peers_unreached)
        self._open = True
        _open_groups.add(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Send what is queued, say goodbye and leave. Takes about 60 ms, at most 1 s.

        May be called twice, and while other tasks send (they get GroupClosed) or iterate (they end). If it is
        cancelled, it closes at once after one goodbye. In a forked child it does nothing.
        """
        if not self._entered or self._forked:
            return
        if self._loop.is_closed():
            self._ended()
            if self._transfers is not None:
                self._transfers.stop()
            self._driver.stop()
        elif self._closed:
            await self._done.wait()
        else:
            self._check_open()
            self._closed, self._open = True, False
            try:
                if self._transfers is not None:
                    await self._transfers.close()
                await self._driver.finish()
                self._static_peers.stop()
                self._guard.cancel()
                await asyncio.wait([self._guard])
            finally:
                self._guard.cancel()
                self._ended()

    @property
    def peer_id(self) -> PeerId:
        """This peer: its origin (16 bytes) and incarnation."""
        return PeerId(self.origin, self._options.incarnation)

    @overload
    async def send(self, data: Data, *, guest: str | None = None) -> Receipt: ...

    @overload
    async def send(self, data: Data, *, to: Recipient, letter: int = 0) -> PrivateReceipt: ...

    async def send(
        self, data: Data, *, to: Recipient | None = None, guest: str | None = None, letter: int = 0
    ) -> Receipt | PrivateReceipt:
        """Send a message to the group, or to one peer. Waits while too much is queued.

        data: text (sent as UTF-8) or bytes, at most 64 KiB. Messages of one task to the group arrive in their
            order.
        to: a peer, as in peers(), or anything that a peer sent. Then the message is private: sealed for that
            peer alone, repeated for 10 s until it is confirmed, and never sent to the group.
        guest: the name of somebody who is not in the group and for whom this program speaks, at most 64 bytes
            of UTF-8. Others see that it is a guest's message, and by whom it came.
        letter: with `to`, a number (at most 2**63 - 1) by which the peer knows the message again if you send
            it once more because it was not confirmed, also after a restart. Take a random one.
        Raises MessageTooLarge, UsageError for another type or in a passive group, GroupClosed after close().
        Nothing was sent then, nor if it is cancelled.
        """
        self._check_open()
        payload = make_payload(data)
        if to is not None:
            if guest is not None:
                raise UsageError("a guest cannot send private messages", "leave out to or guest")
            if not 0 <= letter <= NUMBER_MAX:
                raise UsageError(f"{letter} is not the number of a letter", "use one from 1 to 2**63 - 1")
            return self._send_to(recipient(to, self.peer_id), payload, letter)
        if guest is not None:
            make_guest(guest)
        now = self._loop.time()
        if self._turn.locked() or not self._driver.ready(now):
            async with self._turn:
                await self._room_to_send()
                now = self._loop.time()
                return self._queue_message(payload, now, guest)
        return self._queue_message(payload, now, guest)

    async def send_many(self, messages: Iterable[Data]) -> Receipt | None:
        """Send messages in their order. Much faster than send() for each. Waits while too much is queued.

        Returns the receipt of the last message, which covers all before it; None if there are no messages.
        Raises the errors of send() before anything is sent. If it is cancelled, some messages are sent.
        """
        self._check_open()
        payloads = self.payloads(messages)
        portion = max(1, min(PORTION, PORTION_BYTES // max(1, *map(len, payloads)))) if payloads else 1
        receipt = None
        for at in range(0, len(payloads), portion):
            some = payloads[at : at + portion]
            if self._turn.locked() or not self._driver.ready(self._loop.time()):
                async with self._turn:
                    await self._room_to_send()
                    latest = self._queue_messages(some)
            else:
                latest = self._queue_messages(some)
            receipt = latest if receipt is None else latest.since(receipt)
        return receipt

    def _send_to(self, peer_id: PeerId, payload: bytes, letter: int) -> PrivateReceipt:
        now = self._loop.time()
        number = self._engine.send_to(peer_id, ContentKind.PRIVATE, payload, now, about=letter)
        self._driver.step()
        return PrivateReceipt(self._engine, self._driver, peer_id, number, letter)

    async def ask(
        self,
        data: Data,
        *,
        timeout: float = 2.0,
        count: int | None = None,
        wait_all: bool = False,
        on_answer: Callable[[Answer], None] | None = None,
    ) -> Answers:
        """Ask all peers that answer questions (see on_ask), and wait until each of them has answered.

        data: the question, text or bytes, at most 64 KiB. Each peer gets it sealed for itself alone.
        timeout: seconds after which not to wait any longer. Answers that come later are events.
        count: stop when so many have answered.
        wait_all: wait until `timeout` for peers that come in the meantime.
        on_answer: called with each answer at once.
        Raises what send() raises.
        """
        self._check_open()
        self._require_active()
        visitor = self._options.mode.visitor
        asking = Asking(
            self._engine,
            self._driver,
            make_payload(data),
            began=self._loop.time() if visitor and not self.peers() else self._began,
            visitor=visitor,
            on_answer=on_answer,
        )
        self._askings.append(asking)
        try:
            return await asking.run(timeout, count, wait_all)
        finally:
            self._askings.remove(asking)

    async def settled(self, timeout: float = 2.0) -> bool:
        """Wait until all messages and answers to single peers are delivered or given up; False if not yet."""
        limit = self._driver.now + timeout
        while self._engine.directed_waiting and self._driver.now < limit:
            await self._driver.progress(limit - self._driver.now)
        return not self._engine.directed_waiting

    def on_ask(self, handler: Handler, *, time_limit: float = TIME_LIMIT) -> Handler:
        """Answer the questions of others: a decorator for a function that takes a Question.

        It may be async, and returns the answer: text or bytes, or None if the question is not for it. If it
        raises a McastError, the asker gets its text instead of an answer. Eight questions are answered at the
        same time, each within `time_limit` seconds; the asker is told if that does not work. Others see from
        now on that this peer answers.
        """
        self._require_active()
        self._handler = handler, time_limit
        if self._open:
            self._check_open()
            self._start_replying()
            self._engine.update(self._driver.now, flags=self._flags())
            self._driver.step()
        return handler

    def _start_replying(self) -> None:
        if self._handler is not None:
            self._replying = Replying(self._engine, self._driver, *self._handler)

    async def drop(
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
        Raises UsageError, McastError if 32 transfers are open or the key of a peer in `to` is not known,
        GroupClosed, and what the source raises.
        """
        self._check_open()
        self._require_active()
        way = _check_way(way)
        peers = None if to is None else recipients(to)
        if isinstance(what, str | os.PathLike | Sequence):
            from mcast.files.outgoing import Outgoing
            from mcast.runtime.bulk.worker import apart

            paths = [what] if isinstance(what, str | os.PathLike) else what
            what = outgoing = await apart(Outgoing, paths)
            title = outgoing.title if title is None else title
            count = outgoing.files if count is None else count
        return await self._bulk.drop(what, title or "", 1 if count is None else count, peers, way)

    async def accept(
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
        self._check_open()
        self._require_active()
        way = _check_way(way)
        if into is not None and sink is None:
            from mcast.files.incoming import Incoming

            sink = Incoming(into, overwrite=overwrite, executable=executable)
        elif into is not None or sink is None:
            raise UsageError("accept() needs either a sink or a directory", "accept(offer, into=DIRECTORY)")
        return await self._bulk.accept(offer, sink, way)

    def offered(self) -> list[TransferOffered]:
        """What others offer and have not withdrawn, the oldest first: at most 256, of one identity 16."""
        self._require_entered()
        return self._bulk.offers()

    @property
    def _bulk(self) -> Bulk:
        """The transfers. Their modules are imported when the first is heard of."""
        if self._transfers is None:
            from mcast.runtime.bulk.transfers import Bulk

            self._transfers = Bulk(_Membership(self), self._block_room)
        return self._transfers

    def holders(self, offer: TransferOffered) -> list[PeerView]:
        """Who is here and says that it has all of a transfer, so that it can be accepted with success."""
        self._require_entered()
        return self._bulk.holders(offer)

    def _block_room(self) -> int:
        """Bytes of the largest datagram for blocks."""
        return max(DATAGRAM_SAFE, min(payload_limit(self.links.used), self._options.settings.payload))

    def _received_special(self, events: Sequence[CoreEvent]) -> Sequence[Event]:
        """Questions and answers go to who waits for them; answers that nobody waits for are late. Notices
        become events about transfers."""
        others: list[Event] = []
        for event in events:
            if isinstance(event, Notice):
                others += self._bulk.on_notice(event)
            elif isinstance(event, Question) and self._replying is not None:
                self._replying.take(event)
            elif isinstance(event, Answer):
                asking = next((one for one in self._askings if event.about in one.asked), None)
                if asking is None:
                    others.append(msgspec.structs.replace(event, late=True))
                else:
                    asking.take(event)
            else:
                others.append(event)
        return others

    def send_nowait(self, data: Data) -> Receipt:
        """Like send(), but never waits: for programs that send little or look at `writable` first."""
        return self._queue_message(self.check(data), self._loop.time())

    def send_all(self, payloads: Sequence[bytes]) -> list[Receipt]:
        """Queue messages that payload() has returned, without waiting."""
        self._check_open()
        now, send = self._loop.time(), self._engine.send
        receipts = [Receipt(self, send(payload, now)) for payload in payloads]
        self._driver.step()
        return receipts

    @property
    def writable(self) -> bool:
        """Whether a message would leave soon. send() waits until it is so."""
        return self._engine.writable(self._loop.time())

    def check(self, data: Data) -> bytes:
        """The bytes that send() would send. Raises the errors of send()."""
        self._check_open()
        return self.payload(data)

    def payload(self, data: Data) -> bytes:
        """Like check(), but does not ask whether the group is open. Any thread may call it."""
        self._require_active()
        return make_payload(data)

    def payloads(self, messages: Iterable[Data]) -> list[bytes]:
        """payload() of each message. Raises UsageError for a single message in place of several."""
        self._require_active()
        return make_payloads(messages)

    async def batches(self) -> AsyncIterator[list[Event]]:
        """Iterate over all events, in lists of those that wait, until the group is closed.

        Each event is given once, even if several tasks iterate. Events that nobody takes are dropped beyond
        100,000 or 64 MiB, the oldest first; then an Overflow tells how many. Raises UsageError before the
        group is entered.
        """
        self._require_entered()
        while await self._queue.wait():
            if batch := self._queue.take():
                yield batch

    async def events(self) -> AsyncIterator[Event]:
        """Iterate over all events one by one; see batches(). If you stop early, the rest stays queued."""
        self._require_entered()
        while await self._queue.wait():
            while (event := self._queue.pop()) is not None:
                yield event

    async def messages(self, timeout: float | None = None) -> AsyncIterator[Message]:
        """Iterate over messages only, until the group is closed.

        timeout: stop after so many seconds without a message; None waits for ever. All other events are
        dropped, even an Overflow: use events() if you need them.
        """
        self._require_entered()
        while True:
            while (message := self._next_message()) is not None:
                yield message
            try:
                async with asyncio.timeout(timeout):
                    while message is None:
                        if not await self._queue.wait():
                            return
                        message = self._next_message()
            except TimeoutError:
                return
            yield message

    def peers(self) -> list[PeerView]:
        """The other peers in the roster. In an open room anyone can invent peers."""
        self._require_entered()
        return list(map(self._driver.located, self._engine.peers()))

    def public_key(self, peer_id: PeerId) -> bytes | None:
        """The public key (32 bytes) of the identity of a peer, or of this one; None if it is not known."""
        self._require_entered()
        return self._engine.public_key(peer_id.origin)

    async def rooms(self, timeout: float = 0.6) -> list[RoomView]:
        """Ask which other open rooms there are in the group, and wait `timeout` seconds for answers.

        A room with a key is never named. Anybody can make up rooms.
        """
        for again in (False, True):  # a question or an answer may be lost
            self._check_open()
            self._engine.ask_rooms(self._loop.time(), again=again)
            self._driver.step()
            await asyncio.sleep(timeout / 2)
        self._check_open()
        own = self.room.name if self.room.public else None
        return sorted((room for room in self._engine.rooms() if room.name != own), key=lambda room: room.name)

    def describe(self, topic: str) -> None:
        """What to tell of this room, if it is open, to those who ask for rooms: the first 64 bytes of it."""
        self._check_open()
        self._engine.describe(topic)

    def saved_records(self, since: tuple[int, int] = (0, 0)) -> tuple[tuple[int, int], list[SavedRecord]]:
        """The signed records that this peer can hand to others, and a mark.

        With the mark, the next call gives what is new.
        With restore_records(), a program that starts again can hand out what it got before, to everybody who
        has the key. In an open room there are none: what was said there stays on its network, for a day.
        """
        self._require_entered()
        return self._engine.saved_records(since)

    def restore_records(self, records: Iterable[SavedRecord]) -> None:
        """Hand out what saved_records() gave to a program that ran before. Nothing happens in an open room.

        They must come from where only this user can write: their signatures are left to who gets them.
        """
        self._check_open()
        self._engine.restore(records, self._loop.time())
        self._driver.step()

    def rekey(self, key: bytes, *, overlap: float = OVERLAP) -> None:
        """Change the key of the room: seal with `key` (32 bytes) from now on.

        For `overlap` seconds, what others seal with the key of before is still taken. Who does not get the
        new key hears nothing from now on, and is not heard after that time.

        Raises UsageError in an open room.
        """
        self._check_open()
        self._engine.rekey(make_key(key))
        self._retire_later(overlap)
        self._driver.step()

    def _retire_later(self, overlap: float) -> None:
        if self._retiring is not None:
            self._retiring.cancel()
        self._retiring = self._loop.call_later(overlap, self._engine.retire_keys)

    def stats(self) -> dict[str, int]:
        """Counters: `sent-…` by frame, `dropped-…` by reason, `send-…` failed sends by errno, and sizes."""
        self._require_entered()
        failures = {f"send-{name.lower()}": count for name, count in self._driver.transport.failures.items()}
        return {**self._engine.stats(), **failures, "kernel-drops": self.links.kernel_drops}

    def confirm_by_hand(self) -> None:
        """From now on confirm to authors nothing but what confirm() names.

        Without it all counts that waits in events(), also what the program does not take before it leaves.
        """
        self._require_entered()
        self._engine.confirm_by_hand()

    def confirm(self, peer_id: PeerId, sequence: int) -> None:
        """After confirm_by_hand(): the program has made use of all messages of a peer up to this sequence.

        Several messages may have the same sequence: call it after the last one.
        """
        self._check_open()
        self._engine.read(peer_id, sequence, self._driver.now)
        self._driver.step()

    def traffic(self) -> dict[str, dict[str, int]]:
        """Datagrams of UDP and their bytes, by the name of each interface in use.

        `sent`, `sent_bytes`, `received` and `received_bytes`. What was sent to several groups or in both IP
        versions counts for each. Our own datagrams, which come back to us, do not count as received.
        """
        self._require_entered()
        traffic = self._driver.transport.traffic
        return {link.name: msgspec.structs.asdict(traffic[link.index]) for link in self.links.all}

    def announce(self, *, tags: Mapping[str, str] | None = None, services: Sequence[str] = ()) -> None:
        """Replace what this peer offers to others.

        tags: names and values.
        services: each `TYPE` or `TYPE:PORT`, such as `_http._tcp:8080`.
        Raises UsageError if they do not fit an announcement, GroupClosed after close().
        """
        self._check_open()
        offers = make_attributes(tags, services, self.name)
        self._engine.update(self._driver.now, attributes=offers)
        self.offers = offers
        self._driver.step()

    def sign_offer(self, offer: Offer) -> bytes:
        """The string of a DNS-SD entry that shows that it is this peer's."""
        return credential(self._options.identity, self._options.incarnation, offer)

    async def acquaint(self) -> None:
        """Wait until we know who is here: about half a second after joining, at once later.

        While nobody is known it takes 1.5 seconds, as an answer may be lost, and in a crowd 5 at most. A
        visitor, who is told of nobody, asks for that when this is called for the first time.
        """
        self._check_open()
        if self._acquainted:
            return
        visitor = self._options.mode.visitor
        since = self.now if visitor else self._began
        call = RollCall(self._engine, since, visitor=visitor)
        while self._open and self.now - since < MEETING and not call.complete(self.now):
            self._driver.step()
            await asyncio.sleep(0.02)
        self._acquainted = True

    def ask_roster(self) -> None:
        """Ask who is here. Only a visitor needs to ask."""
        self._check_open()
        self._engine.ask_roster(self._driver.now)
        self._driver.step()

    @property
    def now(self) -> float:
        """The clock of PeerView.heard and PeerView.joined, in seconds."""
        self._require_entered()
        return self._loop.time()

    @property
    def behind(self) -> float:
        """How many seconds ago the events came that were taken last: how slowly the program takes them."""
        return self._queue.behind

    @property
    def refusal(self) -> PermissionRefused | None:
        """Why the system let nothing of the last datagram leave, as behind a firewall; None if it left."""
        return self._driver.transport.refusal

    @property
    def refusals(self) -> list[PermissionRefused]:
        """Why the system does not let us send, for each interface and IP version that was ever refused."""
        return list(self._driver.transport.refusals.values())

    @property
    def has_sent(self) -> bool:
        """Whether anything ever left this computer."""
        return self._driver.transport.sent

    @property
    def kernel_drops(self) -> int:
        """Datagrams that the kernel dropped because they were read too late; 0 where it does not tell."""
        return self.links.kernel_drops

    def interface_of(self, source: tuple[object, ...]) -> str | None:
        """The name of the interface that last heard an event's `source`, None if unknown."""
        index = self._driver.transport.interface_of(source)
        return next((link.name for link in self.links.all if link.index == index), None)

    @property
    def fallback(self) -> int:
        """How many peers get copies by unicast because multicast does not get through at present."""
        return self._engine.fallback

    @property
    def choices(self) -> tuple[Choice, ...]:
        """All interfaces, with whether each is used and why."""
        return self.links.choices

    async def _room_to_send(self) -> None:
        """Wait until there is room for a message. Called with `_turn`: tasks that wait are served in turn."""
        await asyncio.sleep(0)  # NACKs may wait to be read
        self._check_open()
        while not self.writable:
            await self._driver.progress(1.0)
            self._check_open()

    def _queue_message(self, payload: bytes, now: float, guest: str | None = None) -> Receipt:
        engine = self._engine
        sent = engine.send(payload, now) if guest is None else engine.send_for(guest, payload, now)
        self._driver.queued(now)
        return Receipt(self, sent)

    def _queue_messages(self, payloads: Sequence[bytes]) -> Receipt:
        now = self._loop.time()
        first = last = self._engine.send(payloads[0], now)
        if len(payloads) > 1:
            last = self._engine.send_all(payloads[1:], now)
        self._driver.queued(now)
        return Receipt(self, last, first.sequence)

    def _next_message(self) -> Message | None:
        """The next message that waits. Events before it are dropped."""
        while (event := self._queue.pop()) is not None:
            if type(event) is Message:
                return event
        return None

    def _make_engine(self) -> Engine:
        options = self._options
        payload = max(DATAGRAM_SAFE, min(payload_limit(self.links.used), options.settings.payload))
        engine = Engine(
            msgspec.structs.replace(options.settings, payload=payload),
            options.room,
            options.identity,
            incarnation=options.incarnation,
            session=os.urandom(8),
            name=options.name,
            rng=random.SystemRandom(),
            now=self._driver.now,
            wall=time.time(),
            mode=options.mode,
            attributes=options.attributes,
            machine=options.machine,
        )
        engine.update(self._driver.now, flags=self._flags())
        return engine

    def _flags(self) -> int:
        joined = {group.version for group, receiver in self.links.receivers.items() if receiver.joined}
        flags = sum(HEARS[version] for version in joined) | (HOLDER if self.links.holding else 0)
        flags |= LISTENER if self._options.listener else 0
        return flags | (ANSWERS if self._handler is not None else 0)

    def _changed(self, change: Change) -> None:
        self._engine.update(self._driver.now, flags=self._flags())
        self._static_peers.look()
        if change:
            self._queue.put([InterfacesChanged(change.joined, change.left, change.problems)])

    def _peers_unreached(self, problems: Problems) -> None:
        self._queue.put([InterfacesChanged((), (), problems)])

    def _received_plain(self, group: GroupAddress, datagrams: list[Datagram]) -> None:
        if not self.room.public:
            if not self._plain_told:
                self._plain_told = True
                self._queue.put([Unheard("plain", datagrams[0].source)])
            return
        names = {link.index: link.name for link in self.links.used}
        wall = time.time()
        self._queue.put(
            [
                PlainText(data, decode(data), source, group, names.get(interface, str(interface)), wall)
                for data, source, interface, *_ in datagrams
            ]
        )

    def _check_open(self) -> None:
        if not self._open:
            self._require_entered()
            raise GroupClosed("this group has been closed", "join again")
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if not here:
            raise UsageError(
                "a group belongs to the event loop that entered it", "use mcast.join() from threads"
            )

    def _require_entered(self) -> None:
        if not self._entered:
            raise UsageError("this group has not been entered", "async with mcast.aio.join(…) as group: …")
        if self._forked:
            raise GroupClosed("a group does not work in a forked process", "join again there")

    def _require_active(self) -> None:
        if self._options.mode.passive:
            raise UsageError("a passive member cannot send", "join without passive")

    def _ended(self) -> None:
        self._closed, self._open = True, False
        if self._retiring is not None:
            self._retiring.cancel()
        if self._replying is not None:
            self._replying.stop()
        self._queue.close()
        self._done.set()
        _open_groups.discard(self)

    async def _until_the_loop_ends(self) -> None:
        """Say goodbye when asyncio.run() cancels the remaining tasks, which include this one."""
        try:
            await self._loop.create_future()
        finally:
            if self._open:
                self._ended()
                if self._transfers is not None:
                    self._transfers.stop()
                self._driver.leave()

    def _abandon(self) -> None:
        """In a forked child: close the sockets and leave the parent undisturbed."""
        self._forked, self._open = True, False
        self._queue.closed = True  # close() could wait for a thread that does not exist here
        if self._transfers is not None:
            self._transfers.stop(forked=True)
        self._driver.release()
        separate_selector(self._loop)
        with contextlib.suppress(RuntimeError):  # a loop of another thread, which does not run here
            self._guard.cancel()
            self._static_peers.stop()


class _Membership:
    """What transfers need of their group."""

    def __init__(self, group: Group) -> None:
        self._group = group
        options = group._options
        self.identity, self.peer_id, self.room = options.identity, group.peer_id, group.room
        self.name = group.name
        self.settings, self.plan = options.settings, options.plan

    def now(self) -> float:
        """The clock."""
        return self._group._driver.now

    def peer(self, peer_id: PeerId) -> PeerView:
        """What is known of a peer."""
        return self._group._engine.peer(peer_id)

    def public_key(self, peer_id: PeerId) -> bytes | None:
        """The key of a peer's identity, if it is known."""
        return self._group._engine.public_key(peer_id.origin)

    def interface_of(self, source: tuple[object, ...]) -> int | None:
        """The interface by which an address is reached."""
        return self._group._driver.transport.interface_of(source)

    def say(self, notice: BulkNotice) -> None:
        """Tell the room, unless we are leaving."""
        group = self._group
        if not group._engine.closing:
            group._engine.send_notice(encode_notice(notice), self.now())
            group._driver.step()


def _check_way(way: str) -> str:
    if way not in ("auto", "multicast", "unicast"):
        raise UsageError(f"way={way!r} is not a way", "use auto, multicast or unicast")
    return way


_open_groups: weakref.WeakSet[Group] = weakref.WeakSet()


def _abandon_all() -> None:
    """A forked child keeps no membership and no port of its parent's groups."""
    for group in list(_open_groups):
        group._abandon()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_abandon_all)
