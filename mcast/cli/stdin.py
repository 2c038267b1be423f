"""Standard input as bytes and lines, read from its descriptor: works closed, and never keeps the program."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from mcast.errors import McastError, UsageError

LONGEST_LINE = 1 << 20
"""Bytes of one line that are read at once, so that a line without end does not fill the memory."""
_CHUNK = 1 << 16


def read(limit: int) -> bytes:
    """All of it, at most `limit` bytes. McastError when it cannot be read."""
    data = bytearray()
    while len(data) < limit and (chunk := _chunk(limit - len(data))):
        data += chunk
    return bytes(data)


def lines(longest: int = LONGEST_LINE) -> Iterator[bytes]:
    """Its lines without LF or CR LF, as soon as each is there; longer ones in pieces of about `longest`
    bytes, cut between code points. McastError when it cannot be read."""
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
    """The line as text. UsageError when it is not UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise UsageError(
            "a line that is not UTF-8", "convert it first, for instance with iconv -t utf-8"
        ) from None


def _chunk(size: int) -> bytes:
    # Not sys.stdin.buffer: a thread that waits in there makes Python abort at exit.
    try:
        return os.read(sys.stdin.fileno(), size)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise McastError(f"cannot read standard input: {why}", "check where it comes from") from None


def _between_code_points(data: bytes) -> int:
    """The last place to cut that splits no UTF-8 sequence, which has at most three bytes after its first."""
    cut = len(data) - 1
    while cut > len(data) - 4 and data[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut
