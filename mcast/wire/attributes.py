"""What an announcement says about a peer, as msgpack: the one place where msgspec reads network bytes."""

from __future__ import annotations

from typing import Annotated

import msgspec

from . import limits
from .reasons import DropReason

_Text = Annotated[str, msgspec.Meta(max_length=255)]


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """Something a peer offers: a `type` such as `_http._tcp` and a port, 0 when it has none."""

    type: _Text
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0


class Attributes(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a peer says about itself. Unknown fields are skipped, so that later versions may add some.

    `name` is the peer's own; where it is empty, the name in its identity's KEY frame counts.
    """

    tags: dict[_Text, _Text] = {}
    services: tuple[Service, ...] = ()
    name: Annotated[str, msgspec.Meta(max_length=limits.NAME_MAX)] = ""


_DECODER = msgspec.msgpack.Decoder(Attributes)
_ENCODER = msgspec.msgpack.Encoder(order="deterministic")


def encode_attributes(attributes: Attributes) -> bytes:
    """The msgpack bytes, none at all for empty attributes. ValueError above ATTRIBUTES_MAX bytes."""
    if attributes == Attributes():
        return b""
    encoded = _ENCODER.encode(attributes)
    if len(encoded) > limits.ATTRIBUTES_MAX:
        raise ValueError(f"attributes take {len(encoded)} bytes, at most {limits.ATTRIBUTES_MAX} fit")
    return encoded


def decode_attributes(encoded: bytes) -> Attributes | DropReason:
    """The attributes, or BAD_ATTRIBUTES."""
    if not encoded:
        return Attributes()
    if len(encoded) > limits.ATTRIBUTES_MAX:
        return DropReason.BAD_ATTRIBUTES
    try:
        return _DECODER.decode(encoded)
    # msgspec raises these two itself: bad UTF-8, and deep nesting inside a field that it skips.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return DropReason.BAD_ATTRIBUTES
