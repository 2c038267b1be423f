"""When to act: deadlines by key, random backoff, and the round-trip time that the backoff is measured in.

Backoff is that of RFC 5401, section 5.1, the group round-trip time that of RFC 5740, section 5.1.
"""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from math import exp, inf, log, log10
from typing import Generic, Protocol, TypeVar

Key = TypeVar("Key", bound=Hashable)

SLACK = 64  # stale heap entries tolerated beyond the live ones, so that re-arming cannot grow the heap
ROUNDS = 4  # RFC 5740's K: the longest wait, in group round-trip times
LARGE = 100  # members from which on the waits are longer
SAMPLES = 64  # peers measured last; first in, first out, so that one peer cannot push out the rest
FRESH = 60.0  # seconds a sample counts


class Timers(Generic[Key]):
    """Absolute deadlines, one a key; setting a key again moves it. `next` is the earliest, inf if none."""

    __slots__ = ("_heap", "_serial", "_when", "next")

    def __init__(self) -> None:
        self._when: dict[Key, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._serial = 0
        self.next = inf

    def __contains__(self, key: Key) -> bool:
        return key in self._when

    def __len__(self) -> int:
        return len(self._when)

    def set(self, key: Key, when: float) -> None:
        """Arm `key` for `when`, replacing an earlier deadline."""
        before = self._when.get(key)
        self._serial += 1
        self._when[key] = (when, self._serial)
        heappush(self._heap, (when, self._serial, key))
        if when < self.next:
            self.next = when
        elif before is not None and before[0] == self.next:
            self._find_next()
        if len(self._heap) > 2 * len(self._when) + SLACK:
            self._heap = [(when, serial, key) for key, (when, serial) in self._when.items()]
            heapify(self._heap)

    def cancel(self, key: Key) -> None:
        """Disarm `key`; nothing happens when it is not armed."""
        before = self._when.pop(key, None)
        if before is not None and before[0] == self.next:
            self._find_next()

    def get(self, key: Key) -> float | None:
        """The deadline of `key`."""
        entry = self._when.get(key)
        return None if entry is None else entry[0]

    def _find_next(self) -> None:
        heap = self._heap
        while heap:
            when, serial, key = heap[0]
            if self._when.get(key) == (when, serial):
                self.next = when
                return
            heappop(heap)
        self.next = inf

    def due(self, now: float) -> list[Key]:
        """The keys whose time has come, earliest first; they are disarmed."""
        keys: list[Key] = []
        while self.next <= now:
            self._find_next()  # takes stale entries off the front
            key = heappop(self._heap)[2]
            del self._when[key]
            keys.append(key)
            self._find_next()
        return keys


def earliest(*deadlines: float | None) -> float | None:
    """The smallest of those that are set."""
    return min((when for when in deadlines if when is not None), default=None)


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
