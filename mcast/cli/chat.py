"""`mcast chat`: talk with everyone in the group; on a terminal line by line, in a pipe as a filter."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable
from typing import Protocol

from mcast.errors import McastError
from mcast.links import Change
from mcast.plain import Line, PlainGroup

from . import exits, options
from .lines import Said, message_event, said
from .render import Output, note
from .report import Reporter, interface_events
from .run import Ending, run


class Screen(Protocol):
    """Where a chat reads lines and shows those of others."""

    async def read(self) -> str | None:
        """What was typed, usually a line, without its end; None at the end of input."""

    def show(self, said: Iterable[Said]) -> None:
        """Lines of others."""

    def sent(self, text: str) -> None:
        """A line of our own that went out."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def chat(
    group: options.Groups = None,
    port: options.Port = None,
    interface: options.Interfaces = None,
    only4: options.Only4 = False,
    only6: options.Only6 = False,
    ttl: options.Ttl = 1,
    plain: options.Plain = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Talk with everyone in a group. In a pipe every line of stdin is a message.

    On a terminal /quit, exit, Ctrl-D or Ctrl-C leave, /help tells the rest.
    """
    plan = options.make_plan(group, port, interface, only4, only6, ttl=ttl)

    async def command(ending: Ending, output: Output) -> int:
        async with PlainGroup(plan, wait=bool(plan.requested)) as joined:
            reporter = Reporter(joined, quiet=quiet, verbose=verbose)
            reporter.joined("chatting in")
            screen = _screen(output, json)
            try:
                talk = _Chat(joined, screen, reporter, output if json else None)
                await ending.during(talk.work())
            finally:
                screen.close()
            reporter.drops(now=True)
        return talk.exit_code

    return run(command)


def _screen(output: Output, json: bool) -> Screen:
    # What a dumb terminal shows cannot be taken back; it edits its line by itself.
    dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    if sys.stdin.isatty() and sys.stdout.isatty() and not json and not dumb:
        from .terminal import Terminal

        return Terminal()
    from .filter import Filter

    return Filter(output)


class _Chat:
    """Sends what is typed and shows what comes, until the input ends or a command leaves."""

    def __init__(self, group: PlainGroup, screen: Screen, reporter: Reporter, json: Output | None) -> None:
        self.exit_code = exits.DONE
        self._group = group
        self._screen = screen
        self._reporter = reporter
        self._json = json
        self._commands = sys.stdin.isatty()

    async def work(self) -> None:
        showing = asyncio.ensure_future(self._show())
        typing = asyncio.ensure_future(self._type())
        try:
            done, _ = await asyncio.wait({showing, typing}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            showing.cancel()
            typing.cancel()
            await asyncio.gather(showing, typing, return_exceptions=True)

    async def _show(self) -> None:
        async for batch in self._group.batches():
            if lines := [event for event in batch if isinstance(event, Line)]:
                self._shown(lines)
            for event in batch:
                if isinstance(event, Change):
                    self._reporter.changed(event)
                    if self._json:
                        self._json.events(interface_events(event))
            self._reporter.drops()

    def _shown(self, lines: list[Line]) -> None:
        if self._json:
            self._json.events(map(message_event, lines))
        else:
            self._screen.show(map(said, lines))

    async def _type(self) -> None:
        while True:
            try:
                text = await self._screen.read()
            except McastError as error:
                self._failed(error)
                continue
            messages = [text] if text is None or not self._commands else typed(text)
            for message in messages:
                if message is None:
                    return
                self._send(message)

    def _send(self, text: str) -> None:
        try:
            self._group.send(text)
        except McastError as error:
            self._failed(error)
        else:
            self._screen.sent(text)

    def _failed(self, error: McastError) -> None:
        # In a pipe nobody sees that a line was lost but by the exit code.
        if not self._commands:
            self.exit_code = exits.of_error(error)
        note(f"not sent: {error}")


HELP = "/quit, exit, Ctrl-D or Ctrl-C leave; //TEXT sends a line that starts with a slash"


def typed(text: str) -> list[str | None]:
    """The messages to send of what was typed on a terminal; None to leave.

    A line by itself may be a command. Several at once were pasted: each is a message, none a command.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) != 1:
        return list(lines)
    return _command(lines[0])


def _command(line: str) -> list[str | None]:
    word = line.split()[0]
    if line.strip() in ("exit", "/quit", "/exit"):
        return [None]
    if word.startswith("//"):
        return [line.replace("//", "/", 1)]
    if not word.startswith("/"):
        return [line]
    note(HELP if word in ("/help", "/?") else f"unknown command {word}, not sent; {HELP}")
    return []
