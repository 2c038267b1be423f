"""Ed25519 by libsodium, straight from the library that PyNaCl brings.

PyNaCl's own functions allocate and check more than a signature needs. Of a lone message, whose path is cold
in the processor's caches, that takes 20 us at either end, and all of nacl.bindings 4 ms to import
(docs/performance.md).
"""

from __future__ import annotations

from nacl._sodium import ffi, lib  # type: ignore[import-not-found]  # a compiled module without stubs

from mcast.wire.limits import KEY_SIZE, SIGNATURE_SIZE

_BYTES = ffi.typeof("unsigned char[]")
_new, _buffer, _NULL = ffi.new, ffi.buffer, ffi.NULL
_sign, _open = lib.crypto_sign, lib.crypto_sign_open
_SECRET_SIZE = 64


def _start(code: int) -> None:
    """`code` is what sodium_init(), which chooses the fastest code for this processor, returned."""
    if code < 0:
        raise RuntimeError("libsodium does not start")


_start(lib.sodium_init())


def keypair(seed: bytes) -> tuple[bytes, bytes]:
    """The public key (32 bytes) and the secret key (64 bytes) made from `seed`, which must have 32 bytes."""
    public, secret = _new(_BYTES, KEY_SIZE), _new(_BYTES, _SECRET_SIZE)
    lib.crypto_sign_seed_keypair(public, secret, seed)  # it fails for no input
    return bytes(_buffer(public)), bytes(_buffer(secret))


def sign(message: bytes, secret: bytes) -> bytes:
    """The signature (64 bytes) of `message` by a secret key (64 bytes) of keypair()."""
    signed = _new(_BYTES, SIGNATURE_SIZE + len(message))
    _sign(signed, _NULL, message, len(message), secret)  # it fails for no input
    return bytes(_buffer(signed, SIGNATURE_SIZE))


def holds(signed: bytes, public_key: bytes) -> bool:
    """Whether `signed`, a signature (64 bytes) and its message on end, was made by the owner of the key.

    The key must have 32 bytes: libsodium reads as many.
    """
    return bool(_open(_new(_BYTES, len(signed)), _NULL, signed, len(signed), public_key) == 0)
