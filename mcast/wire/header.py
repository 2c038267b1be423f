"""The clear header of a datagram: 24 bytes, and the seal's associated data."""

from __future__ import annotations

from struct import Struct

import msgspec

from . import limits
from .reasons import DropReason

MAGIC = b"\xff\x4d"  # 0xFF never occurs in UTF-8, so plain text never looks like a datagram of ours
VERSION = 2
SUITE = 1  # HKDF-SHA256, ChaCha20-Poly1305, Ed25519, SHA-256

_START = MAGIC + bytes((VERSION, SUITE))
_HEADER = Struct(">4s4s8sQ")
_MINIMUM = limits.HEADER_SIZE + limits.TAG_SIZE


class Header(msgspec.Struct, frozen=True, gc=False):
    """`key_id` (4 bytes) picks the room key, `session` (8 bytes) names a process, `counter` is the nonce."""

    key_id: bytes
    session: bytes
    counter: int


def encode_header(header: Header) -> bytes:
    """The 24 bytes of `header`."""
    return _HEADER.pack(_START, header.key_id, header.session, header.counter)


def decode_header(datagram: bytes) -> Header | DropReason:
    """The header of a received datagram, or why we cannot read it.

    NOT_MCAST: another magic. VERSION: an mcast datagram of a version or suite that we do not speak, whatever
    its length. TOO_SHORT, TOO_LONG: ours, and of a size that none of ours has.
    """
    if datagram[:4] != _START:
        return _foreign(datagram)
    if len(datagram) < _MINIMUM:
        return DropReason.TOO_SHORT
    if len(datagram) > limits.DATAGRAM_MAX:
        return DropReason.TOO_LONG
    _, key_id, session, counter = _HEADER.unpack_from(datagram)
    return Header(key_id, session, counter)


def _foreign(datagram: bytes) -> DropReason:
    if not datagram.startswith(MAGIC):
        return DropReason.NOT_MCAST
    return DropReason.VERSION if len(datagram) >= len(_START) else DropReason.TOO_SHORT
