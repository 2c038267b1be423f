"""Identities: Ed25519 key pairs (RFC 8032), and the 16 bytes that name one on the wire.

Signing and verifying go through libsodium by PyNaCl, which takes half the time of OpenSSL's and refuses keys
of small order and signatures that are not canonical.
"""

from __future__ import annotations

from hashlib import sha256

from mcast.wire.limits import KEY_SIZE, ORIGIN_SIZE, SIGNATURE_SIZE

from . import sodium


def origin_of(public_key: bytes) -> bytes:
    """The origin (16 bytes) that a public key (32 bytes) has on the wire: the head of its SHA-256."""
    return sha256(public_key).digest()[:ORIGIN_SIZE]


class Identity:
    """A key pair, made from 32 secret bytes that whoever calls drew at random. Its repr shows no secret."""

    __slots__ = ("_secret", "origin", "public_key")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_SIZE:
            raise ValueError(f"an identity is made from {KEY_SIZE} bytes, not {len(seed)}")
        self.public_key, self._secret = sodium.keypair(seed)
        self.origin = origin_of(self.public_key)

    def sign(self, message: bytes) -> bytes:
        """The signature (64 bytes) of `message`."""
        return sodium.sign(message, self._secret)

    def __repr__(self) -> str:
        return f"Identity({self.origin.hex()})"


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the holder of `public_key` (32 bytes) signed `message`. Any bytes are answered, none raise."""
    if len(public_key) != KEY_SIZE or len(signature) != SIGNATURE_SIZE:
        return False
    return sodium.holds(signature + message, public_key)
