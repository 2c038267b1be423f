"""Whether a run is live: its signed time is near ours, or it answered a probe with our nonce.

A recorded run that somebody plays again has an old time and cannot answer.
"""

from __future__ import annotations

import msgspec

from .events import Address
from .generator import Generator
from .peer_id import PeerId
from .timers import Timers

ASKERS = 50  # members that ask one doubted run in a second; it answers twice as many
NONCES = 1024  # probes and doubts outstanding; the attack is runs that never answer, oldest first out
ANSWER_TIME = 3.0  # seconds a nonce is good for
RETRIES = (0.1, 0.3, 0.5)  # seconds after which an unproven run is asked again, the last time by multicast
SULK = 5.0  # seconds in which a run that never answered is not asked anew


class Probing(msgspec.Struct, frozen=True):
    """A probe that was sent."""

    peer_id: PeerId
    at: float


class Doubt:
    """A run that may be a recording: where it was heard itself (None: nowhere), probes sent so far.

    All who doubt it ask within `spread` seconds.
    """

    __slots__ = ("source", "spread", "tries")

    def __init__(self, source: Address, spread: float) -> None:
        self.source, self.spread = source, spread
        self.tries = 0 if source is not None else len(RETRIES)


class Liveness:
    """Runs proven live, and the probes under way. First in, first out, `limit` runs."""

    def __init__(self, generator: Generator, window: float, limit: int) -> None:
        self._generator = generator
        self._window_ms = window * 1000
        self._limit = limit
        self._live: dict[PeerId, None] = {}
        self._nonces: dict[bytes, Probing] = {}
        self._doubts: dict[PeerId, Doubt] = {}
        self._timers: Timers[PeerId] = Timers()

    def __contains__(self, run: PeerId) -> bool:
        return run in self._live

    def judge(self, run: PeerId, timestamp: int, wall_ms: int) -> bool:
        """Whether the run that signed `timestamp` is live. Once live, a run stays so until it leaves."""
        if run in self._live:
            return True
        if abs(timestamp - wall_ms) > self._window_ms:
            return False
        self.prove(run)
        return True

    def prove(self, run: PeerId) -> None:
        """`run` is live."""
        self._settle(run)
        self._live[run] = None
        if len(self._live) > self._limit:
            del self._live[next(iter(self._live))]

    def left(self, run: PeerId) -> None:
        """`run` is gone; it has to prove itself again."""
        self._live.pop(run, None)

    def _settle(self, run: PeerId) -> None:
        self._doubts.pop(run, None)
        self._timers.cancel(run)

    def nonce(self, run: PeerId, now: float) -> bytes:
        """A new nonce for a probe of `run`."""
        nonce = self._generator.getrandbits(128).to_bytes(16, "big")
        self._nonces[nonce] = Probing(run, now)
        if len(self._nonces) > NONCES:
            del self._nonces[next(iter(self._nonces))]
        return nonce

    def doubt(self, run: PeerId, source: Address, now: float, members: int) -> None:
        """`run`, heard from `source`, may be a recording: it is probed by `due`, unless it is already.

        The attack: one recording in a large group, which all would probe at once. So the larger the group
        of `members`, the longer the time over which the probes are spread, evenly: each needs an answer.
        """
        known = self._doubts.get(run)
        if known is not None and (known.source is not None or source is None):
            return
        spread = members / ASKERS
        self._doubts[run] = Doubt(source, spread)
        self._timers.set(run, now + spread * self._generator.random())
        if len(self._doubts) > NONCES:
            self._settle(next(iter(self._doubts)))

    def overheard(self, run: PeerId, now: float) -> None:
        """Somebody else asks `run` by multicast: we do not, for a while."""
        doubt = self._doubts.get(run)
        if doubt is not None and doubt.tries == len(RETRIES):
            doubt.tries += 1
            self._timers.set(run, now + SULK)

    def when(self) -> float | None:
        """When the next doubted run is to be probed again."""
        return self._timers.next()

    def due(self, now: float) -> list[tuple[PeerId, Address]]:
        """The doubted runs to probe now, and where; None is the group, the last resort and for hearsay."""
        probes: list[tuple[PeerId, Address]] = []
        for run in self._timers.due(now):
            doubt = self._doubts[run]
            if doubt.tries > len(RETRIES):
                del self._doubts[run]
                continue
            last = doubt.tries == len(RETRIES)
            wait = SULK if last else RETRIES[doubt.tries] + doubt.spread * self._generator.random()
            doubt.tries += 1
            probes.append((run, None if last else doubt.source))
            self._timers.set(run, now + wait)
        return probes

    def expects(self, nonce: bytes, run: PeerId, now: float) -> float | None:
        """The round-trip time if `run` was asked with `nonce`; the nonce stays until it is redeemed."""
        probing = self._nonces.get(nonce)
        if probing is None or probing.peer_id != run or now - probing.at > ANSWER_TIME:
            return None
        return now - probing.at

    def redeem(self, nonce: bytes) -> None:
        """The nonce was answered, genuinely."""
        self._nonces.pop(nonce, None)


class Tombstones:
    """Runs that said goodbye, so that their announcements, played again, do not bring them back."""

    def __init__(self, limit: int = 4096) -> None:
        self._runs: dict[PeerId, None] = {}
        self._limit = limit

    def __contains__(self, run: PeerId) -> bool:
        return run in self._runs

    def add(self, run: PeerId) -> None:
        """`run` said goodbye. The attack is a flood of goodbyes: oldest first out."""
        self._runs[run] = None
        if len(self._runs) > self._limit:
            del self._runs[next(iter(self._runs))]
