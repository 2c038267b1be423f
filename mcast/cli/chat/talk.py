"""A chat: what is typed is sent or is a command, until the input ends or the user leaves."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mcast.cli import exits
from mcast.cli.output import note
from mcast.errors import McastError

from .bell import Bell
from .commands import Command, command_in
from .conversation import Conversation
from .render import DIM, MENTION, Parts
from .rooms import LOBBY

if TYPE_CHECKING:
    from .rooms import Rooms
    from .screen import Screen


MOST_ROOMS = 50
"""Rooms in a menu or a list."""


class Talk:
    """Reads what is typed on `screen` for the room that is shown. On a terminal it may be a command.

    simple: plain text, where the word `exit` leaves, as in the chats of tutorials.
    """

    def __init__(self, rooms: Rooms, screen: Screen, *, simple: bool = False) -> None:
        self.exit_code = exits.DONE
        self.told = ""
        """The last reason that was told why a line was not sent, in a pipe."""
        self.rooms, self.screen, self.simple = rooms, screen, simple
        screen.talk = self
        self.bell = Bell(screen.ring)
        rooms.on_enter = self._entered
        self._interactive = sys.stdin.isatty()
        self._leaving = False

    @property
    def room(self) -> Conversation:
        """The conversation in the room that is shown."""
        return self.rooms.current

    def leave(self) -> None:
        """End the chat."""
        self._leaving = True

    def prompt(self) -> Parts:
        """What stands before what is typed."""
        return [("", self.rooms.prompt)]

    def status(self) -> Parts:
        """The line below what is typed."""
        unread = self.rooms.unread
        return [*([(MENTION, f"unread: {unread}"), (DIM, " · ")] if unread else []), *self.room.status()]

    def room_names(self, typed: str, *, known: bool = False) -> Sequence[str]:
        """The rooms one is in whose names begin like this; `known` adds those one was in."""
        names = self.rooms.names()
        if known and self.room.archive is not None:
            names += [name or LOBBY for name in self.room.archive.rooms()]
        return [name for name in dict.fromkeys(names) if name.startswith(typed)][:MOST_ROOMS]

    async def run(self) -> None:
        """Talk until the input ends, or the last room does."""
        rooms = asyncio.ensure_future(self.rooms.ended())
        typing = asyncio.ensure_future(self._type())
        try:
            done, _ = await asyncio.wait({rooms, typing}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            rooms.cancel()
            typing.cancel()
            await asyncio.gather(rooms, typing, self.bell.close(), return_exceptions=True)

    async def _type(self) -> None:
        while not self._leaving:
            try:
                text = await self.screen.read()
                if text is None:
                    break
                await (self._typed(text) if self._interactive else self.room.send(text))
            except McastError as error:
                self._failed(error)
        if not self._interactive:
            await self.room.settle()

    async def _typed(self, text: str) -> None:
        """Do or send what was typed or pasted on a terminal."""
        try:
            found = command_in(text)
        except McastError as error:
            note(str(error))
            return
        if found is not None:
            await self._do(*found)
        elif self.simple and text.strip().casefold() == "exit":
            self.leave()
        elif text := text.strip("\n").rstrip():
            await self.room.send(text[1:] if text.startswith("//") else text)

    async def _do(self, command: Command, rest: str) -> None:
        try:
            await command.run(self, rest)
        except McastError as error:
            note(f"not sent: {error}" if command.sends else str(error))

    def _entered(self, conversation: Conversation) -> None:
        conversation.bell = self.bell

    def _failed(self, error: McastError) -> None:
        # In a pipe only the exit code tells that a line was lost.
        if not self._interactive:
            self.exit_code = exits.of_error(error)
            self.told = str(error)
        note(f"not sent: {error}")
