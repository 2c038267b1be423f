"""What is in a directed message once it is opened: signature, kind, the question that it is about, data."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

import msgspec

from .limits import CONTENT_HEAD_SIZE, NUMBER_MAX, SIGNATURE_SIZE
from .reasons import DropReason

_HEAD = Struct(">BQ")


class ContentKind(IntEnum):
    """What a directed message is."""

    PRIVATE = 1
    QUESTION = 2
    ANSWER = 3
    NO_ANSWER = 4  # an answer failed; the data says why
    DECLINED = 5  # the question is not for that peer


ANSWERS = (ContentKind.ANSWER, ContentKind.NO_ANSWER, ContentKind.DECLINED)
_KINDS = {int(kind): kind for kind in ContentKind}


class Content(msgspec.Struct, frozen=True):
    """`about` is the number of the question that is answered, or that of a private message that may be sent
    again, which stays the same; else 0."""

    kind: ContentKind
    about: int
    data: bytes
    signature: bytes = b""


def encode_unsigned(content: Content) -> bytes:
    """The content without its signature."""
    return _HEAD.pack(content.kind, content.about) + content.data


def decode_content(opened: bytes) -> Content | DropReason:
    """The content of a whole message."""
    if len(opened) < CONTENT_HEAD_SIZE:
        return DropReason.TRUNCATED
    number, about = _HEAD.unpack_from(opened, SIGNATURE_SIZE)
    kind = _KINDS.get(number)
    if kind is None or about > NUMBER_MAX:
        return DropReason.BAD_VALUE
    if kind is not ContentKind.PRIVATE and bool(about) != (kind in ANSWERS):
        return DropReason.BAD_VALUE
    return Content(kind, about, opened[CONTENT_HEAD_SIZE:], opened[:SIGNATURE_SIZE])
