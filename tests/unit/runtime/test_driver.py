"""The driver's order, with sockets that are none."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from mcast.core.engine import Engine, Outgoing
from mcast.core.events import Event
from mcast.net.links import Links, Plan
from mcast.runtime.driver import Driver
from mcast.runtime.event_queue import EventQueue


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
