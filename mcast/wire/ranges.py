"""Ranges of sequences, delta-coded: which records of one peer are missing.

A base, then pairs of bytes (skip, length): leave out `skip` sequences, take the next `length`. A pair
(255, 0) only leaves out; a pair that skips 0 extends the range before it, which must have been 255 long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from . import limits
from .reasons import DropReason, Malformed

Ranges = tuple[tuple[int, int], ...]  # (first, last), both included, rising, never touching
_STEP = 255


def encode_ranges(ranges: Iterable[tuple[int, int]]) -> bytes:
    """The pairs for `ranges`, the base being where the first begins. ValueError if they do not rise."""
    pairs = bytearray()
    following = None
    for first, last in ranges:
        skip, length = 0 if following is None else first - following, last - first + 1
        if length < 1 or skip < (following is not None):
            raise ValueError("ranges must rise and not touch")
        while skip >= _STEP:
            pairs += b"\xff\x00"
            skip -= _STEP
        while length > _STEP:
            pairs += bytes((skip, _STEP))
            skip, length = 0, length - _STEP
        pairs.append(skip)
        pairs.append(length)
        following = last + 1
    return bytes(pairs)


def decode_ranges(base: int, pairs: bytes) -> Ranges:
    """The ranges that `pairs` encode from `base` on. Malformed(BAD_RANGES) for any other encoding of them."""
    ranges: list[tuple[int, int]] = []
    at = first = base
    skip, before = 0, _STEP
    for step, length in zip(pairs[::2], pairs[1::2], strict=True):
        skip += step
        if (step == _STEP) == (length > 0) or (not skip and before != _STEP):
            raise Malformed(DropReason.BAD_RANGES)
        if length and skip:
            ranges.append((first, at - 1))
            at = first = at + skip
        at += length
        skip, before = (0, length) if length else (skip, _STEP)
    ranges.append((first, at - 1))
    whole = 0 < base == ranges[0][0] <= ranges[0][1] and not skip
    if not whole or at - base > limits.WINDOW or at - 1 > limits.NUMBER_MAX:
        raise Malformed(DropReason.BAD_RANGES)
    return tuple(ranges)


def pairs_of(ranges: Sequence[tuple[int, int]]) -> int:
    """How many pairs of bytes `ranges`, at least one, take at most."""
    pairs, following = 0, ranges[0][0]
    for first, last in ranges:
        pairs += (first - following) // _STEP + -(-(last - first + 1) // _STEP)
        following = last + 1
    return pairs


def split_ranges(ranges: Sequence[tuple[int, int]], pairs_limit: int) -> tuple[list[tuple[int, int]], ...]:
    """`ranges` cut into lists that each keep to WINDOW and encode to at most `pairs_limit` pairs of bytes."""
    pieces: list[list[tuple[int, int]]] = []
    room, base, following = 0, 0, 0
    for whole in ranges:
        for first, last in _cut(whole, min(limits.WINDOW, _STEP * pairs_limit)):
            cost = (first - following) // _STEP + -(-(last - first + 1) // _STEP)
            if not pieces or cost > room or last - base >= limits.WINDOW or first == following:
                pieces.append([])
                room, base = pairs_limit, first
                cost = -(-(last - first + 1) // _STEP)
            pieces[-1].append((first, last))
            room -= cost
            following = last + 1
    return tuple(pieces)


def _cut(whole: tuple[int, int], longest: int) -> list[tuple[int, int]]:
    first, last = whole
    return [(at, min(at + longest - 1, last)) for at in range(first, last + 1, longest)]
