"""The content of directed messages."""

from __future__ import annotations

import pytest

from mcast.wire.contents import Content, ContentKind, decode_content, encode_unsigned
from mcast.wire.reasons import DropReason


@pytest.mark.parametrize(
    ("kind", "about", "data"),
    [
        (ContentKind.PRIVATE, 0, b"hi"),
        (ContentKind.PRIVATE, 2**63 - 1, b"hi again"),
        (ContentKind.QUESTION, 0, b""),
        (ContentKind.ANSWER, 7, b"\xff"),
        (ContentKind.NO_ANSWER, 1, b"it failed"),
        (ContentKind.DECLINED, 2**63 - 1, b""),
    ],
)
def test_what_is_encoded_is_decoded(kind: ContentKind, about: int, data: bytes) -> None:
    content = Content(kind, about, data, b"s" * 64)
    assert decode_content(b"s" * 64 + encode_unsigned(content)) == content


@pytest.mark.parametrize(
    ("opened", "reason"),
    [
        (b"", DropReason.TRUNCATED),
        (bytes(72), DropReason.TRUNCATED),
        (bytes(73), DropReason.BAD_VALUE),  # kind 0
        (bytes(64) + b"\x06" + bytes(8), DropReason.BAD_VALUE),
        (bytes(64) + b"\x02" + bytes(7) + b"\x01", DropReason.BAD_VALUE),  # about, but no answer
        (bytes(64) + b"\x01\x80" + bytes(7), DropReason.BAD_VALUE),
        (bytes(64) + b"\x03" + bytes(8), DropReason.BAD_VALUE),  # an answer to nothing
        (bytes(64) + b"\x03\x80" + bytes(7), DropReason.BAD_VALUE),
    ],
)
def test_what_is_no_content_is_refused(opened: bytes, reason: DropReason) -> None:
    assert decode_content(opened) is reason
