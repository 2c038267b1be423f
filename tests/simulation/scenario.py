"""A random afternoon on a bad network, one for each seed: what `test_safety` and `scripts/simulate` run."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from mcast import simulation
from mcast.settings import Settings
from mcast.wire import frames as f

from .cuts import cuts
from .hostile import Attacker
from .safety import (
    Published,
    check_apart,
    check_confirmations,
    check_life,
    check_nothing_missed,
    holdings,
    holds_the_same,
)

STEPS = 25
CALM = 25.0  # seconds without faults at the end: suspects are expired, tails are repaired
UNICAST_CALM = 35.0  # more of them where copies go by unicast, from one member to the next
AGREEMENT = 128.0  # seconds after the faults in which all come to hold the same records
DAY = 86_400.0


class Afternoon:
    """Members talk, crash, come back, lose their clocks; the network loses, doubles and corrupts."""

    steps = STEPS
    sides: tuple[tuple[int, ...], ...] = ((0,),)  # the LANs of the members in turn

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        size = self._size(seed)
        self.lan = simulation.Lan(
            seed,
            settings=Settings(gap_timeout=random.choice([None, None, 2.0])),
            loss=random.choice([0.0, 0.05, 0.2, 0.3, 0.6]),
            jitter=random.choice([0.001, 0.05]),
            duplicate=0.2,
            reorder=random.choice([0.0, 0.1]),
            corrupt=0.01,
            burst=random.choice([None, simulation.Burst()]),
        )
        self.published = Published()
        self.members = [
            self.lan.join(f"m{number}", lans=self.sides[number % len(self.sides)], **self._options())
            for number in range(size)
        ]
        self.attacker = Attacker(self.lan) if random.random() < 0.5 else None
        self.lengths = [2, 20, 200, 15_000 if size <= 6 else 1500]
        self.most = 20 if size <= 6 else 3

    def _size(self, seed: int) -> int:
        return 50 if seed % 50 == 0 else self.random.choice([2, 3, 3, 4, 5, 6, 8, 10, 12, 20])

    def _options(self) -> dict[str, Any]:
        """Of the engine of the next member."""
        return {}

    def run(self) -> simulation.Lan:
        """Let it all happen, then be calm, then judge."""
        random = self.random
        self.lan.run(3 * random.random())
        for step in range(self.steps):
            self._talk(step)
            self._disturb()
            if self.attacker is not None and random.random() < 0.5:
                self._attack(self.attacker)
            self.lan.run(random.choice([0.001, 0.05, 0.3, 1.0]))
        self._calm()
        self.lan.run(CALM)
        self._conclude()
        return self.lan

    def _calm(self) -> None:
        """The faults cease."""
        self.lan.heal()
        self.lan.conditions = simulation.Conditions()

    def _conclude(self) -> None:
        self._judge()
        self._await_agreement()

    def _await_agreement(self) -> None:
        """The faults have ceased: before long all hold the same records."""
        end = self.lan.now - CALM + AGREEMENT
        while self.lan.now < end and not self._agree():
            self.lan.run(2.0)
        assert self._agree(), f"held after {AGREEMENT} s: {holdings(self.members)}"

    def _agree(self) -> bool:
        return holds_the_same(self.members)

    def _talk(self, step: int) -> None:
        random = self.random
        member = random.choice(self.members)
        if member.alive:
            for _ in range(random.choice([1, 1, 1, self.most])):
                self.published.send(member, self.lan.now, b"%d." % step * (random.choice(self.lengths) // 2))

    def _disturb(self) -> None:
        random, members = self.random, self.members
        member = random.choice(members)
        disturbances: list[tuple[float, Callable[[], object]]] = [
            (0.05, lambda: member.set_clock(random.choice([-DAY, 0.0, DAY]))),
            (0.05, member.crash),
            (0.15, self._revive),
            (0.03, lambda: self.lan.partition(members[::2], members[1::2])),
            (0.12, self.lan.heal),
            (0.03, member.leave),
        ]
        chance = random.random()
        for share, disturb in disturbances:
            chance -= share
            if chance < 0:
                disturb()
                return

    def _revive(self) -> None:
        dead = [member for member in self.members if not member.alive]
        if dead:
            dead[0].start(disk=self.random.random() < 0.5)

    def _attack(self, attacker: Attacker) -> None:
        random = self.random
        victim = random.choice(self.members)
        peer_id = victim.engine.peer_id
        attacks: list[Callable[[], None]] = [
            attacker.announce,
            lambda: attacker.cover(peer_id, 1, 500),
            lambda: attacker.forge_nack(peer_id, 1, 500),
            lambda: attacker.exhaust_session(random.choice(attacker.sessions)),
            lambda: attacker.forge_record(peer_id, random.randrange(1, 50)),
            lambda: attacker.other_room(victim.identity, peer_id.incarnation, random.randrange(1, 50)),
            lambda: attacker.forge_goodbye(peer_id),
            lambda: attacker.forge_heartbeat(peer_id),
            lambda: attacker.replay_frames(f.Announcement),
            attacker.replay_datagrams,
            attacker.cut_up,
            lambda: attacker.flood(peer_id, 1, 100),
        ]
        random.choice(attacks)()

    def _judge(self) -> None:
        for member in self.members:
            for life in member.lives:
                check_life(life, self.published)
        check_nothing_missed(self.lan, self.published)
        check_confirmations(self.lan, self.published)


class NarrowPaths(Afternoon):
    """Between some members large datagrams are lost, without a word and also when all else is well."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        conditions = self.lan.conditions
        self._narrow: list[tuple[simulation.Member, simulation.Member, int]] = []
        for _ in range(3):
            path_size = self.random.choice([600, 1000, 1300, 1400])
            sender, receiver = self.random.sample(self.members, 2)
            self._narrow.append((sender, receiver, path_size))
            self.lan.between(
                sender, receiver, loss=conditions.loss, jitter=conditions.jitter, path_size=path_size
            )

    def _calm(self) -> None:
        super()._calm()
        for sender, receiver, path_size in self._narrow:
            self.lan.between(sender, receiver, path_size=path_size)


class Deaf(Afternoon):
    """Switches drop multicast to some members, or to all; at half of the ends they still do."""

    def _disturb(self) -> None:
        super()._disturb()
        chance = self.random.random()
        if chance < 0.15:
            some = self.random.sample(self.members, self.random.randint(1, len(self.members)))
            self.lan.deaf = {member.address for member in some}
        elif chance < 0.2:
            self.lan.deaf = set()

    def _conclude(self) -> None:
        if self.random.random() < 0.5:
            self.lan.deaf = set()
        self.lan.run(UNICAST_CALM)
        self._judge()
        self.lan.deaf = set()
        self.lan.run(AGREEMENT)
        self._await_agreement()


class TwoLans(Afternoon):
    """Members are on two LANs, some on both: nothing crosses, and each LAN is complete."""

    sides = ((0, 1), (0,), (1,), (0,))

    def _attack(self, attacker: Attacker) -> None:
        """Nobody attacks: an attacker is on all LANs, and what it plays again would cross."""

    def _agree(self) -> bool:
        on = {lan: [one for one in self.members if lan in self.lan.plugs[one.address]] for lan in (0, 1)}
        return all(holds_the_same(members, lan=lan) for lan, members in on.items())

    def _judge(self) -> None:
        super()._judge()
        check_apart(self.lan)


def afternoon(seed: int) -> simulation.Lan:
    """Run the afternoon of one seed, every tenth on two LANs or with narrow paths, every fifth one of cuts.

    AssertionError when a promise was broken.
    """
    if seed % 5 == 3:
        return cuts(seed)
    kind = {9: TwoLans, 4: NarrowPaths}.get(seed % 10, Afternoon)
    return simulation.replayable(seed, lambda seed: kind(seed).run())


def deaf(seed: int) -> simulation.Lan:
    """The same where multicast does not get through to some members. Those that have met go on by unicast."""
    return simulation.replayable(seed, lambda seed: Deaf(seed).run())
