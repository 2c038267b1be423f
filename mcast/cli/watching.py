"""Following the peers of a group, for announce and browse."""

from __future__ import annotations

from mcast.events import InterfacesChanged
from mcast.net.links import Change

from .board import Board
from .hooks import Hooks
from .report import Reporter
from .wires import GroupWire


async def watch_peers(
    wire: GroupWire, board: Board, reporter: Reporter, hooks: Hooks, most: int | None = None
) -> None:
    """Show peers as they come, change and go, until `most` have appeared."""
    await hooks.ready(str(wire.plan.groups[0]))
    async for batch in wire.batches():
        items = []
        for happening in batch:
            if isinstance(happening, Change | InterfacesChanged):
                reporter.changed(happening)
            else:
                items.append(happening)
        board.show(items, most)
        for item in items:
            if item.type in ("alarm", "overflow", "slow", "sending"):
                reporter.say(item.news())
            await hooks.hand(item.type, item.variables(), item.data)
        reporter.drops()
        if most is not None and board.found >= most:
            await hooks.done()
            return
