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
    """Tags belong to the peer. A field we do not know is skipped, so that later versions may add some.

    `name` is that of this run; where it is empty, the one beside its identity's key counts.
    """

    tags: dict[_Text, _Text] = {}
    services: tuple[Service, ...] = ()
    name: Annotated[str, msgspec.Meta(max_length=limits.NAME_MAX)] = ""


_DECODER = msgspec.msgpack.Decoder(Attributes)
_ENCODER = msgspec.msgpack.Encoder(order="deterministic")


def encode_attributes(attributes: Attributes) -> bytes:
    """msgpack, at most ATTRIBUTES_MAX bytes or ValueError; nothing at all when there is nothing to say."""
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
    # msgspec lets these two through: bad UTF-8, and nesting inside a field it skips.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return DropReason.BAD_ATTRIBUTES
