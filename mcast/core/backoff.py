"""How long to wait before saying what many others may say too, and the round-trip time it is measured in.

RFC 5401, section 5.1 (backoff), and RFC 5740, section 5.1 (group round-trip time).
"""

from __future__ import annotations

from collections.abc import Hashable
from math import exp, log, log10
from typing import Protocol

ROUNDS = 4  # RFC 5740's K: the longest wait, in group round-trip times
LARGE = 100  # members from which on the waits are longer
SAMPLES = 64  # peers measured last; first in, first out, so that one peer cannot push out the rest
FRESH = 60.0  # seconds a sample counts


class Rng(Protocol):
    """The randomness that is handed in: `random.Random` fits, and so does a recorded one."""

    def random(self) -> float:
        """Uniform in [0, 1)."""
        ...

    def getrandbits(self, bits: int, /) -> int:
        """Uniform in [0, 2**bits)."""
        ...


def rounds(members: int) -> float:
    """The longest wait, in group round-trip times: 10 more for each ten times 100 members.

    A large group learns its round-trip time from a few random members; the farthest may be twice as far.
    """
    return ROUNDS * (1.0 + 2.5 * log10(max(1.0, members / LARGE)))


def backoff(rng: Rng, longest: float, members: int) -> float:
    """Seconds in [0, longest], truncated-exponentially distributed.

    The larger the group, the later most members wait, so that the first is heard before the second speaks.
    """
    rate = log(max(1, members)) + 1.0
    return longest / rate * log(1.0 + rng.random() * (exp(rate) - 1.0))


class GroupRoundTrip:
    """The group round-trip time: the largest of the peers measured lately, without the highest tenth.

    Leaving out a tenth and clamping keeps a member that answers late on purpose from slowing repair for all.
    """

    def __init__(self, initial: float, low: float, high: float) -> None:
        self._low, self._high = low, high
        self._samples: dict[Hashable, tuple[float, float]] = {}
        self.value = initial

    @property
    def known(self) -> bool:
        """Whether anything was measured."""
        return bool(self._samples)

    def sample(self, peer: Hashable, seconds: float, now: float) -> None:
        """Take in one measured round trip to `peer`."""
        if seconds < 0:
            return
        self._samples.pop(peer, None)
        self._samples[peer] = (seconds, now)
        if len(self._samples) > SAMPLES:
            del self._samples[next(iter(self._samples))]
        fresh = sorted(rtt for rtt, at in self._samples.values() if now - at <= FRESH)
        self.value = self.told(fresh[-1 - len(fresh) // 10])

    def told(self, seconds: float) -> float:
        """A group round-trip time that somebody states, brought within our limits."""
        return min(self._high, max(self._low, seconds))
