"""Every parser of network bytes as a function of bytes, and valid inputs to start mutating from.

A target returns nothing and raises AssertionError for a broken promise; whatever else escapes is a bug too.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from mcast.crypto.rooms import open_room
from mcast.crypto.seal import Opener
from mcast.crypto.signed import flush_claim, frame_claim
from mcast.files.manifest import BadManifest, Entry, decode, encode
from mcast.files.names import is_safe
from mcast.wire.attributes import Attributes, Service, decode_attributes, encode_attributes
from mcast.wire.bodies import decode_bundle, decode_first, encode_bundle, encode_first
from mcast.wire.bulk import (
    BulkKind,
    BulkNotice,
    BulkReport,
    BulkStatus,
    ControlHead,
    NoticeKind,
    Share,
    decode_body,
    decode_control_head,
    decode_notice,
    decode_report,
    decode_status,
    encode_body,
    encode_control_head,
    encode_notice,
    encode_report,
    encode_status,
)
from mcast.wire.bulk import Entry as Missing
from mcast.wire.codec import decode_frames, encode_frames
from mcast.wire.frames import Announcement, Signed
from mcast.wire.header import Header, decode_header, encode_header
from mcast.wire.ranges import decode_ranges, encode_ranges
from mcast.wire.reasons import DropReason, Malformed
from mcast.wire.records import Record
from tests.tiny_decoder import vectors

ROOM = open_room("230.0.0.1:28003", "lobby")


def datagrams(data: bytes) -> None:
    """The clear header, and opening what follows it."""
    header = decode_header(data)
    if isinstance(header, Header):
        assert encode_header(header) == data[:24]
        assert isinstance(Opener(ROOM).open(header, data), bytes | DropReason)


def frames(data: bytes) -> None:
    """The frames of an opened datagram, and what hangs on them: bodies, attributes, claims."""
    decoded = decode_frames(data)
    if isinstance(decoded, DropReason):
        return
    assert decode_frames(encode_frames(decoded)) == decoded
    for frame in decoded:
        if isinstance(frame, Record):
            bodies(frame.body)
            assert len(flush_claim(bytes(16), frame)) == 57 + (16 if frame.size > 1 else len(frame.signed))
        elif isinstance(frame, Signed):
            frame_claim(bytes(16), frame)
        if isinstance(frame, Announcement):
            attributes(frame.attributes)


def bodies(data: bytes) -> None:
    """Bundles and first fragments."""
    messages = decode_bundle(data)
    assert isinstance(messages, DropReason) or encode_bundle(messages) == data
    first = decode_first(data)
    assert isinstance(first, DropReason) or encode_first(*first) == data


def ranges(data: bytes) -> None:
    """A base of eight bytes, then pairs."""
    pairs = data[8 : len(data) - len(data) % 2]
    with suppress(Malformed):
        found = decode_ranges(int.from_bytes(data[:8], "big"), pairs)
        assert encode_ranges(found) == pairs


def attributes(data: bytes) -> None:
    """msgpack from strangers."""
    assert isinstance(decode_attributes(data), Attributes | DropReason)


def bulk(data: bytes) -> None:
    """What bulk transfers read: notices, and control messages once they are opened."""
    notice = decode_notice(data)
    assert isinstance(notice, DropReason) or encode_notice(notice) == data
    body = decode_body(data)
    assert isinstance(body, DropReason) or encode_body(body) == data
    status = decode_status(data)
    assert isinstance(status, DropReason) or encode_status(status) == data
    report = decode_report(data)
    assert isinstance(report, DropReason) or decode_report(encode_report(report)) == report
    head = decode_control_head(data)
    assert isinstance(head, DropReason) or encode_control_head(head) == data[:24]


def manifests(data: bytes) -> None:
    """The list of files with which a transfer begins: whoever offers it decides what is in it."""
    with suppress(BadManifest):
        entries = decode(data, 5)
        assert all(is_safe(name) for entry in entries for name in entry.path)
        assert sum(entry.size for entry in entries) == 5


TARGETS: dict[str, Callable[[bytes], None]] = {
    "datagrams": datagrams,
    "frames": frames,
    "bodies": bodies,
    "ranges": ranges,
    "attributes": attributes,
    "bulk": bulk,
    "manifests": manifests,
}


def seeds(target: str) -> list[bytes]:
    """Valid and nearly valid inputs of a target, from the vectors of docs/protocol.md."""
    if target == "datagrams":
        return [bytes.fromhex(vector["hex"]) for vector in vectors("datagram")]
    if target == "frames":
        plain = [bytes.fromhex(vector["hex"]) for vector in vectors("frame", "refused")]
        payloads = [bytes.fromhex(one) for vector in vectors("tree") for one in vector["payloads"].values()]
        return plain + [b"\1\0" + len(one).to_bytes(2, "big") + one for one in payloads]
    if target == "bodies":
        return [bytes.fromhex(vector["value"]["body"]) for vector in vectors("record")] + [
            encode_first(9, b"a")
        ]
    if target == "ranges":
        return [
            vector["base"].to_bytes(8, "big") + bytes.fromhex(vector["pairs"]) for vector in vectors("ranges")
        ]
    if target == "manifests":
        folder, file = Entry(("photos",), True), Entry(("photos", "a.jpg"), False, 5, 9, 0o644)
        return [encode([file]), encode([folder, file])]
    if target == "bulk":
        entries, share = (Missing(3, 0xFF), Missing(5, 0, 300)), Share(bytes(16), bytes(48))
        return [
            encode_notice(BulkNotice(NoticeKind.OFFER, bytes(32), 7, 1 << 20, 5, 1420, 3, "title")),
            encode_notice(BulkNotice(NoticeKind.PRIVATE, bytes(32), 7, shares=(share,), sealed=bytes(326))),
            encode_body(BulkNotice(NoticeKind.OFFER, bytes(32), 0, 5, 1, 1420, 1, "title")),
            encode_status(BulkStatus(bytes(8), 1, 50, 9, 8)),
            encode_report(BulkReport(missing=((0, entries),))),
            encode_control_head(ControlHead(BulkKind.REPORT, b"tagg", b"whoiswho", 1)) + bytes(16),
        ]
    return [encode_attributes(Attributes({"os": "linux"}, (Service("_http._tcp", 80),)))]
