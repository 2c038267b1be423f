"""Delta-coded ranges: one encoding, and what may not be encoded at all."""

from __future__ import annotations

import pytest

from mcast.wire.limits import NUMBER_MAX
from mcast.wire.ranges import decode_ranges, encode_ranges, pairs_of, split_ranges
from mcast.wire.reasons import DropReason, Malformed


@pytest.mark.parametrize(
    ("base", "pairs"),
    [
        (0, "0001"),  # sequences start at 1
        (5, "0101"),  # a base that is not the first
        (5, "0000"),
        (5, "00010001"),  # touching
        (5, "000101ff0001"[:8] + "0000"),
        (5, "0001ff01"),  # 255 to pass over needs (255, 0)
        (5, "0001ff00"),  # ends in a gap
        (5, "ff000001"),  # begins with a gap
        (5, "0001" + "ff00" * 32 + "2001"),  # 8193 from first to last
        (5, "00fe0001"),  # lengthens a range that was not full
        (NUMBER_MAX, "0002"),
        (5, "ff00"),
    ],
)
def test_refused(base: int, pairs: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode_ranges(base, bytes.fromhex(pairs))
    assert caught.value.reason == DropReason.BAD_RANGES


def test_a_window_is_the_most() -> None:
    assert decode_ranges(5, bytes.fromhex("0001" + "ff00" * 32 + "1e01")) == ((5, 5), (8196, 8196))


def test_nothing_is_no_pairs() -> None:
    assert encode_ranges(()) == b""


@pytest.mark.parametrize("ranges", [((5, 4),), ((5, 6), (7, 8)), ((5, 6), (1, 2))])
def test_what_does_not_rise_is_refused(ranges: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match="rise"):
        encode_ranges(ranges)


def test_split_keeps_to_pairs_and_window() -> None:
    alternate = [(at, at) for at in range(1, 2001, 2)]
    pieces = split_ranges(alternate, 300)
    assert [len(piece) for piece in pieces] == [300, 300, 300, 100]
    assert [one for piece in pieces for one in piece] == alternate
    assert split_ranges([(1, 20_000)], 1000) == ([(1, 8192)], [(8193, 16384)], [(16385, 20000)])
    assert split_ranges([(1, 1), (8192, 8192), (8193, 8193)], 1000)[0] == [(1, 1), (8192, 8192)]
    assert split_ranges([], 10) == ()


@pytest.mark.parametrize(
    "ranges", [[(5, 5)], [(5, 259), (515, 515)], [(5, 260)], [(5, 5), (260, 260)], [(5, 5), (1000, 2000)]]
)
def test_pairs_of_counts_the_pairs_of_the_encoding(ranges: list[tuple[int, int]]) -> None:
    assert len(encode_ranges(ranges)) // 2 == pairs_of(ranges)
