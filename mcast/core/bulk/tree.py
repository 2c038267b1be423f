"""The hash tree of a transfer: made from the bytes by who offers them, checked node by node by receivers."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Protocol

from mcast.wire.bulk import FAN, HASH_SIZE

from .layout import Layout


class NodeStore(Protocol):
    """Keeps the nodes: in memory while they are few, else in a file."""

    def write(self, offset: int, data: bytes) -> None:
        """Keep bytes."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Bytes that were kept."""
        ...


def _starts(layout: Layout) -> list[int]:
    """Where the nodes of each level begin; level 1 has the hashes of the blocks, level 0 nothing."""
    starts = [0, 0]
    for count in layout.counts[:-1]:
        starts.append(starts[-1] + HASH_SIZE * count)
    return starts


class HashTree:
    """The nodes that are known: all of them for who offers, the verified ones for a receiver.

    Nodes of level k stand one after the other in the store, from `_starts[k]` on.
    """

    def __init__(self, layout: Layout, root: bytes, store: NodeStore) -> None:
        self.layout, self.root, self._store = layout, root, store
        self._starts = _starts(layout)
        self._known = [bytearray(layout.groups(level)) for level in range(len(layout.counts) - 1)]
        self._last = -1, -1
        self._node = b""

    def node(self, level: int, index: int) -> bytes | None:
        """Node `index` of `level` (1 or more); None while it is not known."""
        if (level, index) == self._last:
            return self._node
        if not self._known[level - 1][index]:
            return None
        node = self.read(level, index)
        self._last, self._node = (level, index), node
        return node

    def read(self, level: int, index: int) -> bytes:
        """A node as it is in the store, known or not."""
        return self._store.read(self._place(level, index), self.layout.item_size(level, index))

    def knows(self, level: int, index: int) -> bool:
        """Whether that node is known."""
        return bool(self._known[level - 1][index])

    def known(self, start: int, stop: int) -> Iterator[int]:
        """Of which groups of blocks from `start` on, before `stop`, the node is known."""
        known = self._known[0]
        while (start := known.find(1, start, stop)) >= 0:
            yield start
            start += 1

    def expected(self, level: int, index: int) -> bytes | None:
        """The hash that an item must have; None while the node above it is not known."""
        above = self.node(level + 1, index // FAN)
        if above is None:
            return None
        at = HASH_SIZE * (index % FAN)
        return above[at : at + HASH_SIZE]

    def check(self, level: int, index: int, data: bytes) -> bool | None:
        """Whether `data` is that item; None while the node above it is not known."""
        if len(data) != self.layout.item_size(level, index):
            return False
        if level == self.layout.top:
            return self.layout.root(data) == self.root
        expected = self.expected(level, index)
        return None if expected is None else sha256(data).digest() == expected

    def put(self, level: int, index: int, node: bytes) -> None:
        """Keep a node that was checked."""
        self._store.write(self._place(level, index), node)
        self._known[level - 1][index] = 1

    def complete(self) -> None:
        """All nodes are in the store."""
        for known in self._known:
            known[:] = b"\1" * len(known)

    def _place(self, level: int, index: int) -> int:
        return self._starts[level] + HASH_SIZE * FAN * index


class TreeBuilder:
    """Makes the tree of a stream whose bytes come in order; `tree()` once all have come."""

    def __init__(self, layout: Layout, store: NodeStore) -> None:
        self._layout, self._store = layout, store
        self._starts = _starts(layout)
        self._rest = b""
        self._at = self._blocks = 0

    def feed(self, data: bytes) -> None:
        """The next bytes of the stream."""
        size = self._layout.block_size
        data = self._rest + data
        whole = len(data) - len(data) % size
        if self._blocks * size + len(data) >= self._layout.size:
            whole = len(data)
        view = memoryview(data)
        hashes = [sha256(view[at : at + size]).digest() for at in range(0, whole, size)]
        self._rest = data[whole:]
        if hashes:
            self._store.write(self._at, b"".join(hashes))
            self._at += HASH_SIZE * len(hashes)
            self._blocks += len(hashes)

    def tree(self) -> HashTree:
        """The tree. ValueError if the stream was shorter or longer."""
        layout, store = self._layout, self._store
        if self._blocks != layout.blocks or self._rest:
            raise ValueError("the content has another size than was said")
        top = b""
        for level in range(1, len(layout.counts)):
            top = b""
            at, above = self._starts[level], self._starts[level + 1]
            for index in range(layout.counts[level]):
                top = store.read(at, layout.item_size(level, index))
                at += len(top)
                if level < layout.top:
                    store.write(above + HASH_SIZE * index, sha256(top).digest())
        tree = HashTree(layout, layout.root(top), store)
        tree.complete()
        return tree
