"""Standard streams as a parent program hands them over: blocking or not, read at once, slowly or never.

Text is written in threads. A pipe that nobody reads, or a terminal that is stopped, then stops the thread
that writes to it, and never the protocol.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:  # --help starts faster without asyncio
    import asyncio

    from _typeshed import ReadableBuffer

ROOM = 256 * 1024
"""Bytes that wait to be written while a command goes on to print."""
PAUSE = 0.001
"""Seconds between two tries. A terminal that is ready may yet refuse a line end, which takes two bytes."""

IDLE = 0.5
"""Seconds for which a thread waits for more to write before it ends."""

_changed = threading.Condition()
"""Guards what follows and the counters of all writers."""
_queues: dict[tuple[int, int], deque[tuple[Writer, bytes]]] = {}
"""What is to be written, by device and inode. A thread writes it."""


def read(descriptor: int, size: int) -> bytes:
    """os.read() that waits for input even if the descriptor is non-blocking."""
    while True:
        try:
            return os.read(descriptor, size)
        except BlockingIOError:
            select.select([descriptor], [], [])
            time.sleep(PAUSE)


class Patient(io.FileIO):
    """A descriptor to write to. write() waits for room, even if somebody made the stream non-blocking."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)

    def write(self, data: ReadableBuffer, /) -> int:
        while (written := super().write(data)) is None:
            select.select([], [self], [])
            time.sleep(PAUSE)
        return written


class Writer:
    """Writes to a stream in the background. Two writers to one terminal, pipe or file keep their order.

    waiting: bytes that are still to be written. error: why nothing is written any more. on_failure: called in
    another thread when that happens. A stream without a descriptor, as in tests, is written to at once.
    """

    def __init__(self, stream: TextIO, encoding: str | None = None) -> None:
        self.stream = stream
        self.encoding = encoding or stream.encoding or "utf-8"
        self.waiting = 0
        self.error: Exception | None = None
        self.on_failure: Callable[[], None] = lambda: None
        self._asleep: list[asyncio.Future[None]] = []
        self._raw: io.RawIOBase | None = None
        with contextlib.suppress(OSError, ValueError, AttributeError):
            status = os.fstat(stream.fileno())
            self._file = status.st_dev, status.st_ino
            self._raw = _raw(stream)

    def put(self, text: str) -> None:
        """Write `text` soon. Characters that the encoding lacks become `\\uNNNN`."""
        if self._raw is None:
            self._put_at_once(text)
            return
        data = text.encode(self.encoding, "backslashreplace")
        with _changed:
            if self.error is None and data:
                self.waiting += len(data)
                _queue(self._file).append((self, data))
                _changed.notify_all()

    async def room(self, most: int = ROOM) -> None:
        """Wait until at most `most` bytes are still to be written, or nothing can be written any more."""
        import asyncio

        while self.waiting > most and self.error is None:
            future = asyncio.get_running_loop().create_future()
            with _changed:
                if self.waiting > most and self.error is None:
                    self._asleep.append(future)
                else:
                    return
            await future

    def finish(self, seconds: float | None = None) -> None:
        """Wait until everything is written, or cannot be, for at most `seconds`. Signals interrupt it."""
        with _changed:
            _changed.wait_for(lambda: not self.waiting or self.error is not None, seconds)

    def write(self, data: bytes) -> None:
        """Write what put() has queued. Called in the thread of the queue."""
        rest = memoryview(data)
        try:
            while rest and self.error is None and self._raw is not None:
                written = self._raw.write(rest)
                rest = rest[written:]
                with _changed:
                    self.waiting -= written or 0
                    self._wake()
        except (OSError, ValueError) as error:
            self._fail(error)

    def _put_at_once(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        with _changed:
            self.error, self.waiting = error, 0
            self._wake()
        self.on_failure()

    def _wake(self) -> None:
        """Wake all who wait for room. Called with the lock held."""
        asleep, self._asleep = self._asleep, []
        for future in asleep:
            with contextlib.suppress(RuntimeError):  # its loop has ended
                future.get_loop().call_soon_threadsafe(_wake, future)
        _changed.notify_all()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _raw(stream: TextIO) -> io.RawIOBase:
    """What writes bytes to the stream. On Windows it is the stream's own, which knows consoles."""
    if sys.platform == "win32":
        buffer = stream.buffer
        return buffer if isinstance(buffer, io.RawIOBase) else buffer.raw
    return Patient(stream.fileno())


def _queue(file: tuple[int, int]) -> deque[tuple[Writer, bytes]]:
    """The queue of a file, with a thread that empties it. Called with the lock held."""
    if file not in _queues:
        _queues[file] = deque()
        # A daemon, so that a write that never returns does not keep the program.
        threading.Thread(target=_write_all, args=(file,), name="writer", daemon=True).start()
    return _queues[file]


def _write_all(file: tuple[int, int]) -> None:
    queue = _queues[file]
    while True:
        with _changed:
            if not _changed.wait_for(lambda: queue, IDLE):
                del _queues[file]
                return
            writer, data = queue.popleft()
        writer.write(data)
