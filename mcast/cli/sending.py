"""Sending by the protocol as a visitor: hand over, wait until it was heard, say what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from mcast.aio import Group, Receipt

from . import exits
from .render import note
from .wires import GroupWire


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
        if not self._last or not (self._linger or self.exit_code):
            return
        heard = self._heard()
        missing = sum(len(receipt.unheard_by) for receipt in self._last.values())
        if not heard:
            note("nobody heard it" if len(self._last) == 1 else "nobody heard it in any of the groups")
        elif missing:
            note(f"{_peers(heard)} confirmed, {missing} did not yet; raise --linger to wait longer")
        elif self.exit_code:
            note(f"{_peers(heard)} confirmed of {self._acks} wanted; raise --linger to wait longer")

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


def _peers(count: int) -> str:
    return "1 peer" if count == 1 else f"{count} peers"
