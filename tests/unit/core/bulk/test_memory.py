"""What the largest transfer takes in memory, at who gets it and at who serves it."""

from __future__ import annotations

import tracemalloc
from random import Random

from mcast.core.bulk.channel import Channel
from mcast.core.bulk.layout import make_layout
from mcast.core.bulk.receiver import BulkReceiver
from mcast.core.bulk.sender import BulkSender
from mcast.core.bulk.wants import CHUNK, Wants
from mcast.settings import Settings
from mcast.wire.bulk import BLOCK_MIN, STREAM_MAX

LAYOUT = make_layout(STREAM_MAX, 0, 1400)
MOST = 45e6
"""Bytes. Python, the rest of mcast, and what is on its way take 55 MB."""


class Nowhere:
    """Nodes that are in a file."""

    def write(self, offset: int, data: bytes) -> None:
        """Keep nothing."""

    def read(self, offset: int, size: int) -> bytes:
        """Nothing was kept."""
        return bytes(size)


def _lossy(wants: Wants) -> None:
    """Something is missing everywhere."""
    for group in range(0, wants.groups, CHUNK):
        wants.set(group, 5)


def test_the_largest_transfer_fits_into_memory() -> None:
    tracemalloc.start()
    receiver = BulkReceiver(LAYOUT, bytes(32), Nowhere(), 0.0)
    sender = BulkSender(LAYOUT, Settings(), Random(1), receiver.holds, 0.0, complete=lambda: False)
    receiver.suppose([(0, LAYOUT.blocks // 2)])
    assert receiver.left == LAYOUT.blocks
    _lossy(receiver.missing[0])
    _lossy(sender._group._wants[0])
    assert tracemalloc.get_traced_memory()[1] < MOST
    assert sender._unicast_most >= 1
    tracemalloc.stop()


def test_small_blocks_do_not_make_it_much_larger() -> None:
    layout = make_layout(STREAM_MAX, 0, BLOCK_MIN)
    tracemalloc.start()
    channel = Channel(layout, Settings(), lambda _: 0, None, 0.0)
    _lossy(channel._wants[0])
    assert tracemalloc.get_traced_memory()[1] < MOST
    tracemalloc.stop()
