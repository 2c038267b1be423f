"""The clear header of a datagram: 24 bytes, and the seal's associated data."""

from __future__ import annotations

from struct import Struct

import msgspec

from . import limits
from .reasons import DropReason

MAGIC = b"\xff\x4d"  # 0xFF never occurs in UTF-8, so plain text is never taken for ours
VERSION = 1
SUITE = 1  # HKDF-SHA256, ChaCha20-Poly1305, Ed25519, SHA-256

_HEADER = Struct(">2sBB4s8sQ")
_MINIMUM = limits.HEADER_SIZE + limits.TAG_SIZE


class Header(msgspec.Struct, frozen=True, gc=False):
    """`key_id` (4 bytes) picks the room key, `session` (8 bytes) names a process, `counter` is the nonce."""

    key_id: bytes
    session: bytes
    counter: int


def encode_header(header: Header) -> bytes:
    """The 24 bytes of `header`."""
    return _HEADER.pack(MAGIC, VERSION, SUITE, header.key_id, header.session, header.counter)


def decode_header(datagram: bytes) -> Header | DropReason:
    """The header of a received datagram, or why it is none of ours.

    NOT_MCAST when the magic differs, TOO_SHORT, TOO_LONG, VERSION when we do not speak version or suite.
    """
    if datagram[:2] != MAGIC:
        return DropReason.NOT_MCAST
    if len(datagram) < _MINIMUM:
        return DropReason.TOO_SHORT
    if len(datagram) > limits.DATAGRAM_MAX:
        return DropReason.TOO_LONG
    _, version, suite, key_id, session, counter = _HEADER.unpack_from(datagram)
    if version != VERSION or suite != SUITE:
        return DropReason.VERSION
    return Header(key_id, session, counter)
