"""Questions to many peers: every answer comes, none is lost in the rush, and nobody is flooded."""

from __future__ import annotations

from functools import partial

import pytest

from mcast import simulation
from mcast.core.events import Address, Answer, Question
from mcast.wire.contents import ContentKind
from mcast.wire.frames import ANSWERS

QUEUE = 64 * 1024
"""Bytes that wait at the asker's link: a sixth of a receive buffer."""


class Replier:
    """A member that answers every question `delay` seconds later, with `size` bytes."""

    def __init__(self, lan: simulation.Lan, name: str, *, delay: float = 0.0, size: int = 20) -> None:
        self.member = lan.join(name)
        self.member.engine.update(lan.now, flags=ANSWERS)
        self._lan, self._delay, self._size, self._seen = lan, delay, size, 0

    def look(self) -> None:
        """Take what came, every 5 ms: here no driver tells of events."""
        events = self.member.lives[-1].events
        for event in events[self._seen :]:
            if isinstance(event, Question):
                self._lan.at(self._lan.now + self._delay, partial(self._answer, event))
        self._seen = len(events)
        self._lan.at(self._lan.now + 0.005, self.look)

    def _answer(self, question: Question) -> None:
        text = self.member.name.encode().ljust(self._size, b".")
        self.member.send_to(question.peer_id, text, ContentKind.ANSWER, about=question.number)


def ask(asker: simulation.Member, repliers: list[Replier], text: str = "who is up?") -> None:
    """Ask each of them."""
    for replier in repliers:
        replier.look()
        asker.send_to(replier.member.engine.peer_id, text, ContentKind.QUESTION)


def answers(asker: simulation.Member) -> list[str]:
    """Who has answered, in the order of the answers."""
    return [event.name for event in asker.events() if isinstance(event, Answer)]


def crowd(count: int, *, seed: int, size: int = 20) -> tuple[simulation.Lan, list[Replier]]:
    """A LAN with so many repliers that know each other, whose answers have `size` bytes."""
    lan = simulation.Lan(seed=seed)
    repliers = [Replier(lan, f"r{number}", size=size) for number in range(count)]
    lan.run(4.0)
    return lan, repliers


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3])
def test_thirty_answer_through_loss(loss: float) -> None:
    lan, repliers = crowd(30, seed=31)
    asker = lan.join("ada", visitor=True)
    asker.engine.ask_roster(lan.now)
    asker.step()
    lan.run(1.0)
    lan.conditions = simulation.Conditions(loss=loss)
    ask(asker, repliers)
    lan.run(10.0)
    assert sorted(answers(asker)) == sorted(replier.member.name for replier in repliers)


def test_two_hundred_answer_at_once_and_the_asker_is_not_overrun() -> None:
    """All think for half a second, and answer with a kilobyte, over a link that holds few answers.

    The repliers hear no multicast, so they know nothing of the asker before it asks.
    """
    lan = simulation.Lan(seed=32)
    asker = lan.join("ada")
    lan.deaf = {(f"10.0.{number >> 8}.{number & 255}", simulation.PORT) for number in range(2, 202)}
    repliers = [Replier(lan, f"r{number}", delay=0.5, size=1000) for number in range(200)]
    lan.run(2.0)
    assert len(asker.peers()) == 200
    link = lan.narrow(2_000_000, QUEUE, asker)
    ask(asker, repliers)
    lan.run(2.0)  # as long as `mcast ask` waits
    assert len(set(answers(asker))) == 200
    assert link.lost == 0


def test_long_answers_of_many_share_the_way_to_the_asker() -> None:
    lan, repliers = crowd(20, seed=33, size=30_000)
    asker = lan.join("ada")
    lan.run(3.0)
    link = lan.narrow(4_000_000, 3 * QUEUE, asker)
    ask(asker, repliers)
    lan.run(5.0)
    assert len(set(answers(asker))) == 20
    assert link.lost == 0


def test_behind_a_firewall_that_drops_unicast_answers_come_through_the_group() -> None:
    lan, repliers = crowd(10, seed=34)
    asker = lan.join("ada")
    lan.run(2.0)
    real = lan.transmit

    def no_unicast_in(data: bytes, source: Address, destination: Address = None, **more: object) -> None:
        if destination != asker.address:
            real(data, source, destination)

    lan.transmit = no_unicast_in  # type: ignore[method-assign,assignment]  # a stateful firewall
    ask(asker, repliers)
    lan.run(5.0)
    assert len(set(answers(asker))) == 10


def test_a_replier_that_dies_in_the_middle_leaves_the_others_alone() -> None:
    lan, repliers = crowd(5, seed=35, size=60_000)
    asker = lan.join("ada")
    lan.run(2.0)
    ask(asker, repliers)
    lan.run(0.03)
    repliers[0].member.crash()
    lan.run(20.0)
    assert len(set(answers(asker))) == 4
    assert not asker.engine._directed_receiver._partial


def test_what_a_hostile_member_records_and_forges_is_no_answer() -> None:
    lan, repliers = crowd(3, seed=36)
    asker = lan.join("ada")
    lan.run(2.0)
    recorded: list[tuple[bytes, Address]] = []
    lan.on_transmit = lambda data, source, to: (
        recorded.append((data, source)) if to == asker.address else None
    )
    ask(asker, repliers)
    lan.run(1.0)
    lan.on_transmit = None
    assert len(answers(asker)) == 3
    eve = lan.join("eve")
    lan.run(1.0)
    ask(asker, repliers[:1])
    for number in range(1, 9):
        eve.send_to(asker.engine.peer_id, "r0", ContentKind.ANSWER, about=number, patience=1.0)
    for data, source in recorded:
        lan.transmit(data, source, asker.address)
    lan.run(2.0)
    assert sorted(answers(asker)) == ["r0", "r0", "r1", "r2"]
