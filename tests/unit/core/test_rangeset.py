"""Sets of sequence numbers."""

from __future__ import annotations

from mcast.core.rangeset import RangeSet, collapse


def test_ranges_merge_split_and_forget_the_lowest() -> None:
    ranges = RangeSet(limit=2)
    assert not ranges
    ranges.add(5, 5)
    ranges.add(10, 12)
    ranges.add(12, 15)
    ranges.add(1, 2)
    assert list(ranges) == [(1, 2), (10, 15)]
    assert 14 in ranges
    assert 15 not in ranges
    ranges.add(20, 21)
    assert list(ranges) == [(10, 15), (20, 21)]
    assert len(ranges) == 2
    assert ranges.remove(20)
    assert not ranges.remove(20)
    assert not ranges.remove(3)
    assert ranges.remove(12)
    assert list(ranges) == [(10, 12), (13, 15)]


def test_a_stretch_is_covered_by_one_range() -> None:
    ranges = RangeSet()
    assert not ranges.covers(1, 2)
    ranges.add(3, 6)
    ranges.add(7, 9)
    assert ranges.covers(3, 6)
    assert ranges.covers(7, 8)
    assert not ranges.covers(2, 4)
    assert not ranges.covers(5, 8)
    assert not ranges.covers(8, 10)


def test_collapse_makes_ranges() -> None:
    assert collapse([1, 2, 3, 7, 9]) == [(1, 4), (7, 8), (9, 10)]
    assert collapse([]) == []


def test_the_parts_of_a_stretch_that_are_in_a_set() -> None:
    ranges = RangeSet()
    assert (ranges.low, ranges.high) == (0, 0)
    ranges.add(1, 3)
    ranges.add(5, 9)
    assert (ranges.low, ranges.high) == (1, 8)
    assert list(ranges.within(2, 7)) == [(2, 3), (5, 7)]
    assert list(ranges.within(3, 100)) == [(5, 9)]
    assert list(ranges.within(3, 5)) == []


def test_what_is_not_there_cannot_be_cut_out() -> None:
    ranges = RangeSet()
    ranges.add(5, 9)
    ranges.cut(1, 5)
    ranges.cut(9, 20)
    ranges.cut(7, 7)
    assert list(ranges) == [(5, 9)]
