"""Records to hand out to who lacks them: the giver's side of history. Each asker has a queue of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

import msgspec

from .events import Address
from .peer_id import PeerId

ASKERS = 64  # queues; who asks when all are taken is not served. Each has echoed a token
EACH = 8192  # records in one queue
POPULAR = 3  # askers within RECENT seconds from whom on a run's records go to all
RECENT = 1.0
AGAIN = 0.09  # seconds in which a record does not go to all twice: who lost it asks again 0.1 s later
RUNS = 256  # runs whose askers are remembered, and TRACES records sent to all: oldest out
TRACES = 8192
PAGE = 64  # records looked at for one datagram


class Errand(msgspec.Struct, frozen=True):
    """A record to be sent; `keyed`: the first of its origin in this datagram, so the key goes along."""

    peer_id: PeerId
    sequence: int
    keyed: bool


class Page(msgspec.Struct, frozen=True):
    """What leaves together to `to` (None: to all)."""

    to: Address
    errands: list[Errand]


class Serving:
    """What was asked for and has not left: `queues`, in turn between those who asked.

    The attack: one who asks for everything again and again. What it is waiting for is not queued twice,
    others have their turn between, and the pace of all answers is bounded.
    """

    def __init__(self) -> None:
        self.queues: dict[Address, dict[tuple[PeerId, int], None]] = {}
        self._askers: dict[PeerId, dict[Address, float]] = {}
        self._to_all: dict[tuple[PeerId, int], float] = {}

    def clear(self) -> None:
        """Nobody gets anything."""
        self.queues.clear()

    def ask(self, asker: Address, run: PeerId, sequences: Iterable[int], now: float, *, to_all: bool) -> bool:
        """Queue records that we hold; False when there is no room for all."""
        popular = self._popular(run, asker, now)
        to = None if to_all or popular else asker
        if to not in self.queues and len(self.queues) >= ASKERS:
            return False
        queue = self.queues.setdefault(to, {})
        for sequence in sequences:
            if to is None and now - self._to_all.get((run, sequence), float("-inf")) <= AGAIN:
                continue
            if len(queue) >= EACH:
                return False
            queue[run, sequence] = None
        if not queue:
            del self.queues[to]
        return True

    def _popular(self, run: PeerId, asker: Address, now: float) -> bool:
        askers = {a: at for a, at in self._askers.pop(run, {}).items() if now - at <= RECENT}
        askers[asker] = now
        if len(askers) > POPULAR:
            del askers[next(iter(askers))]
        self._askers[run] = askers
        if len(self._askers) > RUNS:
            del self._askers[next(iter(self._askers))]
        return len(askers) >= POPULAR

    def page(self, now: float, room: int, cost: Callable[[Errand], int]) -> Page:
        """The next asker's records, as many as fit `room` bytes and at least one; only while there is one."""
        to, queue = next(iter(self.queues.items()))
        errands: list[Errand] = []
        origins: set[bytes] = set()
        for run, sequence in list(islice(queue, PAGE)):
            errand = Errand(run, sequence, run.origin not in origins)
            size = cost(errand)
            if errands and size > room:
                break
            room -= size
            errands.append(errand)
            origins.add(run.origin)
            del queue[run, sequence]
            if to is None:
                self._trace(run, sequence, now)
        del self.queues[to]
        if queue:
            self.queues[to] = queue  # at the end of the line
        return Page(to, errands)

    def _trace(self, run: PeerId, sequence: int, now: float) -> None:
        self._to_all.pop((run, sequence), None)
        self._to_all[run, sequence] = now
        if len(self._to_all) > TRACES:
            del self._to_all[next(iter(self._to_all))]
