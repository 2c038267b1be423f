"""Blocks that are sent: read ahead, checked, and read again when they were not there yet."""

from __future__ import annotations

import asyncio
from random import Random

from mcast.crypto.bulk import TransferKeys
from mcast.crypto.rooms import open_room
from mcast.runtime.bulk.serving import CACHED, BlockCache, Blocks
from mcast.runtime.bulk.worker import SpooledNodes, Worker
from mcast.wire.bulk import FAN
from tests.simulation.bulk import make_tree

BLOCK = 1024
DATA = Random(1).randbytes(BLOCK * FAN * 300)
TREE = make_tree(DATA, block=BLOCK)
KEYS = TransferKeys(open_room("230.0.0.1:28003", ""), TREE.root)


class Serving:
    """A cache over bytes that may be wrong."""

    def __init__(self) -> None:
        self.content = bytearray(DATA)
        self.ready = asyncio.Event()
        self.failure: BaseException | None = None
        self.reads = self.flushes = 0
        self.worker = Worker("test")
        self.cache = BlockCache(
            TREE.layout, TREE, KEYS, self.worker, self._read, self._flush, self.ready.set, self._failed
        )

    def _read(self, offset: int, size: int) -> bytes:
        self.reads += 1
        if not self.content:
            raise OSError("gone")
        return bytes(self.content[offset : offset + size])

    def _flush(self) -> None:
        self.flushes += 1

    def _failed(self, error: BaseException) -> None:
        self.failure = error
        self.ready.set()

    async def get(self, group: int) -> Blocks:
        """The blocks of a group, once they are here."""
        while (blocks := self.cache.get(group)) is None and self.failure is None:
            self.ready.clear()
            await self.ready.wait()
        return blocks or []

    def close(self) -> None:
        """End the thread."""
        self.worker.stop()
        self.worker.join(5)


def test_blocks_are_read_ahead_and_checked() -> None:
    async def scenario() -> None:
        serving = Serving()
        serving.content[5 * BLOCK] ^= 1
        first = await serving.get(0)
        assert first[5] is None
        assert first[6] == DATA[6 * BLOCK : 7 * BLOCK]
        for group in range(299):
            await serving.get(group)
        assert serving.reads < 60
        assert len(serving.cache._groups) <= CACHED // (FAN * BLOCK)
        serving.close()

    asyncio.run(scenario())


def test_what_was_read_too_early_is_read_again_once() -> None:
    async def scenario() -> None:
        serving = Serving()
        serving.content[5 * BLOCK] ^= 1
        assert (await serving.get(0))[5] is None
        serving.content[5 * BLOCK] ^= 1
        flushes = serving.flushes
        assert serving.cache.again(0)
        assert serving.flushes == flushes + 1  # what waits for the disk is written first
        assert (await serving.get(0))[5] == DATA[5 * BLOCK : 6 * BLOCK]
        assert not serving.cache.again(0)
        serving.cache.right(0)
        assert serving.cache.again(0)
        serving.close()

    asyncio.run(scenario())


def test_a_source_that_cannot_be_read_is_told() -> None:
    async def scenario() -> None:
        serving = Serving()
        serving.content.clear()
        assert await serving.get(0) == []
        assert isinstance(serving.failure, OSError)
        serving.close()

    asyncio.run(scenario())


def test_many_nodes_go_into_a_file() -> None:
    nodes = SpooledNodes()
    nodes.write(20 << 20, b"far")
    nodes.write(0, b"near")
    assert (nodes.read(20 << 20, 3), nodes.read(0, 4)) == (b"far", b"near")
    nodes.close()
