"""Bulk transfers on a made-up network, in virtual time: one seed gives one run, byte for byte.

The two sides of core/bulk are the real ones. Control messages arrive unsealed, and what peers tell the room
arrives at once: the rest of the engine has simulations of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from math import inf
from random import Random
from typing import Any, NamedTuple

from mcast.core.bulk.channel import Batch
from mcast.core.bulk.layout import Layout, make_layout
from mcast.core.bulk.receiver import BulkReceiver, Row
from mcast.core.bulk.sender import BulkSender, Way
from mcast.core.bulk.tree import HashTree, TreeBuilder
from mcast.core.events import PeerId
from mcast.settings import Settings
from mcast.wire.bulk import BY_UNICAST, FAN, HASH_SIZE, decode_data_heads, encode_data_heads

BLOCK = 1408
OVERHEAD = 60
CABLE_BUFFER = 0.1
"""Seconds for which something may wait for the cable of a host."""


class MemoryNodes:
    """Nodes of a hash tree in memory."""

    def __init__(self, layout: Layout) -> None:
        self.bytes = bytearray(HASH_SIZE * sum(layout.counts[:-1]))

    def write(self, offset: int, data: bytes) -> None:
        """Keep bytes."""
        self.bytes[offset : offset + len(data)] = data

    def read(self, offset: int, size: int) -> bytes:
        """Bytes that were kept."""
        return bytes(self.bytes[offset : offset + size])


def make_tree(data: bytes, manifest_size: int = 0, block: int = BLOCK) -> HashTree:
    """The tree of a stream."""
    layout = make_layout(len(data), manifest_size, block)
    builder = TreeBuilder(layout, MemoryNodes(layout))
    builder.feed(data)
    return builder.tree()


class Item(NamedTuple):
    """An item under way."""

    level: int
    place: int
    serial: int
    unicast: bool
    data: bytes


def items_of(batch: Batch) -> list[tuple[int, int]]:
    """The items of a batch: level and index of each."""
    return [
        (level, FAN * group + bit)
        for level, group, mask in batch.parts
        for bit in range(FAN)
        if mask >> bit & 1
    ]


def rows_of(items: Sequence[Item]) -> list[Row]:
    """Items that come together, as a receiver takes them."""
    heads = b"".join(
        encode_data_heads(b"tagg", one.level, [one.place], one.serial, unicast=one.unicast) for one in items
    )
    told, rows, at = decode_data_heads(heads, 0, len(items)), [], 0
    while at < len(items):
        first = items[at]
        stop, mask = told.row(at)
        serials = tuple(one.serial for one in items[at:stop])
        data = b"".join(one.data for one in items[at:stop])
        rows.append(Row(first.level, first.place // FAN, mask, serials, first.unicast, data))
        at = stop
    return rows


def blocks_of(runs: Iterable[tuple[int, bytes]], block: int = BLOCK) -> list[tuple[int, bytes]]:
    """The blocks in what a receiver gives out."""
    return [
        (first + at // block, data[at : at + block])
        for first, data in runs
        for at in range(0, len(data), block)
    ]


class Host:
    """A peer that serves a transfer, fetches it, or both."""

    def __init__(self, world: World, number: int, start: float, way: Way) -> None:
        self.world, self.number = world, number
        self.peer_id = PeerId(number.to_bytes(16, "big"), 1)
        self.address = ("10.0.0.1", number, 0)
        self.start, self.gone = start, False
        self.in_group = True
        self.loss: float | None = None
        self.group_loss: float | None = None
        self.speed: float | None = None
        self.free_at = 0.0
        self.cable: float | None = None
        self.cable_free_at = 0.0
        self.garbage = False
        self.computer = f"10.0.0.{number}"
        self.mute = False
        self.blocks: dict[int, bytes] = {}
        self.done_at: float | None = None
        self.receiver: BulkReceiver | None = None
        tree, layout = world.tree, world.tree.layout
        if number:
            self.receiver = BulkReceiver(
                layout, tree.root, MemoryNodes(layout), start, unicast=way is Way.UNICAST
            )
            tree = self.receiver.tree
        self.tree = tree
        held = (lambda group: (1 << FAN) - 1) if self.receiver is None else self.receiver.holds
        self.sender = BulkSender(
            layout, world.settings, world.rng, held, start, complete=lambda: self.whole, way=way
        )

    @property
    def whole(self) -> bool:
        """Whether it has everything."""
        return self.receiver is None or self.receiver.left == 0

    def item(self, level: int, index: int) -> bytes | None:
        """An item that it has."""
        if self.garbage:
            return bytes(self.world.tree.layout.item_size(level, index))
        if level:
            return self.tree.node(level, index)
        return self.world.block(index) if self.receiver is None else self.blocks.get(index)


class World:
    """A network with one source (host 0) and receivers. `wire` counts the bytes that were sent.

    All that is sent goes through one line of `bandwidth` bytes a second. It keeps what waits for up to
    `buffer` seconds and drops the rest. `delay` is a way's seconds, `jitter` what is added to it at most.
    """

    def __init__(
        self,
        data: bytes,
        *,
        receivers: int = 4,
        loss: float = 0.0,
        seed: int = 1,
        delay: float = 0.001,
        starts: tuple[float, ...] = (),
        way: Way = Way.AUTO,
        settings: Settings | None = None,
        bandwidth: float = 100e6,
        buffer: float = inf,
        jitter: float = 0.0,
    ) -> None:
        self.rng, self.data = Random(seed), data
        self.settings = settings or Settings()
        self.tree = make_tree(data)
        self.loss, self.delay, self.bandwidth = loss, delay, bandwidth
        self.buffer, self.jitter = buffer, jitter
        self.now, self.wire = 0.0, 0
        self._events: list[tuple[float, int, Any]] = []
        self._count = 0
        self.line_free_at = 0.0
        begins = [*starts, *[0.0] * (receivers - len(starts))]
        self.hosts = [Host(self, 0, 0.0, way)]
        self.hosts += [Host(self, number, begins[number - 1], way) for number in range(1, receivers + 1)]
        for host in self.receivers:
            assert host.receiver is not None
            host.receiver.may_serve(self.hosts[0].peer_id, complete=True)

    @property
    def receivers(self) -> list[Host]:
        """All but the source."""
        return self.hosts[1:]

    def block(self, index: int) -> bytes:
        """A block of the stream."""
        return self.data[index * BLOCK : (index + 1) * BLOCK]

    def leave(self, host: Host) -> None:
        """A host is gone; the others are told."""
        host.gone = True
        for other in self.hosts:
            other.sender.left(host.peer_id)
            if other.receiver is not None:
                other.receiver.serves_no_more(host.peer_id, self.now)

    def introduce(self) -> None:
        """Everybody may serve everybody."""
        for host in self.receivers:
            for other in self.hosts:
                if other is not host and not other.gone and host.receiver is not None:
                    host.receiver.may_serve(other.peer_id, complete=other.whole)

    def run(self, seconds: float, until: Any = None) -> None:
        """Let time pass, until all that are here have everything."""
        end = self.now + seconds
        while self.now < end and not (self.done if until is None else until()):
            self._step(end)

    @property
    def done(self) -> bool:
        """Whether all that are here have everything."""
        return all(host.whole or host.gone for host in self.receivers)

    def right(self) -> bool:
        """Whether all that are whole have the right bytes, and all are whole that are here."""
        return all(
            host.gone or b"".join(block for _, block in sorted(host.blocks.items())) == self.data
            for host in self.receivers
        )

    def _here(self) -> list[Host]:
        return [host for host in self.hosts if not host.gone and self.now >= host.start]

    def _step(self, end: float) -> None:
        times = [end] + [host.start for host in self.hosts if host.start > self.now]
        for host in self._here():
            times.append(host.sender.when(self.now))
            if host.receiver is not None:
                times.append(host.receiver.next_timeout)
        if self._events:
            times.append(self._events[0][0])
        self.now = max(self.now, min(times))
        while self._events and self._events[0][0] <= self.now:
            heappop(self._events)[2]()
        for host in self._here():
            self._act(host)

    def _act(self, host: Host) -> None:
        receiver = host.receiver
        if receiver is not None and receiver.next_timeout <= self.now:
            outreach = receiver.on_timeout(self.now, lambda _: True, self._computer)
            if outreach is not None:
                to = next(one for one in self.hosts if one.peer_id == outreach.to)
                report = outreach.report
                self._carry(
                    to,
                    0.0,
                    lambda: to.sender.on_report(host.peer_id, host.address, report, self.now),
                )
        for client, status in host.sender.statuses(self.now):
            queue = max(0.0, self.line_free_at - self.now)
            for to in [one for one in self.hosts if one.peer_id == client.peer_id]:
                self._carry(to, queue, lambda to=to, status=status: self._told(to, host, status))
        while (batch := host.sender.take(self.now)) is not None:
            if not host.mute:
                self._send(host, batch)

    def _computer(self, peer_id: PeerId) -> str:
        return next((one.computer for one in self.hosts if one.peer_id == peer_id), "")

    def _told(self, to: Host, by: Host, status: Any) -> None:
        if to.receiver is not None:
            to.in_group = to.in_group and not status.flags & BY_UNICAST
            to.receiver.on_status(by.peer_id, by.address, status, self.now)

    def _carry(self, to: Host, late: float, arrive: Any) -> None:
        loss = self.loss if to.loss is None else to.loss
        if self.rng.random() >= loss and not to.gone:
            self.at(self.now + late + self._way(), lambda: None if to.gone else arrive())

    def _way(self) -> float:
        return self.delay + (self.rng.uniform(0.0, self.jitter) if self.jitter else 0.0)

    def enter(self, size: int) -> float | None:
        """Put a packet on the line; when it leaves it, or None if the buffer is full."""
        if self.line_free_at - self.now > self.buffer:
            return None
        self.line_free_at = max(self.line_free_at, self.now) + size / self.bandwidth
        return self.line_free_at

    def at(self, when: float, action: Any) -> None:
        """Do something then."""
        self._count += 1
        heappush(self._events, (when, self._count, action))

    def _send(self, host: Host, batch: Batch) -> None:
        items = []
        for place, (level, index) in enumerate(items_of(batch)):
            data = host.item(level, index)
            if data is not None:
                self.wire += len(data) + OVERHEAD
                if self.enter(len(data) + OVERHEAD) is not None:
                    items.append(Item(level, index, batch.serial + place, batch.to is not None, data))
        arrival = max(self.line_free_at, self.now)
        for to in self._here():
            if to is host or to.receiver is None or (batch.to not in (None, to.address)):
                continue
            if batch.to is None and not to.in_group:
                continue
            loss = self.loss if to.loss is None else to.loss
            if batch.to is None and to.group_loss is not None:
                loss = to.group_loss
            came = [item for item in items if self.rng.random() >= loss]
            at = arrival if to.cable is None else self._through(to, came, arrival)
            if came:
                self.at(at + self._way(), lambda to=to, came=came: self._arrive(host, to, came))

    def _through(self, to: Host, items: list[Item], arrival: float) -> float:
        """Let items go through the cable of a host; when the last comes out. What has no room is gone."""
        assert to.cable is not None
        for item in items.copy():
            if to.cable_free_at - arrival > CABLE_BUFFER:
                items.remove(item)
            else:
                to.cable_free_at = max(to.cable_free_at, arrival) + (len(item.data) + OVERHEAD) / to.cable
        return max(arrival, to.cable_free_at)

    def _arrive(self, host: Host, to: Host, items: list[Item]) -> None:
        """Items are in the buffer of a host, which may be slow to read it."""
        if to.speed is None:
            self._read(host, to, items, 0.0)
            return
        waiting = max(0.0, to.free_at - self.now)
        if waiting * to.speed < 8e6:
            size = sum(len(item.data) for item in items)
            to.free_at = self.now + waiting + size / to.speed
            age = to.free_at - self.now
            self.at(to.free_at, lambda: self._read(host, to, items, age))

    def _read(self, host: Host, to: Host, items: list[Item], age: float) -> None:
        if to.gone or to.receiver is None:
            return
        waiting = max(0.0, to.free_at - self.now)
        to.receiver.backlog = round(waiting * (to.speed or 0.0)) >> 10
        to.receiver.drained = waiting == 0.0
        for index, data in blocks_of(to.receiver.take(host.address, rows_of(items), self.now, age)):
            assert index not in to.blocks, "a block was given twice"
            to.blocks[index] = data
        if to.whole and to.done_at is None:
            to.done_at = self.now


class Reno:
    """A TCP connection on the same line that always has something to send (RFC 5681, without timeouts).

    `arrived` counts bytes.
    """

    SIZE = 1500

    def __init__(self, world: World) -> None:
        self._world, self._window, self._threshold = world, 10.0, inf
        self._flying, self._cut_at, self.arrived = 0, -inf, 0
        self._send()

    def _send(self) -> None:
        world = self._world
        while self._flying < self._window:
            self._flying += 1
            sent, left = world.now, world.enter(self.SIZE)
            # A loss is seen when what was sent after it arrives.
            back = (max(world.now, world.line_free_at) if left is None else left) + 2 * world.delay
            world.at(back, lambda sent=sent, arrived=left is not None: self._answered(sent, arrived))

    def _answered(self, sent: float, arrived: bool) -> None:
        self._flying -= 1
        if arrived:
            self.arrived += self.SIZE
            self._window += 1 if self._window < self._threshold else 1 / self._window
        elif sent > self._cut_at:
            self._cut_at = self._world.now
            self._window = self._threshold = max(2.0, self._window / 2)
        self._send()
