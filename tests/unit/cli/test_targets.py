"""Who is asked by `ping` and `doctor`, and what looking for them costs."""

from __future__ import annotations

import asyncio
from math import inf
from typing import cast

from mcast.aio import Group
from mcast.cli import targets
from mcast.doctor.exchange import OVERHEAD


class Crowd:
    """A group in which somebody comes all the time; `sent` datagrams of 100 bytes leave between two looks."""

    def __init__(self, sent: int = 0) -> None:
        self.looks, self._sent = 0, sent

    async def acquaint(self) -> None:
        """It has no end."""
        await asyncio.Event().wait()

    def traffic(self) -> dict[str, dict[str, int]]:
        """By two interfaces."""
        self.looks += 1
        counts = {"sent": self._sent * self.looks, "sent_bytes": 100 * self._sent * self.looks}
        return {"eth0": counts, "wlan0": counts}


def acquaint(crowd: Crowd, most: float, seconds: float) -> bool:
    """Whether it ended within some seconds."""

    async def main() -> bool:
        try:
            async with asyncio.timeout(seconds):
                await targets._acquaint(cast(Group, crowd), most)
        except TimeoutError:
            return False
        return True

    return asyncio.run(main())


def test_what_a_visitor_sends_has_a_bound_although_a_crowd_comes() -> None:
    assert not acquaint(Crowd(), inf, 0.3)
    crowd = Crowd(sent=10)
    each = 2 * 10 * (100 + OVERHEAD[6])
    assert acquaint(crowd, 3 * each, 60.0)
    assert crowd.looks == 3
