"""The signature in a DNS-SD entry: it holds for what it was made for, and for nothing else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcast.crypto.keys import Identity
from mcast.crypto.offers import Offer, check, credential, is_credential

IDENTITY = Identity(bytes(range(32)))
OFFER = Offer("Ümlaut; a\u2024b", "_http._tcp", "nas-1.local", 80, (b"floor=2", b"x=\xff"))
STRING = credential(IDENTITY, 0x1234, OFFER)


def test_who_signed_it_is_found() -> None:
    assert STRING.isascii()
    assert len(STRING) <= 255
    assert check(OFFER, [b"floor=2", STRING]) == (IDENTITY.origin, 0x1234)
    reordered = msgspec.structs.replace(OFFER, strings=OFFER.strings[::-1], host="NAS-1.local")
    assert check(reordered, [STRING]) == (IDENTITY.origin, 0x1234)


@pytest.mark.parametrize(
    "other",
    [
        {"name": "Ümlaut; a.b"},
        {"type": "_ssh._tcp"},
        {"host": "nas-2.local"},
        {"port": 81},
        {"strings": (b"floor=3", b"x=\xff")},
        {"strings": (b"floor=2x", b"=\xff")},
        {"strings": ()},
    ],
)
def test_another_offer_is_not_covered(other: dict[str, object]) -> None:
    assert check(msgspec.structs.replace(OFFER, **other), [STRING]) is None


@pytest.mark.parametrize(
    "string",
    [
        b"mcast",
        b"mcast=",
        b"mcast=2" + STRING[7:],
        b"MCAST" + STRING[5:],
        STRING + b".x",
        STRING[:-1] + (b"A" if STRING[-1:] != b"A" else b"B"),
        STRING.replace(b".1234.", b".1235."),
        STRING.replace(b".1234.", b".01234."),
        STRING.replace(b".1234.", b".."),
        STRING.replace(b".1234.", b".12g4."),
        STRING.replace(b".1234.", b"." + b"1" * 17 + b"."),
        STRING.replace(b"mcast=1.", b"mcast=1.*"),
        b"mcast=1..1234." + STRING[-86:],
        STRING.ljust(256, b"A"),
    ],
)
def test_what_was_changed_does_not_hold(string: bytes) -> None:
    assert is_credential(string)
    assert check(OFFER, [string]) is None


def test_one_without_it_or_with_two_is_nobodys() -> None:
    assert check(OFFER, [b"floor=2"]) is None
    assert check(OFFER, [STRING, STRING]) is None
    assert not is_credential(b"mcast-x=1")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=255)), st.text(), st.text(), st.text(), st.integers(0, 65535))
def test_any_bytes_are_answered(strings: list[bytes], name: str, kind: str, host: str, port: int) -> None:
    offer = Offer(name, kind, host, port, tuple(strings))
    assert check(offer, [*strings, b"mcast=1." + b".".join(strings[:3])]) is None
    made = credential(IDENTITY, port, offer)
    assert check(offer, [made]) == (IDENTITY.origin, port)
