"""Notices changes of interfaces, addresses and default routes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from collections.abc import AsyncIterator
from typing import Self

from mcast.net.interface_table import Table, fingerprint, read


class Watcher:
    """Tells when the interfaces change. Call poll() about once a second; use it as a context manager.

    known: the table that the caller has already; poll() tells only what differs from it. Polling is cheap:
    the table is read only after the kernel has reported a change (Linux, rtnetlink(7)), elsewhere when the
    raw answers of psutil or netifaces differ.
    """

    def __init__(self, known: Table | None = None) -> None:
        self._known = known
        self._hint = _open_hint()
        self._stale = True

    def poll(self) -> Table | None:
        """The new table if it differs from the last one, else None.

        Raises OSError if the system cannot answer now; the next call tries again.
        """
        self._stale |= self._hint.changed()
        if not self._stale:
            return None
        table = read()
        self._stale = False
        if table == self._known:
            return None
        self._known = table
        return table

    def fileno(self) -> int | None:
        """A descriptor that is readable when something may have changed; None: polling is the only way."""
        return self._hint.fileno()

    def close(self) -> None:
        """Stop watching. May be called twice."""
        self._hint.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


async def watch(known: Table | None = None, *, period: float = 1.0) -> AsyncIterator[Table]:
    """Yield the table of interfaces now and after every change.

    known: a table that the caller has already; the first one is yielded only if it differs. period: seconds
    between looks. The kernel takes another second to report a lost carrier.
    """
    with Watcher(known) as watcher:
        while True:
            table = None
            with contextlib.suppress(OSError):  # the next poll tries again
                table = watcher.poll()
            if table is not None:
                yield table
            await asyncio.sleep(period)


class _Notices:
    """The kernel's notices of changes (Linux, rtnetlink(7)). Their content is ignored."""

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
        """Whether anything may have changed since the last call."""
        seen = False
        for _ in range(1000):
            try:
                self._socket.recv(1)  # the rest of a datagram is discarded
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # the buffer overflowed: something has changed
                    raise
            seen = True
        return seen

    def fileno(self) -> int | None:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()


class _Comparison:
    """The portable way: compare answers of the system that are cheap to get."""

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


def _open_hint() -> _Notices | _Comparison:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # sandboxes and Android forbid the bind
            return _Notices()
    return _Comparison()
