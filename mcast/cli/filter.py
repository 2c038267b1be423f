"""A chat in a pipe: standard input is sent line by line, what arrives is printed."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterable

from mcast.errors import McastError

from . import stdin
from .lines import Said, chat_text
from .render import Output

WAITING_LINES = 64


class Filter:
    """Reads standard input in a thread, since a pipe, a file or a console cannot be awaited everywhere."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[bytes | McastError | None] = asyncio.Queue()
        self._room = threading.Semaphore(WAITING_LINES)
        # A daemon: a read that never ends must not keep the program.
        threading.Thread(target=self._read_all, name="stdin", daemon=True).start()

    async def read(self) -> str | None:
        """The next line; None at the end of input. UsageError for a line that is not UTF-8."""
        line = await self._lines.get()
        self._room.release()
        if isinstance(line, McastError):
            raise line
        return None if line is None else stdin.text_of(line)

    def show(self, said: Iterable[Said]) -> None:
        """Lines of others."""
        self._output.lines(map(chat_text, said))

    def sent(self, text: str) -> None:
        """Nothing: a filter does not repeat its input, and a terminal has shown it."""

    def close(self) -> None:
        """Nothing to give back."""

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
