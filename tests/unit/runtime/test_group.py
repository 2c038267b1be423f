"""When a receipt asks the peers for confirmation, what it waits for, and how a visitor gets acquainted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from mcast import aio
from mcast.core.engine import Receipt as Place
from mcast.core.events import PeerId, PeerView
from mcast.errors import PermissionRefused, SocketError
from mcast.runtime.asking import ACQUAINTED, ALONE, ASK_ROSTER
from mcast.runtime.group import ASK_AGAIN, Acks, By, Group, Receipt

ADA = PeerId(b"a" * 16, 1)
BOB, EVE, CAROL = (PeerView(PeerId(name.encode()[:1] * 16, 1), name) for name in ("bob", "eve", "carol"))


class Fake:
    """A group, its engine and its driver in one.

    `late` are the peers that confirm once they were asked so many times, `never` those that do not.
    """

    closing = False
    spread = 0.02

    def __init__(
        self, asks: int = 0, late: Sequence[PeerView] = (BOB,), never: Sequence[PeerView] = ()
    ) -> None:
        self._engine = self._driver = self
        self.now = 0.0
        self.asks, self.late, self.never = asks, late, never
        self.asked: list[float] = []
        self.refusal: SocketError | None = None
        self.acquainted = 0

    def heard_by(self, sequence: int, first: int) -> Sequence[PeerView]:
        """Who confirmed."""
        return self.late if len(self.asked) >= self.asks else ()

    def unheard_by(self, sequence: int, first: int) -> Sequence[PeerView]:
        """Who did not, of those that are known."""
        return (*(() if self.heard_by(sequence, first) else self.late), *self.never)

    def peer(self, peer: PeerView) -> PeerView:
        """What is known of a peer."""
        return peer

    def ask_reports(self, now: float) -> float:
        """All are asked."""
        self.asked.append(now)
        return self.spread

    async def acquaint(self) -> None:
        """Who is here is known from the start."""
        self.acquainted += 1

    def step(self) -> None:
        """What was queued leaves."""

    async def progress(self, timeout: float) -> None:
        """Something happens eight times a second."""
        self.now += min(timeout, 0.125)


def receipt(group: Fake) -> Receipt:
    """The receipt of a message."""
    return Receipt(cast("Group", group), Place(ADA, 1, 0))


def acked(group: Fake, by: By | None = None) -> Acks:
    """Who confirmed within two seconds."""
    return asyncio.run(receipt(group).acked(by, timeout=2.0))


def test_who_confirms_by_himself_is_not_asked() -> None:
    group = Fake()
    assert asyncio.run(receipt(group).confirmed())
    assert (group.asked, group.acquainted) == ([], 0)


def test_when_no_word_comes_all_are_asked_now_and_then() -> None:
    group = Fake(2)
    assert acked(group) == Acks(True, (BOB,), ())
    assert group.asked == [ASK_AGAIN, 2 * ASK_AGAIN]
    assert group.acquainted == 1


def test_a_large_group_is_asked_less_often() -> None:
    group = Fake(2)
    group.spread = 0.5
    assert acked(group)
    assert group.asked == [ASK_AGAIN, ASK_AGAIN + 0.5]


def test_nobody_is_waited_for_for_ever() -> None:
    group = Fake(100)
    assert acked(group) == Acks(False, (), (BOB,))
    assert len(group.asked) == 7


def test_what_the_system_refuses_is_not_waited_for() -> None:
    group = Fake(100)
    group.refusal = PermissionRefused("not permitted")
    assert not acked(group)
    assert group.now == 0.0


def test_a_group_that_closes_is_not_waited_for() -> None:
    group = Fake(100)
    group.closing = True
    assert not acked(group)
    assert group.now == 0.0


def test_everybody_is_at_least_one_and_without_exception() -> None:
    assert not acked(Fake(late=()))
    assert acked(Fake(never=(EVE,))) == Acks(False, (BOB,), (EVE,))
    assert not asyncio.run(receipt(Fake(never=(EVE,))).confirmed(timeout=1.0))


@pytest.mark.parametrize(
    ("by", "enough"),
    [
        (0, True),
        (1, True),
        (2, False),
        ("bob", True),
        (BOB, True),
        (BOB.peer_id, True),
        (BOB.id, True),
        ("eve", False),
        (["bob"], True),
        (["bob", "eve"], False),
        ([BOB, CAROL.id], False),
        ([], True),
    ],
)
def test_some_peers_are_enough(by: By, enough: bool) -> None:
    group = Fake(never=(EVE,))
    assert acked(group, by).complete is enough
    assert group.acquainted == 0


def test_all_who_are_called_that_have_to_confirm() -> None:
    other = PeerView(PeerId(b"x" * 16, 1), "bob")
    assert not acked(Fake(never=(other,)), "bob")
    assert acked(Fake(never=(other,)), BOB.id)


def test_a_receipt_covers_what_was_sent_together() -> None:
    class Asked(Fake):
        def heard_by(self, sequence: int, first: int) -> Sequence[PeerView]:
            """Who confirmed."""
            self.range = (first, sequence)
            return ()

    group = Asked()
    first, last = (Receipt(cast("Group", group), Place(ADA, number, 0)) for number in (3, 7))
    assert last.heard_by == ()
    assert group.range == (7, 7)
    assert last.since(first).heard_by == ()
    assert group.range == (3, 7)
    assert repr(last) == f"Receipt({last.id})"


class Around:
    """The engine of a visitor: peers are told of when it has asked so many times."""

    collecting = False

    def __init__(self, told: Sequence[int]) -> None:
        self.told, self.asks = told, 0
        self.known: list[PeerView] = []

    def peers(self) -> list[PeerView]:
        """Those known by now."""
        return self.known

    def ask_roster(self, now: float) -> None:
        """Ask."""
        self.asks += 1
        peers = (PeerView(PeerId(b"p" * 16, number), "", joined=now) for number in self.told)
        self.known += (peer for peer, number in zip(peers, self.told, strict=True) if number == self.asks)


@pytest.mark.parametrize(
    ("told", "asks", "least"),
    [((), len(ASK_ROSTER) + 1, ALONE), ((1, 1, 3), len(ASK_ROSTER), ASK_ROSTER[2] + ACQUAINTED)],
)
def test_a_visitor_asks_around_once(told: Sequence[int], asks: int, least: float) -> None:
    async def scenario() -> tuple[Around, float]:
        group = aio.join("230.0.0.1", visitor=True)
        loop = asyncio.get_running_loop()
        engine = Around(told)
        group._entered = group._open = True
        group._loop, group._engine = loop, engine  # type: ignore[assignment] # made up
        group._driver = Fake()  # type: ignore[assignment] # made up
        start = loop.time()
        await group.acquaint()
        took = loop.time() - start
        await group.acquaint()
        return engine, took

    engine, took = asyncio.run(scenario())
    assert engine.asks == asks
    assert took > least


def test_a_visitor_waits_for_the_rest_of_the_roster() -> None:
    async def scenario() -> bool:
        group = aio.join("230.0.0.1", visitor=True)
        loop = asyncio.get_running_loop()
        engine = Around((1,))
        engine.collecting = True
        group._entered = group._open = True
        group._loop, group._engine = loop, engine  # type: ignore[assignment] # made up
        group._driver = Fake()  # type: ignore[assignment] # made up
        loop.call_later(2 * (ASK_ROSTER[-1] + ACQUAINTED), setattr, engine, "collecting", False)
        await group.acquaint()
        return engine.collecting

    assert not asyncio.run(scenario())


def test_a_member_waits_for_who_is_greeted_late() -> None:
    """Its first announcement was lost, or all the answers: half a second tells nothing yet."""

    async def scenario() -> list[str]:
        group = aio.join("230.0.0.1")
        loop = asyncio.get_running_loop()
        engine = Around(())
        group._entered = group._open = True
        group._loop, group._engine = loop, engine  # type: ignore[assignment] # made up
        group._driver = Fake()  # type: ignore[assignment] # made up
        group._began = loop.time()
        bob = PeerView(BOB.peer_id, "bob", joined=group._began + 2 * ACQUAINTED)
        loop.call_at(bob.joined, engine.known.append, bob)
        await group.acquaint()
        known = [peer.name for peer in engine.known]
        engine.collecting = True
        with pytest.raises(StopIteration):  # it is known by then: there is nothing to wait for
            group.acquaint().send(None)
        assert engine.asks == 0
        return known

    assert asyncio.run(scenario()) == ["bob"]


def test_a_group_shows_where_it_is_and_whether_it_is_open() -> None:
    group = aio.join("230.0.0.5:4000", name="ada")
    assert repr(group) == "Group('230.0.0.5:4000', name='ada', not entered)"
    group._open = True
    assert repr(group) == "Group('230.0.0.5:4000', name='ada')"
    group._open, group._closed = False, True
    assert repr(group) == "Group('230.0.0.5:4000', name='ada', closed)"
