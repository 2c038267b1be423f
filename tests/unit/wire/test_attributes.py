"""Attributes: msgpack from strangers."""

from __future__ import annotations

import msgspec
import pytest

from mcast.wire.attributes import Attributes, Service, decode_attributes, encode_attributes
from mcast.wire.limits import ATTRIBUTES_MAX
from mcast.wire.reasons import DropReason

FULL = Attributes({"os": "linux", "b": ""}, (Service("_http._tcp", 8080), Service("chat")))


def test_both_directions() -> None:
    assert decode_attributes(encode_attributes(FULL)) == FULL
    assert encode_attributes(Attributes()) == b""
    assert decode_attributes(b"") == Attributes()


def test_a_later_versions_fields_are_skipped() -> None:
    encoded = msgspec.msgpack.encode({"new": [1, {"deep": b"x"}], "tags": {"a": "b"}})
    assert decode_attributes(encoded) == Attributes({"a": "b"})
    assert decode_attributes(b"\x81\xa1\xff\x00") == Attributes()


def test_too_much_to_say_is_the_callers_error() -> None:
    with pytest.raises(ValueError, match=f"at most {ATTRIBUTES_MAX}"):
        encode_attributes(Attributes({"k" * 200: "v" * 200, "l" * 200: "w" * 200}))


@pytest.mark.parametrize(
    "encoded",
    [
        b"\xc1",
        b"\x80\x00",  # trailing
        b"\x81\xa4tags\x81\xa1k\xa1\xff",  # a value that is not UTF-8
        b"\x81\xa1x" + b"\x91" * (ATTRIBUTES_MAX - 3),  # nesting in a field that is skipped
        b"\x81\xa8services\xdd\xff\xff\xff\xff",  # four thousand million services
        b"\x81\xa4tags\xdf\xff\xff\xff\xff",
        b"\x81\xa1x\xdd\xff\xff\xff\xff",
        msgspec.msgpack.encode({"services": [{"type": "a", "port": 65536}]}),
        msgspec.msgpack.encode({"services": [{"type": "a", "port": -1}]}),
        msgspec.msgpack.encode({"services": [{"type": "a" * 256}]}),
        msgspec.msgpack.encode({"services": [{"port": 1}]}),
        msgspec.msgpack.encode({"tags": {"a": 1}}),
        msgspec.msgpack.encode([1, 2]),
        msgspec.msgpack.encode({"x": bytes(ATTRIBUTES_MAX)}),
        b"\x81\xa4tags\x81\xd6\xff\xff\xff\xff\xff\x00",  # an extension type, a timestamp
    ],
)
def test_refused(encoded: bytes) -> None:
    assert decode_attributes(encoded) == DropReason.BAD_ATTRIBUTES
