"""How many ask for one lost record in a group of a thousand, once the round-trip time is known.

A light network carries only this: the real NACK timers of a thousand receivers, one author, delays that
differ by receiver, NACKs and repairs that get lost too.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

import pytest

from mcast.core.inbox import Inbox
from mcast.core.reception import Reception
from mcast.core.runs import Run
from mcast.wire.records import Kind, Record

SIZE = 1000
RUN = Run(b"o" * 16, 1)
EVENTS = 20


def _record(sequence: int) -> Record:
    return Record(b"o" * 16, 1, sequence, 0, Kind.MESSAGE, 0, b"x", 1, 0, bytes(64), b"", b"x")


class Group:
    """A thousand receivers that all have record 1; some lose record 2."""

    def __init__(self, seed: int, farthest: float, loss: float) -> None:
        self.random = Random(seed)
        self.loss = loss
        self.grtt = max(0.002, 2 * farthest)
        self.now = 0.0
        self.nacks = self.repairs = 0
        self._delays = [self.random.random() * farthest / 2 for _ in range(SIZE + 1)]
        self._queue: list[tuple[float, int, Callable[..., None], int]] = []
        self._serial = 0
        self._repairing = False
        self._repaired = float("-inf")
        self.members = [self._member() for _ in range(SIZE)]

    def _member(self) -> tuple[Reception, Inbox]:
        reception = Reception(self.random, 8192, 0.01, 1 << 24, 10, False, 0.002)
        inbox = reception.open(RUN, "", 1, 0, 0, lambda run: True)
        assert isinstance(inbox, Inbox)
        inbox.grtt = self.grtt
        inbox.accept(_record(1), None, 0.0)
        return reception, inbox

    def lose(self, losers: set[int]) -> None:
        """Record 2 is published; `losers` learn that it exists, the others get it."""
        for number in range(SIZE):
            self._at(self._delays[number], self._learn if number in losers else self._get, number)
        while self._queue:
            self.now, _, what, number = heappop(self._queue)
            what(number)

    def _at(self, delay: float, what: Callable[..., None], number: int) -> None:
        self._serial += 1
        heappush(self._queue, (self.now + delay, self._serial, what, number))

    def _learn(self, number: int) -> None:
        reception, inbox = self.members[number]
        inbox.learn(2, self.now)
        reception.lacks(inbox, self.now, SIZE + 1)
        self._arm(number)

    def _arm(self, number: int) -> None:
        when = self.members[number][0].when()
        if when is not None:
            self._at(when - self.now, self._fire, number)

    def _fire(self, number: int) -> None:
        reception, _ = self.members[number]
        pages, _ = reception.nack(self.now, SIZE + 1, 1000)
        if pages:
            self.nacks += 1
            self._at(self._delays[number], self._asked, 0)
            for other, (_, inbox) in enumerate(self.members):
                if other != number and inbox.gaps and self.random.random() >= self.loss:
                    self._at(self._delays[number] + self._delays[other], self._overhear, other)
        self._arm(number)

    def _overhear(self, number: int) -> None:
        self.members[number][0].overheard(RUN, [(2, 3)], self.now)

    def _asked(self, _: int) -> None:
        if not self._repairing and self.now - self._repaired >= self.grtt:
            self._repairing = True
            self._at(self.grtt, self._repair, 0)

    def _repair(self, _: int) -> None:
        self._repairing, self._repaired = False, self.now
        self.repairs += 1
        for number in range(SIZE):
            if self.random.random() >= self.loss:
                self._at(self._delays[number], self._get, number)

    def _get(self, number: int) -> None:
        reception, inbox = self.members[number]
        if inbox.stream.refuse(2) is None:
            inbox.accept(_record(2), None, self.now)
            reception.lacks(inbox, self.now, SIZE + 1)


@pytest.mark.parametrize("farthest", [0.001, 0.3])
@pytest.mark.parametrize("everybody", [True, False])
def test_one_loss_among_a_thousand_is_asked_for_by_few(farthest: float, everybody: bool) -> None:
    """At most ten NACKs at the 95th percentile, at 5 % loss and when all but the author lose it."""
    counts = []
    for seed in range(EVENTS):
        group = Group(seed, farthest, 0.0 if everybody else 0.05)
        losers = {number for number in range(SIZE) if everybody or group.random.random() < 0.05}
        group.lose(losers)
        assert not any(inbox.gaps for _, inbox in group.members)
        assert group.repairs <= 4
        counts.append(group.nacks)
    assert sorted(counts)[round(0.95 * EVENTS) - 1] <= 10
