"""One run in one room of a group: sockets, one engine and the pump between them, in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from typing import Self

import msgspec

from mcast.core.context import Mode
from mcast.core.engine import Engine
from mcast.core.peer_id import PeerId
from mcast.crypto.keys import Identity
from mcast.crypto.rooms import Room
from mcast.errors import GroupClosed, SocketError, UsageError
from mcast.events import Event, InterfacesChanged, Message, PeerView, PlainText
from mcast.interfaces import Choice
from mcast.multicast import Datagram
from mcast.net.address import GroupAddress
from mcast.net.links import Change, Links, Plan
from mcast.net.networks import Places
from mcast.net.plain_text import decode, payload_limit
from mcast.runtime.driver import HEARS, Pump
from mcast.runtime.event_queue import LoopMailbox, Mailbox
from mcast.runtime.joining import (
    Data,
    make_attributes,
    make_payload,
    make_payloads,
)
from mcast.runtime.lookout import Lookout
from mcast.runtime.loop_thread import separate_selector
from mcast.runtime.receipts import Receipt
from mcast.runtime.static_peers import PeerName
from mcast.settings import Settings
from mcast.wire.attributes import Attributes
from mcast.wire.frames import HOLDER

PORTION, PORTION_BYTES = 64, 64 * 1024
"""Messages of send_many(), and bytes of them unless one is larger, that are queued between two looks at
whether there is room."""


class Group:
    """One run in one room of a group. `async with` it; then send(), events() and the rest.

    Entering raises UnknownInterface, NoInterface, or SocketError (PortTaken, PermissionRefused) and its kin.
    """

    def __init__(
        self,
        groups: tuple[GroupAddress, ...],
        room: Room,
        identity: Identity,
        *,
        incarnation: int,
        name: str,
        plan: Plan,
        settings: Settings,
        mode: Mode,
        wait: bool = False,
        attributes: Attributes = Attributes(),  # noqa: B008 (immutable)
        machine: bytes = bytes(8),
        peers: Sequence[PeerName] = (),
    ) -> None:
        self.groups, self.room, self.name = groups, room, name
        self.origin = identity.origin
        self.started = Change()
        self._identity, self._incarnation, self._machine = identity, incarnation, machine
        self._settings, self._attributes = settings, attributes
        self._mode, self._wait = mode, wait
        self.links = Links(plan)
        self._lookout = Lookout(peers, plan.versions)
        self._places = Places()
        self._entered = self._open = self._closed = self._forked = False
        self._mailbox: Mailbox = LoopMailbox()
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        if self._entered:
            raise UsageError("a group is entered once", "join again")
        self._entered = True
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._pump = Pump(
            self.links, self._mailbox.put, self._plain, self._changed, lambda: self._mailbox.backlog
        )
        try:
            await self._lookout.resolve()
            self.started = self._pump.open()
            self._require_link()
            self._places.left(self.links.used)
            self._engine = self._make_engine()
            self._pump.start(self._engine)
            if self._lookout:
                problems = await self._lookout.meet(self._pump, self._engine)
                self.started = msgspec.structs.replace(
                    self.started, problems=self.started.problems + problems
                )
        except BaseException:
            self._ended()
            await self._pump.finish()
            raise
        self._guard = self._loop.create_task(self._until_the_loop_ends())
        self._lookout.start(self._pump, self._lost_sight)
        self._open = True
        _open_groups.add(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Send what is queued, say goodbye, leave: about 60 ms, at most a second.

        Closing twice is fine, and so is closing while others send or iterate: they get GroupClosed, or the
        end. Cancelled, it closes at once with a single goodbye. In a forked child it sends nothing.
        """
        if not self._entered:
            return
        if self._forked:
            return
        if self._loop.is_closed():
            self._ended()
            self._pump.stop()
        elif self._closed:
            await self._done.wait()
        else:
            self._require_loop()
            self._closed, self._open = True, False
            try:
                await self._pump.finish()
                self._lookout.stop()
                self._guard.cancel()
                await asyncio.wait([self._guard])
            finally:
                self._guard.cancel()
                self._ended()

    def _ended(self) -> None:
        self._closed, self._open = True, False
        self._mailbox.close()
        self._done.set()
        _open_groups.discard(self)

    def _abandon(self) -> None:
        """In a forked child: the parent goes on undisturbed."""
        self._forked, self._open = True, False
        self._pump.release()
        separate_selector(self._loop)
        with contextlib.suppress(RuntimeError):  # the loop of another thread: nothing runs there any more
            self._guard.cancel()
            self._lookout.stop()

    async def _until_the_loop_ends(self) -> None:
        """asyncio.run() cancels the tasks that are left, this one too: then it is time to say goodbye."""
        try:
            await self._loop.create_future()
        finally:
            if self._open:
                self._ended()
                self._pump.leave()

    @property
    def peer_id(self) -> PeerId:
        """This run: its origin and incarnation."""
        return PeerId(self.origin, self._incarnation)

    async def send(self, data: Data) -> Receipt:
        """Send a message to everybody, waiting while too much is queued.

        Raises MessageTooLarge above 64 KiB, UsageError for anything but text and bytes and in a passive
        group, GroupClosed after close(); nothing was sent then, and nothing when it is cancelled. Messages
        of one task keep their order; tasks that wait for room are served in turn.
        """
        self._check_open()
        payload = self.payload(data)
        now = self._loop.time()
        if self._must_wait(now):
            async with self._turn:
                await self._room()
                return self._queue(payload, self._loop.time())
        return self._queue(payload, now)

    async def send_many(self, messages: Iterable[Data]) -> Receipt | None:
        """Send messages in their order, waiting while too much is queued: far faster than one by one.

        The last one's receipt: who confirmed it has all before it, too. None if there were no messages.
        Errors as in send(), before anything is sent; when it is cancelled, those that had room are sent.
        """
        self._check_open()
        payloads = self.payloads(messages)
        portion = max(1, min(PORTION, PORTION_BYTES // max(1, *map(len, payloads)))) if payloads else 1
        receipt = None
        for first in range(0, len(payloads), portion):
            if self._must_wait(self._loop.time()):
                async with self._turn:
                    await self._room()
                    receipt = self._queue_all(payloads[first : first + portion])
            else:
                receipt = self._queue_all(payloads[first : first + portion])
        return receipt

    def _must_wait(self, now: float) -> bool:
        """Whether others wait already, there is no room, or the loop has other work."""
        return self._turn.locked() or not self._engine.writable(now) or self._pump.hogged(now)

    async def _room(self) -> None:
        """Until there is room for a message."""
        self._check_open()
        if self._pump.hogged(self._loop.time()):
            await asyncio.sleep(0)
            self._check_open()
        while not self.writable:
            await self._pump.moved(1.0)
            self._check_open()

    def send_nowait(self, data: Data) -> Receipt:
        """Like send(), but queues without waiting: for a caller that sends little, or looks at `writable`."""
        return self._queue(self.check(data), self._loop.time())

    @property
    def writable(self) -> bool:
        """Whether a message would leave soon; send() waits until it is so."""
        return self._engine.writable(self._loop.time())

    def check(self, data: Data) -> bytes:
        """The bytes that send() would send, or the error it would raise."""
        self._check_open()
        return self.payload(data)

    def payload(self, data: Data) -> bytes:
        """As check(), without asking whether the group is open; from any thread."""
        if self._mode.passive:
            raise UsageError("a passive member cannot send", "join without passive")
        return make_payload(data)

    def payloads(self, messages: Iterable[Data]) -> list[bytes]:
        """As payload() for each of many."""
        if self._mode.passive:
            raise UsageError("a passive member cannot send", "join without passive")
        return make_payloads(messages)

    def send_all(self, payloads: Sequence[bytes]) -> list[Receipt]:
        """Queue messages that payload() made, without waiting."""
        self._check_open()
        now, send = self._loop.time(), self._engine.send
        receipts = [Receipt(self._engine, self._pump, send(payload, now)) for payload in payloads]
        self._pump.pump()
        return receipts

    def _queue_all(self, payloads: Sequence[bytes]) -> Receipt:
        now = self._loop.time()
        place = self._engine.send_all(payloads, now)
        self._pump.queued(now)
        return Receipt(self._engine, self._pump, place)

    def _queue(self, payload: bytes, now: float) -> Receipt:
        place = self._engine.send(payload, now)
        self._pump.queued(now)
        return Receipt(self._engine, self._pump, place)

    async def batches(self) -> AsyncIterator[list[Event]]:
        """All events, in lists of what came since the last look; ends when the group is closed.

        Each event is given once, whoever iterates. What nobody takes is dropped after 100,000 events or 64
        MiB, the oldest first, and an Overflow says so. Raises UsageError before the group is entered.
        """
        while await self._something():
            if batch := self._mailbox.take():
                yield batch

    async def events(self) -> AsyncIterator[Event]:
        """All events, one by one; see batches(). What is not reached stays for the next who iterates."""
        while await self._something():
            while (event := self._mailbox.pop()) is not None:
                yield event

    async def messages(self, timeout: float | None = None) -> AsyncIterator[Message]:
        """Messages alone, until the group is closed or none came for `timeout` seconds.

        Other events are dropped on the way, an Overflow too: whoever must know uses events().
        """
        while True:
            try:
                async with asyncio.timeout(timeout):
                    message = await self._next_message()
            except TimeoutError:
                return
            if message is None:
                return
            while message is not None:
                yield message
                message = self._message_at_hand()

    def peers(self) -> list[PeerView]:
        """Who is here, this run not counted. In an open room anyone can make up as many as he likes."""
        self._require_entered()
        return self._engine.peers()

    def stats(self) -> dict[str, int]:
        """Counters: sent frames, drops by reason, failures to send by errno, datagrams the kernel dropped."""
        self._require_entered()
        failures = {f"send-{name.lower()}": count for name, count in self._pump.failures.items()}
        return {**self._engine.stats(), **failures, "kernel-drops": self.links.kernel_drops}

    def announce(self, *, tags: Mapping[str, str] | None = None, services: Sequence[str] = ()) -> None:
        """Tell everybody what this peer offers from now on; arguments as in join()."""
        self._check_open()
        self._engine.update(self._pump.now, attributes=make_attributes(tags, services, self.name))
        self._pump.pump()

    def ask_roster(self) -> None:
        """Ask who is here, which a visitor is not told otherwise."""
        self._check_open()
        self._engine.ask_roster(self._pump.now)
        self._pump.pump()

    @property
    def now(self) -> float:
        """The clock of PeerView.heard and PeerView.joined, in seconds."""
        self._require_entered()
        return self._loop.time()

    @property
    def plan(self) -> Plan:
        """What was asked for."""
        return self.links.plan

    @property
    def kernel_drops(self) -> int:
        """Datagrams the kernel threw away because we did not read in time (0 where it does not tell)."""
        return self.links.kernel_drops

    def interface_of(self, source: tuple[object, ...]) -> str | None:
        """The name of the interface through which an event's `source` was last heard, if it is known."""
        index = self._pump.interface_of(source)
        return next((link.name for link in self.links.used if link.index == index), None)

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The interfaces, whether they are used, and why."""
        return self.links.choices

    def _check_open(self) -> None:
        if self._open:
            self._require_loop()
            return
        self._require_entered()
        if self._forked:
            raise GroupClosed("a group does not live on in a forked process", "join again there")
        raise GroupClosed("this group has been closed", "join again")

    def _require_entered(self) -> None:
        if not self._entered:
            raise UsageError("this group has not been entered", "async with mcast.aio.join(…) as group: …")

    def _require_loop(self) -> None:
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if not here:
            raise UsageError(
                "a group is used in the event loop it was entered in", "use mcast.join() from threads"
            )

    def _require_link(self) -> None:
        receivers = self.links.receivers.values()
        if self.started.problems and not any(receiver.joined for receiver in receivers):
            raise self.started.problems[0]
        if not self._wait:
            self.links.require()

    def _make_engine(self) -> Engine:
        limit = payload_limit(self.links.used)
        engine = Engine(
            msgspec.structs.replace(self._settings, payload=min(limit, self._settings.payload)),
            self.room,
            self._identity,
            incarnation=self._incarnation,
            session=os.urandom(8),
            name=self.name,
            rng=random.SystemRandom(),
            now=self._pump.now,
            wall=time.time(),
            attributes=self._attributes,
            machine=self._machine,
            mode=self._mode,
        )
        engine.update(self._pump.now, flags=self._flags())
        return engine

    def _flags(self) -> int:
        joined = {group.version for group, receiver in self.links.receivers.items() if receiver.joined}
        return sum(HEARS[version] for version in joined) | (HOLDER if self.links.holding else 0)

    def _something(self) -> Awaitable[bool]:
        """Until an event waits; False when the group is closed and all were taken."""
        self._require_entered()
        if self._forked:
            self._check_open()
        return self._mailbox.wait()

    async def _next_message(self) -> Message | None:
        """The next message, waited for; None at the end."""
        while await self._something():
            if (message := self._message_at_hand()) is not None:
                return message
        return None

    def _message_at_hand(self) -> Message | None:
        while (event := self._mailbox.pop()) is not None:
            if isinstance(event, Message):
                return event
        return None

    def _lost_sight(self, problems: tuple[SocketError, ...]) -> None:
        """Peers that the user named were not found."""
        self._mailbox.put([InterfacesChanged((), (), problems)])

    def _changed(self, change: Change) -> None:
        self._engine.update(self._pump.now, flags=self._flags())
        for interface in self._places.left(self.links.used):
            self._engine.lost_network(self._pump.now, interface)
        self._lookout.look()
        if change:
            self._mailbox.put([InterfacesChanged(change.joined, change.left, change.problems)])

    def _plain(self, group: GroupAddress, datagrams: list[Datagram]) -> None:
        if not self.room.public:
            return
        names = {link.index: link.name for link in self.links.used}
        wall = time.time()
        self._mailbox.put(
            [
                PlainText(data, decode(data), source, group, names.get(interface, str(interface)), wall)
                for data, source, interface, _ in datagrams
            ]
        )


_open_groups: weakref.WeakSet[Group] = weakref.WeakSet()


def _abandon_all() -> None:
    """A forked child keeps no membership and no port of its parent's."""
    for group in list(_open_groups):
        group._abandon()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_abandon_all)
