"""Frames to bytes and back, as the table below says; docs/protocol.md has the same table.

A value has exactly one encoding: a decoded frame encodes to the same bytes, so its signature stays valid when
another peer hands it on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from struct import Struct
from typing import Any, cast

import msgspec

from . import frames as f
from . import limits, lists
from .frames import Frame, FrameType, Signed
from .layouts import Layout, Reader, has_range
from .reasons import DropReason, Malformed
from .records import Record, decode_record

_FRAME = Struct(">BBH")
REQUEST_FLAGS = f.BY_MULTICAST | f.SLICED
PATHS = frozenset(f.Path)
_RECORD = int(FrameType.RECORD)  # a plain number is compared faster


class Shape(msgspec.Struct, frozen=True):
    """A payload: fixed struct, variable part if any, signature if signed. Requests may have REQUEST_FLAGS."""

    layout: Layout[Any]
    tail: lists.Tail | None = None
    tail_name: str = ""
    signed: bool = False
    request: bool = False


def _signed(layout: Layout[Any], tail: lists.Tail | None = None, name: str = "") -> Shape:
    return Shape(layout, tail, name, signed=True)


def _request(layout: Layout[Any], tail: lists.Tail | None = None, name: str = "") -> Shape:
    return Shape(layout, tail, name, request=True)


def _announces(value: f.Announcement) -> bool:
    # With a smaller limit one peer could force everybody to send tiny datagrams.
    fits = value.limit >= limits.DATAGRAM_SAFE and len(value.attributes) <= limits.ATTRIBUTES_MAX
    return fits and has_range(value)


def _is_slice(value: f.Slice) -> bool:
    left = value.size - value.part * limits.SLICE_SIZE
    return value.size <= limits.RECORD_MAX and 0 < len(value.data) == min(left, limits.SLICE_SIZE)


_NOTHING: Layout[Any] = Layout(f.KeyRequest, "", "")
_ANNOUNCEMENT = _signed(
    Layout(
        f.Announcement,
        "16sQQQQQIIHHH8s",
        "origin incarnation counter timestamp low high interval grtt limit port flags machine",
        _announces,
    ),
    lists.BYTES,
    "attributes",
)


def _write_announcement(announcement: f.Announcement) -> bytes:
    return lists.write_bytes(_write(_ANNOUNCEMENT, announcement))


def _read_announcement(reader: Reader) -> f.Announcement:
    return cast(f.Announcement, _read(_ANNOUNCEMENT, lists.read_bytes(reader), 0))


SHAPES: dict[FrameType, Shape] = {
    FrameType.KEY: _signed(Layout(f.Key, "32sQ", "public_key issued"), lists.NAME, "name"),
    FrameType.ANNOUNCEMENT: _ANNOUNCEMENT,
    FrameType.GOODBYE: _signed(Layout(f.Goodbye, "16sQQQ", "origin incarnation counter high")),
    FrameType.HEARTBEAT: _signed(
        Layout(f.Heartbeat, "16sQQQQQI", "origin incarnation counter timestamp low high grtt", has_range)
    ),
    FrameType.NACK: Shape(
        Layout(f.Nack, "16sQQ", "origin incarnation counter"),
        lists.MISSING,
        "missing",
        signed=True,
        request=True,
    ),
    FrameType.REPORT: _signed(Layout(f.Report, "16sQQ", "origin incarnation counter"), lists.HEARD, "heard"),
    FrameType.REPORT_REQUEST: _request(
        Layout(f.ReportRequest, "16sQQH", "origin incarnation sequence spread")
    ),
    FrameType.PROBE: _request(Layout(f.Probe, "16sQ16s", "origin incarnation nonce")),
    FrameType.PROBE_REPLY: _signed(
        Layout(f.ProbeReply, "16sQ16sQQQ", "origin incarnation nonce timestamp low high", has_range)
    ),
    FrameType.KEY_REQUEST: _request(_NOTHING, lists.ORIGINS, "origins"),
    FrameType.ROSTER_REQUEST: _request(Layout(f.RosterRequest, "H", "start")),
    FrameType.ROSTER: Shape(
        Layout(f.Roster, "16sH", "address port"),
        lists.Tail(_write_announcement, _read_announcement),
        "announcement",
    ),
    FrameType.CHALLENGE: Shape(Layout(f.Challenge, "8s", "token")),
    FrameType.ECHO: Shape(Layout(f.Echo, "8s", "token")),
    FrameType.DIGEST: Shape(Layout(f.Digest, "16sIQ", "digest vectors records")),
    FrameType.VECTOR_REQUEST: _request(Layout(f.VectorRequest, "16sHII", "digest page age request")),
    FrameType.VECTOR: Shape(
        Layout(f.Vector, "16sHHI", "digest page pages request", lambda vector: vector.page < vector.pages),
        lists.HOLDINGS,
        "holdings",
    ),
    FrameType.RANGE_REQUEST: _request(Layout(f.RangeRequest, "I", "request"), lists.MISSING, "missing"),
    FrameType.AGE: Shape(Layout(f.Age, "I", "age")),
    FrameType.WHO: _request(Layout(f.Who, "8s", "nonce")),
    FrameType.HERE: Shape(Layout(f.Here, "8s", "nonce"), lists.PRESENT, "present"),
    FrameType.ACKER: _signed(
        Layout(f.Acker, "16sQQ16sQ", "origin incarnation counter to_origin to_incarnation"),
    ),
    FrameType.DIRECTED: _request(
        Layout(
            f.Directed,
            "16sQ16sQQQ32sBB",
            "origin incarnation to_origin to_incarnation number timestamp ephemeral index count",
            lambda directed: directed.number > 0 and directed.index < directed.count,
        ),
        lists.BYTES,
        "sealed",
    ),
    FrameType.DIRECTED_ACK: Shape(
        Layout(
            f.DirectedAck,
            "16sQ16sQQB16s",
            "origin incarnation to_origin to_incarnation number allowed mac",
        ),
        lists.BYTES,
        "got",
    ),
    FrameType.PING: _request(
        Layout(f.Ping, "16sQ8sHB", "origin incarnation nonce sequence path", lambda ping: ping.path in PATHS)
    ),
    FrameType.PONG: Shape(
        Layout(
            f.Pong,
            "16sQ8sHBBQQIBB",
            "origin incarnation nonce sequence path health timestamp seen held came ttl",
            lambda pong: pong.path in PATHS,
        )
    ),
    FrameType.ROOM_QUERY: Shape(Layout(f.RoomQuery, "", "")),
    FrameType.ROOM: Shape(Layout(f.RoomEntry, "I", "members"), lists.NAME, "name"),
    FrameType.TOPIC: Shape(Layout(f.Topic, "", ""), lists.NAME, "name"),
    FrameType.SLICE: Shape(Layout(f.Slice, "8sHB", "record size part", _is_slice), lists.BYTES, "data"),
}
TYPES: dict[type, FrameType] = {f_type.layout.cls: number for number, f_type in SHAPES.items()}


def signable(frame: Signed) -> bytes:
    """The payload of a signed frame without its signature: what crypto.signed signs."""
    return _unsigned(SHAPES[TYPES[type(frame)]], frame)


def head(frame: f.Directed | f.DirectedAck) -> bytes:
    """The fixed part of a payload: what crypto.directed binds to the rest."""
    return SHAPES[TYPES[type(frame)]].layout.encode(frame)


def encode_frame(frame: Frame) -> bytes:
    """The frame's bytes, its 4-byte header included. ValueError for what has no encoding."""
    if isinstance(frame, Record):
        return encode_kept(frame.payload)
    number = TYPES[type(frame)]
    shape = SHAPES[number]
    payload = _write(shape, frame)
    return _FRAME.pack(number, cast(f.Request, frame).flags if shape.request else 0, len(payload)) + payload


def encode_kept(payload: bytes) -> bytes:
    """The RECORD frame whose payload is `payload`, as it was signed or received."""
    return _FRAME.pack(_RECORD, 0, len(payload)) + payload


def encode_sliced(payload: bytes, before: bytes = b"") -> Iterator[bytes]:
    """The payload of a RECORD as SLICE frames, each behind the encoded frames `before`."""
    name = sha256(payload).digest()[: limits.RECORD_NAME_SIZE]
    for part, at in enumerate(range(0, len(payload), limits.SLICE_SIZE)):
        piece = f.Slice(name, len(payload), part, payload[at : at + limits.SLICE_SIZE])
        yield before + encode_frame(piece)


def encode_frames(frames: Iterable[Frame], size: int = 0) -> bytes:
    """The frames one after the other, padded with zeros to `size` bytes: the plain text of crypto.seal."""
    return b"".join(map(encode_frame, frames)).ljust(size, b"\0")


def decode_frames(plain: bytes) -> list[Frame] | DropReason:
    """The frames of an opened datagram, all or none of them: one bad frame spoils the datagram.

    Frames of an unknown type with the OPTIONAL flag are left out. Zeros after the last frame are padding.
    """
    frames: list[Frame] = []
    at, end = 0, len(plain)
    try:
        while at < end:
            if not plain[at]:
                if plain.count(0, at) != end - at:
                    return DropReason.PADDING
                break
            start = at + limits.FRAME_HEADER_SIZE
            if start > end:
                return DropReason.TRUNCATED
            number, flags, length = _FRAME.unpack_from(plain, at)
            at = start + length
            if at > end:
                return DropReason.TRUNCATED
            if number == _RECORD and not flags:  # most frames are
                frames.append(decode_record(plain[start:at]))
            elif (frame := _decode_one(number, flags, plain[start:at])) is not None:
                frames.append(frame)
    except Malformed as malformed:
        return malformed.reason
    return frames or DropReason.EMPTY


def _decode_one(number: int, flags: int, payload: bytes) -> Frame | None:
    if number == _RECORD:
        raise Malformed(DropReason.BAD_FLAGS)
    shape = SHAPES.get(cast(FrameType, number))
    if shape is not None:
        return cast(Frame, _read(shape, payload, flags))
    if flags & f.OPTIONAL:
        return None
    raise Malformed(DropReason.UNKNOWN_FRAME)


def _unsigned(shape: Shape, frame: Any) -> bytes:
    fixed = shape.layout.encode(frame)
    return fixed if shape.tail is None else fixed + shape.tail.write(getattr(frame, shape.tail_name))


def _write(shape: Shape, frame: Any) -> bytes:
    payload = _unsigned(shape, frame)
    return payload + frame.signature if shape.signed else payload


def _read(shape: Shape, payload: bytes, flags: int) -> Any:
    if flags & ~(REQUEST_FLAGS if shape.request else 0):
        raise Malformed(DropReason.BAD_FLAGS)
    reader = Reader(payload)
    values: list[Any] = [*shape.layout.read(reader)]
    if shape.tail is not None:
        values.append(shape.tail.read(reader))
    if shape.signed:
        values.append(reader.take(limits.SIGNATURE_SIZE))
    if shape.request:
        values.append(flags)
    reader.end()
    return shape.layout.build(*values)
