"""A chat: what is typed is sent or is a command, until the input ends or the user leaves."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from mcast.cli import exits
from mcast.cli.output import note
from mcast.errors import McastError

from .commands import Command, command_in

if TYPE_CHECKING:
    from .conversation import Conversation
    from .pipe import PipeScreen
    from .terminal import Terminal


class Talk:
    """Reads what is typed on `screen` for the conversation `room`. On a terminal it may be a command."""

    def __init__(self, room: Conversation, screen: PipeScreen | Terminal) -> None:
        self.exit_code = exits.DONE
        self.room, self._screen = room, screen
        self._interactive = sys.stdin.isatty()
        self._leaving = False

    def leave(self) -> None:
        """End the chat."""
        self._leaving = True

    async def run(self) -> None:
        """Talk until the input ends."""
        showing = asyncio.ensure_future(self.room.follow())
        typing = asyncio.ensure_future(self._type())
        try:
            done, _ = await asyncio.wait({showing, typing}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            showing.cancel()
            typing.cancel()
            await asyncio.gather(showing, typing, self.room.close(), return_exceptions=True)

    async def _type(self) -> None:
        while not self._leaving:
            try:
                text = await self._screen.read()
                if text is None:
                    break
                await (self._typed(text) if self._interactive else self.room.send(text))
            except McastError as error:
                self._failed(error)
        if not self._interactive:
            await self.room.settle()

    async def _typed(self, text: str) -> None:
        """Do or send what was typed on a terminal. Several lines were pasted: each is a message."""
        try:
            found = command_in(text)
        except McastError as error:
            note(str(error))
            return
        if found is not None:
            await self._do(*found)
            return
        lines = [line for line in text.splitlines() if line.strip()]
        if [line.strip().casefold() for line in lines] == ["exit"]:
            self.leave()
            return
        if len(lines) == 1 and lines[0].split()[0].startswith("//"):
            lines = [lines[0].replace("//", "/", 1)]
        for line in lines:
            await self.room.send(line)

    async def _do(self, command: Command, rest: str) -> None:
        try:
            await command.run(self, rest)
        except McastError as error:
            note(f"not sent: {error}" if command.sends else str(error))

    def _failed(self, error: McastError) -> None:
        # In a pipe only the exit code tells that a line was lost.
        if not self._interactive:
            self.exit_code = exits.of_error(error)
        note(f"not sent: {error}")
