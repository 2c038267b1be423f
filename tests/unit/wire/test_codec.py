"""Every frame through the codec in both directions, and everything that can be wrong with its bytes."""

from __future__ import annotations

import msgspec
import pytest

from mcast.wire import frames as f
from mcast.wire.codec import SHAPES, TYPES, decode_frames, encode_frame, encode_frames
from mcast.wire.frames import BY_MULTICAST, OPTIONAL, SLICED, Frame, FrameType
from mcast.wire.reasons import DropReason, Malformed
from tests.tiny_decoder import vectors

ORIGIN, EPOCH = b"o" * 16, 77
SIGNATURE = b"s" * 64
WHO = f.Who(b"12345678")


def one(encoded: bytes) -> Frame:
    decoded = decode_frames(encoded)
    assert isinstance(decoded, list), decoded
    (frame,) = decoded
    return frame


def repack(encoded: bytes, payload: bytes) -> bytes:
    return encoded[:2] + len(payload).to_bytes(2, "big") + payload


ENCODED = {vector["title"]: bytes.fromhex(vector["hex"]) for vector in vectors("frame")}
RECORDS = {
    f"RECORD of {vector['title']}": repack(b"\x01\x00", bytes.fromhex(payload))
    for vector in vectors("tree")
    for payload in vector["payloads"].values()
}
every_frame = pytest.mark.parametrize("encoded", (ENCODED | RECORDS).values(), ids=ENCODED | RECORDS)


@every_frame
def test_cut_at_every_offset(encoded: bytes) -> None:
    for end in range(1, len(encoded)):
        assert decode_frames(encoded[:end]) == DropReason.TRUNCATED


@every_frame
def test_payload_cut_at_every_offset(encoded: bytes) -> None:
    payload = encoded[4:]
    for end in range(len(payload)):
        assert decode_frames(repack(encoded, payload[:end])) == DropReason.TRUNCATED


@every_frame
def test_trailing_byte(encoded: bytes) -> None:
    assert decode_frames(repack(encoded, encoded[4:] + b"\0")) == DropReason.TRAILING


@every_frame
def test_every_changed_bit_is_refused_or_read_as_it_stands(encoded: bytes) -> None:
    for bit in range(8 * len(encoded)):
        changed = bytearray(encoded)
        changed[bit // 8] ^= 1 << bit % 8
        decoded = decode_frames(bytes(changed))
        if isinstance(decoded, list):
            assert encode_frames(decoded, len(changed)) == changed


@every_frame
def test_flags(encoded: bytes) -> None:
    shape = SHAPES.get(FrameType(encoded[0]))
    both = {0, BY_MULTICAST, SLICED, BY_MULTICAST | SLICED}
    allowed = both if shape and shape.request else {0}
    for flags in range(256):
        decoded = decode_frames(encoded[:1] + bytes((flags,)) + encoded[2:])
        assert (decoded == DropReason.BAD_FLAGS) == (flags not in allowed)


@pytest.mark.parametrize("number", sorted(set(range(1, 256)) - set(FrameType)))
def test_unknown_types(number: int) -> None:
    unknown = bytes((number, 0, 0, 3)) + b"abc"
    assert decode_frames(encode_frame(WHO) + unknown) == DropReason.UNKNOWN_FRAME
    optional = bytes((number, OPTIONAL | 0x80, 0, 3)) + b"abc"
    assert decode_frames(optional + encode_frame(WHO) + optional) == [WHO]


def test_one_bad_frame_spoils_the_datagram() -> None:
    bad = encode_frame(WHO)[:-1]
    assert decode_frames(encode_frame(WHO) + repack(bad, bad[4:])) == DropReason.TRUNCATED


def test_padding() -> None:
    plain = encode_frames([WHO], 50)
    assert len(plain) == 50
    assert decode_frames(plain) == [WHO]
    assert encode_frames([WHO], 5) == encode_frame(WHO)


def announcement(**changes: object) -> f.Announcement:
    plain = f.Announcement(ORIGIN, EPOCH, 1, 2, 1, 9, 5000, 100, 1452, 0, 0, b"machine!", b"", SIGNATURE)
    return msgspec.structs.replace(plain, **changes)


def holding(low: int, high: int, *holes: tuple[int, int]) -> f.Vector:
    return f.Vector(bytes(16), 0, 1, 7, (f.Holding(ORIGIN, EPOCH, low, high, holes),))


def heard(contiguous: int, highest: int) -> f.Report:
    return f.Report(ORIGIN, EPOCH, 1, (f.Heard(ORIGIN, EPOCH, contiguous, highest, 1, 2, 3, 4),), SIGNATURE)


TOP, LATEST = 2**63 - 1, 253_402_300_799_999
# Values at the edge, and the reason for which the codec drops them; None when they are fine.
EDGES: list[tuple[str, Frame, DropReason | None]] = [
    ("highest incarnation", f.Probe(ORIGIN, TOP, bytes(16)), None),
    ("incarnation", f.Probe(ORIGIN, TOP + 1, bytes(16)), DropReason.BAD_VALUE),
    ("highest counter", f.Goodbye(ORIGIN, EPOCH, TOP, TOP, SIGNATURE), None),
    ("counter", f.Goodbye(ORIGIN, EPOCH, TOP + 1, 1, SIGNATURE), DropReason.BAD_VALUE),
    ("goodbye's high", f.Goodbye(ORIGIN, EPOCH, 1, TOP + 1, SIGNATURE), DropReason.BAD_VALUE),
    ("latest issued", f.Key(bytes(32), LATEST, "ada", SIGNATURE), None),
    ("issued", f.Key(bytes(32), LATEST + 1, "ada", SIGNATURE), DropReason.BAD_VALUE),
    ("longest name", f.Key(bytes(32), 0, "n" * 64, SIGNATURE), None),
    ("nothing published", f.Heartbeat(ORIGIN, EPOCH, 1, LATEST, 1, 0, 1, SIGNATURE), None),
    ("timestamp", f.Heartbeat(ORIGIN, EPOCH, 1, LATEST + 1, 1, 0, 1, SIGNATURE), DropReason.BAD_VALUE),
    ("low 0", f.Heartbeat(ORIGIN, EPOCH, 1, 2, 0, 0, 1, SIGNATURE), DropReason.BAD_VALUE),
    ("nothing held", f.ProbeReply(ORIGIN, EPOCH, bytes(16), 1, 10, 9, SIGNATURE), None),
    ("low > high + 1", f.ProbeReply(ORIGIN, EPOCH, bytes(16), 1, 11, 9, SIGNATURE), DropReason.BAD_VALUE),
    ("smallest limit", announcement(limit=1200), None),
    ("limit", announcement(limit=1199), DropReason.BAD_VALUE),
    ("most attributes", announcement(attributes=bytes(768)), None),
    ("attributes", announcement(attributes=bytes(769)), DropReason.BAD_VALUE),
    ("announcement's low", announcement(low=11), DropReason.BAD_VALUE),
    ("unknown announcement flags", announcement(flags=0xFFFF), None),
    ("roster's announcement", f.Roster(bytes(16), 0, announcement(limit=1)), DropReason.BAD_VALUE),
    ("all contiguous", heard(9, 9), None),
    ("contiguous > highest", heard(10, 9), DropReason.BAD_VALUE),
    ("page", f.Vector(bytes(16), 1, 1, 7, holding(1, 2).holdings), DropReason.BAD_VALUE),
    ("holes to the edges", holding(5, 9, (5, 6), (9, 9)), None),
    ("hole below", holding(5, 9, (4, 5)), DropReason.BAD_RANGES),
    ("hole above", holding(5, 9, (9, 10)), DropReason.BAD_RANGES),
    ("holding's low", holding(0, 9), DropReason.BAD_VALUE),
]


@pytest.mark.parametrize(("frame", "reason"), [edge[1:] for edge in EDGES], ids=[edge[0] for edge in EDGES])
def test_edges(frame: Frame, reason: DropReason | None) -> None:
    assert decode_frames(encode_frame(frame)) == (reason or [frame])


@pytest.mark.parametrize(
    "frame",
    [
        f.KeyRequest(()),
        f.KeyRequest((ORIGIN,) * 256),
        f.Key(bytes(32), 0, "é" * 33),
        f.RangeRequest(1, (f.Missing(ORIGIN, EPOCH, ()),)),
        f.RangeRequest(1, (f.Missing(ORIGIN, EPOCH, ((5, 4),)),)),
        f.RangeRequest(1, (f.Missing(ORIGIN, EPOCH, ((5, 6), (7, 8))),)),
    ],
)
def test_what_has_no_encoding_is_the_callers_error(frame: Frame) -> None:
    with pytest.raises(ValueError, match=r"bytes|entries|missing|rise"):
        encode_frame(frame)


def test_most_entries() -> None:
    request = f.KeyRequest((ORIGIN,) * 255)
    assert one(encode_frame(request)) == request


def test_a_name_longer_than_allowed_is_refused() -> None:
    encoded = encode_frame(f.Key(bytes(32), 0, "n" * 64, SIGNATURE))
    payload = encoded[4:44] + bytes((65,)) + b"n" * 65 + SIGNATURE
    assert decode_frames(repack(encoded, payload)) == DropReason.BAD_VALUE


def test_a_base_without_ranges_is_refused() -> None:
    encoded = bytearray(encode_frame(holding(1, 2)))
    encoded[-3] = 1
    assert decode_frames(bytes(encoded)) == DropReason.BAD_RANGES


def test_every_value_has_one_number() -> None:
    assert len(TYPES) == len(SHAPES) == len(FrameType) - 1
    assert str(Malformed(DropReason.STALE)) == "stale"
