"""The body of a record: one message, a bundle of whole messages, or a fragment of a large one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

from . import limits
from .reasons import DropReason

# Heads of bundles that are remembered; the one unused for longest goes first. The attack: bundles that all
# differ. Each costs one Struct then, as it would without the cache.
BUNDLES = 64
_COUNT = Struct(">H")
_TOTAL = Struct(">I")


def encode_bundle(messages: Sequence[bytes]) -> bytes:
    """The body of a bundle: number of messages (at least two), length of each, then the messages."""
    lengths = [len(message) for message in messages]
    return Struct(f">H{len(lengths)}H").pack(len(lengths), *lengths) + b"".join(messages)


def bundle_size(messages: int, total: int) -> int:
    """The bytes of a bundle of `messages` messages that are `total` bytes long together."""
    return limits.BUNDLE_HEAD_SIZE + limits.BUNDLE_ENTRY_SIZE * messages + total


def decode_bundle(body: bytes) -> list[bytes] | DropReason:
    """The messages of a bundle, or BAD_BODY."""
    if len(body) < limits.BUNDLE_HEAD_SIZE:
        return DropReason.BAD_BODY
    (count,) = _COUNT.unpack_from(body)
    start = bundle_size(count, 0)
    if count < 2 or len(body) < start:
        return DropReason.BAD_BODY
    messages = _messages(body[:start])
    return list(messages.unpack(body)) if messages.size == len(body) else DropReason.BAD_BODY


@lru_cache(maxsize=BUNDLES)
def _messages(head: bytes) -> Struct:
    """How to unpack the messages behind `head`. A flood repeats the same lengths, so this is cached."""
    count = len(head) // limits.BUNDLE_ENTRY_SIZE - 1
    lengths = Struct(f">{count}H").unpack_from(head, limits.BUNDLE_HEAD_SIZE)
    return Struct(f"{len(head)}x" + "".join([f"{length}s" for length in lengths]))


def encode_first(total: int, data: bytes) -> bytes:
    """The body of a first fragment: the whole message's length in bytes, then its beginning."""
    return _TOTAL.pack(total) + data


def encode_guest(name: bytes, data: bytes) -> bytes:
    """The message of a guest: the length of its name, the name (UTF-8, 1 to 64 bytes), then what it says."""
    return bytes((len(name),)) + name + data


def decode_guest(message: bytes) -> tuple[str, bytes] | DropReason:
    """The guest's name and what it says, or BAD_BODY."""
    length = message[0] if message else 0
    if not 0 < length <= limits.NAME_MAX or len(message) <= length:
        return DropReason.BAD_BODY
    try:
        return message[1 : 1 + length].decode(), message[1 + length :]
    except UnicodeDecodeError:
        return DropReason.BAD_BODY


def decode_first(body: bytes) -> tuple[int, bytes] | DropReason:
    """The whole message's length and its beginning, or BAD_BODY."""
    if len(body) <= limits.FRAGMENT_HEAD_SIZE:
        return DropReason.BAD_BODY
    (total,) = _TOTAL.unpack_from(body)
    data = body[limits.FRAGMENT_HEAD_SIZE :]
    if not len(data) < total <= limits.MESSAGE_MAX:
        return DropReason.BAD_BODY
    return total, data
