"""Signatures of frames and flushes: a signature made for one purpose or room is not valid in another."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import TypeVar

import msgspec

from mcast.wire.codec import TYPES, signable
from mcast.wire.frames import FrameType, Signed
from mcast.wire.limits import PROOF_HEAD_SIZE
from mcast.wire.records import PROOF, Record

from .keys import Identity
from .merkle import Tree, build, leaf_hash, root_of

S = TypeVar("S", bound=Signed)

# 16 bytes before every signed message: 15 that name the protocol, one with the number of the frame type.
_PREFIX = b"mcast2 signed\0\0"
_FLUSH = Struct(">16s16s16sQB")
_FLUSH_CONTEXT = _PREFIX + bytes((FrameType.RECORD,))


def frame_claim(room_id: bytes, frame: Signed) -> bytes:
    """The bytes that the signature of `frame` covers."""
    return _PREFIX + bytes((TYPES[type(frame)],)) + room_id + signable(frame)


def sign_frame(identity: Identity, room_id: bytes, frame: S) -> S:
    """`frame` with its signature for this room filled in."""
    return msgspec.structs.replace(frame, signature=identity.sign(frame_claim(room_id, frame)))


def sign_flush(identity: Identity, room_id: bytes, incarnation: int, records: Sequence[bytes]) -> list[bytes]:
    """The payloads of RECORD frames for 1 to 32 encoded records of one peer, all under one signature."""
    size = len(records)
    root, paths = (records[0], [b""]) if size == 1 else build([leaf_hash(record) for record in records])
    signature = identity.sign(_FLUSH.pack(_FLUSH_CONTEXT, room_id, identity.origin, incarnation, size) + root)
    return [
        PROOF.pack(size, index, signature) + path + record
        for index, (record, path) in enumerate(zip(records, paths, strict=True))
    ]


def flush_claim(room_id: bytes, record: Record) -> bytes:
    """The bytes that the signature of the record's flush covers, by the record's own proof.

    57 bytes, then the root (16) of the tree; a lone record has no tree and stands there itself. All records
    of a flush have the same claim and signature: verify the pair once and remember it.
    """
    if record.size == 1:
        head = _FLUSH.pack(_FLUSH_CONTEXT, room_id, record.origin, record.incarnation, 1)
        return head + record.payload[PROOF_HEAD_SIZE:]
    root = root_of(leaf_hash(record.signed), record.index, record.size, record.path)
    return _flush_claim(room_id, record, root)


def whole_claim(room_id: bytes, flush: Sequence[Record]) -> bytes | None:
    """The flush_claim() of a flush whose records are all here, in order; hashes each node of the tree once.

    None for a lone record, and when they are not all here: then use flush_claim() of each.
    """
    first = flush[0]
    if first.index or not 1 < len(flush) == first.size:
        return None
    same = first.size, first.signature, first.origin, first.incarnation
    proofs = [(r.index, r.size, r.signature, r.origin, r.incarnation) for r in flush]
    if proofs != [(index, *same) for index in range(len(flush))]:
        return None  # decided before anything is hashed, so that a forged record does not cost a tree
    root, paths = build([leaf_hash(record.signed) for record in flush])
    if [record.path for record in flush] != paths:
        return None
    return _flush_claim(room_id, first, root)


def tree_of(record: Record) -> Tree:
    """The tree of a flush, from a record of it that was verified; holds() checks the others against it."""
    return Tree(leaf_hash(record.signed), record.index, record.size, record.path)


def holds(tree: Tree, record: Record) -> bool:
    """Whether `record`, of the same peer and with the same signature, belongs to the flush of `tree`."""
    return record.size == tree.size and tree.holds(leaf_hash(record.signed), record.index, record.path)


def _flush_claim(room_id: bytes, record: Record, root: bytes) -> bytes:
    return _FLUSH.pack(_FLUSH_CONTEXT, room_id, record.origin, record.incarnation, record.size) + root
