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
    """The digests of the last `limit` to twice as many datagrams, first in, first out.

    Two sets take turns: what is found in neither is new, and when one is full the other starts anew.

    Only datagrams that opened and made sense are entered, so that junk cannot flush it. It saves work; it
    is no replay protection: whoever holds the room's key may seal anything anew, so signed content carries
    its own freshness.
    """

    def __init__(self, limit: int = 8192) -> None:
        self._latest: set[bytes] = set()
        self._before: set[bytes] = set()
        self._limit = limit

    def __len__(self) -> int:
        return len(self._latest) + len(self._before)

    def seen(self, digest: bytes) -> bool:
        """Whether `digest` is among the last ones."""
        return digest in self._latest or digest in self._before

    def add(self, digest: bytes) -> None:
        """Remember `digest`."""
        self._latest.add(digest)
        if len(self._latest) >= self._limit:
            self._latest, self._before = set(), self._latest
