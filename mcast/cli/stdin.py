"""Standard input as bytes and lines.

It is read from its descriptor, so that a closed one is an ordinary error, a non-blocking one is waited for,
and a waiting read never keeps the program from ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Iterator

from mcast.errors import McastError, UsageError

from . import streams

LONGEST_LINE = 1 << 20
"""Bytes of a line that are kept. A longer line comes in pieces, so that it cannot fill the memory."""
WAITING_LINES = 64
"""Lines that `Lines` reads ahead."""
_CHUNK = 1 << 16


def read(limit: int) -> bytes:
    """All of standard input, at most `limit` bytes. McastError if it cannot be read."""
    data = bytearray()
    while len(data) < limit and (chunk := _chunk(limit - len(data))):
        data += chunk
    return bytes(data)


def lines(longest: int = LONGEST_LINE) -> Iterator[bytes]:
    """The lines of standard input without LF or CR LF, each as soon as it is complete.

    A line longer than `longest` bytes comes in pieces, cut between code points. McastError if reading fails.
    """
    waiting = b""
    while chunk := _chunk(_CHUNK):
        *whole, waiting = (waiting + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r")
        if len(waiting) > longest:
            cut = _between_code_points(waiting)
            yield waiting[:cut]
            waiting = waiting[cut:]
    if waiting:
        yield waiting.removesuffix(b"\r")


def text_of(line: bytes) -> str:
    """The line as text. UsageError if it is not UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        remedy = "convert it first, for instance with iconv -t utf-8"
        raise UsageError("a line of standard input is not UTF-8", remedy) from None


class Lines:
    """Lines of standard input for an event loop.

    A thread reads them, because a pipe, a file or a console cannot be awaited on every system.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[bytes | McastError | None] = asyncio.Queue()
        self._free = threading.Semaphore(WAITING_LINES)
        # A daemon, so that a read that never returns does not keep the program.
        threading.Thread(target=self._read_all, name="stdin", daemon=True).start()

    async def next(self) -> bytes | None:
        """The next line without its end; None at the end of input. McastError if it cannot be read."""
        line = await self._lines.get()
        self._free.release()
        if isinstance(line, McastError):
            raise line
        return line

    def _read_all(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            try:
                for line in lines():
                    self._put(line)
            except McastError as error:
                self._put(error)
            self._put(None)

    def _put(self, line: bytes | McastError | None) -> None:
        self._free.acquire()
        self._loop.call_soon_threadsafe(self._lines.put_nowait, line)


def _chunk(size: int) -> bytes:
    # Not sys.stdin.buffer: Python aborts at exit if a thread waits in it.
    try:
        return streams.read(sys.stdin.fileno(), size)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise McastError(f"cannot read standard input: {why}", "check what it is connected to") from None


def _between_code_points(data: bytes) -> int:
    """The last place to cut without splitting a UTF-8 sequence: at most three bytes follow its first."""
    cut = len(data) - 1
    while cut > len(data) - 4 and data[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut
