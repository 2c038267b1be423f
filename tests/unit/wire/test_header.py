"""The clear header."""

from __future__ import annotations

import pytest

from mcast.wire.header import Header, decode_header, encode_header
from mcast.wire.reasons import DropReason

HEADER = Header(b"kkkk", b"sessions", 2**64 - 1)
REST = bytes(16)
ENCODED = bytes.fromhex("ff4d0201") + b"kkkksessions" + b"\xff" * 8


def test_both_directions() -> None:
    assert encode_header(HEADER) == ENCODED
    assert decode_header(ENCODED + REST) == HEADER


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", DropReason.NOT_MCAST),
        (b"\xff", DropReason.NOT_MCAST),
        (b"hello, everybody, this is plain text of some length", DropReason.NOT_MCAST),
        (b"\xff\x4d", DropReason.TOO_SHORT),
        (ENCODED + REST[1:], DropReason.TOO_SHORT),
        (ENCODED + bytes(1452 - 24 + 1), DropReason.TOO_LONG),
        (b"\xff\x4d\x02", DropReason.TOO_SHORT),
        (b"\xff\x4d\x02\x01", DropReason.TOO_SHORT),
        (b"\xff\x4d\x01\x01", DropReason.VERSION),  # another version may have other sizes
        (b"\xff\x4d\x03" + ENCODED[3:] + bytes(2000), DropReason.VERSION),
        (b"\xff\x4d\x02\x02" + ENCODED[4:] + REST, DropReason.VERSION),
    ],
)
def test_refused(datagram: bytes, reason: DropReason) -> None:
    assert decode_header(datagram) == reason


def test_longest_datagram() -> None:
    assert decode_header(ENCODED + bytes(1452 - 24)) == HEADER
