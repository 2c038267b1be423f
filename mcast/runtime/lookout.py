"""Meeting the peers that the user named, and finding them again where names or interfaces change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from mcast.core.engine import Engine
from mcast.errors import SocketError
from mcast.runtime.driver import Pump
from mcast.runtime.static_peers import LOOK_AGAIN, NamedPeers, PeerName

ACQUAINTED = 0.3
"""Seconds that entering waits for the first named peer to answer, and for others on its computer."""

Problems = tuple[SocketError, ...]


class Lookout:
    """False when no peer was named: then there is nothing to do."""

    def __init__(self, names: Sequence[PeerName], versions: Sequence[int]) -> None:
        self._named = NamedPeers(names, versions)
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __bool__(self) -> bool:
        return bool(self._named)

    async def resolve(self) -> None:
        """Find out where the named peers are. UsageError for an unknown name."""
        await self._named.look(first=True)

    async def meet(self, pump: Pump, engine: Engine) -> Problems:
        """Ask them, and give them a moment: what is sent first is for them too. What did not work out."""
        problems = (*self._named.problems, *self._ask(pump))
        limit = pump.now + ACQUAINTED
        while self._named.places and not engine.acquainted(now := pump.now) and now < limit:
            await pump.moved(limit - now)
        return problems

    def start(self, pump: Pump, tell: Callable[[Problems], None]) -> None:
        """Go on looking until stop(); `tell` of problems that are new."""
        if self:
            self._task = asyncio.get_running_loop().create_task(self._look_again(pump, tell))

    def look(self) -> None:
        """Look now: the interfaces changed."""
        self._changed.set()

    def stop(self) -> None:
        """Look no more. Twice is fine."""
        if self._task is not None:
            self._task.cancel()

    def _ask(self, pump: Pump) -> Problems:
        beyond = pump.meet(self._named.places)
        if not beyond:
            return ()
        return (SocketError(f"{beyond} addresses of peers are too many", "name fewer; 64 is the most"),)

    async def _look_again(self, pump: Pump, tell: Callable[[Problems], None]) -> None:
        told = {str(problem) for problem in self._named.problems}
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN if self._named.problems else None):
                    await self._changed.wait()
            self._changed.clear()
            problems = self._ask(pump) if await self._named.look() else ()
            news = tuple(one for one in (*self._named.problems, *problems) if str(one) not in told)
            told.update(map(str, news))
            if news:
                tell(news)
