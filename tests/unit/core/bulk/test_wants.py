from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from mcast.core.bulk.layout import FULL, Layout, make_layout
from mcast.core.bulk.wants import CHUNK, Wants
from mcast.wire.bulk import FAN, Entry

LAYOUT = make_layout(1024 * 70, 0, 1024)


def test_masks() -> None:
    wants = Wants(LAYOUT, 0)
    assert wants.groups == 3
    assert wants.next(0) == -1
    assert wants.idle(0, 3) == 3
    wants.add(1, 0b101)
    assert wants.get(1) == 0b101
    assert wants.has(32)
    assert not wants.has(33)
    assert wants.next(0) == 1
    assert wants.discard(32)
    assert not wants.discard(32)
    wants.add(2, FULL)
    assert wants.get(2) == 0x3F == wants.full(2)
    assert wants.idle(0, 3) == 1
    wants.set(2, 0)
    assert wants.next(2) == -1


def test_runs() -> None:
    wants = Wants(LAYOUT, 0, all_of_it=True)
    assert wants.run(0) == 3
    wants.set(1, 5)
    assert wants.run(0) == 1
    assert wants.run(1) == 0
    assert wants.next(1) == 1
    assert wants.next(2) == 2
    wants.set(0, 0)
    wants.add_run(1, 3)
    assert wants.run(1) == 2
    assert wants.next(0) == 1
    wants.set(2, 0)
    assert wants.run(1) == 1


def test_only_what_is_wanted_in_part_takes_memory() -> None:
    layout = make_layout(1024 * 32 * 3 * CHUNK, 0, 1024)
    wants = Wants(layout, 0, all_of_it=True)
    for group in range(0, 3 * CHUNK, 2):
        wants.set(group, 5)
    assert len(wants._masks) == 3
    wants.discard_run(CHUNK - 1, 2 * CHUNK + 5)
    assert list(wants._masks) == [0, 2]
    assert wants.get(CHUNK - 2) == wants.get(2 * CHUNK + 6) == 5
    assert wants.idle(0, 3 * CHUNK) == CHUNK + 6
    wants.add_run(0, CHUNK)
    assert list(wants._masks) == [2]
    assert (wants.run(0), wants.run(0, 10)) == (CHUNK, 10)
    for group in range(2 * CHUNK, 3 * CHUNK):
        wants.set(group, 0)
    assert not wants._masks


def listed(layout: Layout, entries: Iterable[Entry]) -> set[int]:
    """The blocks that entries name."""
    items = set()
    for entry in entries:
        for group in range(entry.group, entry.group + max(1, entry.run)):
            mask = layout.full(0, group) & (entry.mask or -1)
            items |= {FAN * group + bit for bit in range(FAN) if mask >> bit & 1}
    return items


@pytest.mark.parametrize("seed", range(40))
def test_ranges_of_items_and_what_is_outside_of_them(seed: int) -> None:
    rng = Random(seed)
    layout = make_layout(1024 * rng.choice([40, FAN * 5, FAN * 40, FAN * 100 + 7]), 0, 1024)
    wants, items = Wants(layout, 0), set[int]()
    for _ in range(rng.randrange(1, 6)):
        start = rng.choice([0, rng.randrange(layout.blocks)])
        stop = min(layout.blocks, start + rng.choice([1, 3, FAN, 300, layout.blocks]))
        wants.add_items(start, stop)
        items |= set(range(start, stop))
    assert [wants.has(block) for block in range(layout.blocks)] == [
        block in items for block in range(layout.blocks)
    ]
    everything = Entry(0, 0, layout.groups(0))
    assert listed(layout, wants.outside(everything)) == set(range(layout.blocks)) - items
    some = Entry(rng.randrange(layout.groups(0)), rng.getrandbits(FAN) | 1)
    assert listed(layout, wants.outside(some)) == listed(layout, [some]) - items


def test_what_no_transfer_has_is_not_outside() -> None:
    wants = Wants(LAYOUT, 0)
    assert [*wants.outside(Entry(9, 7)), *wants.outside(Entry(9, 0, 7))] == []
