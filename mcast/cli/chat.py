"""`mcast chat`: talk with everyone in the group, on a terminal or, in a pipe, as a filter."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from mcast.aio import Group, PrivateReceipt, Receipt
from mcast.errors import McastError, UsageError

from . import exits, options, stdin
from .archive import NEW, Archive
from .items import ChatLine, Item, MessageItem, PeerItem, PlainItem, PrivateItem
from .output import Output, escape, note
from .runner import Ending, run
from .session import GroupSession, Network, Participant, Reporter, Session, interface_events, portions

if TYPE_CHECKING:
    from .terminal import Terminal

GREETING = 0.7
"""Seconds after joining. Peers that appear before were here already and are listed in one line."""
CONFIRMED = 3.0
"""Seconds in which somebody should confirm a line. It usually takes less than 0.2."""
LAST = 100
"""Earlier messages that a person sees by default."""
MOST_KEPT = 10_000
"""Messages of before that a chat shows with --since."""
HISTORY_AGE = options.Seconds(365 * 86400)
GAP_TIMEOUT = 5.0
"""Seconds that a chat waits for a lost line before it shows later ones."""
DELIVERED = 10.0
"""Seconds in which a private message should be confirmed. It is repeated for as long."""
NAMED = 50
"""Peers that are listed by name."""
HELP = (
    "/who: see who is here",
    "/msg NAME TEXT: say something to one person alone",
    "/help: see this list",
    "/quit, exit, Ctrl-D or Ctrl-C: leave",
    "//text: send a line that begins with a slash",
)


class PipeScreen:
    """Reads lines from standard input and prints those of others; the counterpart of terminal.Terminal."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._lines = stdin.Lines()

    async def read(self) -> str | None:
        """The next line; None at the end of input. UsageError if it is not UTF-8."""
        line = await self._lines.next()
        return None if line is None else stdin.text_of(line)

    def show(self, lines: Iterable[ChatLine]) -> None:
        """Print lines of others."""
        self._output.lines(line.full() for line in lines)

    async def room(self) -> None:
        """Wait until what was printed has been read, but for a little."""
        await self._output.room()

    def start(self, lines: Iterable[ChatLine | str]) -> None:
        """Print lines of before, and headings between them."""
        self._output.lines(f"--- {line}" if isinstance(line, str) else line.full() for line in lines)

    def sent(self, text: str) -> None:
        """Nothing: a filter does not repeat its input, and a terminal has shown it."""

    def close(self) -> None:
        """Nothing to restore."""


def chat(
    context: typer.Context,
    group: options.Group = None,
    port: options.PortOrPlain = None,
    room: options.Room = "",
    key_file: options.KeyFile = None,
    name: options.Name = None,
    profile: options.Profile = "default",
    interface: options.Interfaces = None,
    only4: options.Only4 = False,
    only6: options.Only6 = False,
    ttl: options.Ttl = 1,
    peer: options.Peers = None,
    last: options.Last = None,
    since: options.Since = None,
    no_history: options.NoHistory = False,
    history_age: options.HistoryAge = HISTORY_AGE,
    history_size: options.HistorySize = 500,
    plain: options.Plain = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Chat with everyone in a group. In a pipe, each line of stdin is a message.

    On a terminal, /help shows the commands; leave with /quit, exit, Ctrl-D or Ctrl-C.

    Exit codes: 0 done, 1 failed, 2 wrong usage or, in a pipe, a line that is too large or not UTF-8,
    3 no usable interface or no permission.
    """
    network = Network(context, group, port, interface, only4, only6, ttl)
    me = Participant(profile, name, room, key_file)
    make_screen = _screen(json)

    async def command(ending: Ending, output: Output) -> int:
        join_options: dict[str, Any] = {"gap_timeout": GAP_TIMEOUT, "peers": peer or ()}
        if since is not None or last is not None or sys.stdin.isatty():
            join_options |= {"since": since, "last": LAST if last is None and since is None else last}
        async with network.plain() if plain else network.protocol(me, **join_options) as session:
            reporter = Reporter(session, quiet=quiet, verbose=verbose)
            reporter.joined("chatting in")
            screen = make_screen(output)
            archive = None
            if isinstance(session, GroupSession) and not no_history:
                archive = _archive(profile, session.groups[0], room, age=history_age, size=history_size * 1e6)
            try:
                if archive and sys.stdin.isatty():
                    most = LAST if last is None and since is None else last
                    screen.start(archive.start(MOST_KEPT if most is None else most, since))
                talk = _Chat(session, screen, reporter, output if json else None, archive)
                await ending.during(talk.run())
            finally:
                screen.close()
                if archive:
                    archive.close()
            reporter.close()
        return talk.exit_code

    return run(command)


def _archive(profile: str, group: Group, room: str, *, age: float, size: float) -> Archive | None:
    """What is kept of the room. None if the disk does not allow it, which the user is told."""
    try:
        return Archive(profile, group, room, age=age, size=size)
    except McastError as error:
        note(f"{error}; the chat goes on, but messages are not kept")
        return None


def _screen(json: bool) -> Callable[[Output], "PipeScreen | Terminal"]:
    """A function that makes the screen, imported before the group is joined because that takes a while."""
    # A dumb terminal cannot erase what it shows, and it edits its line by itself.
    dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    if not sys.stdin.isatty() or not sys.stdout.isatty() or json or dumb:
        return PipeScreen
    from .terminal import Terminal

    return lambda _: Terminal()


class _Chat:
    """Sends what is typed and shows what arrives, until the input ends or the user leaves."""

    def __init__(
        self,
        session: Session,
        screen: "PipeScreen | Terminal",
        reporter: Reporter,
        json: Output | None,
        archive: Archive | None,
    ) -> None:
        self.exit_code = exits.DONE
        self._session = session
        self._screen = screen
        self._reporter = reporter
        self._json = json
        self._archive = archive
        self._interactive = sys.stdin.isatty()
        self._present: Sequence[str] | None = None if json else []
        """Labels of the peers that were here before us; None once they have been listed."""
        self._warned = False
        self._confirmations = Confirmations(reporter)
        self._deliveries: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
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
            for delivery in self._deliveries:
                delivery.cancel()
            await asyncio.gather(showing, typing, self._confirmations.close(), return_exceptions=True)

    async def _show(self) -> None:
        async for changes, items in self._session.batches():
            for change in changes:
                self._reporter.changed(change)
                if self._json:
                    self._json.events(interface_events(change))
            items = [item for item in items if not self._shown(item)]
            async for some in portions(items, self._screen):
                if self._json:
                    self._json.events(item.json() for item in some)
                else:
                    self._show_items(some)
            self._reporter.drops()

    def _show_items(self, items: Sequence[Item]) -> None:
        """Show messages together, so that a flood of them redraws once, and notices between them."""
        lines: list[ChatLine] = []
        for item in items:
            if (line := item.chat_line()) is not None:
                if self._archive and self._archive.starts_the_new(item):
                    self._screen.show(lines)
                    lines = []
                    self._screen.start([NEW])
                lines.append(line)
                self._warn(item)
                continue
            if lines:
                self._screen.show(lines)
                lines = []
            self._notice(item)
        if lines:
            self._screen.show(lines)

    def _shown(self, item: Item) -> bool:
        """Keep a message, and tell whether a person has seen it because it was kept before."""
        if self._archive is None or not isinstance(item, MessageItem | PrivateItem) or item.type != "message":
            return False
        return not self._archive.keep(item) and self._interactive

    def _notice(self, item: Item) -> None:
        if self._present is not None and isinstance(item, PeerItem) and item.type == "join":
            self._present = [*self._present, item.label]
            return
        if self._present and isinstance(item, PeerItem) and item.type == "leave":
            self._present = [label for label in self._present if label != item.label]
        self._reporter.notice(item)

    def _greet(self) -> None:
        """List the peers that were here before us."""
        if self._present:
            self._reporter.say(f"here: {_named(self._present)}")
        elif self._present is not None and isinstance(self._session, GroupSession):
            self._reporter.say("nobody else is here yet")
        self._present = None

    def _warn(self, item: Item) -> None:
        """Warn once that somebody uses plain text and cannot read our messages."""
        if self._warned or not isinstance(item, PlainItem) or not isinstance(self._session, GroupSession):
            return
        self._warned = True
        note(f"{item.host} sends plain text and cannot read you; use: mcast chat --plain -g {item.group}")

    async def _type(self) -> None:
        while True:
            try:
                text = await self._screen.read()
            except McastError as error:
                self._failed(error)
                continue
            if self._interactive and text is not None and text.strip().casefold() == "/who":
                self._who()
                continue
            if self._interactive and text is not None and says_private(text):
                await self._send_privately(text)
                continue
            messages = [text] if text is None or not self._interactive else typed(text)
            for message in messages:
                if message is None:
                    await self._settle()
                    return
                await self._send(message)

    async def _settle(self) -> None:
        """In a pipe the input ends right after the last line, which others may still have to request."""
        if not self._interactive and (problem := await self._session.settle()):
            note(problem)

    async def _send(self, text: str) -> None:
        try:
            await self._session.send(text)
        except McastError as error:
            self._failed(error)
        else:
            self._screen.sent(text)
            if self._archive and isinstance(self._session, GroupSession) and self._session.last:
                self._archive.keep_own(self._session.last.id, text)
            if self._interactive and isinstance(self._session, GroupSession) and self._session.last:
                self._confirmations.sent(self._session.last)

    async def _send_privately(self, text: str) -> None:
        """Send what /msg says; on any doubt, send nothing."""
        from .private import addressed

        try:
            if not isinstance(self._session, GroupSession):
                raise UsageError("plain text has no private messages", "use mcast chat without --plain")
            if len([line for line in text.splitlines() if line.strip()]) > 1:
                raise UsageError("/msg takes one line", "send the lines one by one")
            group, context = self._session.groups[0], self._session.contexts[0]
            line = text.strip().removeprefix(text.split()[0]).strip()
            found = addressed(group.peers(), line)
            if found is None:
                raise UsageError("/msg needs a name and a text", "write /msg NAME TEXT")
            peer, words = found
            receipt = await group.send(words, to=peer)
        except McastError as error:
            self._failed(error)
            return
        label = context.labels.label(peer.peer_id, peer.name)
        self._screen.show([ChatLine(time.time(), f"you to {label} (private)", escape(words), own=True)])
        if self._archive:
            self._archive.keep_own(receipt.id, words, to=label)
        self._deliveries.add(task := asyncio.create_task(self._watch(receipt, label)))
        task.add_done_callback(self._deliveries.discard)

    async def _watch(self, receipt: PrivateReceipt, label: str) -> None:
        """Say so if a private message does not arrive."""
        if not await receipt.confirmed(timeout=DELIVERED):
            note(f"{label} did not confirm your private message")

    def _who(self) -> None:
        if not isinstance(self._session, GroupSession):
            note("/who does not work with plain text, which has no names")
            return
        context = self._session.contexts[0]
        label, group = context.labels.label, context.group
        labels = [label(peer.peer_id, peer.name) for peer in group.peers()]
        note(f"here: {_named([f'{label(group.peer_id, group.name)} (you)', *labels])}")

    def _failed(self, error: McastError) -> None:
        # In a pipe only the exit code tells that a line was lost.
        if not self._interactive:
            self.exit_code = exits.of_error(error)
        note(f"not sent: {error}")


def _named(labels: Sequence[str]) -> str:
    """The labels as a list, of which a crowd of invented peers cannot make more than some lines."""
    more = [f"{len(labels) - NAMED:,} more"] if len(labels) > NAMED else []
    return ", ".join([*labels[:NAMED], *more])


class Confirmations:
    """Tells the user once when nobody confirms a line, and again only after somebody has confirmed one."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._unconfirmed = False
        self._latest: Receipt | None = None
        self._waiting: asyncio.Task[None] | None = None

    def sent(self, receipt: Receipt) -> None:
        """Watch the receipt of a line. Of those sent while a confirmation is pending, the last is watched."""
        self._latest = receipt
        if self._waiting is None or self._waiting.done():
            self._waiting = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        while self._latest is not None:
            receipt, self._latest = self._latest, None
            unconfirmed = not await receipt.confirmed(1, timeout=CONFIRMED)
            if unconfirmed and not self._unconfirmed:
                self._reporter.say("nobody has confirmed this yet; peers that join soon can still get it")
            self._unconfirmed = unconfirmed

    async def close(self) -> None:
        """Stop watching."""
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.gather(self._waiting, return_exceptions=True)


def says_private(text: str) -> bool:
    """Whether any line of what was typed or pasted begins with /msg: it must not go to all."""
    return any(line.split()[:1] and line.split()[0].casefold() == "/msg" for line in text.splitlines())


def typed(text: str) -> list[str | None]:
    """The messages to send for what was typed on a terminal; None to leave.

    A single line may be a command. Several lines were pasted: each is a message, none is a command.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) != 1:
        return list(lines)
    line = lines[0]
    word, whole = line.split()[0], line.strip()
    if whole.casefold() in ("exit", "/quit", "/exit"):
        return [None]
    if word.startswith("//"):
        return [line.replace("//", "/", 1)]
    if not word.startswith("/"):
        return [line]
    if word.casefold() in ("/help", "/?"):
        for entry in HELP:
            note(entry)
    else:
        note(f"unknown command {whole}, not sent; /help lists the commands")
    return []
