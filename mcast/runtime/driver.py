"""The pump: one engine, its sockets and its one timer. Everything that happens ends in `pump()`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from math import inf
from operator import attrgetter

from mcast.core.engine import Engine
from mcast.core.events import Address, Event, PeerJoined, PeerLeft, PeerUpdated
from mcast.errors import McastError
from mcast.multicast import Datagram, Sender
from mcast.net.address import GroupAddress
from mcast.net.links import Change, Links
from mcast.net.reader import Feed
from mcast.net.routes import Routes
from mcast.net.transport import Carrier
from mcast.wire.frames import HEARS_IPV4, HEARS_IPV6
from mcast.wire.header import MAGIC

_FROM = attrgetter("source", "interface")
HEARS = {4: HEARS_IPV4, 6: HEARS_IPV6}
RENEW_AFTER = 0.2
"""Seconds after which a sender that failed is opened anew: its address may have changed."""
PEER_EVENTS = {PeerJoined, PeerLeft, PeerUpdated}
REWIRE_SHARE = 1e-4
"""Seconds for each peer between two looks at what all of them hear: a look takes about 1 us a peer, and a
thousand may join in a second."""
CLOCK_JUMP = 0.5
"""Seconds by which the wall clock must have been corrected before the engine is told."""
TURN = 0.005
"""Seconds that a program which sends and never waits may keep the loop for itself."""


class Pump:
    """Drives `engine` over `links` in the running loop.

    `on_events` is called with a list, after everything that was due has been sent; `on_plain` with datagrams
    that are no datagrams of ours; `on_change` when interfaces changed; `unread` tells how many bytes of what
    it was told the program has yet to take.
    """

    def __init__(
        self,
        links: Links,
        on_events: Callable[[Sequence[Event]], None],
        on_plain: Callable[[GroupAddress, list[Datagram]], None],
        on_change: Callable[[Change], None],
        unread: Callable[[], int] = int,
    ) -> None:
        self._unread = unread
        self._links = links
        self._routes = Routes(links)
        self._carrier = Carrier(links, self._routes, self._died)
        self._on_events = on_events
        self._on_plain = on_plain
        self._on_change = on_change
        self._feed = Feed(links, self._arrived, self._changed)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._scheduled: asyncio.Handle | None = None
        self._settling: asyncio.Handle | None = None
        self._settling_since = 0.0
        self._renewing: asyncio.TimerHandle | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._due = -inf
        self._pumping = False
        self._wall_offset = 0.0
        self._stale = self._alone = False
        self._rewire_after = 0.0
        self._engine: Engine | None = None

    def open(self) -> Change:
        """Open the sockets; nothing is sent or taken in before start()."""
        return self._feed.start()

    def start(self, engine: Engine) -> None:
        """Let `engine` speak."""
        self._engine = engine
        self._wall_offset = time.time() - self._loop.time()
        self._rewire()
        self.pump()

    @property
    def failures(self) -> Mapping[str, int]:
        """How often sending failed, by errno."""
        return self._carrier.failures

    @property
    def now(self) -> float:
        """The engine's clock."""
        return self._loop.time()

    def queued(self, now: float) -> None:
        """A message was queued: a lone one leaves at once, those sent right after it leave together."""
        if self._engine is not None and self._engine.may_flush(now):
            self.pump(now)
        elif self._scheduled is None:
            self._scheduled = self._loop.call_soon(self.pump)

    def pump(self, now: float | None = None) -> None:
        """Do what is due, send what is ready, then tell what happened; `now` if the caller knows it.

        The timer is armed when the application has had its turn.
        """
        engine = self._engine
        if engine is None or self._pumping:
            self._put_off(engine)
            return
        now = self._loop.time() if now is None else now
        self._pumping = True
        try:
            if self._scheduled is not None:
                self._scheduled.cancel()
                self._scheduled = None
            if now >= engine.ticking:  # not whenever records wait for the rate
                engine.unread(self._unread())
                engine.tick(now)
            if self._stale and now >= self._rewire_after:
                self._rewire()
            if leaving := engine.datagrams(now):
                self._carrier.send(leaving)
            if self._waiting:
                self._let_go()
            if events := engine.events():
                self._tell(events)
            if self._settling is None:
                self._settling = self._loop.call_soon(self._settle)
                self._settling_since = now
        finally:
            self._pumping = False

    def _put_off(self, engine: Engine | None) -> None:
        """A signal's handler interrupted the pump: what it has to send leaves after this."""
        if engine is not None:
            self._loop.call_soon(self.pump)

    def _tell(self, events: Sequence[Event]) -> None:
        if not PEER_EVENTS.isdisjoint(map(type, events)):
            self._stale = True
        self._on_events(events)

    def hogged(self, now: float) -> bool:
        """Whether the loop was kept from its other work for a while: requests for repair wait to be read."""
        return self._settling is not None and now - self._settling_since > TURN

    def _let_go(self) -> None:
        """Those who wait for the pump to run go on."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def moved(self, patience: float) -> None:
        """Until the pump ran again, `patience` seconds at most."""
        future = self._loop.create_future()
        self._waiting.append(future)
        await asyncio.wait([future], timeout=patience)
        future.cancel()

    async def finish(self, patience: float = 1.0) -> None:
        """Say goodbye and send what is queued, for at most `patience` seconds; then close. Twice is fine.

        Cancelled, it has said goodbye once and closes all the same.
        """
        try:
            if self._engine is not None:
                await self._say_goodbye(self._engine, self.now + patience)
        finally:
            self._fall_silent()
            await self._feed.close()

    async def _say_goodbye(self, engine: Engine, limit: float) -> None:
        self._close(engine)
        while not engine.closed and self.now < limit:
            self.pump()
            deadline = engine.deadline()
            if engine.closed or deadline is None:
                break
            await asyncio.sleep(max(0.001, min(deadline, limit) - self.now))

    def leave(self) -> None:
        """Say goodbye once and close, without waiting: for a loop that ends."""
        engine = self._engine
        if engine is not None and not self._loop.is_closed():
            self._close(engine)
        self.stop()

    def _close(self, engine: Engine) -> None:
        engine.unread(self._unread())  # the last reports tell it
        engine.close(self.now)
        self.pump()

    def stop(self) -> None:
        """Close at once, without a word. Twice is fine."""
        self._fall_silent()
        self._feed.stop()

    def release(self) -> None:
        """In a forked child: close the sockets, send nothing, and leave the loop, which the parent shares."""
        self._engine = None
        self._feed.release()

    def _fall_silent(self) -> None:
        self._engine = None
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not self._loop.is_closed():
                future.cancel()
        for handle in (self._timer, self._scheduled, self._settling, self._renewing):
            if handle is not None:
                handle.cancel()
        self._timer = self._scheduled = self._settling = self._renewing = None

    def _settle(self) -> None:
        """Set the timer for what is due next: a look at all parts, for which no message has to wait."""
        self._settling = None
        if self._engine is None:
            return
        deadline = self._engine.deadline()
        if events := self._engine.events():  # of what was put away only now
            self._tell(events)
        due = inf if deadline is None else deadline
        if due == self._due and self._timer is not None:
            return
        self._due = due
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if deadline is None else self._loop.call_at(deadline, self._timed_out)

    def _timed_out(self) -> None:
        self._timer = None
        offset = time.time() - self._loop.time()
        if self._engine is not None and abs(offset - self._wall_offset) > CLOCK_JUMP:
            self._wall_offset = offset
            self._engine.set_wall(self._loop.time(), time.time())
        self.pump()

    def _arrived(self, group: GroupAddress | None, datagrams: list[Datagram]) -> None:
        engine = self._engine
        if engine is None or not datagrams:
            return
        now = self._loop.time()
        plain = []
        news = False
        for _, some in groupby(datagrams, _FROM):
            together = list(some)
            ours = [datagram.data for datagram in together if datagram.data.startswith(MAGIC)]
            if ours:
                source = self._routes.heard(together[0])
                interface = -1 if self._alone else together[0].interface
                link = interface << 1 | (":" in source[0])
                news |= engine.receive_all(ours, source, now, group is None, link)
            if len(ours) < len(together):
                plain += [datagram for datagram in together if not datagram.data.startswith(MAGIC)]
        if news:
            self.pump(now)
        if plain and group is not None:
            self._on_plain(group, plain)

    def interface_of(self, source: tuple[object, ...]) -> int | None:
        """The index of the interface through which `source` was last heard, or on whose link it must be."""
        return self._routes.interface_of(source)

    def meet(self, addresses: Sequence[Address]) -> int:
        """Meet whoever is at these addresses by unicast too; how many were too many."""
        engine = self._engine
        if engine is None:
            return 0
        self._carrier.named(addresses)
        beyond = engine.meet(addresses, self.now)
        self.pump()
        return beyond

    def _changed(self, change: Change) -> None:
        self._rewire()
        self._on_change(change)
        self.pump()

    def _rewire(self) -> None:
        """The links or what peers hear may have changed."""
        self._stale = False
        self._alone = all(link.loopback for link in self._links.used)
        if self._engine is not None:
            self._engine.update(self.now, port=self._links.unicast_port, hosts=self._links.hosts)
        self._carrier.rewire(self._shared_version())

    def _shared_version(self) -> int | None:
        hears = [peer.hears for peer in self._engine.peers()] if self._engine else []
        self._rewire_after = self._loop.time() + REWIRE_SHARE * len(hears)
        return next((version for version, flag in HEARS.items() if all(h & flag for h in hears)), None)

    def _died(self, sender: Sender) -> None:
        if self._renewing is None:
            self._renewing = self._loop.call_later(RENEW_AFTER, self._renew, sender)

    def _renew(self, sender: Sender) -> None:
        self._renewing = None
        with contextlib.suppress(
            OSError, McastError
        ):  # what cannot be opened now is tried at the next failure
            self._feed.renew(sender)
        self._rewire()
