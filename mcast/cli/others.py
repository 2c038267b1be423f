"""What `browse` shows beyond the group: the extras that find it, while they are wanted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mcast.net.links import Plan

from .extras import require
from .items import PeerItem
from .peer_table import RowItem

if TYPE_CHECKING:
    from mcast.discovery.found import Changes

ENOUGH = {"dnssd": 1.2, "ssdp": 1.8}
"""Seconds after which a snapshot may end: within them, who is there has answered."""


class Others:
    """DNS-SD and SSDP, if they are wanted; UsageError if one of them is not installed.

    services: globs for types, which DNS-SD looks for. Nothing is imported for who wants none.
    """

    def __init__(self, dnssd: bool, ssdp: bool, services: Sequence[str]) -> None:
        self._wanted = [name for name, on in (("dnssd", dnssd), ("ssdp", ssdp)) if on]
        for name in self._wanted:
            require(name)
        self._services = services or ("*",)
        self._changes: list[Changes] = []
        self.patience = max((ENOUGH[name] for name in self._wanted), default=0.0)
        if self._wanted:
            from .found import Merger

            self._merger = Merger()

    @property
    def wanted(self) -> bool:
        """Whether any of them is."""
        return bool(self._wanted)

    @property
    def count(self) -> int:
        """How many entries there are."""
        return sum(map(len, self._changes))

    def merged(self, item: PeerItem) -> RowItem:
        """What to show of a peer of the group."""
        return self._merger.native(item) if self._wanted else item

    @contextlib.asynccontextmanager
    async def on(self, plan: Plan) -> AsyncIterator[None]:
        """Look for them where the group is."""
        async with contextlib.AsyncExitStack() as stack:
            if self._wanted:
                from mcast.discovery.scope import Scope

                scope = Scope(plan.requested, plan.versions, plan.excluded)
            if "dnssd" in self._wanted:
                from mcast.discovery.dnssd_browser import Browser

                browser = await stack.enter_async_context(Browser(scope, self._services))
                self._changes.append(browser.changes)
            if "ssdp" in self._wanted:
                from mcast.discovery.ssdp import Searcher

                searcher = await stack.enter_async_context(Searcher(scope))
                self._changes.append(searcher.changes)
            yield

    def batches(self) -> list[AsyncIterator[Iterable[RowItem]]]:
        """What they find, each as it comes."""
        return [self._merger.items(changes) for changes in self._changes]


async def first_of(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run them until one is done; the others are cancelled. Errors are raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
