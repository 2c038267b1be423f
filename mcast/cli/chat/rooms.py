"""The rooms of a chat: one is shown, the others go on and count what is unread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from mcast.cli.output import escape, note
from mcast.errors import UsageError
from mcast.wire.limits import NAME_MAX

from .conversation import Conversation
from .screen import Screen
from .view import View

LOBBY = "lobby"
"""What the default room is called."""
GIVEN = "key"
"""What the room of a key is called that was given with --key-file or MCAST_KEY: it has no name."""
MOST = 20
"""Rooms at a time: each has sockets of its own."""

Enter = Callable[[View, str, "str | None", bool], AbstractAsyncContextManager[Conversation]]
"""Enters a room: where to show it, its name, the name of the user, and whether one was there just before."""


class Place:
    """A room that was entered."""

    def __init__(self, name: str, view: View, conversation: Conversation, stack: AsyncExitStack) -> None:
        self.name, self.view, self.conversation = name, view, conversation
        self.stack = stack
        self.following: asyncio.Task[None] | None = None


class Rooms:
    """Enters and leaves rooms with `enter`, as the user `name`. There is always one that is shown."""

    def __init__(self, screen: Screen, enter: Enter, name: str | None) -> None:
        self._screen, self._enter, self._name = screen, enter, name
        self._places: dict[str, Place] = {}
        self._over: asyncio.Queue[Place] = asyncio.Queue()
        self._current: Place | None = None
        self.on_enter: Callable[[Conversation], None] = lambda _: None

    @property
    def current(self) -> Conversation:
        """The conversation that is shown."""
        assert self._current is not None, "a room is entered first"  # noqa: S101 - for mypy
        return self._current.conversation

    @property
    def prompt(self) -> str:
        """What stands before what is typed: nothing but a bracket in the lobby, if that is the only room."""
        place = self._current
        if place is None:
            return "> "
        named = place.name != GIVEN and (place.name or len(self._places) > 1)
        words = [escape(place.name) or LOBBY] if named else []
        words += ["keyed"] if place.conversation.keyed else []
        return f"{' '.join(words)}> "

    @property
    def unread(self) -> str:
        """The rooms with messages that were not shown, and how many."""
        waiting = [place for place in self._places.values() if place.view.unread]
        return ", ".join(f"{escape(place.name) or LOBBY} {place.view.unread:,}" for place in waiting)

    def names(self) -> list[str]:
        """The rooms one is in."""
        return [name or LOBBY for name in self._places]

    async def join(self, room: str) -> None:
        """Enter a room and show it; if one is in it already, show it."""
        room = "" if room == LOBBY else room
        if room in self._places:
            self._switch(room)
            return
        if len(self._places) >= MOST:
            raise UsageError(f"you are in {MOST} rooms", "leave one first: /leave ROOM")
        before = self._current
        if before is not None:
            before.view.active = False
        try:
            place = await self._open(room, again=False)
        except BaseException:
            if before is not None:
                before.view.activate(f"still in {escape(before.name) or LOBBY}")
            raise
        self._current = place
        self._screen.refresh()

    def _switch(self, room: str) -> None:
        """Show another room that one is in."""
        if self._current is not None:
            self._current.view.active = False
        self._current = self._places[room]
        self._current.view.activate(f"room {escape(room) or LOBBY}")
        self._screen.refresh()

    async def leave(self, room: str | None) -> bool:
        """Leave a room, by default the one that is shown. False if it was the last one."""
        place = self._current if room is None else self._places.get("" if room == LOBBY else room)
        if place is None:
            raise UsageError(f"you are not in the room {escape(room or LOBBY)}", "see /rooms")
        if len(self._places) == 1:
            return False
        await self._close(place)
        if place is self._current:
            self._current = None
            self._switch(next(reversed(self._places)))
        else:
            note(f"left {escape(place.name) or LOBBY}")
        return True

    async def rename(self, name: str) -> None:
        """Take another name: leave and enter each room, which is how others learn of it."""
        if (size := len(name.encode("utf-8", "replace"))) > NAME_MAX:
            raise UsageError(f"the name has {size} bytes", f"use at most {NAME_MAX}")
        self._name = name
        for place in list(self._places.values()):
            await self._close(place)
            new = await self._open(place.name, again=True, view=place.view)
            if place is self._current:
                self._current = new
        self._screen.refresh()

    def report(self) -> Sequence[str]:
        """A line for each room one is in."""
        lines = []
        for place in self._places.values():
            conversation = place.conversation
            here = len(conversation.peers())
            lock = "keyed" if conversation.keyed else "open"
            unread = f", {place.view.unread:,} unread" if place.view.unread else ""
            shown = ", shown" if place is self._current else ""
            others = f"{here:,} other{'' if here == 1 else 's'}"
            topic = f", topic: {escape(conversation.topic)}" if conversation.topic else ""
            lines.append(f"{escape(place.name) or LOBBY}: {lock}, {others}{unread}{shown}{topic}")
        return lines

    async def ended(self) -> None:
        """Wait until the last room has ended by itself. An error of the last room is raised."""
        while True:
            place = await self._over.get()
            if self._places.get(place.name) is not place or place.following is None:
                continue
            if len(self._places) == 1:
                place.following.result()
                return
            if (error := place.following.exception()) is not None:
                note(f"{escape(place.name) or LOBBY}: {error}")
            await self.leave(place.name or LOBBY)

    async def close(self) -> None:
        """Leave all rooms, also if it is cancelled."""
        async with AsyncExitStack() as stack:
            for place in reversed(self._places.values()):
                stack.push_async_callback(self._close, place)

    async def _open(self, room: str, *, again: bool, view: View | None = None) -> Place:
        view = view or View(self._screen)
        stack = AsyncExitStack()
        conversation = await stack.enter_async_context(self._enter(view, room, self._name, again))
        place = self._places[room] = Place(room, view, conversation, stack)
        self.on_enter(conversation)
        place.following = asyncio.create_task(conversation.follow())
        place.following.add_done_callback(lambda _: self._over.put_nowait(place))
        return place

    async def _close(self, place: Place) -> None:
        del self._places[place.name]
        try:
            if place.following is not None:
                place.following.cancel()
                await asyncio.gather(place.following, place.conversation.close(), return_exceptions=True)
        finally:  # a cancelled one leaves its group all the same
            await place.stack.aclose()
