"""Reads the sockets of `Links` in an event loop and keeps them in step with the interfaces."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Generic, TypeVar

from mcast import interfaces
from mcast.errors import SocketError
from mcast.interfaces import Table, Watcher
from mcast.multicast import DRAIN_LIMIT, Reading, Sender
from mcast.net.address import GroupAddress
from mcast.net.links import Change, Links
from mcast.net.socket_options import SocketName

T = TypeVar("T")
LOOK_INTERVAL = 1.0
"""Seconds between looks at the interfaces. Where the kernel reports changes, seconds from its report to the
look: an idle program is not woken by it."""
CLAIM_INTERVAL = 10.0
"""Seconds between attempts to bind the group's port while another program holds it."""
REJOIN_INTERVAL = 50.0
"""Seconds between two reports of our memberships: switches that forget them wait at least 60 s."""
BUSY_INTERVAL = 0.008
"""Seconds. A socket that is readable again so soon may hold several datagrams: all are read. Otherwise one is
read and delivered before the next read."""


class SocketReader(Generic[T]):
    """Calls `on_datagrams(group, datagrams)` and `on_change(change)` in the running loop until it is closed.

    The datagrams are as `how` reads them. `group` is None for datagrams that were sent to one of our own
    addresses. While paused it reads nothing: datagrams wait in the kernel, which counts those that it drops.
    """

    def __init__(
        self,
        links: Links,
        on_datagrams: Callable[[GroupAddress | None, list[T]], None],
        on_change: Callable[[Change], None],
        how: Reading[T],
    ) -> None:
        self._links = links
        self._on_datagrams = on_datagrams
        self._on_change = on_change
        self._how = how
        self._loop: asyncio.AbstractEventLoop | None = None
        self._descriptors: list[int] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._watcher: Watcher | None = None
        self._watched: int | None = None
        self._look_now = asyncio.Event()
        self._paused = False
        self._claim_at = 0.0
        self._last_read = 0.0

    def start(self) -> Change:
        """Open the sockets and begin to read. The first change is returned instead of called back."""
        change = self._links.update(self._read_table())
        self._loop = asyncio.get_running_loop()
        self._add_readers()
        self._claim_at = self._loop.time() + CLAIM_INTERVAL
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._rejoin())]
        return change

    def refresh(self) -> None:
        """Look at the interfaces now."""
        self._update(self._read_table())

    def reach(self, addresses: Iterable[SocketName]) -> None:
        """Open sockets on the interfaces that lead to these static peers."""
        with self._readers_removed():
            self._links.reach(addresses)

    def renew(self, sender: Sender) -> None:
        """Replace a sender that failed: its interface may have changed."""
        with self._readers_removed():
            self._links.drop(sender)
        self.refresh()

    def pause(self) -> None:
        """Stop reading until resume()."""
        self._paused = True
        self._remove_readers()

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        self._add_readers()

    async def close(self) -> None:
        """Close the sockets and wait for the tasks to end. May be called twice."""
        tasks = self._tasks
        self.stop()
        await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self, *, forked: bool = False) -> None:
        """Close the sockets at once, for a loop that ends. May be called twice.

        forked: leave the selector alone, because this is a forked child and the parent shares it.
        """
        if self._loop is not None and not self._loop.is_closed():
            if not forked:
                self._remove_readers()
                self._unwatch()
            for task in self._tasks:
                with contextlib.suppress(RuntimeError):  # forked: a loop of another thread, which is not here
                    task.cancel()
        if not forked:  # asyncio complains about a dropped task whose loop does not run
            self._tasks = []
        self._links.close()
        if self._watcher is not None:
            self._watcher.close()

    def _read(
        self,
        group: GroupAddress | None,
        read: Callable[[int, Reading[T]], list[T]],
        close: Callable[[], None],
    ) -> None:
        """A socket is readable. `read` reads it; `close` closes it after an error."""
        now = time.monotonic()
        limit = DRAIN_LIMIT if now - self._last_read < BUSY_INTERVAL else 1
        self._last_read = now
        try:
            datagrams = read(limit, self._how)
        except SocketError as error:
            with self._readers_removed():
                close()
            self._on_change(Change(problems=(error,)))
            return
        if datagrams:
            self._on_datagrams(group, datagrams)

    def _add_readers(self) -> None:
        if self._paused or self._loop is None:
            return
        links, add = self._links, self._loop.add_reader
        for group, receiver in links.receivers.items():
            for index in receiver.joined:
                descriptor, close = receiver.fileno(index), partial(receiver.leave, index)
                add(descriptor, self._read, group, partial(receiver.read, index), close)
                self._descriptors.append(descriptor)
        for sender in (*links.endpoints, *links.secondary) if links.plan.unicast else ():
            add(sender.fileno(), self._read, None, sender.read, partial(links.drop, sender))
            self._descriptors.append(sender.fileno())

    def _remove_readers(self) -> None:
        if self._loop is not None:
            for descriptor in self._descriptors:
                self._loop.remove_reader(descriptor)
        self._descriptors = []

    @contextlib.contextmanager
    def _readers_removed(self) -> Iterator[None]:
        """While sockets may close: a selector loses track of a descriptor that is closed and reused."""
        self._remove_readers()
        try:
            yield
        finally:
            self._add_readers()

    def _update(self, table: Table) -> None:
        with self._readers_removed():
            change = self._links.update(table)
        self._on_change(change)

    def _read_table(self) -> Table:
        """The interfaces now. The new watcher notices every later change, even back to the table before."""
        table = interfaces.read()
        if self._watcher is not None:
            self._unwatch()
            self._watcher.close()
        self._watcher = Watcher(table)
        self._look_now.set()
        return table

    async def _follow(self) -> None:
        """Follow the interfaces, and try to get the group's port."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            self._look_now.clear()
            with contextlib.suppress(OSError):  # the next rejoin tries again
                if self._watcher is not None and (table := self._watcher.poll()) is not None:
                    self._update(table)
            self._claim()
            self._watch()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLAIM_INTERVAL - LOOK_INTERVAL):
                    await self._look_now.wait()

    def _watch(self) -> None:
        """Let the kernel report changes. Where it cannot, look again after LOOK_INTERVAL."""
        descriptor = None if self._watcher is None else self._watcher.fileno()
        if descriptor is None or self._loop is None:
            self._look_now.set()
        elif self._watched is None:
            self._loop.add_reader(descriptor, self._noticed)
            self._watched = descriptor

    def _unwatch(self) -> None:
        if self._loop is not None and self._watched is not None:
            self._loop.remove_reader(self._watched)
        self._watched = None

    def _noticed(self) -> None:
        self._unwatch()
        self._look_now.set()

    def _claim(self) -> None:
        """Try to get the group's port if another program held it and the time has come."""
        links = self._links
        if self._loop is None or self._loop.time() < self._claim_at or links.holding or not links.plan.hold:
            return
        self._claim_at = self._loop.time() + CLAIM_INTERVAL
        with self._readers_removed():
            claimed = links.claim()
        if claimed:
            self._on_change(Change())

    async def _rejoin(self) -> None:
        while True:
            await asyncio.sleep(REJOIN_INTERVAL)
            with self._readers_removed():
                self._links.rejoin()
            with contextlib.suppress(OSError):
                self.refresh()
