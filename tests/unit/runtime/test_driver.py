"""The driver's order, with sockets that are none."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest

from mcast.core.engine import Engine, Outgoing
from mcast.core.events import Event
from mcast.multicast import Datagram
from mcast.net.links import Links, Plan
from mcast.runtime.driver import Driver
from mcast.runtime.event_queue import EventQueue
from mcast.wire.header import MAGIC


class Interrupted:
    """An engine that, while it is asked what to send, is interrupted by a signal handler."""

    ticking = float("inf")
    depth = most = calls = 0
    driver: Driver

    def datagrams(self, now: float) -> list[Outgoing]:
        """Nothing, the first time after an interruption."""
        self.calls += 1
        self.depth += 1
        self.most = max(self.most, self.depth)
        if self.calls == 1:
            self.driver.step()
        self.depth -= 1
        return []

    def events(self) -> list[Event]:
        """None."""
        return []

    def deadline(self) -> None:
        """Nothing is due."""

    def peers(self) -> list[Any]:
        """Nobody."""
        return []

    def update(self, now: float, **_: object) -> None:
        """Whatever it is."""


def test_an_interrupted_step_is_followed_by_another() -> None:
    async def scenario() -> Interrupted:
        engine = Interrupted()
        engine.driver = Driver(Links(Plan(())), EventQueue(), lambda *_: None, lambda _: None, lambda _: [])
        engine.driver.start(cast(Engine, engine))
        await asyncio.sleep(0.01)
        engine.driver.stop()
        return engine

    engine = asyncio.run(scenario())
    assert engine.most == 1
    assert engine.calls == 2


class Asked:
    """An engine that has PINGs to answer when something comes."""

    questions: tuple[object, ...] = ()
    echoes = 0
    answered: tuple[float, int, int] | None = None

    def receive_all(self, *_: object) -> bool:
        """A PING."""
        self.questions = (object(),)
        return False

    def answer_pings(self, held: float, came: int, ttl: int) -> None:
        """Note it."""
        self.answered = held, came, ttl

    def datagrams(self, now: float) -> list[Outgoing]:
        """Nothing."""
        return []


@pytest.mark.parametrize(("waited", "ttl"), [(0.25, 63), (None, None), (-60.0, 63)])
def test_a_ping_is_answered_with_the_time_since_the_kernel_got_it(
    waited: float | None, ttl: int | None
) -> None:
    async def scenario() -> Asked:
        engine = Asked()
        driver = Driver(Links(Plan((), ttl=4)), EventQueue(), lambda *_: None, lambda _: None, lambda _: [])
        driver._engine = cast(Engine, engine)
        arrived = None if waited is None else time.time() - waited
        driver._receive(None, [Datagram(MAGIC + bytes(80), ("10.9.0.2", 1), 1, ttl, arrived)])
        driver.stop()
        return engine

    answered = asyncio.run(scenario()).answered
    assert answered is not None
    assert answered[0] >= max(0.0, waited or 0.0)
    assert answered[1:] == (ttl or 0, 4)
