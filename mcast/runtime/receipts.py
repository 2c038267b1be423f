"""Receipts: what became of a message that was sent."""

from __future__ import annotations

from mcast.core.engine import Engine
from mcast.core.engine import Receipt as Place
from mcast.core.peer_id import PeerId
from mcast.runtime.driver import Pump
from mcast.runtime.joining import message_id

__all__ = ["Receipt"]

ASK_AGAIN = 0.5
"""Seconds after which those who have not confirmed are asked once more."""


class Receipt:
    """A message that was sent. `id` names it in logs and in the JSON of the command line."""

    __slots__ = ("_engine", "_place", "_pump")

    def __init__(self, engine: Engine, pump: Pump, place: Place) -> None:
        self._engine, self._pump, self._place = engine, pump, place

    @property
    def id(self) -> str:
        """As in `message_id()`."""
        return message_id(self._place.peer_id, self._place.sequence, self._place.index)

    @property
    def heard_by(self) -> tuple[PeerId, ...]:
        """The runs that confirmed that they have this message and all before it. In an open room anyone can
        make up as many as he likes."""
        return tuple(self._engine.heard_by(self._place.sequence))

    @property
    def unheard_by(self) -> tuple[PeerId, ...]:
        """The peers heard of that have not confirmed yet."""
        return tuple(self._engine.unheard_by(self._place.sequence))

    async def confirmed(self, count: int | None = None, *, timeout: float = 2.0) -> bool:
        """Wait until `count` peers confirmed, or with None everyone who is here and at least one; False when
        `timeout` seconds were not enough."""
        limit = self._pump.now + timeout
        ask_at, asked = self._pump.now + ASK_AGAIN, False
        while not self._engine.closing and not self._enough(count):
            now = self._pump.now
            if now >= limit:
                return False
            # The first word comes by itself from whoever is fastest; then the others are asked. If none comes
            # soon it was lost, or signed with a key that we did not know yet: all are asked.
            if now >= ask_at or (self.heard_by and not asked):
                asked = True
                ask_at = now + ASK_AGAIN
                self._engine.ask_reports(now)
                self._pump.pump()
            await self._pump.moved(min(limit - now, ASK_AGAIN))
        return self._enough(count)

    def _enough(self, count: int | None) -> bool:
        if count is None:
            return bool(self.heard_by) and not self.unheard_by
        return len(self.heard_by) >= count
