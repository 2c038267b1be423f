"""Identities: Ed25519 key pairs (RFC 8032), and the 16 bytes that name one on the wire.

libsodium signs and verifies, in half the time that OpenSSL takes; it refuses keys of small order and
signatures that are not canonical. It is called directly in the library that PyNaCl brings: PyNaCl's own
functions allocate and check more than a signature needs, which costs a lone message 20 us at either end, and
importing nacl.bindings takes 4 ms (docs/performance.md).
"""

from __future__ import annotations

from hashlib import sha256

from nacl._sodium import ffi, lib  # type: ignore[import-not-found]  # a compiled module without stubs

from mcast.wire.limits import KEY_SIZE, ORIGIN_SIZE, SIGNATURE_SIZE

_BYTES = ffi.typeof("unsigned char[]")
_new, _buffer, _NULL = ffi.new, ffi.buffer, ffi.NULL
_sign, _open = lib.crypto_sign, lib.crypto_sign_open
_SECRET_SIZE = 64
_scalarmult = lib.crypto_scalarmult  # X25519, RFC 7748


def _start(code: int) -> None:
    """`code` is what sodium_init(), which chooses the fastest code for this processor, returned."""
    if code < 0:
        raise RuntimeError("libsodium does not start")


_start(lib.sodium_init())


def origin_of(public_key: bytes) -> bytes:
    """The origin (16 bytes) that a public key (32 bytes) has on the wire: the head of its SHA-256."""
    return sha256(public_key).digest()[:ORIGIN_SIZE]


class Identity:
    """A key pair, made from 32 secret random bytes that the caller draws. Its repr shows no secret.

    ValueError for a seed of another size.
    """

    __slots__ = ("_secret", "origin", "public_key")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != KEY_SIZE:
            raise ValueError(f"an identity is made from {KEY_SIZE} bytes, not {len(seed)}")
        public, secret = _new(_BYTES, KEY_SIZE), _new(_BYTES, _SECRET_SIZE)
        lib.crypto_sign_seed_keypair(public, secret, seed)  # it fails for no input
        self.public_key, self._secret = bytes(_buffer(public)), bytes(_buffer(secret))
        self.origin = origin_of(self.public_key)

    def sign(self, message: bytes) -> bytes:
        """The signature (64 bytes) of `message`."""
        signed = _new(_BYTES, SIGNATURE_SIZE + len(message))
        _sign(signed, _NULL, message, len(message), self._secret)  # it fails for no input
        return bytes(_buffer(signed, SIGNATURE_SIZE))

    def agree(self, point: bytes) -> bytes | None:
        """The X25519 secret (32 bytes) that we share with the owner of `point`; None for a bad point."""
        scalar = _new(_BYTES, KEY_SIZE)
        lib.crypto_sign_ed25519_sk_to_curve25519(scalar, self._secret)  # it fails for no input
        return x25519(bytes(_buffer(scalar)), point)

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes that it was made from."""
        return self._secret[:KEY_SIZE]

    def __repr__(self) -> str:
        return f"Identity({self.origin.hex()})"


def x25519(scalar: bytes, point: bytes) -> bytes | None:
    """X25519 (RFC 7748) of a secret scalar and a point, 32 bytes each; None for a point of small order."""
    shared = _new(_BYTES, KEY_SIZE)
    return bytes(_buffer(shared)) if _scalarmult(shared, scalar, point) == 0 else None


def x25519_public(scalar: bytes) -> bytes:
    """The point (32 bytes) that belongs to a secret scalar (32 bytes)."""
    point = _new(_BYTES, KEY_SIZE)
    lib.crypto_scalarmult_base(point, scalar)  # it fails for no input
    return bytes(_buffer(point))


def curve_point(public_key: bytes) -> bytes | None:
    """The X25519 point of an Ed25519 public key (32 bytes); None for a bad key."""
    point = _new(_BYTES, KEY_SIZE)
    failed = lib.crypto_sign_ed25519_pk_to_curve25519(point, public_key)
    return None if failed else bytes(_buffer(point))


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the holder of `public_key` (32 bytes) signed `message`. Any bytes are answered, none raise."""
    if len(public_key) != KEY_SIZE or len(signature) != SIGNATURE_SIZE:
        return False  # libsodium reads as many bytes, whatever is there
    signed = signature + message
    return bool(_open(_new(_BYTES, len(signed)), _NULL, signed, len(signed), public_key) == 0)
