"""Datagrams seen before: the same one arrives over several interfaces and from loops."""

from __future__ import annotations

from hashlib import blake2b


def digest_of(datagram: bytes) -> bytes:
    """16 bytes that name a whole datagram.

    The attack: whoever holds the room's key makes another datagram with the tag of one that is yet to
    come, which would then be taken for a repeat. So the tag is no name.
    """
    return blake2b(datagram, digest_size=16).digest()


class Repeats:
    """The digests of the last `limit` datagrams, first in, first out.

    Only datagrams that opened and made sense are entered, so that junk cannot flush it. It saves work; it
    is no replay protection: whoever holds the room's key may seal anything anew, so signed content carries
    its own freshness.
    """

    def __init__(self, limit: int = 8192) -> None:
        self._digests: dict[bytes, None] = {}
        self._limit = limit

    def __len__(self) -> int:
        return len(self._digests)

    def seen(self, digest: bytes) -> bool:
        """Whether `digest` is among the last ones."""
        return digest in self._digests

    def add(self, digest: bytes) -> None:
        """Remember `digest`."""
        self._digests[digest] = None
        if len(self._digests) > self._limit:
            del self._digests[next(iter(self._digests))]
