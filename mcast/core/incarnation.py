"""The number that tells the incarnations of one identity apart."""

from __future__ import annotations

INCARNATION_SHIFT = (
    16  # an incarnation is unix seconds times 2**16: it tells when the peer began, by its clock
)
INCARNATION_STEP = 66  # just above a millisecond of 2**-16 s: a KEY names its peer by that millisecond


def following(last: int, now_unix: float, entropy: int) -> int:
    """The incarnation after `last`: max(last + 66, seconds * 2^16 + 16 bits of `entropy`)."""
    # A clock outside of what fits (or nan) says nothing; the count goes on.
    clock = int(now_unix) if 0 <= now_unix < 2**47 else 0
    return max(last + INCARNATION_STEP, clock << INCARNATION_SHIFT | entropy & 0xFFFF)


def began(incarnation: int) -> int:
    """When a peer began, in unix seconds, by its clock; it may have begun somewhat earlier."""
    return incarnation >> INCARNATION_SHIFT
