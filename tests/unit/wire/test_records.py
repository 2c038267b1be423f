"""Records, proofs, bodies and the sizes that must add up."""

from __future__ import annotations

import pytest

from mcast.crypto.keys import Identity
from mcast.crypto.rooms import open_room
from mcast.crypto.seal import Sealer
from mcast.crypto.signed import sign_flush
from mcast.wire import limits
from mcast.wire.bodies import bundle_size, decode_bundle, decode_first, encode_bundle, encode_first
from mcast.wire.codec import encode_frames
from mcast.wire.frames import Age
from mcast.wire.reasons import DropReason, Malformed
from mcast.wire.records import GUEST, NOTICE, PATH_LENGTHS, PROOF, Kind, decode_record, encode_record

ORIGIN, SIGNATURE = b"o" * 16, b"s" * 64


def payload(
    *,
    sequence: int = 1,
    incarnation: int = 1,
    timestamp: int = 0,
    kind: int = 1,
    flags: int = 0,
    size: int = 1,
    index: int = 0,
    path: bytes = b"",
    body: bytes = b"body",
) -> bytes:
    record = encode_record(
        origin=ORIGIN,
        incarnation=incarnation,
        sequence=sequence,
        timestamp=timestamp,
        kind=Kind.MESSAGE,
        body=body,
    )
    record = record[:40] + bytes((kind, flags)) + record[42:]
    return PROOF.pack(size, index, SIGNATURE) + path + record


def test_fields() -> None:
    encoded = payload(sequence=5, incarnation=6, timestamp=7, kind=2, size=3, index=2, path=b"p" * 16)
    record = decode_record(encoded)
    assert (record.origin, record.incarnation, record.sequence, record.timestamp) == (ORIGIN, 6, 5, 7)
    assert (record.kind, record.flags, record.body) == (Kind.BUNDLE, 0, b"body")
    assert (record.size, record.index, record.path, record.signature) == (3, 2, b"p" * 16, SIGNATURE)
    assert record.payload == encoded
    assert record.signed == encoded[82:]


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (payload(size=0), DropReason.BAD_PROOF),
        (payload(size=33), DropReason.BAD_PROOF),
        (payload(size=2, index=2, path=bytes(16)), DropReason.BAD_PROOF),
        (payload(sequence=0), DropReason.BAD_VALUE),
        (payload(sequence=2**63), DropReason.BAD_VALUE),
        (payload(incarnation=2**63), DropReason.BAD_VALUE),
        (payload(timestamp=limits.TIMESTAMP_MAX + 1), DropReason.BAD_VALUE),
        (payload(kind=0), DropReason.BAD_VALUE),
        (payload(kind=6), DropReason.BAD_VALUE),
        (payload(flags=4), DropReason.BAD_VALUE),
        (payload(flags=GUEST | NOTICE), DropReason.BAD_VALUE),
        (payload(kind=Kind.BUNDLE, flags=GUEST), DropReason.BAD_VALUE),
        (payload()[:109], DropReason.TRUNCATED),
        (payload(size=32, index=0)[:120], DropReason.TRUNCATED),
        (payload()[:-1], DropReason.TRUNCATED),
        (payload() + b"\0", DropReason.TRAILING),
    ],
)
def test_refused(encoded: bytes, reason: DropReason) -> None:
    with pytest.raises(Malformed) as caught:
        decode_record(encoded)
    assert caught.value.reason == reason


def test_highest_numbers() -> None:
    record = decode_record(payload(sequence=2**63 - 1, incarnation=2**63 - 1, timestamp=limits.TIMESTAMP_MAX))
    assert (record.sequence, record.incarnation, record.timestamp) == (
        2**63 - 1,
        2**63 - 1,
        limits.TIMESTAMP_MAX,
    )


def test_path_lengths() -> None:
    assert PATH_LENGTHS[1, 0] == 0
    assert [PATH_LENGTHS[3, index] for index in range(3)] == [2, 2, 1]
    assert [PATH_LENGTHS[7, index] for index in range(7)] == [3, 3, 3, 3, 3, 3, 2]
    assert {PATH_LENGTHS[32, index] for index in range(32)} == {limits.PATH_MAX}


@pytest.mark.parametrize("limit", [limits.DATAGRAM_MAX, limits.DATAGRAM_SAFE])
@pytest.mark.parametrize("records", [1, 2, 32])
def test_the_longest_body_fits_its_datagram(limit: int, records: int) -> None:
    identity, room = Identity(bytes(32)), open_room("230.0.0.1:28003", "lobby")
    body = bytes(limits.max_body(limit))
    flush = [
        encode_record(
            origin=identity.origin, incarnation=1, sequence=n, timestamp=0, kind=Kind.MESSAGE, body=body
        )
        for n in range(1, records + 1)
    ]
    record = decode_record(sign_flush(identity, room.id, 1, flush)[0])
    datagram = Sealer(room, bytes(8)).seal(encode_frames([Age(1), record]))
    shorter = (limits.PATH_MAX - PATH_LENGTHS[records, 0]) * limits.NODE_SIZE
    assert len(datagram) == limits.RECORD_OVERHEAD - shorter + len(body) + limits.AGE_SIZE <= limit
    assert (len(datagram) == limit) == (records == 32)


@pytest.mark.parametrize("message", [1211, 1206 + 1210, 1206 + 1210 + 1, limits.MESSAGE_MAX])
def test_fragment_sizes(message: int) -> None:
    sizes = limits.fragment_sizes(message, limits.max_body())
    assert sum(sizes) == message
    assert sizes[0] == limits.max_body() - limits.FRAGMENT_HEAD_SIZE
    assert set(sizes[1:-1]) <= {limits.max_body()}
    assert 0 < sizes[-1] <= limits.max_body()


@pytest.mark.parametrize("messages", [[b"", b""], [b"one", b"", b"three"], [b"x"] * 600])
def test_bundle(messages: list[bytes]) -> None:
    body = encode_bundle(messages)
    assert len(body) == bundle_size(len(messages), sum(map(len, messages)))
    assert decode_bundle(body) == messages


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"\0\0",
        encode_bundle([b"alone"]),
        b"\xff\xff\0\0",
        encode_bundle([b"one", b"two"])[:-1],
        encode_bundle([b"one", b"two"]) + b"\0",
    ],
)
def test_bad_bundle(body: bytes) -> None:
    assert decode_bundle(body) == DropReason.BAD_BODY


def test_first_fragment() -> None:
    assert encode_first(65536, b"data") == b"\0\1\0\0data"
    assert decode_first(b"\0\1\0\0data") == (65536, b"data")


@pytest.mark.parametrize(
    "body", [b"", b"\0\0\0\5", b"\0\0\0\4data", b"\0\0\0\3data", b"\0\1\0\1data", b"\xff\xff\xff\xffdata"]
)
def test_bad_first_fragment(body: bytes) -> None:
    assert decode_first(body) == DropReason.BAD_BODY
