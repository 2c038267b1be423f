"""The record, the unit that a peer publishes, and the proof with which any holder can repair it."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

import msgspec

from . import limits
from .reasons import DropReason, Malformed


class Kind(IntEnum):
    """What the body of a record holds."""

    MESSAGE = 1
    BUNDLE = 2
    FIRST = 3  # fragments of one message: consecutive sequences, FIRST MIDDLE* LAST
    MIDDLE = 4
    LAST = 5


_KINDS = {kind.value: kind for kind in Kind}
GUEST = 0x01
"""A flag: the message is a guest's, for whom its author speaks. It begins with the guest's name."""
NOTICE = 0x02
"""A flag: a notice to programs, which is no message to show (wire/bulk.py)."""
_RECORD = Struct(">16sQQQBBH")
PROOF = Struct(">BB64s")  # size, index, signature; then the path, then the record
_MINIMUM = limits.PROOF_HEAD_SIZE + limits.RECORD_HEADER_SIZE


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record with its proof, as a RECORD frame carries it: live, as a repair and as history alike.

    `timestamp` is unix ms by the author's clock, advisory. `flags` is 0, GUEST or NOTICE. `size` records are
    in the flush, this one is number `index` of them; `path` holds its nodes one after the other. `payload` is
    the frame's payload, verbatim: it is stored and sent again.
    """

    origin: bytes
    incarnation: int
    sequence: int
    timestamp: int
    kind: Kind
    flags: int
    body: bytes
    size: int
    index: int
    signature: bytes
    path: bytes
    payload: bytes

    @property
    def signed(self) -> bytes:
        """The record's own bytes, without the proof."""
        return self.payload[limits.PROOF_HEAD_SIZE + len(self.path) :]


def _path_length(index: int, size: int) -> int:
    """How many nodes the path of leaf `index` of `size` has (RFC 6962, 2.1.1)."""
    length, last = 0, size - 1
    while last:
        length += index != last or index & 1
        index >>= 1
        last >>= 1
    return length


# (size, index): number of nodes in the path. So a proof has one valid length.
PATH_LENGTHS = {
    (size, index): _path_length(index, size)
    for size in range(1, limits.TREE_MAX + 1)
    for index in range(size)
}


def encode_record(
    *, origin: bytes, incarnation: int, sequence: int, timestamp: int, kind: Kind, body: bytes, flags: int = 0
) -> bytes:
    """The bytes of a record before it is signed: 44 bytes of header, then the body."""
    return _RECORD.pack(origin, incarnation, sequence, timestamp, kind, flags, len(body)) + body


def decode_record(payload: bytes) -> Record:
    """The record in the payload of a RECORD frame. Raises Malformed."""
    if len(payload) < _MINIMUM:
        raise Malformed(DropReason.TRUNCATED)
    size, index, signature = PROOF.unpack_from(payload)
    nodes = PATH_LENGTHS.get((size, index))
    if nodes is None:
        raise Malformed(DropReason.BAD_PROOF)
    start = limits.PROOF_HEAD_SIZE + nodes * limits.NODE_SIZE
    body = start + limits.RECORD_HEADER_SIZE
    if len(payload) < body:
        raise Malformed(DropReason.TRUNCATED)
    origin, incarnation, sequence, timestamp, kind, flags, length = _RECORD.unpack_from(payload, start)
    if len(payload) != body + length:
        raise Malformed(DropReason.TRUNCATED if len(payload) < body + length else DropReason.TRAILING)
    if (
        incarnation > limits.NUMBER_MAX
        or not 0 < sequence <= limits.NUMBER_MAX
        or timestamp > limits.TIMESTAMP_MAX
    ):
        raise Malformed(DropReason.BAD_VALUE)
    if kind not in _KINDS or flags not in (0, GUEST, NOTICE) or (flags and kind == Kind.BUNDLE):
        raise Malformed(DropReason.BAD_VALUE)
    return Record(
        origin,
        incarnation,
        sequence,
        timestamp,
        _KINDS[kind],
        flags,
        payload[body:],
        size,
        index,
        signature,
        payload[limits.PROOF_HEAD_SIZE : start],
        payload,
    )
