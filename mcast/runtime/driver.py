"""Drives one engine with its sockets and one timer. Whatever happens ends in `Driver.step`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from math import inf
from operator import attrgetter
from typing import cast

import msgspec

from mcast.core.engine import Engine
from mcast.core.events import (
    Answer,
    Event,
    Notice,
    PeerJoined,
    PeerLeft,
    PeerUpdated,
    PeerView,
    Question,
)
from mcast.errors import McastError, PermissionRefused
from mcast.events import Event as AnyEvent
from mcast.events import InterfacesChanged
from mcast.multicast import Datagram, Sender, Whole
from mcast.net.address import GroupAddress
from mcast.net.detours import Detours
from mcast.net.links import Change, Links
from mcast.net.reader import SocketReader
from mcast.net.socket_options import SocketName
from mcast.net.transport import Transport
from mcast.runtime.event_queue import EventQueue
from mcast.wire.bulk import BULK_MAGIC
from mcast.wire.frames import HEARS_IPV4, HEARS_IPV6, OVERFLOWED, SEND_REFUSED
from mcast.wire.header import MAGIC

_origin = attrgetter("source", "interface")
HEARS = {4: HEARS_IPV4, 6: HEARS_IPV6}
RENEW_AFTER = 0.2
"""Seconds until a sender that failed is replaced. The address of its interface may have changed."""
PEER_EVENTS = {PeerJoined, PeerLeft, PeerUpdated}
GROUP_EVENTS = {Question, Answer, Notice}
"""Events of which the group decides who gets them."""
REWIRE_COST = 1e-4
"""Seconds for each peer between two looks at the IP versions that all peers receive. A look takes about 1 us
a peer, and a thousand may join in a second."""
CLOCK_JUMP = 0.5
"""Seconds by which the wall clock must be corrected before the engine is told."""
HELD_MAX = 1.0
"""Seconds that a PING can have waited for us: the clock that tells it may be set."""
TURN = 0.005
"""Seconds for which a program that sends without ever waiting may occupy the event loop."""


class Driver:
    """Drives an engine over `links` in the running event loop, and puts its events into `queue`.

    `on_plain` gets datagrams that are not mcast's. `on_change` is called when interfaces have changed.
    `on_special` gets events with questions, answers or notices among them, and returns those for the queue.
    """

    def __init__(
        self,
        links: Links,
        queue: EventQueue,
        on_plain: Callable[[GroupAddress, list[Datagram]], None],
        on_change: Callable[[Change], None],
        on_special: Callable[[Sequence[Event]], Sequence[AnyEvent]],
    ) -> None:
        self._links = links
        self._queue = queue
        self._on_plain = on_plain
        self._on_change = on_change
        self._on_special = on_special
        self._detours = Detours(links, self._receive)
        self.transport = Transport(links, self._sender_died, self._refused, self._detours.answer)
        self._reader = SocketReader(links, self._receive, self._changed, Whole())
        self._loop = asyncio.get_running_loop()
        self._engine: Engine | None = None
        self._stepping = False
        self._scheduled: asyncio.Handle | None = None
        self._settling: asyncio.Handle | None = None
        self._settling_since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = -inf
        self._renewing: asyncio.TimerHandle | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._wall_offset = 0.0
        self._peers_changed = False
        self._alone: frozenset[int] = frozenset()
        self._rewire_after = 0.0

    def open(self) -> Change:
        """Open the sockets. Until start(), nothing is sent and what arrives is dropped."""
        return self._reader.start()

    def start(self, engine: Engine) -> None:
        """Let `engine` send and receive."""
        self._engine = engine
        self._wall_offset = time.time() - self._loop.time()
        self._rewire()
        self.step()

    @property
    def now(self) -> float:
        """The engine's clock, in seconds."""
        return self._loop.time()

    @property
    def hosts(self) -> tuple[str, ...]:
        """Our addresses."""
        return self._links.hosts

    def ready(self, now: float) -> bool:
        """Whether a message would leave soon, and the event loop need not do other work first."""
        if self._engine is None or not self._engine.writable(now):
            return False
        return self._settling is None or now - self._settling_since <= TURN

    def queued(self, now: float) -> None:
        """A message was queued. A lone one leaves at once; those sent right after it leave together."""
        if self._engine is not None and self._engine.may_flush(now):
            self.step(now)
        elif self._scheduled is None:
            self._scheduled = self._loop.call_soon(self.step)

    def step(self, now: float | None = None) -> None:
        """Do what is due, send what is ready, then deliver events.

        The timer is set later, by _settle(), after the application had its turn.
        """
        engine = self._engine
        if engine is None:
            return
        if self._stepping:  # called by the handler of a signal that interrupted step()
            self._loop.call_soon(self.step)
            return
        now = self._loop.time() if now is None else now
        self._stepping = True
        try:
            if self._scheduled is not None:
                self._scheduled.cancel()
                self._scheduled = None
            if now >= engine.ticking:  # not each time that records wait for the rate
                engine.unread(self._queue.backlog)
                engine.update_health(self._health())
                engine.tick(now)
            if self._peers_changed and now >= self._rewire_after:
                self._rewire()
            if outgoing := engine.datagrams(now):
                self.transport.send(outgoing)
            if self._waiting:
                self._wake()
            if events := engine.events():
                self._deliver(events)
            if self._settling is None:
                self._settling = self._loop.call_soon(self._settle)
                self._settling_since = now
        finally:
            self._stepping = False

    async def progress(self, timeout: float) -> None:
        """Wait until step() was called again, at most `timeout` seconds."""
        future = self._loop.create_future()
        self._waiting.append(future)
        await asyncio.wait([future], timeout=timeout)
        future.cancel()

    def reach(self, addresses: Sequence[SocketName]) -> None:
        """Open sockets on the interfaces that lead to these static peers."""
        self.transport.allow(addresses)
        self._reader.reach(addresses)
        self._rewire()

    def meet(self, addresses: Sequence[SocketName]) -> int:
        """Talk to the peers at these addresses by unicast too. Returns how many exceed the engine's limit."""
        if self._engine is None:
            return 0
        self.reach(addresses)
        beyond = self._engine.meet(addresses, self.now)
        self.step()
        return beyond

    async def finish(self, patience: float = 1.0) -> None:
        """Send what is queued and a goodbye, within `patience` seconds, then close. May be called twice.

        If it is cancelled, the goodbye has been sent once and everything is closed all the same.
        """
        engine = self._engine
        try:
            if engine is not None:
                limit = self.now + patience
                self._close(engine)
                while not engine.closed and self.now < limit:
                    self.step()
                    deadline = engine.deadline()
                    if engine.closed or deadline is None:
                        break
                    await asyncio.sleep(max(0.001, min(deadline, limit) - self.now))
        finally:
            self._silence()
            await self._reader.close()

    def leave(self) -> None:
        """Say goodbye once and close without waiting, for a loop that ends."""
        if self._engine is not None and not self._loop.is_closed():
            self._close(self._engine)
        self.stop()

    def stop(self) -> None:
        """Close at once, without a goodbye. May be called twice."""
        self._silence()
        self._reader.stop()

    def release(self) -> None:
        """In a forked child: close the sockets, send nothing, and leave the parent's loop alone."""
        self._engine = None
        self._detours.close()
        self._reader.stop(forked=True)

    def _close(self, engine: Engine) -> None:
        engine.unread(self._queue.backlog)  # for the last receiver reports
        engine.close(self.now)
        self.step()

    def _silence(self) -> None:
        self._engine = None
        self._detours.close()
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not self._loop.is_closed():
                future.cancel()
        for handle in (self._timer, self._scheduled, self._settling, self._renewing):
            if handle is not None:
                handle.cancel()
        self._timer = self._scheduled = self._settling = self._renewing = None

    def _deliver(self, events: Sequence[Event]) -> None:
        if not PEER_EVENTS.isdisjoint(map(type, events)):
            self._peers_changed = True
            events = [self._with_interfaces(event) for event in events]
        special = not GROUP_EVENTS.isdisjoint(map(type, events))
        self._queue.put(self._on_special(events) if special else cast("Sequence[AnyEvent]", events))

    def _with_interfaces(self, event: Event) -> Event:
        if isinstance(event, PeerJoined | PeerUpdated | PeerLeft):
            return msgspec.structs.replace(event, peer=self.located(event.peer))
        return event

    def located(self, peer: PeerView) -> PeerView:
        """The peer with the names of the interfaces by which it was heard."""
        if self._engine is None:
            return peer
        numbers = self._engine.interfaces_of(peer.peer_id)
        names = tuple(
            link.name
            for link in self._links.used
            if link.index in numbers or (link.loopback and -1 in numbers)
        )
        return msgspec.structs.replace(peer, interfaces=names)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _settle(self) -> None:
        """Set the timer. That asks every part of the engine, and no message has to wait for it."""
        self._settling = None
        engine = self._engine
        if engine is None:
            return
        deadline = engine.deadline()
        if events := engine.events():  # deadline() finished work that was put off
            self._deliver(events)
        at = inf if deadline is None else deadline
        if at == self._timer_at and self._timer is not None:
            return
        self._timer_at = at
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if deadline is None else self._loop.call_at(deadline, self._timed_out)

    def _health(self) -> int:
        refused = SEND_REFUSED if self.transport.refusals else 0
        return refused | (OVERFLOWED if self._links.kernel_drops else 0)

    def _timed_out(self) -> None:
        self._timer = None
        offset = time.time() - self._loop.time()
        if self._engine is not None and abs(offset - self._wall_offset) > CLOCK_JUMP:
            self._wall_offset = offset
            self._engine.set_wall(self._loop.time(), time.time())
        self.step()

    def _receive(self, group: GroupAddress | None, datagrams: list[Datagram]) -> None:
        engine = self._engine
        if engine is None:
            return
        now = self._loop.time()
        plain: list[Datagram] = []
        arrived: list[tuple[int, list[bytes]]] = []
        news = False
        for (source, interface), some in groupby(datagrams, _origin):
            together = list(some)
            ours = [datagram.data for datagram in together if datagram.data.startswith(MAGIC)]
            if len(ours) < len(together):
                plain += [one for one in together if not one.data.startswith((MAGIC, BULK_MAGIC))]
            if ours:
                name = self.transport.heard(source, interface)
                # This computer alone is no network: what is heard by loopback may be told anywhere.
                link = (-1 if interface in self._alone else interface) << 1 | (":" in source[0])
                echoes = engine.echoes
                news |= engine.receive_all(ours, name, now, group is None, link)
                if engine.questions:
                    self._answer_pings(engine, now, together[-1])
                if engine.echoes - echoes < len(ours):  # all of one source are ours, or none
                    arrived.append((interface, ours))
        if news:
            self.step(now)
        for interface, ours in arrived:  # the application was told before
            self.transport.traffic[interface].count_received(ours)
        if plain and group is not None:
            self._on_plain(group, plain)

    def _answer_pings(self, engine: Engine, now: float, datagram: Datagram) -> None:
        """Answer what was read at `now`, before all else: the answer says how long we held the question."""
        self._stepping = True
        try:
            held = self._loop.time() - now
            if datagram.arrived is not None:
                held = max(held, min(HELD_MAX, time.time() - datagram.arrived))
            engine.answer_pings(held, datagram.ttl or 0, max(1, self._links.plan.ttl))
            self.transport.send(engine.datagrams(now))
        finally:
            self._stepping = False

    def _changed(self, change: Change) -> None:
        self._rewire()
        if self._engine is not None:
            for interface in change.lost_networks:
                self._engine.lost_network(self.now, interface)
        self._on_change(change)
        self.step()

    def _rewire(self) -> None:
        """Adapt to the links in use, and to the IP versions that all peers receive."""
        self._peers_changed = False
        used = self._links.used
        self._alone = frozenset(link.index for link in used if all(one.loopback for one in used))
        shared = None
        if self._engine is not None:
            now = self._loop.time()
            self._engine.update(now, port=self._links.unicast_port, hosts=self._links.hosts)
            hears = [peer.hears for peer in self._engine.peers()]
            self._rewire_after = now + REWIRE_COST * len(hears)
            shared = next((version for version, flag in HEARS.items() if all(h & flag for h in hears)), None)
        self.transport.rewire(shared)

    def _sender_died(self, sender: Sender) -> None:
        if self._renewing is None:
            self._renewing = self._loop.call_later(RENEW_AFTER, self._renew, sender)

    def _refused(self, error: PermissionRefused) -> None:
        self._queue.put([InterfacesChanged(problems=(error,))])

    def _renew(self, sender: Sender) -> None:
        self._renewing = None
        with contextlib.suppress(OSError, McastError):  # the next failure tries again
            self._reader.renew(sender)
        self._rewire()
