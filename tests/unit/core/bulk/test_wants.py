from __future__ import annotations

from mcast.core.bulk.layout import FULL, make_layout
from mcast.core.bulk.wants import Wants

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
