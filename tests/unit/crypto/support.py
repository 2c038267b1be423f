"""Signatures, checked one by one."""

from __future__ import annotations

from mcast.crypto.keys import verify
from mcast.crypto.signed import flush_claim, frame_claim
from mcast.wire.frames import Signed
from mcast.wire.records import Record


def verify_frame(public_key: bytes, room_id: bytes, frame: Signed) -> bool:
    """Whether the holder of `public_key` signed `frame` in this room."""
    return verify(public_key, frame_claim(room_id, frame), frame.signature)


def verify_record(public_key: bytes, room_id: bytes, record: Record) -> bool:
    """Whether the holder of `public_key` published `record` in this room."""
    return verify(public_key, flush_claim(room_id, record), record.signature)
