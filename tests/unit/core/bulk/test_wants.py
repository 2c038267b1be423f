from __future__ import annotations

from mcast.core.bulk.layout import FULL, make_layout
from mcast.core.bulk.wants import CHUNK, Wants

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
