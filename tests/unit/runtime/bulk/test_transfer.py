"""One transfer without sockets: what it serves, and whom it obeys."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mcast.core.bulk.channel import Batch
from mcast.core.bulk.sender import Way
from mcast.core.bulk.tree import HashTree
from mcast.core.events import PeerId
from mcast.crypto.keys import Identity
from mcast.crypto.rooms import Room, keyed_room, open_room
from mcast.errors import McastError
from mcast.multicast import Burst
from mcast.net.address import GroupAddress
from mcast.net.links import Plan
from mcast.net.slots import Piece, Slots
from mcast.runtime.bulk import transfer as module
from mcast.runtime.bulk.streams import BytesSink
from mcast.runtime.bulk.transfer import Transfer
from mcast.runtime.bulk.views import Failure
from mcast.runtime.bulk.worker import SpooledNodes, Worker
from mcast.settings import Settings
from mcast.wire.bulk import (
    BY_UNICAST,
    CHANGED,
    DATA_HEAD_SIZE,
    EXHAUSTED,
    FAN,
    BulkKind,
    BulkNotice,
    BulkStatus,
    ControlHead,
    NoticeKind,
    encode_data_heads,
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
        SpooledNodes(),
        worker,
        lambda at, size: (transfer.manifest + bytes(sink.content))[at : at + size],
        Way.AUTO,
        sink=sink,
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
    await until(lambda: transfer._begun)
    take(transfer, [*nodes(), *(block(index) for index in range(2 * FAN))])
    await until(lambda: transfer.whole)


@run
async def test_what_is_whole_and_changes_is_not_served() -> None:
    async with fetching() as (transfer, _, _, sink):
        await complete(transfer)
        sink.content[:] = bytes(len(DATA))
        batch = Batch([(0, 0, 1)], None, 1)
        transfer._waiting.append(batch)
        await until(lambda: transfer._bursts(batch) is not None)
        transfer._pump()
        assert transfer.sender.changed
        assert not transfer._waiting


def status(transfer: Transfer, by: Identity, flags: int, counter: int) -> None:
    """A sealed word of a peer arrives."""
    peer_id = PeerId(by.origin, 1)
    pair = transfer._pair(peer_id)
    assert pair is not None
    head = ControlHead(BulkKind.STATUS, transfer.keys.tag, transfer.keys.name(*peer_id), counter)
    datagram = pair.of.seal(head, encode_status(BulkStatus(bytes(8), flags, 50)))
    transfer._received([Piece(("10.0.0.1", 1), 0, 0, 0, 0, (datagram,))], 0.0)


@run
async def test_only_who_serves_us_takes_us_out_of_the_group() -> None:
    async with fetching() as (transfer, wire, _, _):
        for one in (ADA, BOB):
            offer = BulkNotice(NoticeKind.OFFER, TREE.root, 4001)
            transfer.party(offer, PeerId(one.origin, 1))
        assert transfer.receiver is not None
        await until(lambda: transfer.receiver is not None and transfer.receiver.server is not None)
        server = transfer.receiver.server
        assert server is not None
        ours, other = (ADA, BOB) if server.origin == ADA.origin else (BOB, ADA)
        status(transfer, other, BY_UNICAST, 1)
        assert wire.in_group
        status(transfer, ours, BY_UNICAST, 1)
        assert not wire.in_group
        status(transfer, ours, 0, 2)
        assert wire.in_group


@run
async def test_what_is_told_of_a_failure_is_text() -> None:
    async with fetching() as (transfer, _, member, _):
        transfer.fail(Failure("sink", "cannot write \udcff"))
        assert [notice.text for notice in member.said] == ["cannot write ?"]
        assert transfer.ended


@run
async def test_what_to_do_about_a_failure_is_not_told_to_others() -> None:
    def write() -> None:
        raise McastError("the disk is full", "free some disk space")

    async with fetching() as (transfer, _, member, _):
        with pytest.raises(McastError):
            await transfer._run(write)
        await asyncio.sleep(0)
        assert [notice.text for notice in member.said] == ["the disk is full"]
        assert transfer.failure == Failure("sink", "the disk is full: free some disk space")


@run
async def test_why_a_private_transfer_failed_is_not_told() -> None:
    async with fetching() as (transfer, _, member, _):
        transfer._private = True
        transfer.fail(Failure("sink", "cannot write /secret"))
        assert [notice.text for notice in member.said] == ["cannot keep the files"]
        assert transfer.failure == Failure("sink", "cannot write /secret")


@run
async def test_who_takes_no_part_any_more_is_forgotten() -> None:
    async with fetching() as (transfer, _, _, _):
        peer_id = PeerId(ADA.origin, 1)
        for kind, port in ((NoticeKind.WITHDRAW, 0), (NoticeKind.FAILED, 4001), (NoticeKind.WHOLE, 0)):
            transfer.party(BulkNotice(NoticeKind.OFFER, TREE.root, 4001), peer_id)
            status(transfer, ADA, 0, 1)
            assert transfer._able(peer_id)
            assert transfer._counters
            transfer.party(BulkNotice(kind, TREE.root, port), peer_id)
            assert not transfer._able(peer_id)
            assert not any((transfer._names, transfer.ports, transfer._counters))
            assert transfer.receiver is not None
            assert not transfer.receiver.servers


def test_a_block_with_a_part_of_the_manifest_is_never_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest_size = BLOCK + 10
    monkeypatch.setattr(module, "BACKLOG", -1)

    @run
    async def scenario() -> None:
        async with fetching(manifest_size) as (transfer, _, _, sink):
            take(transfer, [*nodes(manifest_size), block(1)])
            take(transfer, [block(2)])
            assert transfer.receiver is not None
            assert transfer.receiver.missing[0].has(2)
            assert not transfer.receiver.missing[0].has(1)
            take(transfer, [block(0)])
            await until(lambda: transfer._begun)
            assert sink.manifest == DATA[:manifest_size]
            take(transfer, [block(index) for index in range(2, 2 * FAN)])
            await until(lambda: transfer.whole)
            assert sink.content == DATA[manifest_size:]

    scenario()


class Part(BytesSink):
    """A sink that can do with a part."""

    missing: Sequence[tuple[int, int]] = ()

    def finish_without(self, missing: Sequence[tuple[int, int]]) -> str:
        """Keep what is missing."""
        self.missing = missing
        return "b changed while it was sent"


@pytest.mark.parametrize("sink", [Part(), BytesSink()])
def test_what_changed_at_its_author_is_done_without(sink: BytesSink) -> None:
    @run
    async def scenario() -> None:
        async with fetching(10, sink) as (transfer, _, member, _):
            transfer._author = ADA.origin
            transfer.party(BulkNotice(NoticeKind.OFFER, TREE.root, 4001), PeerId(ADA.origin, 1))
            take(transfer, [*nodes(10), *(block(index) for index in range(2 * FAN - 2))])
            receiver = transfer.receiver
            assert receiver is not None
            await until(lambda: transfer._begun and receiver.server is not None)
            status(transfer, ADA, EXHAUSTED | CHANGED, 1)
            await until(lambda: transfer.failure)
            assert transfer.failure is not None
            assert transfer.failure.kind == "changed"
            assert [said.kind for said in member.said] == [NoticeKind.FAILED]
            if isinstance(sink, Part):
                starts = [(2 * FAN - left) * BLOCK - 10 for left in (2, 1)]
                assert sink.missing == [(start, start + BLOCK) for start in starts]
                assert transfer.failure.text == "b changed while it was sent"

    scenario()


@run
async def test_the_author_says_why_it_gives_nothing_any_more() -> None:
    async with fetching() as (transfer, _, _, _):
        transfer._author = ADA.origin
        for by, text in ((BOB, "b changed"), (ADA, "")):
            transfer.party(BulkNotice(NoticeKind.WITHDRAW, TREE.root, text=text), PeerId(by.origin, 1))
            assert transfer.failure is None
        transfer.party(BulkNotice(NoticeKind.WITHDRAW, TREE.root, text="a changed"), PeerId(ADA.origin, 1))
        assert transfer.failure == Failure("changed", "a changed")


class Kept(BytesSink):
    """A sink that has all but the first block from a run before."""

    def begin(self, manifest: bytes, size: int, root: bytes) -> Iterable[tuple[int, int]]:
        """All may be here."""
        super().begin(manifest, size, root)
        self.content[BLOCK:] = DATA[BLOCK:]
        return [(0, size)]


def test_few_blocks_of_a_run_before_are_read_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECKS", 1)
    monkeypatch.setattr(module, "CHECKS_AT_ONCE", 1)

    @run
    async def scenario() -> None:
        async with fetching(sink=Kept()) as (transfer, _, _, _):
            await until(lambda: transfer._begun)
            take(transfer, nodes())
            transfer._check()
            assert transfer._checking == 1
            assert transfer.receiver is not None
            assert transfer.receiver.checks == 1
            await until(lambda: transfer.receiver is not None and transfer.receiver.left == 1)
            assert transfer._checking == 0
            take(transfer, [block(0)])
            await until(lambda: transfer.whole)

    scenario()


def arrive(transfer: Transfer, datagrams: list[bytes]) -> None:
    """Datagrams of one source are in the slots."""
    slots = transfer.endpoint.slots
    for at, datagram in enumerate(datagrams):
        slots.heads[slots.head * at : slots.head * (at + 1)] = datagram[: slots.head]
        body = datagram[slots.head :]
        slots.bodies[slots.body * at : slots.body * at + len(body)] = body
    last = len(datagrams[-1]) - slots.head
    transfer._received([Piece(("10.0.0.1", 1), 0, 0, len(datagrams), last)], 0.0)


@run
async def test_sealed_items_are_opened_and_the_rest_is_dropped() -> None:
    async with fetching(room=keyed_room(bytes(32), bytes(16))) as (transfer, _, _, sink):
        assert transfer.receiver is not None
        take(transfer, nodes())

        def sealed(index: int, tag: bytes) -> bytes:
            head = encode_data_heads(tag, 0, [index], index, unicast=False)
            return head + transfer.keys.seal(0, index, block(index).data)

        came = [sealed(index, transfer.keys.tag) for index in range(FAN)]
        came[3] = came[3][:-1] + b"?"
        came[5] = sealed(5, b"else")
        arrive(transfer, came)
        await until(lambda: transfer._begun)
        assert transfer.receiver.holds(0) == 0xFFFFFFFF & ~0b101000
        assert transfer.receiver.forged == 0
        arrive(transfer, [came[3]])
        transfer._received(
            [Piece(("10.0.0.1", 1), 0, 0, 0, 0, (sealed(5, transfer.keys.tag), b"short"))], 0.0
        )
        assert transfer.receiver.holds(0) == 0xFFFFFFFF & ~0b1000
        arrive(transfer, [sealed(3, transfer.keys.tag)])
        take(transfer, [block(index) for index in range(FAN, 2 * FAN)])
        await until(lambda: transfer.whole)
        assert bytes(sink.content) == DATA


@run
async def test_what_finds_no_room_leaves_later() -> None:
    async with fetching() as (transfer, wire, _, _):
        await complete(transfer)
        batch = Batch([(1, 0, 1), (0, 0, 0b1111), (1, 0, 2)], None, 1)
        await until(lambda: transfer._bursts(batch) is not None)
        transfer._waiting.append(batch)
        wire.room = 3
        transfer._pump()
        assert transfer._full
        assert list(transfer._waiting) == [Batch([(0, 0, 0b1100), (1, 0, 2)], None, 4)]
        node, blocks = wire.sent
        assert [len(burst.parts) for burst in (node, blocks)] == [2, 10]
        assert blocks.size == DATA_HEAD_SIZE + BLOCK
        assert b"".join(blocks.parts[1:8:2]) == DATA[: 4 * BLOCK]
        assert blocks.parts[9] == TREE.node(1, 1)


@run
async def test_a_node_that_is_not_here_shifts_no_serial() -> None:
    async with fetching() as (transfer, wire, _, _):
        await until(lambda: transfer._begun)
        take(transfer, [one for one in nodes() if (one.level, one.place) != (1, 0)])
        transfer._waiting.append(Batch([(2, 0, 1), (1, 0, 0b11), (2, 0, 1)], None, 1))
        wire.room = 1
        transfer._pump()
        assert list(transfer._waiting) == [Batch([(1, 0, 0b10), (2, 0, 1)], None, 2)]


@run
async def test_a_datagram_without_a_body_is_no_item() -> None:
    async with fetching(room=keyed_room(bytes(32), bytes(16))) as (transfer, _, _, _):
        assert transfer.receiver is not None
        take(transfer, nodes())
        heads = [encode_data_heads(transfer.keys.tag, 0, [index], index, unicast=False) for index in range(3)]
        sealed = [transfer.keys.seal(0, index, block(index).data) for index in range(2)]
        arrive(transfer, [heads[2]])
        arrive(transfer, [heads[0] + sealed[0], heads[1] + sealed[1], heads[2]])
        assert transfer.receiver.holds(0) == 0b11


def test_bursts_fit_what_a_call_takes() -> None:
    bursts: list[Burst] = []
    module._pack(bytes(16 * 20), [bytes(8000)] * 20, bursts)
    assert [len(burst.parts) // 2 for burst in bursts] == [8, 8, 4]
    module._pack(bytes(16), [bytes(1024)], bursts)
    module._pack(bytes(16), [bytes(1024)], bursts)
    assert [len(burst.parts) // 2 for burst in bursts] == [8, 8, 5, 1]


@run
async def test_what_is_gathered_for_one_write_is_no_backlog() -> None:
    """The sender would take it for a slow disk."""
    async with fetching() as (transfer, _, _, _):
        await until(lambda: transfer._begun)
        take(transfer, [*nodes(), *(block(index) for index in range(FAN))])
        assert transfer.receiver is not None
        transfer.receiver.next_timeout = 0.0
        transfer._turn(transfer._member.now())
        assert transfer._writing_bytes
        assert transfer.receiver.backlog == 0


def test_the_loop_hashes_nothing_of_a_run_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chat lines and presence go on while gigabytes are checked: that is done in the thread."""
    levels: list[int] = []
    check = HashTree.check
    threads: set[int] = set()

    def checking(tree: HashTree, level: int, index: int, data: bytes) -> bool | None:
        levels.append(level)
        return check(tree, level, index, data)

    def hashing(data: bytes) -> Any:
        threads.add(threading.get_ident())
        return sha256(data)

    monkeypatch.setattr(HashTree, "check", checking)
    monkeypatch.setattr(module, "sha256", hashing)

    @run
    async def scenario() -> None:
        async with fetching(sink=Kept()) as (transfer, _, _, _):
            await until(lambda: transfer._begun)
            take(transfer, nodes())
            transfer._check()
            await until(lambda: transfer.receiver is not None and transfer.receiver.left == 1)
            assert 0 not in levels
            assert threads == {transfer._worker._thread.ident}

    scenario()
