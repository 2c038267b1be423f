"""A transfer without sockets, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from mcast.core.bulk.sender import Way
from mcast.core.events import PeerId
from mcast.crypto.keys import Identity
from mcast.crypto.rooms import Room, open_room
from mcast.multicast import Burst
from mcast.net.address import GroupAddress
from mcast.net.links import Plan
from mcast.net.slots import Piece, Slots
from mcast.runtime.bulk.streams import BytesSink
from mcast.runtime.bulk.transfer import Transfer
from mcast.runtime.bulk.worker import SpooledNodes, Worker
from mcast.runtime.bulk.writing import SinkWriter
from mcast.settings import Settings
from mcast.wire.bulk import (
    DATA_HEAD_SIZE,
    FAN,
    BulkKind,
    BulkNotice,
    BulkStatus,
    ControlHead,
    encode_status,
)
from mcast.wire.limits import TAG_SIZE
from tests.simulation.bulk import BLOCK, Item, make_tree, rows_of

DATA = Random(1).randbytes(FAN * BLOCK * 2)
TREE = make_tree(DATA)
ADA, BOB = Identity(bytes([1]) * 32), Identity(bytes([2]) * 32)
"""They can be asked."""


class Wire:
    """An endpoint that keeps what is sent."""

    port, paused, filling, sent_bytes = 4000, False, 0.0, 0
    room = 1000
    """Datagrams that leave at once."""

    def __init__(self) -> None:
        self.slots = Slots(DATA_HEAD_SIZE, BLOCK + TAG_SIZE)
        self.sent: list[Burst] = []
        self.in_group = True

    def start(self) -> None:
        """Nothing to open."""

    def pause(self) -> None:
        """Nothing to pause."""

    def resume(self) -> None:
        """Nothing to resume."""

    def need_no_data(self) -> None:
        """Nothing comes."""

    def leave_group(self) -> None:
        """Leave."""
        self.in_group = False

    def join_group(self) -> None:
        """Join."""
        self.in_group = True

    def send(self, to: object, bursts: list[Burst]) -> int:
        """As many leave as there is room for."""
        self.sent += bursts
        return min(self.room, sum(len(burst.parts) // 2 for burst in bursts))


class Member:
    """A member of a room in which nobody listens."""

    def __init__(self) -> None:
        self.identity = Identity(bytes([9]) * 32)
        self.peer_id = PeerId(self.identity.origin, 1)
        self.room, self.name = open_room("239.0.0.1", "room"), ""
        self.settings = Settings()
        self.plan = Plan((GroupAddress("239.0.0.1", 4000),))
        self.said: list[BulkNotice] = []

    def now(self) -> float:
        """The clock of the loop."""
        return asyncio.get_running_loop().time()

    def peer(self, peer_id: PeerId) -> Any:
        """Nobody's address is known."""
        return SimpleNamespace(source=None)

    def public_key(self, peer_id: PeerId) -> bytes | None:
        """The keys of the two."""
        return next((one.public_key for one in (ADA, BOB) if one.origin == peer_id.origin), None)

    def interface_of(self, source: tuple[object, ...]) -> int | None:
        """None."""
        return None

    def say(self, notice: BulkNotice) -> None:
        """Keep it."""
        self.said.append(notice)


def run(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    """A test that runs in a loop of its own."""
    return lambda: asyncio.run(test())


@asynccontextmanager
async def fetching(
    manifest_size: int = 0, sink: BytesSink | None = None, room: Room | None = None
) -> AsyncIterator[tuple[Transfer, Wire, Member, BytesSink]]:
    tree = make_tree(DATA, manifest_size)
    worker, sink, member = Worker("test"), sink or BytesSink(), Member()
    member.room = room or member.room
    transfer = Transfer(
        member,
        tree.layout,
        tree.root,
        sink,
        SpooledNodes(),
        worker,
        lambda at, size: (transfer.manifest + bytes(sink.content))[at : at + size],
        Way.AUTO,
    )
    transfer.endpoint = cast(Any, Wire())
    transfer.start()
    try:
        yield transfer, cast(Wire, transfer.endpoint), member, sink
    finally:
        transfer.stop()
        worker.stop()
        worker.join(2)
        transfer.close_nodes()


def writer(transfer: Transfer) -> SinkWriter:
    """What writes what comes."""
    assert transfer.writer is not None
    return transfer.writer


def nodes(manifest_size: int = 0) -> list[Item]:
    tree = make_tree(DATA, manifest_size)
    return [
        Item(level, index, 1, False, tree.read(level, index))
        for level in (2, 1)
        for index in range(tree.layout.counts[level])
    ]


def block(index: int) -> Item:
    return Item(0, index, 1, False, DATA[index * BLOCK : (index + 1) * BLOCK])


def take(transfer: Transfer, items: list[Item]) -> None:
    assert transfer.receiver is not None
    transfer._got(transfer.receiver.take("ada", rows_of(items), transfer._member.now()))


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.005)


async def complete(transfer: Transfer) -> None:
    """All of it comes."""
    await until(lambda: writer(transfer).begun)
    take(transfer, [*nodes(), *(block(index) for index in range(2 * FAN))])
    await until(lambda: transfer.whole)


def status(transfer: Transfer, by: Identity, flags: int, counter: int) -> None:
    """A sealed word of a peer arrives."""
    peer_id = PeerId(by.origin, 1)
    pair = transfer._pair(peer_id)
    assert pair is not None
    head = ControlHead(BulkKind.STATUS, transfer.keys.tag, transfer.keys.name(*peer_id), counter)
    datagram = pair.of.seal(head, encode_status(BulkStatus(bytes(8), flags, 50)))
    transfer._received([Piece(("10.0.0.1", 1), 0, 0, 0, 0, (datagram,))], 0.0)
