"""Variable parts of payloads, each a writer and a reader: lists behind a count, bytes behind a length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any

import msgspec

from . import limits
from .frames import Heard, Holding, Missing, Present
from .layouts import Layout, Reader, has_range
from .ranges import Ranges, decode_ranges, encode_ranges
from .reasons import DropReason, Malformed

_COUNT = Struct(">B")
_SIZE = Struct(">H")
_ORIGIN = Struct(f">{limits.ORIGIN_SIZE}s")
_RANGES = Struct(">QH")  # base, number of pairs
_MISSING = Layout(Missing, "16sQ", "origin incarnation")
_HOLDING = Layout(Holding, "16sQQQ", "origin incarnation low high", has_range)
_HEARD = Layout(
    Heard,
    "16sQQQQIIHQ",
    "origin incarnation contiguous highest echo delay backlog loss first",
    lambda heard: heard.contiguous <= heard.highest and 0 < heard.first <= heard.contiguous + 1,
)
_PRESENT = Layout(Present, "16sQH", "origin incarnation port")


class Tail(msgspec.Struct, frozen=True):
    """The variable part of a payload: how its value becomes bytes, and how it is read back."""

    write: Callable[[Any], bytes]
    read: Callable[[Reader], Any]


def _write_name(name: str) -> bytes:
    encoded = name.encode()
    if len(encoded) > limits.NAME_MAX:
        raise ValueError(f"a name takes at most {limits.NAME_MAX} bytes, not {len(encoded)}")
    return _COUNT.pack(len(encoded)) + encoded


def _read_name(reader: Reader) -> str:
    (size,) = reader.unpack(_COUNT)
    if size > limits.NAME_MAX:
        raise Malformed(DropReason.BAD_VALUE)
    try:
        return reader.take(size).decode()
    except UnicodeDecodeError:
        raise Malformed(DropReason.BAD_TEXT) from None


def write_bytes(data: bytes) -> bytes:
    """Two bytes of length, then `data`."""
    return _SIZE.pack(len(data)) + data


def read_bytes(reader: Reader) -> bytes:
    """What write_bytes() wrote."""
    return reader.take(*reader.unpack(_SIZE))


def _list_of(write: Callable[[Any], bytes], read: Callable[[Reader], Any], least: int = 1) -> Tail:
    def write_all(entries: Sequence[Any]) -> bytes:
        if not least <= len(entries) <= limits.ENTRIES_MAX:
            raise ValueError(f"a list holds {least} to {limits.ENTRIES_MAX} entries, not {len(entries)}")
        return _COUNT.pack(len(entries)) + b"".join(map(write, entries))

    def read_all(reader: Reader) -> tuple[Any, ...]:
        (count,) = reader.unpack(_COUNT)
        if count < least:
            raise Malformed(DropReason.BAD_VALUE)
        return tuple(read(reader) for _ in range(count))

    return Tail(write_all, read_all)


def _struct_list(layout: Layout[Any]) -> Tail:
    return _list_of(layout.encode, lambda reader: layout.build(*layout.read(reader)))


def _scalar_list(one: Struct) -> Tail:
    return _list_of(one.pack, lambda reader: reader.unpack(one)[0])


def _write_ranges(ranges: Ranges) -> bytes:
    pairs = encode_ranges(ranges)
    return _RANGES.pack(ranges[0][0] if ranges else 0, len(pairs) // 2) + pairs


def _read_ranges(reader: Reader) -> Ranges:
    base, count = reader.unpack(_RANGES)
    pairs = reader.take(2 * count)
    if pairs:
        return decode_ranges(base, pairs)
    if base:
        raise Malformed(DropReason.BAD_RANGES)
    return ()


def _write_missing(entry: Missing) -> bytes:
    if not entry.ranges:
        raise ValueError("nothing is missing")
    return _MISSING.encode(entry) + _write_ranges(entry.ranges)


def _read_missing(reader: Reader) -> Missing:
    origin, incarnation = _MISSING.read(reader)
    entry = _MISSING.build(origin, incarnation, _read_ranges(reader))
    if not entry.ranges:
        raise Malformed(DropReason.BAD_RANGES)
    return entry


def _write_holding(entry: Holding) -> bytes:
    return _HOLDING.encode(entry) + _write_ranges(entry.holes)


def _read_holding(reader: Reader) -> Holding:
    origin, incarnation, low, high = _HOLDING.read(reader)
    entry = _HOLDING.build(origin, incarnation, low, high, _read_ranges(reader))
    if entry.holes and not entry.low <= entry.holes[0][0] <= entry.holes[-1][1] <= entry.high:
        raise Malformed(DropReason.BAD_RANGES)
    return entry


NAME = Tail(_write_name, _read_name)
BYTES = Tail(write_bytes, read_bytes)
ORIGINS = _scalar_list(_ORIGIN)
HEARD = _struct_list(_HEARD)
PRESENT = _struct_list(_PRESENT)
MISSING = _list_of(_write_missing, _read_missing)
HOLDINGS = _list_of(_write_holding, _read_holding, least=0)
