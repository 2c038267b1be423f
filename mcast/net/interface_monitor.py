"""Noticing that interfaces appear, vanish, go up or down, or that addresses or default routes change."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from collections.abc import AsyncIterator
from typing import Protocol, Self

from mcast.net.interface_table import Table, fingerprint, read


class Watcher:
    """Tells when the interfaces change: `poll` as often as wanted; once a second costs next to nothing.

    It is cheap because `read` runs only when something seems to have changed: on Linux when the kernel has
    said so (rtnetlink(7), open to every user), elsewhere when psutil's or netifaces' raw answers differ.
    Close it when done.
    """

    def __init__(self, known: Table | None = None) -> None:
        self._known = known
        self._hint = _open_hint()
        self._fresh = True

    def poll(self) -> Table | None:
        """The new table if it differs from the last one told (the first time: from `known`), else None.

        Raises OSError when nothing can be asked now; the next call asks again.
        """
        self._fresh |= self._hint.changed()
        if not self._fresh:
            return None
        table = read()
        self._fresh = False
        if table == self._known:
            return None
        self._known = table
        return table

    def fileno(self) -> int | None:
        """A descriptor that becomes readable when something may have changed; None: only polling tells."""
        return self._hint.fileno()

    def close(self) -> None:
        """Let go of the kernel's notices. May be called twice."""
        self._hint.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


async def watch(known: Table | None = None, *, period: float = 1.0) -> AsyncIterator[Table]:
    """The interfaces whenever they changed, looked at every `period` seconds.

    Yields the table at once unless it equals `known`; a change is noticed within `period` and the second
    the kernel takes to report a lost carrier.
    """
    with Watcher(known) as watcher:
        while True:
            table = None
            with contextlib.suppress(OSError):  # what cannot be read now is read next time
                table = watcher.poll()
            if table is not None:
                yield table
            await asyncio.sleep(period)


class _Hint(Protocol):
    def changed(self) -> bool:
        """Whether anything about interfaces, addresses or routes may have changed since the last call."""

    def fileno(self) -> int | None:
        """What becomes readable when that may be so, if anything does."""

    def close(self) -> None:
        """Free what it holds."""


class _Notices:
    """The kernel's notices (Linux, rtnetlink(7)): not read, only noticed."""

    # RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE
    GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        try:
            self._socket.setblocking(False)
            self._socket.bind((0, self.GROUPS))
        except OSError:
            self._socket.close()
            raise

    def changed(self) -> bool:
        seen = False
        for _ in range(1000):
            try:
                self._socket.recv(1)  # the rest of a datagram is discarded
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # more notices than the buffer held: as good as one
                    raise
            seen = True
        return seen

    def fileno(self) -> int | None:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()


class _Comparison:
    """The portable way: ask for what is cheap to ask and compare."""

    def __init__(self) -> None:
        self._last: object = None

    def changed(self) -> bool:
        now = fingerprint()
        before, self._last = self._last, now
        return now != before

    def fileno(self) -> int | None:
        return None

    def close(self) -> None:
        self._last = None


def _open_hint() -> _Hint:
    if sys.platform == "linux":
        # Sandboxes and Android forbid the bind.
        with contextlib.suppress(OSError):
            return _Notices()
    return _Comparison()
