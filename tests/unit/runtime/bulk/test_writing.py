"""What comes of a transfer, on its way to the disk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

import pytest

from mcast.core.bulk.tree import HashTree
from mcast.core.events import PeerId
from mcast.errors import McastError
from mcast.runtime.bulk import writing
from mcast.runtime.bulk.streams import BytesSink
from mcast.runtime.bulk.views import Failure
from mcast.wire.bulk import (
    CHANGED,
    EXHAUSTED,
    FAN,
    BulkNotice,
    NoticeKind,
)
from tests.simulation.bulk import BLOCK
from tests.unit.runtime.bulk.support import (
    ADA,
    DATA,
    TREE,
    block,
    fetching,
    nodes,
    run,
    status,
    take,
    until,
    writer,
)


@run
async def test_what_to_do_about_a_failure_is_not_told_to_others() -> None:
    def write() -> None:
        raise McastError("the disk is full", "free some disk space")

    async with fetching() as (transfer, _, member, _):
        with pytest.raises(McastError):
            await writer(transfer)._run(write)
        await asyncio.sleep(0)
        assert [notice.text for notice in member.said] == ["the disk is full"]
        assert transfer.failure == Failure("sink", "the disk is full: free some disk space")


def test_a_block_with_a_part_of_the_manifest_is_never_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest_size = BLOCK + 10
    monkeypatch.setattr(writing, "BACKLOG", -1)

    @run
    async def scenario() -> None:
        async with fetching(manifest_size) as (transfer, _, _, sink):
            take(transfer, [*nodes(manifest_size), block(1)])
            take(transfer, [block(2)])
            assert transfer.receiver is not None
            assert transfer.receiver.missing[0].has(2)
            assert not transfer.receiver.missing[0].has(1)
            take(transfer, [block(0)])
            await until(lambda: writer(transfer).begun)
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
            await until(lambda: writer(transfer).begun and receiver.server is not None)
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


class Kept(BytesSink):
    """A sink that has all but the first block from a run before."""

    def begin(self, manifest: bytes, size: int, root: bytes) -> Iterable[tuple[int, int]]:
        """All may be here."""
        super().begin(manifest, size, root)
        self.content[BLOCK:] = DATA[BLOCK:]
        return [(0, size)]


def test_few_blocks_of_a_run_before_are_read_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "CHECKS", 1)
    monkeypatch.setattr(writing, "CHECKS_AT_ONCE", 1)

    @run
    async def scenario() -> None:
        async with fetching(sink=Kept()) as (transfer, _, _, _):
            await until(lambda: writer(transfer).begun)
            take(transfer, nodes())
            writer(transfer).check()
            assert writer(transfer)._checking == 1
            assert transfer.receiver is not None
            assert transfer.receiver.checks == 1
            await until(lambda: transfer.receiver is not None and transfer.receiver.left == 1)
            assert writer(transfer)._checking == 0
            take(transfer, [block(0)])
            await until(lambda: transfer.whole)

    scenario()


@run
async def test_what_is_gathered_for_one_write_is_no_backlog() -> None:
    """The sender would take it for a slow disk."""
    async with fetching() as (transfer, _, _, _):
        await until(lambda: writer(transfer).begun)
        take(transfer, [*nodes(), *(block(index) for index in range(FAN))])
        assert transfer.receiver is not None
        transfer.receiver.next_timeout = 0.0
        transfer._turn(transfer._member.now())
        assert writer(transfer)._waiting_bytes
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
    monkeypatch.setattr(writing, "sha256", hashing)

    @run
    async def scenario() -> None:
        async with fetching(sink=Kept()) as (transfer, _, _, _):
            await until(lambda: writer(transfer).begun)
            take(transfer, nodes())
            writer(transfer).check()
            await until(lambda: transfer.receiver is not None and transfer.receiver.left == 1)
            assert 0 not in levels
            assert threads == {writer(transfer)._worker._thread.ident}

    scenario()
