"""One transfer without sockets: what it serves, and whom it obeys."""

from __future__ import annotations

from mcast.core.bulk.channel import Batch
from mcast.core.events import PeerId
from mcast.crypto.rooms import keyed_room
from mcast.multicast import Burst
from mcast.net.slots import Piece
from mcast.runtime.bulk import transfer as module
from mcast.runtime.bulk.transfer import Transfer
from mcast.runtime.bulk.views import Failure
from mcast.wire.bulk import (
    BY_UNICAST,
    DATA_HEAD_SIZE,
    FAN,
    BulkNotice,
    NoticeKind,
    encode_data_heads,
)
from tests.simulation.bulk import BLOCK
from tests.unit.runtime.bulk.support import (
    ADA,
    BOB,
    DATA,
    TREE,
    block,
    complete,
    fetching,
    nodes,
    run,
    status,
    take,
    until,
    writer,
)


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


@run
async def test_the_author_says_why_it_gives_nothing_any_more() -> None:
    async with fetching() as (transfer, _, _, _):
        transfer._author = ADA.origin
        for by, text in ((BOB, "b changed"), (ADA, "")):
            transfer.party(BulkNotice(NoticeKind.WITHDRAW, TREE.root, text=text), PeerId(by.origin, 1))
            assert transfer.failure is None
        transfer.party(BulkNotice(NoticeKind.WITHDRAW, TREE.root, text="a changed"), PeerId(ADA.origin, 1))
        assert transfer.failure == Failure("changed", "a changed")


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
        await until(lambda: writer(transfer).begun)
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
        await until(lambda: writer(transfer).begun)
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
