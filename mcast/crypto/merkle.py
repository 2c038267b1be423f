"""Flush trees: Merkle trees over the records that leave together (RFC 6962, 2.1, with 16-byte nodes)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from mcast.wire.limits import NODE_SIZE, TREE_MAX

# Copied for each hash: OpenSSL looks up the algorithm of a new one, which takes longer than the hash itself.
_LEAF, _NODE = sha256(b"\x00"), sha256(b"\x01")


def leaf_hash(record: bytes) -> bytes:
    """The leaf of a record's bytes."""
    leaf = _LEAF.copy()
    leaf.update(record)
    return leaf.digest()[:NODE_SIZE]


def _node_hash(left: bytes, right: bytes) -> bytes:
    node = _NODE.copy()
    node.update(left + right)
    return node.digest()[:NODE_SIZE]


def build(leaves: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """The root over 1 to 32 `leaves`, and the path of each: its nodes from the leaf's sibling up, joined.

    ValueError for another number of leaves.
    """
    if not 0 < len(leaves) <= TREE_MAX:
        raise ValueError(f"a flush has 1 to {TREE_MAX} records, not {len(leaves)}")
    paths: list[list[bytes]] = [[] for _ in leaves]
    level, height = list(leaves), 0
    while len(level) > 1:
        for leaf, path in enumerate(paths):
            sibling = leaf >> height ^ 1
            if sibling < len(level):
                path.append(level[sibling])
        odd = level[-1:] if len(level) % 2 else []
        level = [_node_hash(*pair) for pair in zip(level[::2], level[1::2], strict=False)] + odd
        height += 1
    return level[0], [b"".join(path) for path in paths]


def root_of(leaf: bytes, index: int, size: int, path: bytes) -> bytes:
    """The root that `path` leads to from leaf `index` of `size`; the path must have the length for it."""
    node, last, at = leaf, size - 1, 0
    while last:
        if index & 1 or index != last:
            sibling = path[at : at + NODE_SIZE]
            node = _node_hash(sibling, node) if index & 1 else _node_hash(node, sibling)
            at += NODE_SIZE
        index >>= 1
        last >>= 1
    return node


class Tree:
    """The verified nodes of a flush tree of `size` leaves, starting from one leaf whose path was verified.

    A climb stops at the first verified node: 32 records that come one by one take 31 node hashes in all
    instead of 160.
    """

    def __init__(self, leaf: bytes, index: int, size: int, path: bytes) -> None:
        self.size = size
        self._known: dict[tuple[int, int], tuple[bytes, bytes]] = {}
        self._climb(leaf, index, path)

    def holds(self, leaf: bytes, index: int, path: bytes) -> bool:
        """Whether `path`, of the length for that leaf, leads from leaf `index` to the same root."""
        return self._climb(leaf, index, path)

    def _climb(self, leaf: bytes, index: int, path: bytes) -> bool:
        """Climb to a verified node or the root; the nodes passed count as verified if the path fits."""
        passed: dict[tuple[int, int], tuple[bytes, bytes]] = {}
        node, last, at, level = leaf, self.size - 1, 0, 0
        while (known := self._known.get((level, index))) is None:
            passed[level, index] = node, path[at:]
            if not last:
                break
            if index & 1 or index != last:
                sibling, at = path[at : at + NODE_SIZE], at + NODE_SIZE
                passed[level, index ^ 1] = sibling, node + path[at:]
                node = _node_hash(sibling, node) if index & 1 else _node_hash(node, sibling)
            index, last, level = index >> 1, last >> 1, level + 1
        if self._known and known != (node, path[at:]):
            return False
        self._known |= passed
        return True
