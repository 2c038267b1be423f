"""Who has got a line of one's own."""

from __future__ import annotations

import asyncio

from mcast.aio import Receipt
from mcast.cli.session import Reporter

CONFIRMED = 3.0
"""Seconds in which somebody should confirm a line. It usually takes less than 0.2."""


class Confirmations:
    """Tells the user once when nobody confirms a line, and again only after somebody has confirmed one."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._unconfirmed = False
        self._latest: Receipt | None = None
        self._waiting: asyncio.Task[None] | None = None

    def sent(self, receipt: Receipt) -> None:
        """Watch the receipt of a line. Of those sent while a confirmation is pending, the last is watched."""
        self._latest = receipt
        if self._waiting is None or self._waiting.done():
            self._waiting = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        while self._latest is not None:
            receipt, self._latest = self._latest, None
            unconfirmed = not await receipt.confirmed(1, timeout=CONFIRMED)
            if unconfirmed and not self._unconfirmed:
                self._reporter.say("nobody has confirmed this yet; peers that join soon can still get it")
            self._unconfirmed = unconfirmed

    async def close(self) -> None:
        """Stop watching."""
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.gather(self._waiting, return_exceptions=True)
