"""Drives `Links` in an event loop: reads its sockets, follows the interfaces, hands on what comes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

from mcast import interfaces
from mcast.errors import SocketError
from mcast.multicast import DRAIN_LIMIT, Datagram, Sender
from mcast.net.address import GroupAddress
from mcast.net.interface_monitor import Watcher
from mcast.net.interface_table import Table
from mcast.net.links import REJOIN_INTERVAL, Change, Links
from mcast.net.ports import CLAIM_INTERVAL

LOOK_INTERVAL = 1.0
"""Seconds between looks at whether the interfaces changed; where the kernel tells of it, from then to a look:
an idle program is not woken by this."""
RUSH = 0.008
"""Seconds: when the sockets wake us this soon after the last time, more than one datagram may wait. One that
comes alone is handed on before we look for another."""


class Feed:
    """Calls `on_datagrams(group, datagrams)` and `on_change(change)` from the running loop until closed.

    The group is None for datagrams that were sent to an address of ours.
    While paused nothing is read: what arrives waits in the kernel, which counts what it must drop.
    """

    def __init__(
        self,
        links: Links,
        on_datagrams: Callable[[GroupAddress | None, list[Datagram]], None],
        on_change: Callable[[Change], None],
    ) -> None:
        self._links = links
        self._on_datagrams = on_datagrams
        self._on_change = on_change
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watched: list[int] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._watcher: Watcher | None = None
        self._noticed = asyncio.Event()
        self._listening: int | None = None
        self._paused = False
        self._claim_at = 0.0
        self._woken = 0.0

    def start(self) -> Change:
        """Open everything and begin; the first change is returned, not called back."""
        change = self._links.update(self._read_table())
        self._loop = asyncio.get_running_loop()
        self._watch()
        self._claim_at = self._loop.time() + CLAIM_INTERVAL
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._rejoin())]
        return change

    def refresh(self) -> None:
        """Look at the interfaces now instead of at the next change; a change is called back."""
        self._update(self._read_table())

    def renew(self, sender: Sender) -> None:
        """Close a sender that failed, and look at the interfaces for what takes its place."""
        with self._rewatching():
            self._links.drop(sender)
        self.refresh()  # so that a change back to what was before is one, too

    def pause(self) -> None:
        """Stop reading until resume()."""
        self._paused = True
        self._unwatch()

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        self._watch()

    async def close(self) -> None:
        """Stop following and close the sockets. Closing twice is fine."""
        tasks = self._tasks
        self.stop()
        await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self) -> None:
        """Like close(), at once: for a loop that ends. The tasks end when the loop goes on."""
        if self._loop is not None and not self._loop.is_closed():
            self._unwatch()
            self._unlisten()
            for task in self._tasks:
                task.cancel()
        self._tasks = []
        self._close_sockets()

    def release(self) -> None:
        """Close the sockets and leave the selector alone: for a forked child, which shares it."""
        for task in self._tasks:
            with contextlib.suppress(RuntimeError):  # the loop of another thread: nothing runs there any more
                task.cancel()
        self._close_sockets()

    def _close_sockets(self) -> None:
        self._links.close()
        if self._watcher is not None:
            self._watcher.close()

    def _watch(self) -> None:
        if self._paused or self._loop is None:
            return
        for group, receiver in self._links.receivers.items():
            for index in receiver.joined:
                descriptor = receiver.fileno(index)
                self._loop.add_reader(descriptor, self._read, group, index)
                self._watched.append(descriptor)
        for sender in (*self._links.endpoints, *self._links.doors) if self._links.plan.unicast else ():
            self._loop.add_reader(sender.fileno(), self._read_endpoint, sender)
            self._watched.append(sender.fileno())

    def _unwatch(self) -> None:
        """Before a socket may close: a selector loses track of a number that is closed and reused."""
        if self._loop is not None:
            for descriptor in self._watched:
                self._loop.remove_reader(descriptor)
        self._watched = []

    def _limit(self) -> int:
        """How many datagrams to take."""
        now = time.monotonic()
        woken, self._woken = self._woken, now
        return DRAIN_LIMIT if now - woken < RUSH else 1

    def _read(self, group: GroupAddress, interface: int) -> None:
        receiver = self._links.receivers[group]
        try:
            datagrams = receiver.drain(interface, self._limit())
        except SocketError as error:
            with self._rewatching():
                receiver.leave(interface)
            self._on_change(Change(problems=(error,)))
        else:
            self._on_datagrams(group, datagrams)

    def _read_endpoint(self, sender: Sender) -> None:
        try:
            datagrams = sender.drain(self._limit())
        except SocketError as error:
            with self._rewatching():
                self._links.drop(sender)
            self._on_change(Change(problems=(error,)))
        else:
            self._on_datagrams(None, datagrams)

    @contextlib.contextmanager
    def _rewatching(self) -> Iterator[None]:
        self._unwatch()
        try:
            yield
        finally:
            self._watch()

    def _read_table(self) -> Table:
        """The interfaces now; changes are noticed from here on, also one back to what was before."""
        table = interfaces.read()
        if self._watcher is not None:
            self._unlisten()
            self._watcher.close()
        self._watcher = Watcher(table)
        self._noticed.set()
        return table

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            self._noticed.clear()
            with contextlib.suppress(OSError):  # what cannot be read now is read at the next rejoin
                if self._watcher is not None and (table := self._watcher.poll()) is not None:
                    self._update(table)
            self._claim()
            self._listen()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._noticed.wait(), CLAIM_INTERVAL - LOOK_INTERVAL)

    def _listen(self) -> None:
        """Have the kernel tell of changes; where it cannot, look again soon."""
        descriptor = None if self._watcher is None else self._watcher.fileno()
        if descriptor is None or self._loop is None:
            self._noticed.set()
        elif self._listening is None:
            self._loop.add_reader(descriptor, self._notice)
            self._listening = descriptor

    def _unlisten(self) -> None:
        if self._loop is not None and self._listening is not None:
            self._loop.remove_reader(self._listening)
        self._listening = None

    def _notice(self) -> None:
        self._unlisten()
        self._noticed.set()

    def _claim(self) -> None:
        """Now and then, see whether the program that holds the group's port has left."""
        links = self._links
        if self._loop is None or self._loop.time() < self._claim_at or links.holding or not links.plan.hold:
            return
        self._claim_at = self._loop.time() + CLAIM_INTERVAL
        with self._rewatching():
            claimed = links.claim()
        if claimed:
            self._on_change(Change())

    def _update(self, table: Table) -> None:
        with self._rewatching():
            change = self._links.update(table)
        if change:
            self._on_change(change)

    async def _rejoin(self) -> None:
        while True:
            await asyncio.sleep(REJOIN_INTERVAL)
            with self._rewatching():
                self._links.rejoin()
            with contextlib.suppress(OSError):
                self.refresh()
