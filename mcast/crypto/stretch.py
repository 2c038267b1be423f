"""What Argon2id (RFC 9106) makes expensive to guess: passphrases, and codes by which people compare keys."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from mcast.wire.limits import KEY_SIZE

SALT_SIZE = 16
CODE_SIZE = 11
_NONCE = bytes(12)
_LOCK = b"mcast2 locked"
_COMPARE = b"mcast2 compare"


def stretch(secret: bytes, salt: bytes) -> bytes:
    """32 bytes made of a secret: Argon2id, RFC 9106's second option (64 MiB). Takes a tenth of a second."""
    return Argon2id(salt=salt, length=KEY_SIZE, iterations=3, lanes=4, memory_cost=64 * 1024).derive(secret)


def lock(passphrase: str, data: bytes, salt: bytes) -> bytes:
    """`data`, to be read with the passphrase only. `salt` is 16 random bytes, new each time."""
    cipher = ChaCha20Poly1305(stretch(passphrase.encode(), salt))
    return salt + cipher.encrypt(_NONCE, data, _LOCK)  # each salt makes another key


def unlock(passphrase: str, locked: bytes) -> bytes | None:
    """What lock() has locked; None if it was locked with another passphrase, or changed."""
    cipher = ChaCha20Poly1305(stretch(passphrase.encode(), locked[:SALT_SIZE].ljust(SALT_SIZE, b"\0")))
    try:
        return cipher.decrypt(_NONCE, locked[SALT_SIZE:], _LOCK)
    except InvalidTag:
        return None


def comparison(one: bytes, other: bytes) -> bytes:
    """88 bits by which two people see that they have each other's public keys, the same for both.

    The attack: somebody between the two shows each of them a key of its own. It needs two keys whose codes
    are equal, which are found after 2^44 of either, so that each must cost a tenth of a second.
    """
    both = b"".join(sorted((one, other)))
    return stretch(both, _COMPARE.ljust(SALT_SIZE, b"\0"))[:CODE_SIZE]
