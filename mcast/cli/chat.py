"""`mcast chat`: talk with everyone in the group; on a terminal line by line, in a pipe as a filter."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import typer

from mcast.aio import Receipt
from mcast.errors import McastError
from mcast.events import InterfacesChanged
from mcast.net.links import Change

from . import exits, options, who
from .items import Item, PeerItem, PlainItem, Said
from .opening import Network
from .render import Output, note
from .report import Reporter, interface_events
from .run import Ending, run
from .wires import GroupWire, Wire

GREETING = 0.7
"""Seconds after joining in which peers that turn up were there before; they are named in one line."""


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
    context: typer.Context,
    group: options.Groups = None,
    port: options.Port = None,
    room: who.Room = "",
    key_file: who.KeyFile = None,
    name: who.Name = None,
    profile: who.ProfileName = "default",
    interface: options.Interfaces = None,
    only4: options.Only4 = False,
    only6: options.Only6 = False,
    ttl: options.Ttl = 1,
    peer: options.Peers = None,
    last: options.Last = None,
    since: options.Since = None,
    plain: options.Plain = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Talk with everyone in a group. In a pipe every line of stdin is a message.

    On a terminal /quit, exit, Ctrl-D or Ctrl-C leave, /help tells the rest.
    """
    network = Network(context, group, port, interface, only4, only6, ttl)
    me = who.Who(profile, name, room, key_file)
    make_screen = _screen(json)

    async def command(ending: Ending, output: Output) -> int:
        manners: dict[str, Any] = {"gap_timeout": GAP_TIMEOUT, "peers": peer or ()}
        if since is not None or last is not None or sys.stdin.isatty():
            manners |= {"since": since, "last": LAST if last is None and since is None else last}
        async with network.plain() if plain else network.protocol(me, **manners) as joined:
            reporter = Reporter(joined, quiet=quiet, verbose=verbose)
            reporter.joined("chatting in")
            screen = make_screen(output)
            try:
                talk = _Chat(joined, screen, reporter, output if json else None)
                await ending.during(talk.work())
            finally:
                screen.close()
            reporter.drops(now=True)
        return talk.exit_code

    return run(command)


def _screen(json: bool) -> Callable[[Output], Screen]:
    """What makes the screen; imported before anything runs, as it takes a while."""
    # What a dumb terminal shows cannot be taken back; it edits its line by itself.
    dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    if sys.stdin.isatty() and sys.stdout.isatty() and not json and not dumb:
        from .terminal import Terminal

        return lambda _: Terminal()
    from .filter import Filter

    return Filter


class _Chat:
    """Sends what is typed and shows what comes, until the input ends or a command leaves."""

    def __init__(self, wire: Wire, screen: Screen, reporter: Reporter, json: Output | None) -> None:
        self.exit_code = exits.DONE
        self._wire = wire
        self._screen = screen
        self._reporter = reporter
        self._json = json
        self._commands = sys.stdin.isatty()
        self._people: Sequence[str] | None = None if json else []
        self._warned = False
        self._doubts = Doubts(reporter)

    async def work(self) -> None:
        showing = asyncio.ensure_future(self._show())
        typing = asyncio.ensure_future(self._type())
        greeting = asyncio.get_running_loop().call_later(GREETING, self._greet)
        try:
            done, _ = await asyncio.wait({showing, typing}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            greeting.cancel()
            showing.cancel()
            typing.cancel()
            await asyncio.gather(showing, typing, self._doubts.end(), return_exceptions=True)

    async def _show(self) -> None:
        async for batch in self._wire.batches():
            items: list[Item] = []
            for happening in batch:
                if isinstance(happening, Change | InterfacesChanged):
                    self._reporter.changed(happening)
                    if self._json:
                        self._json.events(interface_events(happening))
                else:
                    items.append(happening)
            if items and self._json:
                self._json.events(item.event() for item in items)
            elif items:
                self._tell(items)
            self._reporter.drops()

    def _tell(self, items: list[Item]) -> None:
        """Messages together, so that a flood of them is one redraw; what else happened between them."""
        said: list[Said] = []
        for item in items:
            if (words := item.said()) is not None:
                said.append(words)
                self._warn(item)
                continue
            if said:
                self._screen.show(said)
                said = []
            self._news(item)
        if said:
            self._screen.show(said)

    def _news(self, item: Item) -> None:
        if self._people is not None and isinstance(item, PeerItem) and item.type == "join":
            self._people = [*self._people, item.label]
            return
        if self._people and isinstance(item, PeerItem) and item.type == "leave":
            self._people = [label for label in self._people if label != item.label]
        self._reporter.say(item.news())

    def _greet(self) -> None:
        """Who was there already, in one line."""
        if self._people:
            self._reporter.say(f"here: {', '.join(self._people)}")
        elif self._people is not None and isinstance(self._wire, GroupWire):
            self._reporter.say("nobody else is here yet")
        self._people = None

    def _warn(self, item: Item) -> None:
        """Once: whoever speaks plain text cannot read us."""
        if self._warned or not isinstance(item, PlainItem) or not isinstance(self._wire, GroupWire):
            return
        self._warned = True
        note(f"{item.speaker} speaks plain text and cannot read you: mcast chat --plain -g {item.place}")

    async def _type(self) -> None:
        while True:
            try:
                text = await self._screen.read()
            except McastError as error:
                self._failed(error)
                continue
            if self._commands and text is not None and text.strip().casefold() == "/who":
                self._who()
                continue
            messages = [text] if text is None or not self._commands else typed(text)
            for message in messages:
                if message is None:
                    await self._settle()
                    return
                await self._send(message)

    async def _settle(self) -> None:
        """In a pipe the end comes right after the last line, which others may yet have to ask for."""
        if not self._commands and (words := await self._wire.settle()):
            note(words)

    async def _send(self, text: str) -> None:
        try:
            await self._wire.send(text)
        except McastError as error:
            self._failed(error)
        else:
            self._screen.sent(text)
            if self._commands and isinstance(self._wire, GroupWire) and self._wire.last is not None:
                self._doubts.sent(self._wire.last)

    def _who(self) -> None:
        if not isinstance(self._wire, GroupWire):
            note("plain text has no names: nobody knows who is here")
            return
        scene = self._wire.scene
        people, group = scene.people, scene.group
        labels = [people.label(peer.peer_id, peer.name) for peer in group.peers()]
        note(f"here: {', '.join([f'{people.label(group.peer_id, group.name)} (you)', *labels])}")

    def _failed(self, error: McastError) -> None:
        # In a pipe nobody sees that a line was lost but by the exit code.
        if not self._commands:
            self.exit_code = exits.of_error(error)
        note(f"not sent: {error}")


class Doubts:
    """Tells who types when nobody confirms it: once, until somebody does again."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._unheard = False
        self._waiting: asyncio.Task[None] | None = None

    def sent(self, receipt: Receipt) -> None:
        """A line went out. Of those typed while one is waited for nothing is asked."""
        if self._waiting is None or self._waiting.done():
            self._waiting = asyncio.create_task(self._wait(receipt))

    async def _wait(self, receipt: Receipt) -> None:
        unheard = not await receipt.confirmed(1, timeout=HEARD)
        if unheard and not self._unheard:
            self._reporter.say("nobody has confirmed this yet; who comes soon can still get it")
        self._unheard = unheard

    async def end(self) -> None:
        """Nothing more is told."""
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.gather(self._waiting, return_exceptions=True)


HEARD = 3.0
"""Seconds in which somebody confirms what was typed, as a rule within 0.2."""
LAST = 100
"""Messages of before that people are shown unless they ask for more or less."""
GAP_TIMEOUT = 5.0
"""Seconds that people wait for a lost line before those after it are shown."""
HELP = (
    "/who tells who is here, /help this; /quit, exit, Ctrl-D or Ctrl-C leave; "
    "//TEXT sends a line that starts with /"
)


def typed(text: str) -> list[str | None]:
    """The messages to send of what was typed on a terminal; None to leave.

    A line by itself may be a command. Several at once were pasted: each is a message, none a command.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) != 1:
        return list(lines)
    return _command(lines[0])


def _command(line: str) -> list[str | None]:
    word, whole = line.split()[0], line.strip()
    if whole.casefold() in ("exit", "/quit", "/exit"):
        return [None]
    if word.startswith("//"):
        return [line.replace("//", "/", 1)]
    if not word.startswith("/"):
        return [line]
    note(HELP if word.casefold() in ("/help", "/?") else f"unknown command {whole}, not sent; {HELP}")
    return []
