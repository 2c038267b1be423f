"""Lines of standard input for an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from mcast.errors import McastError

from . import stdin

WAITING_LINES = 64


class Lines:
    """Reads standard input in a thread, since a pipe, a file or a console cannot be awaited everywhere."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[bytes | McastError | None] = asyncio.Queue()
        self._room = threading.Semaphore(WAITING_LINES)
        # A daemon: a read that never ends must not keep the program.
        threading.Thread(target=self._read_all, name="stdin", daemon=True).start()

    async def next(self) -> bytes | None:
        """The next line without its end; None at the end of input. McastError when it cannot be read."""
        line = await self._lines.get()
        self._room.release()
        if isinstance(line, McastError):
            raise line
        return line

    def _read_all(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            try:
                for line in stdin.lines():
                    self._put(line)
            except McastError as error:
                self._put(error)
            self._put(None)

    def _put(self, line: bytes | McastError | None) -> None:
        self._room.acquire()
        self._loop.call_soon_threadsafe(self._lines.put_nowait, line)
