"""Datagrams seen before: the same one arrives over several interfaces and from loops."""

from __future__ import annotations


class Repeats:
    """The hash() of each of the last `limit` to twice as many datagrams, first in, first out.

    The attack: whoever holds the room's key makes another datagram with the tag of one that is yet to come,
    which would then be taken for a repeat. So not the tag names a datagram but hash(): SipHash under a key
    that Python draws when it starts (PEP 456). Nobody can find another with the same, unless PYTHONHASHSEED
    tells the key. It has 64 bits; where it has 32, one datagram in 250,000 is lost to it, and repaired.

    Two sets take turns: what is found in neither is new, and when one is full the other starts anew.

    Only datagrams that opened and made sense are entered, so that junk cannot flush it. It saves work; it
    is no replay protection: whoever holds the room's key may seal anything anew, so signed content carries
    its own freshness.
    """

    def __init__(self, limit: int = 8192) -> None:
        self._latest: set[int] = set()
        self._before: set[int] = set()
        self._limit = limit

    def __len__(self) -> int:
        return len(self._latest) + len(self._before)

    def seen(self, name: int) -> bool:
        """Whether the datagram with that hash() is among the last ones."""
        return name in self._latest or name in self._before

    def add(self, name: int) -> None:
        """Remember the datagram with that hash()."""
        self._latest.add(name)
        if len(self._latest) >= self._limit:
            self._latest, self._before = set(), self._latest
