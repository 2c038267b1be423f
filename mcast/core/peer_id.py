"""A run: one life of an origin, the unit that has a sequence and that people see as a peer."""

from __future__ import annotations

from typing import NamedTuple


class PeerId(NamedTuple):
    """`origin` is the 16-byte identity, `incarnation` names the run."""

    origin: bytes
    incarnation: int


INCARNATION_STEP = (
    66  # just above a millisecond of 2**-16 s: a KEY names its run by the millisecond of its incarnation
)


def following(last: int, now_unix: float, entropy: int) -> int:
    """The incarnation of a run after `last`: max(last + 66, seconds * 2^16 + 16 bits of `entropy`)."""
    # A clock outside of what fits (or nan) says nothing; the count goes on.
    clock = int(now_unix) if 0 <= now_unix < 2**47 else 0
    return max(last + INCARNATION_STEP, clock << 16 | entropy & 0xFFFF)
