"""What bulk transfers put on the wire: notices in the room, datagrams with data, and control messages.

A transfer is one stream of bytes, cut into blocks, under a tree of hashes (core/bulk/layout.py). The blocks
and the nodes of the tree are *items*: (level, index), the blocks at level 0. Items are asked for in groups of
FAN that one node covers: (level, group, mask), the lowest bit of the mask for the first item.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from struct import Struct, pack, unpack_from
from typing import NamedTuple

import msgspec

from .limits import KEY_SIZE, ORIGIN_SIZE, TAG_SIZE
from .reasons import DropReason, Malformed

# Datagrams with data: 16 bytes of header, then the item, in a keyed room sealed.

BULK_MAGIC = b"\xff\x42"  # 0xFF never occurs in UTF-8
FAN = 32  # items that one node covers
HASH_SIZE = 32
BULK_TAG_SIZE = 4
DATA_HEAD_SIZE = 16
DATA_OVERHEAD = DATA_HEAD_SIZE + TAG_SIZE
LEVELS_MAX = 8
BLOCK_MIN, BLOCK_MAX = FAN * HASH_SIZE, 8192  # a node fits where a block does
STREAM_MAX = 1 << 37  # bytes of a transfer, 128 GiB: memory for one that is lossy all over stays below 100 MB
MANIFEST_MAX = 16 << 20
TITLE_MAX = 255
RECIPIENTS_MAX = 32
"""Identities that one transfer is offered to, if not to everybody."""

UNICAST = 0x80


class BulkKind(IntEnum):
    """The third byte of a datagram of a bulk transfer."""

    DATA = 1
    REPORT = 2
    STATUS = 3


DATA_START = BULK_MAGIC + bytes((BulkKind.DATA,))
_DATA = int.from_bytes(DATA_START) << 8


def encode_data_heads(tag: bytes, level: int, indexes: Sequence[int], serial: int, *, unicast: bool) -> bytes:
    """The 16 bytes before each of some items of one level; `serial` is that of the first."""
    count = len(indexes)
    words = [0] * (4 * count)
    words[0::4] = [_DATA | level | (UNICAST if unicast else 0)] * count
    words[1::4] = [int.from_bytes(tag)] * count
    words[2::4] = indexes
    words[3::4] = [number & 0xFFFFFFFF for number in range(serial, serial + count)]
    return pack(f">{4 * count}I", *words)


class DataHeads(msgspec.Struct, frozen=True, gc=False):
    """The heads of some datagrams, one after the other, by columns."""

    kinds: tuple[int, ...]
    tags: tuple[int, ...]
    indexes: tuple[int, ...]
    serials: tuple[int, ...]

    def level(self, at: int, tag: int) -> int | None:
        """The level of the item at that place, with UNICAST if it came that way; None if it is not one of the
        transfer with that tag."""
        if self.kinds[at] & ~0xFF != _DATA or self.tags[at] != tag:
            return None
        return self.kinds[at] & 0xFF

    def row(self, at: int) -> tuple[int, int]:
        """Where a row ends that begins at that place: items of one group and way, rising; and its mask."""
        kinds, tags, indexes = self.kinds, self.tags, self.indexes
        first = indexes[at]
        stop = min(len(kinds), at + FAN - first % FAN)
        if indexes[at:stop] != tuple(range(first, first + stop - at)):
            stop = at + 1
            while (
                stop < len(kinds)
                and first // FAN == indexes[stop] // FAN
                and indexes[stop - 1] < indexes[stop]
            ):
                stop += 1
        kind, tag = kinds[at], tags[at]
        while kinds[stop - 1] != kind or tags[stop - 1] != tag:
            stop -= 1
        if kinds[at:stop].count(kind) != stop - at or tags[at:stop].count(tag) != stop - at:
            stop = at + 1
        if indexes[stop - 1] - first == stop - at - 1:
            return stop, (1 << stop - at) - 1 << first % FAN
        mask = 0
        for index in indexes[at:stop]:
            mask |= 1 << index % FAN
        return stop, mask


def decode_data_heads(heads: bytes | memoryview, at: int, count: int) -> DataHeads:
    """`count` heads, from the offset `at` on."""
    words = unpack_from(f">{4 * count}I", heads, at)
    return DataHeads(words[0::4], words[1::4], words[2::4], words[3::4])


# Control messages: 24 bytes of header, then sealed for one receiver (crypto/bulk.py).

_CONTROL = Struct(">2sBB4s8sQ")
CONTROL_HEAD_SIZE = 24
CONTROL_MAX = 1200
NAME_SIZE = 8  # bytes that name the sender of a control message within its transfer


class ControlHead(msgspec.Struct, frozen=True, gc=False):
    """The head of a control message. `who` (8 bytes) names its sender within the transfer, `counter` rises
    with each message."""

    kind: BulkKind
    tag: bytes
    who: bytes
    counter: int


def encode_control_head(head: ControlHead) -> bytes:
    """The 24 bytes before the sealed part."""
    return _CONTROL.pack(BULK_MAGIC, head.kind, 0, head.tag, head.who, head.counter)


def decode_control_head(datagram: bytes) -> ControlHead | DropReason:
    """The head of a REPORT or STATUS."""
    if not CONTROL_HEAD_SIZE + TAG_SIZE <= len(datagram) <= CONTROL_MAX:
        return DropReason.TOO_SHORT
    magic, kind, zero, tag, who, counter = _CONTROL.unpack_from(datagram)
    if magic != BULK_MAGIC or kind not in (BulkKind.REPORT, BulkKind.STATUS) or zero:
        return DropReason.NOT_MCAST
    return ControlHead(BulkKind(kind), tag, who, counter)


# What is in a control message.

WANTS_UNICAST = 0x01  # of a report: multicast does not reach me, or I do not want it
ECHO_UNICAST = 0x02  # the echo is of a datagram by unicast
REPORT_FLAGS = WANTS_UNICAST | ECHO_UNICAST
TOKEN_SIZE = 8
NO_ECHO = 0xFFFFFFFF

_REPORT = Struct(">8sBIIIIIIIH")
_SECTION = Struct(">BH")
_MASK = Struct(">I")
ENTRY_MAX = 9  # bytes of an entry at most


class Entry(msgspec.Struct, frozen=True, gc=False):
    """Items that are missing: those of `mask` in one group, or all of `run` groups from `group` on (then the
    mask is 0)."""

    group: int
    mask: int = 0
    run: int = 0


Missing = tuple[tuple[int, tuple[Entry, ...]], ...]
"""What is missing: (level, entries)."""


class BulkReport(msgspec.Struct, frozen=True):
    """What a receiver says to the peer that serves it.

    `token`: that of the latest STATUS, zeros before one came. `have`: items of level 0 that it has.
    `multicast` and `unicast` are each (highest serial, number of datagrams that came) of that peer.
    `delay`: µs since the latest datagram came, the echo; NO_ECHO if there is none. `backlog`: KiB that wait
    for the receiver or its disk. `missing` lists (level, entries), each list rising by group.
    """

    token: bytes = bytes(TOKEN_SIZE)
    flags: int = 0
    have: int = 0
    multicast: tuple[int, int] = (0, 0)
    unicast: tuple[int, int] = (0, 0)
    delay: int = 0
    backlog: int = 0
    missing: Missing = ()


REPORT_HEAD = _REPORT.size
REPORT_ROOM = CONTROL_MAX - CONTROL_HEAD_SIZE - TAG_SIZE - REPORT_HEAD
"""Bytes of a report for what is missing."""
SECTION_SIZE = _SECTION.size


def encode_entry(entry: Entry, following: int) -> bytes:
    """An entry; `following` is the group after the one of before, 0 at first."""
    skip = entry.group - following
    if entry.run:
        return _varint(skip << 1 | 1) + _varint(entry.run)
    return _varint(skip << 1) + _MASK.pack(entry.mask)


def encode_report(report: BulkReport) -> bytes:
    """The content of a REPORT."""
    parts = [
        _REPORT.pack(
            report.token,
            report.flags,
            report.have,
            *report.multicast,
            *report.unicast,
            report.delay,
            min(report.backlog, 0xFFFFFFFF),
            len(report.missing),
        )
    ]
    for level, entries in report.missing:
        parts.append(_SECTION.pack(level, len(entries)))
        following = 0
        for entry in entries:
            parts.append(encode_entry(entry, following))
            following = entry.group + (entry.run or 1)
    return b"".join(parts)


def decode_report(content: bytes) -> BulkReport | DropReason:
    """The report in the opened part of a REPORT. Whether its groups exist is the reader's to check."""
    if len(content) < REPORT_HEAD:
        return DropReason.TRUNCATED
    token, flags, have, mh, mc, uh, uc, delay, backlog, sections = _REPORT.unpack_from(content)
    if flags & ~REPORT_FLAGS or sections > LEVELS_MAX:
        return DropReason.BAD_VALUE
    at, missing = REPORT_HEAD, []
    try:
        for _ in range(sections):
            level, entries, at = _decode_section(content, at)
            missing.append((level, entries))
    except Malformed as error:
        return error.reason
    if at != len(content):
        return DropReason.TRAILING
    return BulkReport(token, flags, have, (mh, mc), (uh, uc), delay, backlog, tuple(missing))


def _decode_section(content: bytes, at: int) -> tuple[int, tuple[Entry, ...], int]:
    if len(content) < at + SECTION_SIZE:
        raise Malformed(DropReason.TRUNCATED)
    level, count = _SECTION.unpack_from(content, at)
    at += SECTION_SIZE
    if level > LEVELS_MAX or count * 2 > len(content) - at:
        raise Malformed(DropReason.BAD_VALUE)
    entries, following = [], 0
    for _ in range(count):
        skip, at = _read_varint(content, at)
        group = following + (skip >> 1)
        if skip & 1:
            run, at = _read_varint(content, at)
            entry = Entry(group, 0, run)
        elif len(content) < at + 4:
            raise Malformed(DropReason.TRUNCATED)
        else:
            entry, at = Entry(group, _MASK.unpack_from(content, at)[0]), at + 4
        if not entry.mask and not entry.run:
            raise Malformed(DropReason.BAD_VALUE)
        entries.append(entry)
        following = group + (entry.run or 1)
        if following > 0xFFFFFFFF:
            raise Malformed(DropReason.BAD_VALUE)
    return level, tuple(entries), at


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(content) and shift <= 28:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
    raise Malformed(DropReason.BAD_VALUE)


BY_UNICAST = 0x01  # of a status: you get everything by unicast; leave the multicast group
EXHAUSTED = 0x02  # I hold nothing more of what you lack
REFUSED = 0x04  # I do not serve you
CHANGED = 0x08  # what I offered has changed: nobody can have it from me
STATUS_FLAGS = BY_UNICAST | EXHAUSTED | REFUSED | CHANGED
_STATUS = Struct(">8sBHII")


class BulkStatus(msgspec.Struct, frozen=True):
    """What who serves says to one receiver. `token` is to come back in reports. `interval`: ms between two
    reports. `multicast` and `unicast` are the serials of what left last that way: all of it was sent."""

    token: bytes
    flags: int
    interval: int
    multicast: int = 0
    unicast: int = 0


def encode_status(status: BulkStatus) -> bytes:
    """The content of a STATUS."""
    return _STATUS.pack(status.token, status.flags, status.interval, status.multicast, status.unicast)


def decode_status(content: bytes) -> BulkStatus | DropReason:
    """The status in the opened part of a STATUS."""
    if len(content) != _STATUS.size:
        return DropReason.TRUNCATED
    status = BulkStatus(*_STATUS.unpack(content))
    return DropReason.BAD_VALUE if status.flags & ~STATUS_FLAGS else status


# Notices: records of the room with the flag NOTICE.


class NoticeKind(IntEnum):
    """The first byte of a notice about a bulk transfer."""

    OFFER = 1
    ACCEPT = 2
    WHOLE = 3
    FAILED = 4
    WITHDRAW = 5
    PRIVATE = 6


class Share(NamedTuple):
    """The secret of a private offer (48 bytes), sealed for the identity `origin` (16 bytes)."""

    origin: bytes
    sealed: bytes


class BulkNotice(msgspec.Struct, frozen=True):
    """What a peer says to all about the transfer with this `root` (32 bytes).

    OFFER: it serves all of it; `text` is a title. ACCEPT: it will fetch it. WHOLE: it has all of it. FAILED:
    it gave up, `text` says why. WITHDRAW: it serves it no more. PRIVATE: an OFFER for the identities in
    `shares` alone, which is in `sealed`; `root` only names it. `port`: the UDP port at which it can be asked
    for it, 0 if it cannot. The sizes and `count` are of OFFER alone.
    """

    kind: NoticeKind
    root: bytes
    port: int = 0
    size: int = 0
    manifest_size: int = 0
    block_size: int = 0
    count: int = 0
    text: str = ""
    shares: tuple[Share, ...] = ()
    sealed: bytes = b""


_NOTICE = Struct(">B32sH")
_OFFER = Struct(">QIHI")
_SHARE = Struct(f">{ORIGIN_SIZE}s{KEY_SIZE + TAG_SIZE}s")
BODY_SIZE = 2 + _NOTICE.size + _OFFER.size + TITLE_MAX
"""Bytes of what is sealed in a private offer: it has one size, so that it does not tell that of the title."""
_KINDS = {int(kind): kind for kind in NoticeKind}


def encode_notice(notice: BulkNotice) -> bytes:
    """The data of a notice."""
    more = b""
    if notice.kind is NoticeKind.OFFER:
        more = _OFFER.pack(notice.size, notice.manifest_size, notice.block_size, notice.count)
    elif notice.kind is NoticeKind.PRIVATE:
        shares = (_SHARE.pack(*share) for share in notice.shares)
        more = bytes((len(notice.shares),)) + b"".join(shares) + notice.sealed
    return _NOTICE.pack(notice.kind, notice.root, notice.port) + more + notice.text.encode()


def decode_notice(data: bytes) -> BulkNotice | DropReason:
    """The notice in the data of a record."""
    if len(data) < _NOTICE.size:
        return DropReason.TRUNCATED
    number, root, port = _NOTICE.unpack_from(data)
    kind, at = _KINDS.get(number), _NOTICE.size
    if kind is None:
        return DropReason.BAD_VALUE
    if kind is NoticeKind.PRIVATE:
        return _decode_private(data, root, port)
    size = manifest = block = count = 0
    if kind is NoticeKind.OFFER:
        if len(data) < at + _OFFER.size:
            return DropReason.TRUNCATED
        size, manifest, block, count = _OFFER.unpack_from(data, at)
        at += _OFFER.size
        if not BLOCK_MIN <= block <= BLOCK_MAX or manifest > MANIFEST_MAX or size + manifest > STREAM_MAX:
            return DropReason.BAD_VALUE
    if len(data) - at > TITLE_MAX:
        return DropReason.TOO_LONG
    try:
        text = data[at:].decode()
    except UnicodeDecodeError:
        return DropReason.BAD_TEXT
    return BulkNotice(kind, root, port, size, manifest, block, count, text)


def _decode_private(data: bytes, root: bytes, port: int) -> BulkNotice | DropReason:
    at = _NOTICE.size + 1
    if len(data) < at:
        return DropReason.TRUNCATED
    number = data[at - 1]
    stop = at + number * _SHARE.size
    if number > RECIPIENTS_MAX:
        return DropReason.TOO_LONG
    if not number:
        return DropReason.BAD_VALUE
    if len(data) < stop:
        return DropReason.TRUNCATED
    if len(data) - stop != BODY_SIZE + TAG_SIZE:
        return DropReason.BAD_VALUE
    shares = tuple(Share(*share) for share in _SHARE.iter_unpack(data[at:stop]))
    return BulkNotice(NoticeKind.PRIVATE, root, port, shares=shares, sealed=data[stop:])


def encode_body(offer: BulkNotice) -> bytes:
    """What is sealed in a private offer: an OFFER without its port, behind its length, then zeros."""
    encoded = encode_notice(msgspec.structs.replace(offer, port=0))
    return (len(encoded).to_bytes(2, "big") + encoded).ljust(BODY_SIZE, b"\0")


def decode_body(body: bytes) -> BulkNotice | DropReason:
    """The offer in the opened part of a private offer."""
    size = int.from_bytes(body[:2])
    if len(body) != BODY_SIZE or size > BODY_SIZE - 2 or body[2 + size :].strip(b"\0"):
        return DropReason.BAD_VALUE
    offer = decode_notice(body[2 : 2 + size])
    if isinstance(offer, BulkNotice) and (offer.kind is not NoticeKind.OFFER or offer.port):
        return DropReason.BAD_VALUE
    return offer
