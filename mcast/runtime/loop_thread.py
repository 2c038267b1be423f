"""An event loop in a thread of its own, for callers without asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import selectors
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from mcast.errors import GroupClosed, UsageError

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for other threads until stop(). Then it awaits `last()` and ends.

    The thread is a daemon, so that a program that ends without stop() does not hang.
    """

    def __init__(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._last = last
        self._selector = selectors.DefaultSelector()
        self._loop = _Loop(self._selector)
        self.forked = False
        self._lock = threading.Lock()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="mcast", daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether the thread has ended."""
        return self._stopped and not self._thread.is_alive()

    def require(self) -> None:
        """Raise GroupClosed in a forked child, UsageError in the loop's own thread, which would deadlock.

        Call it before you take a lock: in a child, a thread that does not exist there may hold it.
        """
        if self.forked:
            raise GroupClosed("a group does not work in a forked process", "join again there")
        if threading.get_ident() == self._thread.ident:
            raise UsageError("a blocking call from the group's own event loop", "use mcast.aio there")

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for the coroutine's result. Raises GroupClosed if the thread stops meanwhile."""
        try:
            self.require()
            with self._lock:
                if self._stopped:
                    raise GroupClosed("this group has been closed", "join again")
                future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except BaseException:
            coroutine.close()
            raise
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise GroupClosed("this group has been closed", "join again") from None
        except BaseException:
            future.cancel()
            raise

    def call_soon(self, function: Callable[[], None]) -> None:
        """Call `function` in the loop, unless that has stopped. Costs a wake-up of the thread."""
        with self._lock:
            if not self._stopped:
                self._loop.call_soon_threadsafe(function)

    def stop(self, patience: float) -> None:
        """End the thread, and wait for that at most `patience` seconds. Several threads may call it."""
        with self._lock:
            if not self._stopped:
                self._stopped = True
                self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(patience)

    def abandon(self) -> None:
        """In a forked child: free the inherited loop without touching what the parent shares."""
        self.forked = True
        self._loop.abandon()
        self._selector.close()

    def _run(self) -> None:
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._wind_up())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    async def _wind_up(self) -> None:
        await self._last()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class _Loop(asyncio.SelectorEventLoop):
    """A loop that a forked child can drop: its thread does not exist there."""

    _abandoned = False

    def abandon(self) -> None:
        self._abandoned = True
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # as asyncio.gather does
        for name in ("_ssock", "_csock"):  # close() would take them out of the selector, which is shared
            if (pipe := getattr(self, name, None)) is not None:
                pipe.close()

    def __del__(self) -> None:
        if not self._abandoned:
            super().__del__()


def separate_selector(loop: asyncio.AbstractEventLoop) -> None:
    """In a forked child: give the inherited loop a selector of its own.

    Both processes share the kernel's epoll set. A child that leaves asyncio.run() would remove the loop's
    wake-up socket from it, and the parent's loop would sleep for ever.
    """
    shared = getattr(loop, "_selector", None)
    if shared is None:  # no selector loop, or not asyncio's
        return
    own = selectors.DefaultSelector()
    for key in list(shared.get_map().values()):
        with contextlib.suppress(OSError, ValueError, KeyError):  # closed already
            own.register(key.fileobj, key.events, key.data)
    loop._selector = own  # type: ignore[attr-defined]  # nothing public sets it
    shared.close()
