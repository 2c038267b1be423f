"""Any bytes decode to a value or a reason; encoding and decoding are each other's inverse."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcast.crypto.keys import Identity
from mcast.crypto.rooms import open_room
from mcast.crypto.seal import Opener, Sealer
from mcast.crypto.signed import sign_flush
from mcast.wire import frames as f
from mcast.wire import limits
from mcast.wire.attributes import Attributes, Service, decode_attributes, encode_attributes
from mcast.wire.bodies import decode_bundle, decode_first, encode_bundle
from mcast.wire.codec import SHAPES, decode_frames, encode_frame, encode_frames
from mcast.wire.header import Header, decode_header
from mcast.wire.ranges import Ranges, decode_ranges, encode_ranges, split_ranges
from mcast.wire.reasons import DropReason, Malformed
from mcast.wire.records import Kind, decode_record, encode_record
from tests.tiny_decoder import Refused
from tests.tiny_decoder import frames as tiny_frames
from tests.unit.crypto.support import verify_record

ROOM, IDENTITY = open_room("230.0.0.1:28003", "lobby"), Identity(bytes(32))

number = st.integers(0, limits.NUMBER_MAX)
sequence = st.integers(1, limits.NUMBER_MAX)
u8, u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
time = st.integers(0, limits.TIMESTAMP_MAX)
id16, id8, key = (st.binary(min_size=size, max_size=size) for size in (16, 8, 32))
signature = st.binary(min_size=64, max_size=64)
short = st.binary(max_size=80)
flags = st.sampled_from([0, f.BY_MULTICAST, f.SLICED, f.BY_MULTICAST | f.SLICED])


@st.composite
def ranges(draw: st.DrawFn, low: int = 1, high: int = limits.NUMBER_MAX, least: int = 1) -> Ranges:
    """Ranges within low..high and one window; gaps and lengths around 255 come up often."""
    step = st.one_of(st.integers(1, 4), st.sampled_from([254, 255, 256, 510, 511]), st.integers(1, 3000))
    first = draw(st.integers(low, high))
    found: list[tuple[int, int]] = []
    base = at = first
    for _ in range(draw(st.integers(least, 12))):
        last = at + draw(step) - 1
        if last > high or last - base >= limits.WINDOW:
            break
        found.append((at, last))
        at = last + 1 + draw(step)
    return tuple(found) or (((first, first),) if least else ())


missing: st.SearchStrategy[f.Missing] = st.builds(f.Missing, id16, number, ranges())


@st.composite
def held(draw: st.DrawFn) -> list[int]:
    high = draw(number)
    return [draw(st.integers(1, min(high + 1, limits.NUMBER_MAX))), high]


@st.composite
def holding(draw: st.DrawFn) -> f.Holding:
    low, high = draw(held())
    holes = draw(ranges(low, high, 0)) if low <= high else ()
    return f.Holding(draw(id16), draw(number), low, high, holes)


def some(entries: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(entries, min_size=1, max_size=4).map(tuple)


def build(cls: type, *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """`cls` made of what the parts draw; a list stands for several fields."""

    def spread(values: tuple[Any, ...]) -> Any:
        fields: list[Any] = []
        for value in values:
            fields.extend(value if isinstance(value, list) else [value])
        return cls(*fields)

    return st.tuples(*parts).map(spread)


def slice_of(record: bytes, payload: bytes, number: int) -> f.Slice:
    """A slice of a payload, the first one if it has none of this number."""
    at = number * limits.SLICE_SIZE if number * limits.SLICE_SIZE < len(payload) else 0
    data = payload[at : at + limits.SLICE_SIZE]
    return f.Slice(record, len(payload), at // limits.SLICE_SIZE, data)


run = st.tuples(id16, number).map(list)
named = st.tuples(id16, number, number).map(list)
page = st.tuples(u16, u16).filter(lambda pair: pair[0] < pair[1]).map(list)
contiguous = st.tuples(number, number).map(sorted)
positive = st.integers(1, limits.NUMBER_MAX)
fragment = (
    st.tuples(st.integers(0, 254), st.integers(1, 255)).filter(lambda pair: pair[0] < pair[1]).map(list)
)
name = st.text(st.characters(codec="utf-8"), max_size=16)
path = st.sampled_from(f.Path)
limit = st.integers(limits.DATAGRAM_SAFE, 2**16 - 1)

announcement = build(f.Announcement, named, time, held(), u32, u32, limit, u16, u16, id8, short, signature)
FRAMES: dict[type, st.SearchStrategy[Any]] = {
    f.Key: build(f.Key, key, time, name, signature),
    f.Announcement: announcement,
    f.Goodbye: build(f.Goodbye, named, number, signature),
    f.Heartbeat: build(f.Heartbeat, named, time, held(), u32, signature),
    f.Nack: build(f.Nack, named, some(missing), signature, flags),
    f.Report: build(f.Report, named, some(build(f.Heard, run, contiguous, time, u32, u32, u16)), signature),
    f.ReportRequest: build(f.ReportRequest, named, u16, flags),
    f.Probe: build(f.Probe, run, id16, flags),
    f.ProbeReply: build(f.ProbeReply, run, id16, time, held(), signature),
    f.KeyRequest: build(f.KeyRequest, some(id16), flags),
    f.RosterRequest: build(f.RosterRequest, u16, flags),
    f.Roster: build(f.Roster, id16, u16, announcement),
    f.Challenge: build(f.Challenge, id8),
    f.Echo: build(f.Echo, id8),
    f.Digest: build(f.Digest, id16, u32, u64),
    f.VectorRequest: build(f.VectorRequest, id16, u16, u32, u32, flags),
    f.Vector: build(f.Vector, id16, page, u32, some(holding())),
    f.RangeRequest: build(f.RangeRequest, u32, some(missing), flags),
    f.Age: build(f.Age, u32),
    f.Acker: build(f.Acker, named, run, signature),
    f.Who: build(f.Who, id8, flags),
    f.Directed: build(f.Directed, run, run, positive, time, key, fragment, short, flags),
    f.DirectedAck: build(f.DirectedAck, run, run, positive, st.integers(0, 255), id16, short),
    f.Ping: build(f.Ping, run, id8, u16, path, flags),
    f.Pong: build(f.Pong, run, id8, u16, path, st.integers(0, 255), time, u64),
    f.RoomQuery: st.just(f.RoomQuery()),
    f.RoomEntry: build(f.RoomEntry, u32, name),
    f.Topic: build(f.Topic, name),
    f.Here: build(f.Here, id8, some(build(f.Present, id16, number, u16))),
    f.Slice: st.builds(slice_of, id8, st.binary(min_size=1, max_size=limits.RECORD_MAX), st.integers(0, 2)),
}


def test_there_is_a_strategy_for_every_frame() -> None:
    assert set(FRAMES) == {shape.layout.cls for shape in SHAPES.values()}


@given(st.lists(st.one_of(*FRAMES.values()), min_size=1, max_size=3), st.integers(0, 9))
def test_frames_round_trip(frames: list[f.Frame], padding: int) -> None:
    encoded = encode_frames(frames)
    assert decode_frames(encoded + bytes(padding)) == frames


@given(st.data())
@settings(max_examples=300)
def test_both_decoders_agree_on_mutated_frames(data: st.DataObject) -> None:
    encoded = bytearray(
        encode_frames(data.draw(st.lists(st.one_of(*FRAMES.values()), min_size=1, max_size=2)))
    )
    for _ in range(data.draw(st.integers(0, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(u8)
    del encoded[data.draw(st.integers(0, len(encoded))) or len(encoded) :]
    decoded = decode_frames(bytes(encoded))
    try:
        found: int | None = len(tiny_frames(bytes(encoded)))
    except Refused:
        found = None
    assert found == (len(decoded) if isinstance(decoded, list) else None)


@given(st.binary(max_size=300))
def test_any_bytes_are_frames_or_a_reason(data: bytes) -> None:
    assert isinstance(decode_frames(data), list | DropReason)


@given(st.sampled_from([0x01, *SHAPES]), st.sampled_from([0, 2, 4]), st.binary(max_size=400))
def test_any_payload_is_a_frame_or_a_reason(number: int, flags: int, payload: bytes) -> None:
    encoded = bytes((number, flags)) + len(payload).to_bytes(2, "big") + payload
    decoded = decode_frames(encoded)
    if isinstance(decoded, list):
        assert encode_frame(decoded[0]) == encoded
    else:
        assert isinstance(decoded, DropReason)


@given(st.binary(max_size=1600), st.booleans())
def test_any_bytes_are_a_header_or_a_reason(data: bytes, ours: bool) -> None:
    datagram = b"\xff\x4d\x02\x01" + data if ours else data
    header = decode_header(datagram)
    assert isinstance(header, Header | DropReason)
    if isinstance(header, Header):
        assert Opener(ROOM).open(header, datagram) == DropReason.UNSEALED


@given(st.binary(max_size=300), st.binary(min_size=8, max_size=8), u64)
def test_what_is_sealed_opens_again(plain: bytes, session: bytes, counter: int) -> None:
    datagram = Sealer(ROOM, session, counter).seal(plain)
    header = decode_header(datagram)
    assert header == Header(ROOM.key_id, session, counter)
    assert Opener(ROOM).open(header, datagram) == plain


@given(
    st.lists(
        st.tuples(sequence, time, st.sampled_from(Kind), st.binary(max_size=200)), min_size=1, max_size=32
    ),
    number,
)
@settings(max_examples=50)
def test_records_round_trip(fields: list[tuple[int, int, Kind, bytes]], incarnation: int) -> None:
    records = [
        encode_record(
            origin=IDENTITY.origin, incarnation=incarnation, sequence=seq, timestamp=at, kind=kind, body=body
        )
        for seq, at, kind, body in fields
    ]
    payloads = sign_flush(IDENTITY, ROOM.id, incarnation, records)
    for given_fields, encoded, payload in zip(fields, records, payloads, strict=True):
        record = decode_record(payload)
        assert (record.sequence, record.timestamp, record.kind, record.body) == given_fields
        assert (record.signed, record.payload) == (encoded, payload)
        assert verify_record(IDENTITY.public_key, ROOM.id, record)
        assert decode_frames(encode_frame(record)) == [record]


@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_or_malformed(data: bytes) -> None:
    with suppress(Malformed):
        assert decode_record(data).payload == data


@given(st.lists(st.binary(max_size=40), min_size=2, max_size=40))
def test_bundles_round_trip(messages: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(messages)) == messages


@given(st.binary(max_size=100))
def test_any_bytes_are_a_body_or_a_reason(data: bytes) -> None:
    messages = decode_bundle(data)
    if isinstance(messages, list):
        assert encode_bundle(messages) == data
    first = decode_first(data)
    if isinstance(first, tuple):
        assert len(first[1]) < first[0] <= limits.MESSAGE_MAX


@given(ranges())
def test_ranges_round_trip(found: Ranges) -> None:
    assert decode_ranges(found[0][0], encode_ranges(found)) == found


@given(
    number,
    st.lists(st.tuples(st.sampled_from([0, 1, 254, 255]), st.sampled_from([0, 1, 254, 255])), min_size=1),
)
def test_any_pairs_are_the_one_encoding_or_refused(base: int, steps: list[tuple[int, int]]) -> None:
    pairs = bytes(byte for step in steps for byte in step)
    try:
        found = decode_ranges(base, pairs)
    except Malformed:
        return
    assert encode_ranges(found) == pairs
    assert found[0][0] == base > 0
    assert found[-1][1] - base < limits.WINDOW


@given(ranges(high=30_000), st.integers(1, 40))
def test_split_ranges_lose_nothing(found: Ranges, pairs: int) -> None:
    pieces = split_ranges(found, pairs)
    assert all(len(encode_ranges(piece)) <= 2 * pairs for piece in pieces)
    assert all(decode_ranges(piece[0][0], encode_ranges(piece)) for piece in pieces)

    def members(ranges: Any) -> list[int]:
        return [one for first, last in ranges for one in range(first, last + 1)]

    assert members(one for piece in pieces for one in piece) == members(found)


@given(st.binary(max_size=limits.ATTRIBUTES_MAX + 10))
def test_any_bytes_are_attributes_or_a_reason(data: bytes) -> None:
    assert isinstance(decode_attributes(data), Attributes | DropReason)


nested = st.recursive(
    st.one_of(st.none(), st.booleans(), u64, st.floats(), st.text(max_size=9), st.binary(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["tags", "services", "new"]), nested))
def test_any_msgpack_is_attributes_or_a_reason(value: object) -> None:
    assert isinstance(decode_attributes(msgspec.msgpack.encode(value)), Attributes | DropReason)


text = st.text(st.characters(codec="utf-8"), max_size=20)


@given(
    st.dictionaries(text, text, max_size=3),
    st.lists(st.builds(Service, text, u16), max_size=2).map(tuple),
)
def test_attributes_round_trip(tags: dict[str, str], services: tuple[Service, ...]) -> None:
    attributes = Attributes(tags, services)
    assert decode_attributes(encode_attributes(attributes)) == attributes


@pytest.mark.parametrize("kind", Kind)
def test_kinds_keep_their_numbers(kind: Kind) -> None:
    assert {"MESSAGE": 1, "BUNDLE": 2, "FIRST": 3, "MIDDLE": 4, "LAST": 5}[kind.name] == kind
