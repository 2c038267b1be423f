"""Plain text: bare UTF-8, one line a datagram, as the multicast chats of tutorials send it.

It has no identity and no sequence numbers: a lost line stays lost, and anyone can claim to be anyone. Lines
leave on the preferred interface only and are received on all. Our own are recognised by their source.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable

import msgspec

from mcast.errors import MessageTooLarge, SocketError
from mcast.interfaces import Interface
from mcast.multicast import Datagram, Whole
from mcast.net.address import GroupAddress
from mcast.net.links import Change, Links, Plan
from mcast.net.reader import SocketReader

DEFAULT_PORT = 3000
SPLIT_AT = 1200
"""Bytes of a line that go into one datagram: every interface carries that much."""
WAITING_DATAGRAMS = 8192
WAITING_BYTES = 16 << 20
"""Datagrams and bytes that may wait for the application. Beyond them reading pauses, and the kernel's buffer
fills instead: a flood cannot fill the memory."""
COPY_WINDOW = 1.0
"""Seconds within which a copy of a datagram may arrive through another interface."""
COPIES_MAX = 8192
"""Datagrams remembered to recognise copies. The oldest go first: a flood only shortens the window."""


class Line(msgspec.Struct, frozen=True):
    """One datagram.

    `text` is None if `data` is not UTF-8. `source` is (address, port), `interface` a name, `ttl` None if the
    platform does not tell it, `received` the local unix time in seconds.
    """

    data: bytes
    text: str | None
    source: tuple[str, int]
    group: GroupAddress
    interface: str
    ttl: int | None
    received: float


Event = Line | Change


def payload_limit(links: tuple[Interface, ...]) -> int:
    """Bytes that fit one datagram on all these interfaces without fragmentation, at most 1452."""
    mtu = min((link.mtu for link in links), default=1500)
    return min(1452, max(mtu - 48, 548))


def split_line(text: str, limit: int = SPLIT_AT) -> list[bytes]:
    """`text` as UTF-8 in pieces of at most `limit` bytes, split between code points."""
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
    """A group in plain text: `async with PlainGroup(plan) as group`, then send() and batches().

    Entering raises UnknownInterface, NoInterface, or a SocketError such as PortTaken if no interface could be
    joined.
    """

    def __init__(self, plan: Plan, *, clock: Callable[[], float] = time.time) -> None:
        self.plan = plan
        self.links = Links(plan)
        self.started = Change()
        self._clock = clock
        self._reader = SocketReader(self.links, self._take, self._changed, Whole())
        self._copies = CopyFilter()
        self._own: deque[tuple[str, int]] = deque(maxlen=16)
        self._waiting: list[Event] = []
        self._waiting_bytes = 0
        self._paused = self._closed = False
        self._arrived = asyncio.Event()

    async def __aenter__(self) -> PlainGroup:
        try:
            self.started = self._reader.start()
            self.links.require(self.started)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave the group. May be called twice."""
        await self._reader.close()
        self._closed = True
        self._arrived.set()

    @property
    def payload_limit(self) -> int:
        """The largest datagram that send_datagram() accepts now, in bytes."""
        return payload_limit(self.links.used[:1])

    @property
    def kernel_drops(self) -> int:
        """Datagrams that the kernel dropped because we read too late; 0 where it does not tell."""
        return self.links.kernel_drops

    def send(self, text: str, group: GroupAddress | None = None) -> int:
        """Send a line, in several datagrams if it is long; returns their number. Raises SocketError."""
        pieces = split_line(text, min(SPLIT_AT, self.payload_limit))
        for piece in pieces:
            self.send_datagram(piece, group)
        return len(pieces)

    def send_datagram(self, data: bytes, group: GroupAddress | None = None) -> None:
        """Send bytes as one datagram, to the first group by default. Raises MessageTooLarge, SocketError."""
        if len(data) > self.payload_limit:
            raise MessageTooLarge(
                f"{len(data)} bytes do not fit one datagram",
                f"send at most {self.payload_limit} bytes at once",
            )
        group = group or self.plan.groups[0]
        sender = self._send_once(data, group)
        if sender not in self._own:
            self._own.append(sender)

    def answer(self, line: Line, data: bytes) -> None:
        """Send bytes to where a line came from, from the port that it was sent to. Raises MessageTooLarge."""
        if len(data) > self.payload_limit:
            raise MessageTooLarge(
                f"{len(data)} bytes do not fit one datagram",
                f"answer with at most {self.payload_limit} bytes",
            )
        version = 6 if ":" in line.source[0] else 4
        names = {link.name: link.index for link in self.links.used}
        for sender in self.links.endpoints:
            if sender.version == version and sender.interface == names.get(line.interface):
                with contextlib.suppress(SocketError):  # who asked is gone, or unreachable
                    sender.send_to(data, line.source)

    async def batches(self) -> AsyncIterator[list[Event]]:
        """Lists of the lines and changes since the last list, until the group is closed."""
        while not self._closed or self._waiting:
            await self._arrived.wait()
            self._arrived.clear()
            batch, self._waiting, self._waiting_bytes = self._waiting, [], 0
            if self._paused and not self._closed:
                self._paused = False
                self._reader.resume()
            yield batch

    def _send_once(self, data: bytes, group: GroupAddress) -> tuple[str, int]:
        try:
            return self._bare(self.links.send_first(data, group).source)
        except SocketError:
            # The socket may have been bound to an address that has gone.
            self._reader.refresh()
            return self._bare(self.links.send_first(data, group).source)

    def _take(self, group: GroupAddress | None, datagrams: list[Datagram]) -> None:
        if group is None:  # by unicast, for those who answer
            group = self.plan.groups[0]
            # Two that answer each other would never stop.
            datagrams = [one for one in datagrams if one.source[1] != group.port]
        now, wall = time.monotonic(), self._clock()
        several = len(self.links.used) > 1
        names = {link.index: link.name for link in self.links.used}
        for data, source, interface, ttl, _ in datagrams:
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
            self._reader.pause()

    def _changed(self, change: Change) -> None:
        if change:
            self._waiting.append(change)
            self._arrived.set()

    @staticmethod
    def _bare(source: tuple[str, int]) -> tuple[str, int]:
        """Without `%interface`: our own datagram may come back through another interface."""
        return source[0].partition("%")[0], source[1]


def decode(data: bytes) -> str | None:
    """`data` as text, or None if it is not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


class CopyFilter:
    """Recognises copies: a datagram that arrives through two interfaces is one, one sent twice is two.

    An arrival is a copy of the oldest equal datagram within COPY_WINDOW that has not yet been seen on its
    interface. If there is none, it is new.
    """

    def __init__(self) -> None:
        self._order: deque[tuple[float, Hashable]] = deque()
        self._by_key: dict[Hashable, _Equals] = {}

    def fresh(self, key: Hashable, interface: int, now: float) -> bool:
        """Whether this arrival of `key` is a new datagram. Remembers it."""
        while self._order and (now - self._order[0][0] > COPY_WINDOW or len(self._order) >= COPIES_MAX):
            self._forget(self._order.popleft()[1])
        equals = self._by_key.setdefault(key, _Equals())
        number = max(equals.seen.get(interface, 0), equals.first)
        equals.seen[interface] = number + 1
        if number < equals.end:
            return False
        equals.end += 1
        self._order.append((now, key))
        return True

    def _forget(self, key: Hashable) -> None:
        equals = self._by_key[key]
        equals.first += 1
        if equals.first == equals.end:
            del self._by_key[key]


class _Equals(msgspec.Struct):
    """Equal datagrams, numbered. `first` to `end` are remembered; `seen` counts them by interface."""

    first: int = 0
    end: int = 0
    seen: dict[int, int] = {}
