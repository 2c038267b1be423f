"""Readers that are cut off for a while, and speakers who are here for a moment: nothing is missed in silence.

One for each seed, with clocks that are an hour or a day off: `test_safety` plays it, and `scripts/simulate`.
"""

from __future__ import annotations

from random import Random
from typing import Any

from mcast import simulation
from mcast.settings import Settings

from .safety import Claims, Published, check_life, check_news, check_nothing_missed

CUTS = (1.0, 2.0, 3.0, 7.0, 15.0, 40.0, 120.0)  # seconds
CLOCKS = (0.0, 0.0, 0.0, -3600.0, 3600.0, -86_400.0, 86_400.0)  # seconds that a clock is off
KINDS: tuple[dict[str, Any], ...] = (
    {"quiet": True},
    {},
    {"history": True},
)  # listen, chat, chat with history
CALM = 150.0  # seconds in which everything that was missed is found


class Cuts:
    """Some members are always there; others join later; visitors and short-lived members drop in."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.lan = simulation.Lan(
            seed,
            settings=Settings(gap_timeout=random.choice([None, None, 2.0])),
            loss=random.choice([0.0, 0.0, 0.05, 0.2]),
            jitter=random.choice([0.001, 0.02]),
            duplicate=random.choice([0.0, 0.1]),
        )
        self.published = Published()
        self.claims = Claims()
        self.members = [self._join(f"m{number}") for number in range(random.choice([3, 4, 5]))]

    def _join(self, name: str) -> simulation.Member:
        random = self.random
        return self.lan.join(name, skew=random.choice(CLOCKS), **random.choice(KINDS))

    def run(self) -> simulation.Lan:
        """Cut some off, let others speak, several times; then be calm, then judge."""
        random, lan = self.random, self.lan
        lan.run(random.choice([0.1, 3.0, 12.0]))
        for _ in range(random.choice([2, 3, 4])):
            if random.random() < 0.3:
                self._drop_in()
            self._cut(random.choice(CUTS))
            lan.run(random.choice([0.2, 2.0, 20.0, 60.0]))
            if random.random() < 0.3:
                self.members.append(self._join(f"m{len(lan.members)}"))
            if random.random() < 0.2:
                random.choice(self.members).set_clock(random.choice(CLOCKS))
        lan.conditions = simulation.Conditions()
        lan.run(CALM)
        self._judge()
        return lan

    def _cut(self, seconds: float) -> None:
        """Cut some members off, both ways or so that they only hear nothing; the others speak meanwhile."""
        random, lan = self.random, self.lan
        away = random.sample(self.members, random.randrange(1, len(self.members)))
        there = [member for member in self.members if member not in away]
        one_way = random.random() < 0.3
        end = lan.now + seconds
        self._part(away, one_way=one_way)
        while lan.now < end:
            if random.random() < 0.7:
                self._drop_in(away=away, one_way=one_way)
            speakers = [member for member in there if not member.engine._context.mode.quiet]
            if speakers and random.random() < 0.3:
                self.published.send(random.choice(speakers), lan.now, b"here")
            lan.run(min(max(0.001, end - lan.now), random.choice([0.3, 1.0, 10.0])))
        lan.heal()
        for other in lan.members:
            for member in away:
                lan.between(other, member)

    def _part(self, away: list[simulation.Member], *, one_way: bool) -> None:
        lan = self.lan
        if not one_way:
            lan.partition(away)
            return
        for member in away:
            for other in lan.members:
                if other is not member:
                    lan.between(other, member, loss=1.0)

    def _drop_in(self, away: list[simulation.Member] | None = None, *, one_way: bool = False) -> None:
        """Somebody says something and is gone: a visitor, or a member that stays for a moment."""
        random, lan, published = self.random, self.lan, self.published
        options: dict[str, Any] = random.choice([{"visitor": True}, {"visitor": True}, {}])
        guest = lan.join(f"v{len(lan.members)}", skew=random.choice(CLOCKS), **options)
        if one_way and away:
            self._part(away, one_way=True)
        lan.run(random.choice([0.0, 0.5]))
        for _ in range(random.choice([1, 1, 3])):
            receipt = published.send(guest, lan.now, b"v" * random.choice([1, 20, 200, 4000]))
            if random.random() < 0.5:
                lan.run(0.1)
        lan.run(random.choice([0.005, 0.3, 2.0]))
        self.claims.note(guest, receipt)
        random.choice([guest.leave, guest.crash])()

    def _judge(self) -> None:
        for member in self.lan.members:
            asks = member.engine._context.mode.history
            for life in member.lives:
                check_life(life, self.published, asks=asks)
                check_news(life, self.published)
        self.claims.check(self.lan)
        check_nothing_missed(self.lan, self.published)


def cuts(seed: int) -> simulation.Lan:
    """Run the cuts of one seed; AssertionError when a promise was broken."""
    return simulation.replayable(seed, lambda seed: Cuts(seed).run())
