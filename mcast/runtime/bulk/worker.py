"""A thread that does what may block: reading, hashing and writing files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import tempfile
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
IN_MEMORY = 4 << 20
"""Bytes of the nodes of a hash tree that are held in memory; beyond that they are in a file. 170 MB of
content have that many."""
_ON_DISK = "/var/tmp"  # noqa: S108 - the file in it has no name
"""Where that file is, unless TMPDIR is set: /tmp is often in memory, and 128 GB of content have 3 GB of
nodes."""


class Worker:
    """Runs functions one after the other in a thread of its own, which does not keep the program alive."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def run(self, function: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """Queue a call; the future has its result."""
        future: asyncio.Future[T] = self._loop.create_future()

        def job() -> None:
            result, failure = None, None
            try:
                result = function(*arguments)
            except BaseException as error:
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(_settle, future, result, failure)

        self._jobs.put(job)
        return future

    def stop(self) -> None:
        """End the thread after what is queued."""
        self._jobs.put(None)

    def join(self, timeout: float) -> None:
        """Wait until it has ended."""
        self._thread.join(timeout)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


async def apart(function: Callable[..., T], *arguments: Any) -> T:
    """Like asyncio.to_thread(), but neither the end of the loop nor that of the program waits for the thread.

    The disk that it reads may hang.
    """
    worker = Worker("mcast-apart")
    try:
        return await worker.run(function, *arguments)
    finally:
        worker.stop()


def _settle(future: asyncio.Future[Any], result: Any, failure: BaseException | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)


class SpooledNodes:
    """The nodes of a hash tree: in memory while they are few, else in a file that the system removes."""

    def __init__(self) -> None:
        on_disk = _ON_DISK if "TMPDIR" not in os.environ and os.access(_ON_DISK, os.W_OK) else None
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=on_disk)  # noqa: SIM115 - by close()
        self._lock = threading.Lock()

    def write(self, offset: int, data: bytes) -> None:
        """Keep bytes."""
        with self._lock:
            self._file.seek(offset)
            self._file.write(data)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes that were kept."""
        with self._lock:
            self._file.seek(offset)
            return self._file.read(size)

    def close(self) -> None:
        """Forget them."""
        self._file.close()
