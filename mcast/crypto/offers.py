"""The signature in a DNS-SD entry, by which a peer of mcast is known there: who reads it needs no room.

It is one string of the TXT record, `mcast=1.KEY.INCARNATION.SIGNATURE`: the public key and the signature in
base64url without padding, the incarnation in hex. It covers all else that the entry says.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable

import msgspec

from mcast.wire.limits import KEY_SIZE, SIGNATURE_SIZE

from .keys import Identity, origin_of, verify

CREDENTIAL_KEY = "mcast"
"""The key of that string. Hosts and programs that do not know mcast show it like any other."""
_CLAIM = b"mcast2 dns-sd\0\0\0"
_HEAD = f"{CREDENTIAL_KEY}=1.".encode()
_SIZE = 255
"""Bytes that a string of a TXT record has at most."""
_INCARNATION_DIGITS = 16


class Offer(msgspec.Struct, frozen=True):
    """What an entry says: its name, type (`_http._tcp`), host (`nas.local`), port, and other strings."""

    name: str
    type: str
    host: str
    port: int
    strings: tuple[bytes, ...] = ()

    def _claim(self, incarnation: int) -> bytes:
        """What the signature covers: each part behind its length. Hosts and types have no case."""
        head = (self.name, self.type.lower(), self.host.lower(), str(self.port), f"{incarnation:x}")
        parts = [part.encode("utf-8", "surrogatepass") for part in head]
        parts += sorted(self.strings)
        return _CLAIM + b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def credential(identity: Identity, incarnation: int, offer: Offer) -> bytes:
    """The string of the TXT record that shows that `identity` makes this offer."""
    signature = identity.sign(offer._claim(incarnation))
    key, proof = _text(identity.public_key), _text(signature)
    return _HEAD + key + b".%x." % incarnation + proof


def is_credential(string: bytes) -> bool:
    """Whether a string of a TXT record says that it is one, whatever it is worth. Its key has no case."""
    return string.partition(b"=")[0].lower() == CREDENTIAL_KEY.encode()


def check(offer: Offer, strings: Iterable[bytes]) -> tuple[bytes, int] | None:
    """Origin and incarnation of the peer that made the offer, by the credential among `strings`.

    None if there is none, or several, or it does not hold. Any bytes are answered, none raise.
    """
    found = [string for string in strings if is_credential(string)]
    if len(found) != 1 or len(found[0]) > _SIZE or not found[0].startswith(_HEAD):
        return None
    parts = found[0][len(_HEAD) :].split(b".")
    if len(parts) != 3:
        return None
    key, signature = _bytes(parts[0], KEY_SIZE), _bytes(parts[2], SIGNATURE_SIZE)
    incarnation = _number(parts[1])
    if key is None or signature is None or incarnation is None:
        return None
    return (origin_of(key), incarnation) if verify(key, offer._claim(incarnation), signature) else None


def _text(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _bytes(text: bytes, size: int) -> bytes | None:
    """The bytes that _text() made; None for anything else."""
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), b"-_", validate=True)
    except ValueError:
        return None
    return data if len(data) == size and _text(data) == text else None


def _number(text: bytes) -> int | None:
    """A number in hex, written as credential() writes it; None for anything else."""
    if not 0 < len(text) <= _INCARNATION_DIGITS or text.strip(b"0123456789abcdef"):
        return None
    number = int(text, 16)
    return number if b"%x" % number == text else None
