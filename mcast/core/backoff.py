"""How long to wait before saying what many others may say too (RFC 5401, section 5.1)."""

from __future__ import annotations

from math import exp, log

from .generator import Generator

ROUNDS = 4  # RFC 5740's K: the longest wait, in group round-trip times


def backoff(generator: Generator, longest: float, group_size: int) -> float:
    """Seconds in [0, longest], truncated-exponentially distributed.

    The larger the group, the later most members wait, so that the first is heard before the second speaks.
    """
    rate = log(max(1, group_size)) + 1.0
    return longest / rate * log(1.0 + generator.random() * (exp(rate) - 1.0))
