"""How many ask for one lost record in a large group, from a wrong round-trip time on.

    python -m tests.simulation.repair [--size 10000] [--seeds 100]

A light network carries only this: the real NACK timers of all receivers, one author, delays that differ
by receiver, NACKs and repairs that get lost too. The author starts with a round-trip time that is wrong and
learns the true one as in the real engine: each record brings it a report of one random receiver.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from random import Random

from mcast.core.grtt import GroupRoundTrip
from mcast.core.inbox import Inbox
from mcast.core.peer_id import PeerId
from mcast.core.reception import Reception
from mcast.wire.records import Kind, Record

RUN = PeerId(b"o" * 16, 1)
LEARNING = 3  # events before those that count
DELAYS = (0.001, 0.3)  # the farthest receiver, one way, in seconds
LOSS = 0.05


def _record(sequence: int) -> Record:
    return Record(b"o" * 16, 1, sequence, 0, Kind.MESSAGE, 0, b"x", 1, 0, bytes(64), b"", b"x")


class Group:
    """Receivers that have record 1; each event publishes one more, which some lose."""

    def __init__(self, seed: int, size: int, farthest: float, loss: float, initial: float) -> None:
        self.random = Random(seed)
        self.size, self.loss = size, loss
        self.grtt = GroupRoundTrip(initial, 0.002, 1.0)
        self.now = 0.0
        self.sequence = 1
        self.nacks = self.repairs = 0
        self._delays = [self.random.random() * farthest / 2 for _ in range(size)]
        self._queue: list[tuple[float, int, Callable[..., None], int]] = []
        self._serial = 0
        self._repairing = False
        self._repaired = float("-inf")
        self.members = [self._member() for _ in range(size)]

    def _member(self) -> tuple[Reception, Inbox]:
        reception = Reception(self.random, 8192, 0.01, 1 << 24, 10, 0.002)
        inbox = reception.open(RUN, "", 1, 0, 0, lambda run: True)
        assert isinstance(inbox, Inbox)
        inbox.accept(_record(1), None, 0.0)
        return reception, inbox

    def lose(self, losers: set[int]) -> int:
        """One more record is published; `losers` learn that it exists, the others get it. The NACKs sent."""
        self.nacks = self.repairs = 0
        self.sequence += 1
        for _, inbox in self.members:
            inbox.grtt = self.grtt.value
        for number in range(self.size):
            self._at(self._delays[number], self._learn if number in losers else self._get, number)
        while self._queue:
            self.now, _, what, number = heappop(self._queue)
            what(number)
        reporter = self.random.randrange(self.size)
        self.grtt.sample(reporter, 2 * self._delays[reporter], self.now)
        self.now += 1.0
        return self.nacks

    def _at(self, delay: float, what: Callable[..., None], number: int) -> None:
        self._serial += 1
        heappush(self._queue, (self.now + delay, self._serial, what, number))

    def _learn(self, number: int) -> None:
        reception, inbox = self.members[number]
        inbox.learn(self.sequence, self.now)
        reception.lacks(inbox, self.now, self.size + 1)
        self._arm(number)

    def _arm(self, number: int) -> None:
        when = self.members[number][0].when()
        if when is not None:
            self._at(when - self.now, self._fire, number)

    def _fire(self, number: int) -> None:
        reception, _ = self.members[number]
        pages, _ = reception.nack(self.now, self.size + 1, 1000)
        if pages:
            self.nacks += 1
            self._at(self._delays[number], self._asked, 0)
            for other, (_, inbox) in enumerate(self.members):
                if other != number and inbox.gaps and self.random.random() >= self.loss:
                    self._at(self._delays[number] + self._delays[other], self._overhear, other)
        self._arm(number)

    def _overhear(self, number: int) -> None:
        self.members[number][0].overheard(RUN, [(self.sequence, self.sequence + 1)], self.now, self.size + 1)

    def _asked(self, _: int) -> None:
        if not self._repairing and self.now - self._repaired >= self.grtt.value:
            self._repairing = True
            self._at(self.grtt.value, self._repair, 0)

    def _repair(self, _: int) -> None:
        self._repairing, self._repaired = False, self.now
        self.repairs += 1
        for number in range(self.size):
            if self.random.random() >= self.loss:
                self._at(self._delays[number], self._get, number)

    def _get(self, number: int) -> None:
        reception, inbox = self.members[number]
        if inbox.stream.refuse(self.sequence) is None:
            inbox.accept(_record(self.sequence), None, self.now)
            reception.lacks(inbox, self.now, self.size + 1)


def counts(
    size: int, seeds: range, farthest: float, *, everybody: bool, initial: float
) -> Iterator[list[int]]:
    """For each seed, the NACKs of each event: those that teach the round-trip time, and one more."""
    for seed in seeds:
        group = Group(seed, size, farthest, 0.0 if everybody else LOSS, initial)
        sent = []
        for _ in range(LEARNING + 1):
            losers = {number for number in range(size) if everybody or group.random.random() < LOSS}
            sent.append(group.lose(losers))
            assert not any(inbox.gaps for _, inbox in group.members)
        yield sent


def main() -> None:
    """Print the 95th percentile of each event."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=100)
    chosen = parser.parse_args()
    print("| farthest | lost by | first round-trip time | NACKs, 95th percentile, events 1 to 4 | most |")
    print("|---:|---|---:|---|---:|")
    for farthest in DELAYS:
        for everybody in (False, True):
            for initial in (0.002, 0.1, 1.0):
                made = list(
                    counts(chosen.size, range(chosen.seeds), farthest, everybody=everybody, initial=initial)
                )
                events = [sorted(event) for event in zip(*made, strict=True)]
                high = [event[round(0.95 * len(event)) - 1] for event in events]
                who = "all" if everybody else "5 %"
                told = ", ".join(map(str, high))
                print(f"| {farthest:g} s | {who} | {initial:g} s | {told} | {events[-1][-1]} |", flush=True)


if __name__ == "__main__":
    main()
