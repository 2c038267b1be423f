"""Datagrams of one size in a row, which the kernel sends and hands over as one piece (udp(7), Linux).

What that saves is a system call and a walk through the network stack for each datagram: at 11 us each they
are the larger part of what a datagram costs. Pure: the socket options are in sockopt.py.
"""

from __future__ import annotations

from collections.abc import Sequence

PIECES_MAX = 64
"""Datagrams in one piece; newer kernels allow 128 (UDP_MAX_SEGMENTS)."""
PIECE_MAX = 65_507
"""Bytes of one piece."""


def pieces(datagrams: Sequence[bytes]) -> list[Sequence[bytes]]:
    """The datagrams in runs that fit one send: all of one size, but that the last may be shorter."""
    made: list[Sequence[bytes]] = []
    start = total = 0
    for at, datagram in enumerate(datagrams):
        size, first = len(datagram), len(datagrams[start])
        if at > start and (
            not 0 < size <= first  # an empty one would vanish
            or len(datagrams[at - 1]) < first
            or at - start == PIECES_MAX
            or total + size > PIECE_MAX
        ):
            made.append(datagrams[start:at])
            start, total = at, 0
        total += size
    if datagrams:
        made.append(datagrams[start:])
    return made


def cut(piece: bytes, size: int) -> list[bytes]:
    """The datagrams of a piece that was received; `size` as the kernel told it, 0: it is one datagram."""
    if not 0 < size < len(piece):
        return [piece]
    return [piece[at : at + size] for at in range(0, len(piece), size)]
