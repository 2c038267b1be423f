"""Sending by the protocol as a visitor: hand over, wait until it was heard, say what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from mcast.aio import Group, Receipt

from . import exits
from .render import note
from .wires import NOBODY, GroupWire

ENOUGH = 1.0
"""Seconds in which whoever hears and confirms at all has confirmed."""


class Sending:
    """Sends to all groups of `wire`, `interval` seconds apart, then lingers for at most `linger` seconds.

    `acks`: how many peers must confirm, 0 for all, None when it does not matter.
    """

    def __init__(self, wire: GroupWire, interval: float, linger: float, acks: int | None) -> None:
        self.exit_code = exits.DONE
        self._wire, self._interval, self._linger, self._acks = wire, interval, linger, acks
        self._last: dict[Group, Receipt] = {}

    async def work(self, messages: Iterable[bytes] | None) -> None:
        """Send `messages`, or the lines of standard input, and linger."""
        if messages is None:
            await self._send_lines()
        else:
            for number, data in enumerate(messages):
                await self._send(data, pause=number > 0)
        confirmed = await asyncio.gather(*map(self._confirmed, self._last.values()))
        if self._acks is not None and not all(confirmed):
            self.exit_code = exits.TIMED_OUT
            if self._acks == 0 and not self._heard():
                self.exit_code = exits.NOTHING_FOUND

    def tell(self) -> None:
        """Say when nobody heard it, or not everybody did, or not as many as were asked for."""
        if not (self._linger or self.exit_code):
            return
        for group, receipt in self._last.items():
            place = f"{group.groups[0]}: " if len(self._last) > 1 else ""
            if words := self._outcome(len(receipt.heard_by), len(receipt.unheard_by)):
                note(place + words)

    def _outcome(self, heard: int, missing: int) -> str:
        if heard and not missing and heard >= (self._acks or 0):
            return ""
        more = "" if self._linger >= ENOUGH and not heard else "; raise --linger to wait longer"
        if not heard:
            return NOBODY + more
        peers = "1 peer" if heard == 1 else f"{heard} peers"
        return f"{peers} confirmed, " + (f"{missing} did not yet" if missing else f"not {self._acks}") + more

    async def _send_lines(self) -> None:
        from .input import Lines

        lines = Lines()
        number = 0
        while (line := await lines.next()) is not None:
            await self._send(line, pause=number > 0)
            number += 1

    async def _send(self, data: bytes, *, pause: bool) -> None:
        if pause and self._interval:
            await asyncio.sleep(self._interval)
        for group in self._wire.groups:
            self._last[group] = await group.send(data)

    async def _confirmed(self, receipt: Receipt) -> bool:
        count = self._acks or None
        return await receipt.confirmed(count, timeout=self._linger)

    def _heard(self) -> int:
        return sum(len(receipt.heard_by) for receipt in self._last.values())
