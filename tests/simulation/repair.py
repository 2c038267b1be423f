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
from math import inf
from random import Random

from mcast.core.context import Context, Mode
from mcast.core.events import PeerId
from mcast.core.membership.roster import Roster
from mcast.core.reliability.nack import NackScheduler
from mcast.core.reliability.window import ReceiveWindow
from mcast.core.timers import GroupRoundTrip
from mcast.crypto.keys import Identity
from mcast.crypto.rooms import open_room
from mcast.settings import Settings
from mcast.wire.frames import Key
from mcast.wire.records import Kind, Record

AUTHOR = PeerId(b"o" * 16, 1)
ROOM, IDENTITY = open_room("230.0.0.1:28003", "repair"), Identity(bytes(32))
KEY = Key(IDENTITY.public_key, 1, "")
LEARNING = 3  # events before those that count
DELAYS = (0.001, 0.3)  # the farthest receiver, one way, in seconds
LOSS = 0.05


def _record(sequence: int) -> Record:
    return Record(b"o" * 16, 1, sequence, 0, Kind.MESSAGE, 0, b"x", 1, 0, bytes(64), b"", b"x")


Member = tuple[Context, NackScheduler, ReceiveWindow]


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

    def _member(self) -> Member:
        context = Context(
            Settings(), ROOM, IDENTITY, PeerId(IDENTITY.origin, 1), "", self.random, Mode(), 0.0, 0.0
        )
        scheduler = NackScheduler(context, Roster(context, 10, 10), KEY)
        scheduler.on_asked = lambda peer_ids, now: None
        context.members = self.size + 1
        window = scheduler.windows.open(AUTHOR, "", 1, 0, 0.0)
        assert isinstance(window, ReceiveWindow)
        window.trust()
        window.accept(_record(1), None, 0.0)
        return context, scheduler, window

    def lose(self, losers: set[int]) -> int:
        """One more record is published; `losers` learn that it exists, the others get it. The NACKs sent."""
        self.nacks = self.repairs = 0
        self.sequence += 1
        for _, _, window in self.members:
            window.grtt = self.grtt.value
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
        _, scheduler, window = self.members[number]
        window.learn(self.sequence, self.now)
        scheduler.update(window, self.now)
        self._arm(number)

    def _arm(self, number: int) -> None:
        when = self.members[number][1].next_timeout
        if when < inf:
            self._at(when - self.now, self._fire, number)

    def _fire(self, number: int) -> None:
        context, scheduler, _ = self.members[number]
        scheduler.on_timeout(self.now)
        if context.queue:
            context.queue.clear()
            self.nacks += 1
            self._at(self._delays[number], self._asked, 0)
            for other, (_, _, window) in enumerate(self.members):
                if other != number and window.gaps and self.random.random() >= self.loss:
                    self._at(self._delays[number] + self._delays[other], self._overhear, other)
        self._arm(number)

    def _overhear(self, number: int) -> None:
        self.members[number][1].overheard(AUTHOR, [(self.sequence, self.sequence + 1)], self.now)

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
        _, scheduler, window = self.members[number]
        if window.buffer.refuse(self.sequence) is None:
            window.accept(_record(self.sequence), None, self.now)
            scheduler.update(window, self.now)


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
            assert not any(window.gaps for _, _, window in group.members)
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
