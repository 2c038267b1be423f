"""The block of a CODED frame: records of one run laid over each other, for receivers that each lack one.

A record goes in as its RECORD payload without what the frame says of it anyway (origin, incarnation,
sequence); shorter
ones count as if zeros followed. What was laid over a record comes off by laying it on again (XOR).
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

from . import limits
from .frames import Coded
from .reasons import DropReason, Malformed
from .records import PATH_LENGTHS, Record, decode_record

_NAMED = Struct(">16sQQ")  # what is left out: origin, incarnation, sequence
_REST = limits.RECORD_HEADER_SIZE - _NAMED.size  # the header without it ends in the length of the body
_HEAD = 16 + 8 + 8 + 1 + 2  # of the frame's payload: run, sequence, number of steps, length of the block


def coded_size(count: int, longest: int) -> int:
    """The bytes of a CODED payload of `count` records, the longest of whose RECORD payloads has `longest`."""
    return _HEAD + 2 * (count - 1) + longest - _NAMED.size


def lay(blocks: Iterable[bytes]) -> bytes:
    """Blocks over each other, as long as the longest."""
    laid, size = 0, 0
    for block in blocks:
        laid ^= int.from_bytes(block, "little")  # little-endian, so that zeros seem to follow a short one
        size = max(size, len(block))
    return laid.to_bytes(size, "little")


def shorten(payload: bytes) -> bytes:
    """The payload of a genuine RECORD frame as it goes into a block."""
    at = limits.PROOF_HEAD_SIZE + limits.NODE_SIZE * PATH_LENGTHS[payload[0], payload[1]]
    return payload[:at] + payload[at + _NAMED.size :]


def restore(frame: Coded, sequence: int, block: bytes) -> Record:
    """The record that is left of `block` when all others came off. Raises Malformed if it is none."""
    nodes = PATH_LENGTHS.get((block[0], block[1])) if len(block) > 1 else None
    if nodes is None:
        raise Malformed(DropReason.BAD_PROOF)
    at = limits.PROOF_HEAD_SIZE + limits.NODE_SIZE * nodes
    end = at + _REST + int.from_bytes(block[at + _REST - 2 : at + _REST], "big")
    if any(block[end:]):
        raise Malformed(DropReason.PADDING)
    return decode_record(block[:at] + _NAMED.pack(frame.origin, frame.incarnation, sequence) + block[at:end])
