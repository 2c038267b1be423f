"""How long to wait before saying what many others may say too (RFC 5401, section 5.1)."""

from __future__ import annotations

from math import exp, log, log10

from .generator import Generator

ROUNDS = 4  # RFC 5740's K: the longest wait, in group round-trip times

LARGE = 100  # members from which on the waits are longer


def rounds(group_size: int) -> float:
    """The longest wait, in group round-trip times: 10 more for each ten times 100 members.

    A large group learns its round-trip time from a few random members; the farthest may be twice as far.
    """
    return ROUNDS * (1.0 + 2.5 * log10(max(1.0, group_size / LARGE)))


def backoff(generator: Generator, longest: float, group_size: int) -> float:
    """Seconds in [0, longest], truncated-exponentially distributed.

    The larger the group, the later most members wait, so that the first is heard before the second speaks.
    """
    rate = log(max(1, group_size)) + 1.0
    return longest / rate * log(1.0 + generator.random() * (exp(rate) - 1.0))
