"""When a receipt asks the peers for confirmation."""

from __future__ import annotations

import asyncio
from typing import cast

from mcast.core.engine import Engine
from mcast.core.engine import Receipt as Place
from mcast.core.events import PeerId
from mcast.runtime.driver import Driver
from mcast.runtime.group import ASK_AGAIN, Receipt

ADA, BOB = PeerId(b"a" * 16, 1), PeerId(b"b" * 16, 1)


class Group:
    """An engine and its driver: `bob` confirms when he was asked so many times, or without it at 0."""

    closing = False

    def __init__(self, asks: int) -> None:
        self.now = 0.0
        self.asks = asks
        self.asked: list[float] = []

    def heard_by(self, sequence: int) -> list[PeerId]:
        """Who confirmed."""
        return [BOB] if len(self.asked) >= self.asks else []

    def unheard_by(self, sequence: int) -> list[PeerId]:
        """Who did not, of those that are known."""
        return [] if self.heard_by(sequence) else [BOB]

    def ask_reports(self, now: float) -> None:
        """All are asked."""
        self.asked.append(now)

    def step(self) -> None:
        """What was queued leaves."""

    async def progress(self, timeout: float) -> None:
        """Something happens eight times a second."""
        self.now += min(timeout, 0.125)


def confirmed(group: Group) -> bool:
    """Whether it is confirmed within two seconds."""
    receipt = Receipt(cast("Engine", group), cast("Driver", group), Place(ADA, 1, 0))
    return asyncio.run(receipt.confirmed(timeout=2.0))


def test_who_confirms_by_himself_is_not_asked() -> None:
    group = Group(0)
    assert confirmed(group)
    assert group.asked == []


def test_when_no_word_comes_all_are_asked_now_and_then() -> None:
    group = Group(2)
    assert confirmed(group)
    assert [round(at, 1) for at in group.asked] == [ASK_AGAIN, 2 * ASK_AGAIN]


def test_nobody_is_waited_for_for_ever() -> None:
    group = Group(100)
    assert not confirmed(group)
    assert len(group.asked) == 3
