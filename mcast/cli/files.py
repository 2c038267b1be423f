"""Reads small files that a user names. A pipe that nobody writes to does not block the program for ever."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from .output import note

PATIENCE = 60.0
"""Seconds to wait for a pipe. A password manager at its other end may be asking its user."""
HINT = 1.0
"""Seconds after which the user is told what is waited for."""
BINARY = getattr(os, "O_BINARY", 0)
"""Windows opens descriptors in text mode without it."""


def read(path: str | Path, limit: int, *, pipes: bool = True) -> tuple[bytes, int]:
    """The first `limit` bytes of a file, and its mode. OSError if it cannot be read.

    A pipe is read to its end, but waited for only so long, and with `pipes` off not at all.
    """
    # O_NONBLOCK: to open a pipe without it waits for a writer.
    file = os.open(path, os.O_RDONLY | BINARY | getattr(os, "O_NONBLOCK", 0))
    try:
        mode = os.fstat(file).st_mode
        if not pipes:
            require_regular(file)
        data = b""
        while len(data) < limit:
            if sys.platform != "win32" and not stat.S_ISREG(mode):
                _await(file, path)
            if not (chunk := os.read(file, limit - len(data))):
                break
            data += chunk
        return data, mode
    finally:
        os.close(file)


def require_regular(file: int) -> None:
    """OSError if the open `file` is a pipe or a device: reading it could wait for ever."""
    if not stat.S_ISREG(os.fstat(file).st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let signals end the program as if no command caught them: nothing has been joined yet."""
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    terminate = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, terminate)


if sys.platform != "win32":

    def _await(file: int, path: str | Path) -> None:
        """Wait for something to read, or the end. TimeoutError if there is nothing for PATIENCE seconds."""
        waiting = select.poll()
        waiting.register(file, select.POLLIN)
        if waiting.poll(HINT * 1000):
            return
        note(f"waiting for a program that writes to {path}")
        with interruptible():
            if not waiting.poll(PATIENCE * 1000):
                raise TimeoutError(errno.ETIMEDOUT, f"nobody wrote to it for {PATIENCE:g} s")
