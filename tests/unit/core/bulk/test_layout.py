from __future__ import annotations

from mcast.core.bulk.layout import FULL, make_layout


def test_levels() -> None:
    layout = make_layout(1024 * 70 + 5, 100, 1024)
    assert layout.counts == (71, 3, 1)
    assert (layout.blocks, layout.top) == (71, 2)
    assert [layout.groups(level) for level in range(3)] == [3, 1, 1]
    assert layout.full(0, 0) == FULL
    assert layout.full(0, 2) == 0x7F
    assert layout.item_size(0, 70) == 5
    assert layout.item_size(0, 0) == 1024
    assert layout.item_size(1, 2) == 7 * 32
    assert layout.item_size(2, 0) == 3 * 32
    assert layout.exists(0, 70)
    assert not layout.exists(0, 71)
    assert not layout.exists(3, 0)


def test_small_streams() -> None:
    assert make_layout(0, 0, 1024).counts == ()
    assert make_layout(0, 0, 1024).blocks == 0
    assert make_layout(1, 0, 1024).counts == (1, 1)


def test_the_root_covers_the_sizes() -> None:
    roots = {make_layout(10, manifest, block).root(b"top") for manifest in (0, 1) for block in (1024, 2048)}
    assert len(roots) == 4
