"""Identities against the vectors of RFC 8032, section 7.1."""

from __future__ import annotations

from hashlib import sha256

import pytest

from mcast.crypto import keys
from mcast.crypto.keys import Identity, origin_of, verify

# (seed, public key, message, signature)
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize("vector", RFC_8032)
def test_rfc_8032(vector: tuple[str, ...]) -> None:
    seed, public_key, message, signature = map(bytes.fromhex, vector)
    identity = Identity(seed)
    assert identity.public_key == public_key
    assert identity.sign(message) == signature
    assert verify(public_key, message, signature)


def test_every_bit_flip_is_refused() -> None:
    identity, message = Identity(bytes(32)), b"a message"
    whole = identity.public_key + message + identity.sign(message)
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        assert not verify(bytes(changed[:32]), bytes(changed[32:-64]), bytes(changed[-64:]))


@pytest.mark.parametrize("key_size", [0, 31, 33])
def test_a_key_of_another_size_verifies_nothing(key_size: int) -> None:
    identity = Identity(bytes(32))
    assert not verify((identity.public_key * 2)[:key_size], b"", identity.sign(b""))


@pytest.mark.parametrize("cut", [0, 1, 63])
def test_a_signature_of_another_size_verifies_nothing(cut: int) -> None:
    identity = Identity(bytes(32))
    assert not verify(identity.public_key, b"", identity.sign(b"")[:cut])


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_keys_of_small_order_are_refused(point: bytes) -> None:
    # With such a key, this signature verifies for many messages unless the library looks.
    assert not any(verify(point, b"%d" % number, point + bytes(32)) for number in range(64))


def test_a_second_encoding_of_a_signature_is_refused() -> None:
    identity = Identity(bytes(32))
    signature = identity.sign(b"")
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(signature[32:], "little") + order
    assert not verify(identity.public_key, b"", signature[:32] + scalar.to_bytes(32, "little"))


def test_origin() -> None:
    identity = Identity(bytes(32))
    assert identity.origin == origin_of(identity.public_key) == sha256(identity.public_key).digest()[:16]


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_seed_of_another_size(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Identity(bytes(size))


def test_an_identity_knows_its_seed() -> None:
    assert Identity(b"a" * 32).seed == b"a" * 32


def test_repr_shows_no_secret() -> None:
    seed = bytes(range(32))
    assert repr(Identity(seed)) == f"Identity({Identity(seed).origin.hex()})"


def test_a_library_that_does_not_start_is_not_used() -> None:
    with pytest.raises(RuntimeError, match="libsodium"):
        keys._start(-1)
