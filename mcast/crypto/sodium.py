"""Ed25519 by libsodium, straight from the library that PyNaCl brings.

PyNaCl's own functions allocate and check more than a signature needs. Of a lone message, whose path is cold
in the processor's caches, that takes 20 us at either end (docs/performance.md).
"""

from __future__ import annotations

from nacl._sodium import ffi, lib  # type: ignore[import-not-found]  # a compiled module without stubs

from mcast.wire.limits import SIGNATURE_SIZE

_BYTES = ffi.typeof("unsigned char[]")
_new, _buffer, _NULL = ffi.new, ffi.buffer, ffi.NULL
_sign, _open = lib.crypto_sign, lib.crypto_sign_open


def sign(message: bytes, secret: bytes) -> bytes:
    """The signature (64 bytes) of `message` by a secret key (64 bytes) from crypto_sign_seed_keypair."""
    signed = _new(_BYTES, SIGNATURE_SIZE + len(message))
    _sign(signed, _NULL, message, len(message), secret)  # it fails for no input
    return bytes(_buffer(signed, SIGNATURE_SIZE))


def holds(signed: bytes, public_key: bytes) -> bool:
    """Whether `signed`, a signature (64 bytes) and its message on end, was made by the owner of the key.

    The key must have 32 bytes: libsodium reads as many.
    """
    return bool(_open(_new(_BYTES, len(signed)), _NULL, signed, len(signed), public_key) == 0)
