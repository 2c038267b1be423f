"""How a stream of bytes is cut into blocks, and the tree of hashes over them.

Level 0 has the blocks. An item of a higher level is a node: the SHA-256 hashes of up to FAN items of the
level below, one after the other, so that a node fits a datagram as a block does. The highest level has one
node. The root is a hash of that node and of all sizes; it is in the offer, which its author signed. So each
item is verified with the one node above it.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct

import msgspec

from mcast.wire.bulk import FAN, HASH_SIZE

_SIZES = Struct(">QIH")
_ROOT = b"mcast2 bulk root"
FULL = (1 << FAN) - 1


class Layout(msgspec.Struct, frozen=True):
    """`counts` has the number of items of each level; it is empty for an empty stream."""

    size: int
    manifest_size: int
    block_size: int
    counts: tuple[int, ...]

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return self.counts[0] if self.counts else 0

    @property
    def top(self) -> int:
        """The level of the one highest node."""
        return len(self.counts) - 1

    def groups(self, level: int) -> int:
        """How many groups the items of a level make."""
        return -(-self.counts[level] // FAN)

    def full(self, level: int, group: int) -> int:
        """The mask of all items that a group has."""
        return FULL >> max(0, FAN * (group + 1) - self.counts[level])

    def item_size(self, level: int, index: int) -> int:
        """Bytes of an item."""
        if level == 0:
            return min(self.block_size, self.size - index * self.block_size)
        return HASH_SIZE * min(FAN, self.counts[level - 1] - index * FAN)

    def row_size(self, level: int, group: int, mask: int) -> int:
        """Bytes of the items of a mask."""
        last = FAN * group + mask.bit_length() - 1
        return self.stride(level) * (mask.bit_count() - 1) + self.item_size(level, last)

    def stride(self, level: int) -> int:
        """Bytes of all items of a level but the last."""
        return self.block_size if level == 0 else HASH_SIZE * FAN

    def exists(self, level: int, index: int) -> bool:
        """Whether there is such an item."""
        return level < len(self.counts) and index < self.counts[level]

    def root(self, top: bytes) -> bytes:
        """The root (32 bytes) if `top` is the highest node, empty for an empty stream."""
        sizes = _SIZES.pack(self.size, self.manifest_size, self.block_size)
        return sha256(_ROOT + sizes + top).digest()


def make_layout(size: int, manifest_size: int, block_size: int) -> Layout:
    """The layout of a stream of `size` bytes, of which the first `manifest_size` are the manifest."""
    counts = []
    if size:
        counts = [-(-size // block_size)]
        while len(counts) == 1 or counts[-1] > 1:
            counts.append(-(-counts[-1] // FAN))
    return Layout(size, manifest_size, block_size, tuple(counts))
