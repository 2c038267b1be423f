from __future__ import annotations

from random import Random

import pytest

from mcast.core.bulk import lost as module
from mcast.core.bulk.layout import Layout, make_layout
from mcast.core.bulk.lost import Lost, Missing
from mcast.wire.bulk import FAN, Entry

BLOCK = 1024


def listed(layout: Layout, missing: Missing) -> list[set[int]]:
    """The items of each level that entries name."""
    items: list[set[int]] = [set() for _ in layout.counts]
    for level, entries in missing:
        for entry in entries:
            for group in range(entry.group, entry.group + max(1, entry.run)):
                mask = layout.full(level, group) & (entry.mask or -1)
                items[level] |= {FAN * group + bit for bit in range(FAN) if mask >> bit & 1}
    return items


@pytest.mark.parametrize("seed", range(40))
def test_what_is_lost_is_taken_out_of_what_is_missing(seed: int) -> None:
    rng = Random(seed)
    layout = make_layout(BLOCK * rng.choice([40, FAN * 5, FAN * 40, FAN * 100 + 7]), 0, BLOCK)
    lost, gone = Lost(layout), set[int]()
    for _ in range(rng.randrange(1, 6)):
        start = rng.choice([0, rng.randrange(layout.blocks)])
        stop = min(layout.blocks, start + rng.choice([1, 3, FAN, 300, layout.blocks]))
        lost.add(start, stop)
        gone |= set(range(start, stop))
    assert lost.count == len(gone)
    masks = [lost.mask(block // FAN) >> block % FAN & 1 for block in range(layout.blocks)]
    assert masks == [block in gone for block in range(layout.blocks)]
    everything = tuple((level, (Entry(0, 0, layout.groups(level)),)) for level in range(layout.top, -1, -1))
    left = listed(layout, lost.without(everything))
    assert left[0] == set(range(layout.blocks)) - gone
    assert [len(items) for items in left[1:]] == list(layout.counts[1:])
    mask, group = rng.getrandbits(FAN) | 1, rng.randrange(layout.groups(0))
    some = listed(layout, lost.without(((0, (Entry(group, mask),)),)))[0]
    assert some == listed(layout, ((0, (Entry(group, mask),)),))[0] - gone


def test_what_no_transfer_has_is_no_entry() -> None:
    layout = make_layout(BLOCK * 40, 0, BLOCK)
    lost = Lost(layout)
    beyond = ((0, (Entry(9, 7), Entry(9, 0, 7))), (9, (Entry(0, 1),)))
    assert lost.without(beyond) == beyond
    lost.add(0, 1)
    assert lost.without(beyond) == beyond[1:]


def test_few_entries_of_a_report_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENTRIES", 3)
    layout = make_layout(BLOCK * FAN * 40, 0, BLOCK)
    lost = Lost(layout)
    for group in range(0, 40, 2):
        lost.add(FAN * group, FAN * (group + 1))
    assert lost.without(((0, (Entry(0, 0, 40),)),)) == (
        (0, (Entry(1, 0, 1), Entry(3, 0, 1), Entry(5, 0, 1))),
    )
