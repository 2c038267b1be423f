"""The two wires of the command line behind one face: the protocol, and plain text."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, Self

import msgspec

from mcast.aio import Group, Receipt
from mcast.events import InterfacesChanged
from mcast.net.links import Change, Links, Plan
from mcast.net.plain_text import Line, PlainGroup

if TYPE_CHECKING:  # only who shows what happens needs it: `send` starts without
    from .items import Item, Scene

    Happening = Item | InterfacesChanged | Change

NOBODY = "nobody confirmed that they heard it"
LINGER = 2.0
"""Seconds that a chat in a pipe waits at the end of its input until everyone confirmed."""
PARTING = 0.1
"""The same once everyone has left: for their last reports."""
ACQUAINTED = 0.4
"""Seconds after joining by which those who are here have said so."""


class Wire(Protocol):
    """A joined group, or several."""

    @property
    def links(self) -> Links:
        """Sockets and interfaces."""

    @property
    def plan(self) -> Plan:
        """What was asked for."""

    @property
    def started(self) -> Change:
        """What came of joining."""

    @property
    def room_words(self) -> Sequence[str]:
        """What room it is, unless it is the open one that needs no name."""

    @property
    def kernel_drops(self) -> int:
        """Datagrams that came faster than they were read."""

    def batches(self) -> AsyncIterator[list[Happening]]:
        """What happened since the last look, without end."""

    async def send(self, text: str) -> None:
        """Send a message."""

    async def settle(self) -> str:
        """Wait a little until what was sent is heard; what to say if it was not, empty if all is well."""


class PlainWire:
    """Plain text."""

    room_words = ()

    def __init__(self, group: PlainGroup) -> None:
        self._group = group
        self.links, self.plan = group.links, group.plan

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self.started = self._group.started
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._group.close()

    @property
    def kernel_drops(self) -> int:
        """See Wire."""
        return self._group.kernel_drops

    async def batches(self) -> AsyncIterator[list[Happening]]:
        """See Wire."""
        from .items import PlainItem

        async for batch in self._group.batches():
            yield [PlainItem(event) if isinstance(event, Line) else event for event in batch]

    async def send(self, text: str) -> None:
        """See Wire."""
        self._group.send(text)

    async def settle(self) -> str:
        """See Wire. Nobody can know."""
        return ""


class GroupWire:
    """The protocol, in one group or, for those who only listen, in several."""

    def __init__(self, groups: Sequence[Group], room: str) -> None:
        self.groups = tuple(groups)
        self.last: Receipt | None = None
        self._room = room
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            for group in self.groups:
                await stack.enter_async_context(group)
            self._stack = stack.pop_all()
        first = self.groups[0]
        self._entered = first.now
        self.links, self.started = first.links, first.started
        named = tuple(address for group in self.groups for address in group.plan.groups)
        self.plan = msgspec.structs.replace(first.plan, groups=named)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def room_words(self) -> Sequence[str]:
        """See Wire."""
        if not self.groups[0].room.public:
            return ["sealed with a key"]
        return [f"room {self._room}"] if self._room else []

    @property
    def kernel_drops(self) -> int:
        """See Wire."""
        return sum(group.kernel_drops for group in self.groups)

    @cached_property
    def _scenes(self) -> list[Scene]:
        from .items import Scene

        return [Scene(group, self._room) for group in self.groups]

    @property
    def scene(self) -> Scene:
        """That of the first group."""
        return self._scenes[0]

    async def batches(self) -> AsyncIterator[list[Happening]]:
        """See Wire."""
        if len(self.groups) == 1:
            async for batch in _shown(self._scenes[0]):
                yield batch
            return
        async for batch in _merged(self._scenes):
            yield batch

    async def send(self, text: str) -> None:
        """See Wire."""
        self.last = await self.groups[0].send(text)

    async def settle(self) -> str:
        """See Wire."""
        if self.last is None:
            return ""
        await asyncio.sleep(max(0.0, self._entered + ACQUAINTED - self.groups[0].now))
        if await self.last.confirmed(timeout=LINGER if self.groups[0].peers() else PARTING):
            return ""
        if missing := len(self.last.unheard_by):
            return f"{missing} of those here did not confirm what was sent last"
        return "" if self.last.heard_by else NOBODY  # who heard it may have left meanwhile


async def _shown(scene: Scene) -> AsyncIterator[list[Happening]]:
    from .items import items_of

    async for batch in scene.group.batches():
        received = time.time()
        yield [items_of(event, scene, received) for event in batch]


async def _merged(scenes: Sequence[Scene]) -> AsyncIterator[list[Happening]]:
    """The batches of several groups as they come; a slow reader makes all of them wait."""
    queue: asyncio.Queue[list[Happening]] = asyncio.Queue(maxsize=len(scenes))

    async def fetch(scene: Scene) -> None:
        async for batch in _shown(scene):
            await queue.put(batch)

    tasks = [asyncio.create_task(fetch(scene)) for scene in scenes]
    try:
        while True:
            yield await queue.get()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
