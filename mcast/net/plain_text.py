"""The plain wire: bare UTF-8, a datagram a line, as the multicast chats of the tutorials speak it.

It has no identity and no sequence: what is lost stays lost, anyone can claim to be anyone, and two equal
lines sent within a second over different interfaces cannot be told from copies of one.
Sent on one interface (the preferred one), received on all; our own are known by our sending socket.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

import msgspec

from mcast.errors import MessageTooLarge, SocketError
from mcast.interfaces import Interface
from mcast.multicast import Datagram
from mcast.net.address import GroupAddress
from mcast.net.copies import CopyFilter
from mcast.net.links import Change, Links, Plan
from mcast.net.reader import Feed

DEFAULT_PORT = 3000
SPLIT_AT = 1200
"""Bytes after which a long line is split: every interface carries that much in one datagram."""
WAITING_DATAGRAMS = 8192
WAITING_BYTES = 16 << 20
"""What may wait for the application before reading pauses and the kernel's buffer fills instead."""


class Line(msgspec.Struct, frozen=True):
    """One datagram. `text` is None where `data` is not UTF-8; `source` is (address, port), `interface` a
    name, `received` unix seconds here, `ttl` None where the platform does not tell."""

    data: bytes
    text: str | None
    source: tuple[str, int]
    group: GroupAddress
    interface: str
    ttl: int | None
    received: float


Event = Line | Change


def payload_limit(links: tuple[Interface, ...]) -> int:
    """Bytes that fit one datagram on all these interfaces without IP fragmentation, at most 1452."""
    mtu = min((link.mtu for link in links), default=1500)
    return min(1452, max(mtu - 48, 548))


def split_line(text: str, limit: int = SPLIT_AT) -> list[bytes]:
    """`text` as UTF-8 in pieces of at most `limit` bytes, cut between code points."""
    data = text.encode("utf-8", "replace")
    pieces = []
    while len(data) > limit:
        cut = limit
        while data[cut] & 0xC0 == 0x80:
            cut -= 1
        pieces.append(data[:cut])
        data = data[cut:]
    return [*pieces, data]


class PlainGroup:
    """A run on the plain wire: `async with PlainGroup(plan) as group`, then send() and batches().

    Entering raises UnknownInterface, NoInterface (nothing usable, unless `wait`) or SocketError (nothing
    could be joined, for instance PortTaken).
    """

    def __init__(self, plan: Plan, *, wait: bool = False, clock: Callable[[], float] = time.time) -> None:
        self.plan = plan
        self.links = Links(plan)
        self.started = Change()
        self._wait = wait
        self._clock = clock
        self._feed = Feed(self.links, self._take, self._changed)
        self._copies = CopyFilter()
        self._own: deque[tuple[str, int]] = deque(maxlen=16)
        self._waiting: list[Event] = []
        self._waiting_bytes = 0
        self._paused = False
        self._arrived = asyncio.Event()

    async def __aenter__(self) -> PlainGroup:
        try:
            self.started = self._feed.start()
            self._check_started()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave the group. Closing twice is fine."""
        await self._feed.close()

    @property
    def payload_limit(self) -> int:
        """The largest datagram send_datagram() takes now, in bytes."""
        return payload_limit(self.links.used[:1])

    @property
    def kernel_drops(self) -> int:
        """Datagrams the kernel threw away because we did not read in time (0 where it does not tell)."""
        return self.links.kernel_drops

    def send(self, text: str, group: GroupAddress | None = None) -> int:
        """Send a line, split if it is long; returns the number of datagrams. SocketError when it cannot."""
        pieces = split_line(text, min(SPLIT_AT, self.payload_limit))
        for piece in pieces:
            self.send_datagram(piece, group)
        return len(pieces)

    def send_datagram(self, data: bytes, group: GroupAddress | None = None) -> None:
        """Send bytes as one datagram, to the first group unless told. MessageTooLarge changes nothing."""
        if len(data) > self.payload_limit:
            raise MessageTooLarge(
                f"{len(data)} bytes do not fit one datagram",
                f"send at most {self.payload_limit} bytes at once",
            )
        group = group or self.plan.groups[0]
        sender = self._send_once(data, group)
        if sender not in self._own:
            self._own.append(sender)

    async def batches(self) -> AsyncIterator[list[Event]]:
        """What arrived and changed since the last look, whenever there is something, without end."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch, self._waiting, self._waiting_bytes = self._waiting, [], 0
            if self._paused:
                self._paused = False
                self._feed.resume()
            yield batch

    def _check_started(self) -> None:
        nothing_joined = self.plan.receive and not any(r.joined for r in self.links.receivers.values())
        if self.started.problems and nothing_joined:
            raise self.started.problems[0]
        if not self._wait:
            self.links.require()

    def _send_once(self, data: bytes, group: GroupAddress) -> tuple[str, int]:
        try:
            return self._bare(self.links.send_first(data, group).source)
        except SocketError:
            # Once more: the first try may have met a socket bound to an address that is gone.
            self._feed.refresh()
            return self._bare(self.links.send_first(data, group).source)

    def _take(self, group: GroupAddress | None, datagrams: list[Datagram]) -> None:
        if group is None:
            return
        now, wall = time.monotonic(), self._clock()
        several = len(self.links.used) > 1
        names = {link.index: link.name for link in self.links.used}
        for data, source, interface, ttl in datagrams:
            bare = self._bare(source)
            if bare in self._own:
                continue
            if several and not self._copies.fresh((bare, group, hash(data)), interface, now):
                continue
            name = names.get(interface, str(interface))
            self._waiting.append(Line(data, decode(data), source, group, name, ttl, wall))
            self._waiting_bytes += len(data)
        if self._waiting:
            self._arrived.set()
        if len(self._waiting) > WAITING_DATAGRAMS or self._waiting_bytes > WAITING_BYTES:
            self._paused = True
            self._feed.pause()

    def _changed(self, change: Change) -> None:
        self._waiting.append(change)
        self._arrived.set()

    @staticmethod
    def _bare(source: tuple[str, int]) -> tuple[str, int]:
        """Without %interface: a datagram of ours may come back through another of our interfaces."""
        return source[0].partition("%")[0], source[1]


def decode(data: bytes) -> str | None:
    """`data` as text, None where it is not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None
