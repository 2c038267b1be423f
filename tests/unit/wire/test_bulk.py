from __future__ import annotations

import msgspec
import pytest

from mcast.wire.bulk import (
    BODY_SIZE,
    BULK_MAGIC,
    CONTROL_MAX,
    FAN,
    MANIFEST_MAX,
    STREAM_MAX,
    TITLE_MAX,
    UNICAST,
    BulkKind,
    BulkNotice,
    BulkReport,
    BulkStatus,
    ControlHead,
    Entry,
    NoticeKind,
    Share,
    decode_body,
    decode_control_head,
    decode_data_heads,
    decode_notice,
    decode_report,
    decode_status,
    encode_body,
    encode_control_head,
    encode_data_heads,
    encode_notice,
    encode_report,
    encode_status,
)
from mcast.wire.reasons import DropReason

ROOT = bytes(range(32))
OFFER = BulkNotice(NoticeKind.OFFER, ROOT, 4000, 1 << 30, 500, 1420, 7, "Ferien é.zip")
SHARES = (Share(b"a" * 16, b"A" * 48), Share(b"b" * 16, b"B" * 48))
FOR_TWO = BulkNotice(NoticeKind.PRIVATE, ROOT, 4000, shares=SHARES, sealed=b"s" * 326)
REPORT = BulkReport(
    b"tokenize",
    1,
    77,
    (5, 4),
    (3, 2),
    1000,
    8,
    ((2, (Entry(0, 1),)), (0, (Entry(3, 0xFF), Entry(5, 0, 300), Entry(1000, 0x8000_0000)))),
)


def test_data_head() -> None:
    head = encode_data_heads(b"tagg", 1, [0x01020304], (1 << 32) + 5, unicast=True)
    assert head == BULK_MAGIC + b"\x01\x81tagg\x01\x02\x03\x04\x00\x00\x00\x05"
    assert encode_data_heads(b"tagg", 0, [0], 0, unicast=False)[3] == 0


def heads(*items: tuple[int, int], tag: bytes = b"tagg", unicast: bool = False) -> bytes:
    return b"".join(
        encode_data_heads(tag, level, [index], 7 + at, unicast=unicast)
        for at, (level, index) in enumerate(items)
    )


def test_heads_are_read_by_columns() -> None:
    encoded = heads((0, 5), (1, 6)) + b"no mcast at all!"
    assert encoded[:32] == heads((0, 5)) + encode_data_heads(b"tagg", 1, [6], 8, unicast=False)
    read = decode_data_heads(b"-" + encoded, 1, 3)
    tag = int.from_bytes(b"tagg")
    assert [read.level(at, tag) for at in range(3)] == [0, 1, None]
    assert read.level(0, tag + 1) is None
    assert read.indexes[:2] == (5, 6)
    assert read.serials[:2] == (7, 8)
    assert decode_data_heads(heads((3, 1), unicast=True), 0, 1).level(0, tag) == 3 | UNICAST


@pytest.mark.parametrize(
    ("items", "row"),
    [
        ([(0, 31), (0, 32)], (1, 1 << 31)),
        ([(0, 33), (0, 34), (0, 35)], (3, 0b1110)),
        ([(0, at) for at in range(32)] + [(1, 1)], (32, (1 << 32) - 1)),
        ([(0, 1), (0, 4), (0, 5), (1, 1)], (3, 0b110010)),
        ([(0, 1), (0, 2), (1, 3)], (2, 0b110)),
        ([(0, 4), (0, 1)], (1, 0b10000)),
        ([(0, 4), (0, 4)], (1, 0b10000)),
        ([(0, 1), (1, 2), (0, 3)], (1, 0b10)),
    ],
)
def test_a_row_is_of_one_group_and_rises(items: list[tuple[int, int]], row: tuple[int, int]) -> None:
    assert decode_data_heads(heads(*items), 0, len(items)).row(0) == row


def test_a_row_is_of_one_transfer_and_way() -> None:
    mixed = heads((0, 1)) + heads((0, 2), tag=b"else") + heads((0, 3))
    assert decode_data_heads(mixed, 0, 3).row(0) == (1, 0b10)
    assert decode_data_heads(mixed, 0, 2).row(0) == (1, 0b10)
    mixed = heads((0, 1)) + heads((0, 2), unicast=True)
    assert decode_data_heads(mixed, 0, 2).row(0) == (1, 0b10)


def test_control_head() -> None:
    head = ControlHead(BulkKind.STATUS, b"tagg", b"whoiswho", 9)
    datagram = encode_control_head(head) + bytes(16)
    assert decode_control_head(datagram) == head
    assert decode_control_head(datagram[:-1]) is DropReason.TOO_SHORT
    assert decode_control_head(datagram + bytes(CONTROL_MAX)) is DropReason.TOO_SHORT
    for at, byte in ((0, 0), (2, 1), (2, 9), (3, 1)):
        wrong = bytearray(datagram)
        wrong[at] = byte
        assert decode_control_head(bytes(wrong)) is DropReason.NOT_MCAST


def test_report() -> None:
    assert decode_report(encode_report(REPORT)) == REPORT
    assert decode_report(encode_report(BulkReport(backlog=1 << 40))) == BulkReport(backlog=0xFFFFFFFF)


def test_malformed_reports() -> None:
    whole = encode_report(REPORT)
    for size in range(len(whole)):
        assert isinstance(decode_report(whole[:size]), DropReason)
    assert decode_report(whole + b"\0") is DropReason.TRAILING
    assert decode_report(encode_report(BulkReport(flags=0x80))) is DropReason.BAD_VALUE
    head = encode_report(BulkReport(missing=((0, ()),)))[:-3]
    for section in (
        b"\x09\x00\x00",  # no such level
        b"\x00\x00\x02\x00\x00\x00",  # more entries than fit
        b"\x00\x00\x01\x00\x00\x00\x00\x00",  # an empty mask
        b"\x00\x00\x01\x01\x00",  # an empty run
        b"\x00\x00\x01\xff\xff\xff\xff\xff\x01",  # a number without end
        b"\x00\x00\x01\xff\xff\xff\xff\x1f\xff\xff\xff\xff\x1f",  # beyond all groups
    ):
        assert isinstance(decode_report(head + section), DropReason), section


def test_status() -> None:
    status = BulkStatus(b"12345678", 3, 50, 9, 8)
    assert decode_status(encode_status(status)) == status
    assert decode_status(b"x") is DropReason.TRUNCATED
    assert decode_status(encode_status(BulkStatus(bytes(8), 0x80, 1))) is DropReason.BAD_VALUE


@pytest.mark.parametrize(
    "notice",
    [
        OFFER,
        FOR_TWO,
        BulkNotice(NoticeKind.ACCEPT, ROOT, 4001),
        BulkNotice(NoticeKind.FAILED, ROOT, text="no space left"),
    ],
)
def test_notices(notice: BulkNotice) -> None:
    assert decode_notice(encode_notice(notice)) == notice


def test_what_is_in_a_private_offer() -> None:
    body = encode_body(OFFER)
    assert len(body) == BODY_SIZE == len(encode_body(msgspec.structs.replace(OFFER, text="t" * TITLE_MAX)))
    assert decode_body(body) == msgspec.structs.replace(OFFER, port=0)
    others = [encode_body(one) for one in (BulkNotice(NoticeKind.ACCEPT, ROOT),)]
    others.append(body[:2] + encode_notice(OFFER).ljust(BODY_SIZE - 2, b"\0"))  # with a port
    for wrong in (body[:-1], body + b"\0", body[:-1] + b"x", b"\xff" + body[1:], *others):
        assert decode_body(wrong) is DropReason.BAD_VALUE


def test_malformed_notices() -> None:
    whole = encode_notice(OFFER)
    assert decode_notice(whole[:34]) is DropReason.TRUNCATED
    assert decode_notice(whole[:40]) is DropReason.TRUNCATED
    private = encode_notice(FOR_TWO)
    assert decode_notice(private[:35]) is DropReason.TRUNCATED
    assert decode_notice(private[:100]) is DropReason.TRUNCATED
    for wrong in (private[:-1], private + b"x"):
        assert decode_notice(wrong) is DropReason.BAD_VALUE
    for shares, reason in ((SHARES[:1] * 33, DropReason.TOO_LONG), ((), DropReason.BAD_VALUE)):
        assert decode_notice(encode_notice(msgspec.structs.replace(FOR_TWO, shares=shares))) is reason
    assert decode_notice(b"\x09" + whole[1:]) is DropReason.BAD_VALUE
    assert decode_notice(whole + b"\xff") is DropReason.BAD_TEXT
    assert decode_notice(whole + b"x" * TITLE_MAX) is DropReason.TOO_LONG
    for sizes in ((0, 0, 100), (0, 0, 9000), (0, MANIFEST_MAX + 1, 1420), (STREAM_MAX, 1, 1420)):
        size, manifest, block = sizes
        offer = BulkNotice(NoticeKind.OFFER, ROOT, 1, size, manifest, block)
        assert decode_notice(encode_notice(offer)) is DropReason.BAD_VALUE


def test_a_mask_has_a_bit_for_each_item_of_a_node() -> None:
    assert FAN == 32
