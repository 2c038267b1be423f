"""A chat in a pipe: standard input is sent line by line, what arrives is printed."""

from __future__ import annotations

import asyncio
import codecs
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from mcast.errors import McastError
from mcast.plain import Line

from .lines import chat_text
from .render import Output

LONGEST_LINE = 1 << 20
"""Bytes of one line that are read at once; a longer one is sent as several."""


class Filter:
    """Reads standard input in a thread, since a pipe, a file or a console cannot be awaited everywhere."""

    def __init__(self, output: Output, as_event: Callable[[Line], Mapping[str, Any]] | None) -> None:
        self._output = output
        self._as_event = as_event
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[bytes] = asyncio.Queue()
        self._more = threading.Semaphore(64)
        # A daemon: a read that never ends must not keep the program.
        threading.Thread(target=self._read_all, name="stdin", daemon=True).start()

    async def read(self) -> str | None:
        """The next line; None at the end of input. McastError for a line that is not UTF-8."""
        line = await self._lines.get()
        self._more.release()
        if not line:
            return None
        try:
            text = self._decoder.decode(line, final=line.endswith(b"\n"))
        except UnicodeDecodeError:
            raise McastError(
                "standard input is not UTF-8", "convert it first, for instance with iconv -t utf-8"
            ) from None
        return text.removesuffix("\n").removesuffix("\r")

    def show(self, lines: list[Line]) -> None:
        """Lines of others, as text or as JSON."""
        if self._as_event:
            self._output.events(map(self._as_event, lines))
        else:
            self._output.lines(map(chat_text, lines))

    def sent(self, text: str) -> None:
        """Nothing: a filter does not repeat its input."""

    def close(self) -> None:
        """Nothing to give back."""

    def _read_all(self) -> None:
        line = b"-"
        while line:
            self._more.acquire()
            try:
                line = sys.stdin.buffer.readline(LONGEST_LINE)
            except (OSError, ValueError):
                line = b""
            try:
                self._loop.call_soon_threadsafe(self._lines.put_nowait, line)
            except RuntimeError:  # the loop has ended
                return
