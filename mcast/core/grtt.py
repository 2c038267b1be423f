"""The group round-trip time: how far away the farthest members are."""

from __future__ import annotations

from collections.abc import Hashable

SAMPLES = (
    64  # the last so many peers measured; first in, first out, so that one peer cannot push out the rest
)
FRESH = 60.0  # seconds a sample counts


class GroupRoundTrip:
    """The largest round-trip time of the peers measured lately, without the highest tenth of them.

    Leaving out a tenth and clamping keeps a member that answers late on purpose from slowing repair for all.
    """

    def __init__(self, initial: float, low: float, high: float) -> None:
        self._initial, self._low, self._high = initial, low, high
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
        highest = fresh[-1 - len(fresh) // 10]
        self.value = min(self._high, max(self._low, highest))
