"""A random afternoon of people who come and go: some ask what was said before, some only drop in, some lose
their network for a while. `test_safety` plays it, and `scripts/simulate --guests`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mcast import simulation
from mcast.core.events import PeerId

from .safety import check_confirmations, check_life, check_nothing_missed, holds_the_same
from .scenario import Afternoon

ABSENT = (1.0, 20.0, 55.0, 70.0)  # seconds without a network: after 60 it is another one
PAUSES = (30.0, 45.0, 100.0, 320.0)  # seconds: some see a peer expire, or its window given up
LATER = 60.0  # seconds more of calm
TOLD = 6.0  # seconds in which what was fetched last is told


class Guests(Afternoon):
    """About half of the members ask for history, and some only listen until they hear somebody."""

    steps = 12

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.lengths, self.most = [2, 20, 200, 6000], 5
        self.lost: set[PeerId] = set()
        self.forgetful: set[PeerId] = set()

    def _size(self, seed: int) -> int:
        return self.random.choice([2, 3, 3, 4, 5])

    def _options(self) -> dict[str, Any]:
        chance = self.random.random()
        if chance < 0.5:
            return {"history": True}
        return {"quiet": True} if chance < 0.6 else {}

    def _disturb(self) -> None:
        super()._disturb()
        random = self.random
        disturbances: list[tuple[float, Callable[[], None]]] = [
            (0.15, self._drop_in),
            (0.1, lambda: self._lose_network(random.choice(self.members), random.choice(ABSENT))),
            (0.1, lambda: self.lan.run(random.choice(PAUSES))),
        ]
        for share, disturb in disturbances:
            if random.random() < share:
                disturb()
        self._note_forgetful()

    def _drop_in(self) -> None:
        """A visitor says something and is gone."""
        random = self.random
        visitor = self.lan.join(f"v{len(self.lan.members)}", visitor=True)
        self.lan.run(random.choice([0.0, 0.5]))
        self.published.send(visitor, self.lan.now, b"v" * random.choice(self.lengths))
        self.lan.run(0.3)
        random.choice([visitor.leave, visitor.crash])()

    def _lose_network(self, member: simulation.Member, seconds: float) -> None:
        """The cable is pulled, and put back."""
        if not member.alive:
            return
        self.lost.add(member.engine.peer_id)
        member.engine.lost_network(self.lan.now)
        self.lan.partition([member])
        self.lan.run(seconds / 2)
        self.published.send(member, self.lan.now, b"is anybody there?")
        self.lan.run(seconds / 2)
        self.lan.heal()

    def _note_forgetful(self) -> None:
        """Whose own words are in part not handed out any more, by design."""
        engines = [member.engine for member in self.members]
        self.forgetful |= {engine.peer_id for engine in engines if engine._sender.window.low > 1}

    def _agree(self) -> bool:
        self._note_forgetful()
        keepers = [member for member in self.members if not member.engine._context.mode.quiet]
        return holds_the_same(keepers, self.forgetful)

    def _conclude(self) -> None:
        """Who lost its network forgets what it held only after a minute."""
        self.lan.run(LATER)
        self._await_agreement()
        self.lan.run(TOLD)
        self._judge()

    def _judge(self) -> None:
        for member in self.lan.members:
            asks = member.engine._context.mode.history
            for life in member.lives:
                # Who is gone, or may have forgotten what it was about to tell, need not have had it all.
                whole = member.alive and life is member.lives[-1] and life.peer_id not in self.lost
                forgetful = self.forgetful if whole else self.published.authors
                check_life(life, self.published, asks=asks, forgetful=forgetful)
        check_nothing_missed(self.lan, self.published, self.forgetful)
        check_confirmations(self.lan, self.published)


def visits(seed: int) -> simulation.Lan:
    """Run such an afternoon of one seed; AssertionError when a promise was broken."""
    return simulation.replayable(seed, lambda seed: Guests(seed).run())
