"""The blocks that a transfer sends: read ahead, checked against the hash tree, sealed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import sha256

from mcast.core.bulk.layout import Layout
from mcast.core.bulk.tree import HashTree
from mcast.crypto.bulk import TransferKeys
from mcast.runtime.bulk.worker import Worker
from mcast.wire.bulk import FAN, HASH_SIZE

AHEAD = 16
"""Groups of blocks that are read at once while blocks leave in order."""
CACHED = 6 << 20
"""Bytes of groups that are kept. What is asked for again is mostly what left just now."""

Blocks = list[bytes | memoryview | None]


class BlockCache:
    """Sealed blocks by group. `read(offset, size)` reads the stream, in the worker; `before_read` is called
    before that is queued. `on_ready` is called when blocks have come, `on_failed` with why they have not."""

    def __init__(
        self,
        layout: Layout,
        tree: HashTree,
        keys: TransferKeys,
        worker: Worker,
        read: Callable[[int, int], bytes],
        before_read: Callable[[], None],
        on_ready: Callable[[], None],
        on_failed: Callable[[BaseException], None],
    ) -> None:
        self._layout, self._tree, self._keys, self._worker = layout, tree, keys, worker
        self._read, self._before_read = read, before_read
        self._on_ready, self._on_failed = on_ready, on_failed
        self._retried: set[int] = set()
        self._groups: dict[int, Blocks] = {}
        self._loading: set[int] = set()
        self._last = -1

    def get(self, group: int) -> Blocks | None:
        """The blocks of a group; None: they are being read. One that is not what it was is None."""
        blocks = self._groups.get(group)
        in_order = group == self._last + 1 or group == self._last
        self._last = group
        if blocks is None:
            self._load(group, AHEAD if in_order else 1)
        elif in_order and not self._known(group + AHEAD // 2):
            self._load(group + AHEAD // 2, AHEAD)
        return blocks

    def again(self, group: int) -> bool:
        """Read a group again: more of it may be here now. False if that was done before, in vain."""
        if group in self._retried:
            return False
        self._retried.add(group)
        self._groups.pop(group, None)
        self._load(group, 1)
        return True

    def right(self, group: int) -> None:
        """What was wanted of a group was there."""
        self._retried.discard(group)

    def _known(self, group: int) -> bool:
        return group in self._groups or group in self._loading or group >= self._layout.groups(0)

    def _load(self, group: int, count: int) -> None:
        if self._known(group):
            return
        count = min(count, self._layout.groups(0) - group)
        self._before_read()
        self._loading.update(range(group, group + count))
        self._worker.run(self._make, group, count).add_done_callback(
            lambda done: self._loaded(group, count, done)
        )

    def _loaded(self, group: int, count: int, done: asyncio.Future[list[Blocks]]) -> None:
        self._loading.difference_update(range(group, group + count))
        failure = done.exception()
        if failure is not None:
            self._on_failed(failure)
            return
        for at, blocks in enumerate(done.result(), group):
            self._groups[at] = blocks
        while len(self._groups) > max(2 * AHEAD, CACHED // (FAN * self._layout.block_size)):
            del self._groups[next(iter(self._groups))]
        self._on_ready()

    def _make(self, group: int, count: int) -> list[Blocks]:
        """In the worker: read groups, check each block, and seal it."""
        layout, seal = self._layout, self._keys.seal
        size = layout.block_size
        start = group * FAN * size
        data = self._read(start, min(count * FAN * size, layout.size - start))
        view = memoryview(data)
        made: list[Blocks] = []
        for at in range(count):
            node = self._tree.read(1, group + at)
            first = (group + at) * FAN
            starts = range(at * FAN * size, (at * FAN + len(node) // HASH_SIZE) * size, size)
            parts = [view[begin : begin + size] for begin in starts]
            hashes = [sha256(part).digest() for part in parts]
            blocks: Blocks = list(parts)
            if b"".join(hashes) != node:
                for place, digest in enumerate(hashes):
                    if digest != node[place * HASH_SIZE : (place + 1) * HASH_SIZE]:
                        blocks[place] = None
            if self._keys.sealed:
                blocks = [
                    None if block is None else seal(0, first + place, bytes(block))
                    for place, block in enumerate(blocks)
                ]
            made.append(blocks)
        return made
