"""The commands of a chat: a table of their names, what they take, what /help says, and what they do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from mcast.cli.output import note
from mcast.errors import UsageError

from .verification import verify

if TYPE_CHECKING:
    from .talk import Talk


class Command(msgspec.Struct, frozen=True):
    """A command: its name with the slash, what it takes, the line of /help, and what it does.

    `run` gets the chat and what was typed behind the name, stripped. It raises a McastError if that does not
    work; `sends` says that the user must then learn that nothing was sent. `aliases` are other names for it.
    """

    name: str
    arguments: str
    help: str
    run: Callable[[Talk, str], Awaitable[None]]
    aliases: tuple[str, ...] = ()
    sends: bool = False

    @property
    def entry(self) -> str:
        """The line of /help."""
        return f"{f'{self.name} {self.arguments}'.rstrip()}: {self.help}"


async def _who(talk: Talk, _: str) -> None:
    note(talk.room.who())


async def _msg(talk: Talk, line: str) -> None:
    await talk.room.send_privately(line)


async def _help(_: Talk, __: str) -> None:
    for entry in entries():
        note(entry)


async def _quit(talk: Talk, _: str) -> None:
    talk.leave()


COMMANDS = (
    Command("/who", "", "see who is here", _who),
    Command("/msg", "NAME TEXT", "say something to one person alone", _msg, sends=True),
    Command("/verify", "NAME", "compare keys: both of you read the same eight words", verify),
    Command("/help", "", "see this list", _help, ("/?",)),
    Command("/quit", "", "leave; so do exit, Ctrl-D and Ctrl-C", _quit, ("/exit",)),
)
"""All commands, in the order of /help."""
SLASHES = "//text: send a line that begins with a slash"


def entries() -> Iterator[str]:
    """The lines of /help."""
    yield from (command.entry for command in COMMANDS)
    yield SLASHES


def find(word: str) -> Command | None:
    """The command of this name, in upper or lower case."""
    word = word.casefold()
    return next((one for one in COMMANDS if word == one.name or word in one.aliases), None)


def command_in(text: str) -> tuple[Command, str] | None:
    """The command that a text is, and what follows its name; None if the text is a message.

    Raises UsageError for a command that does not exist or is not used like this: nothing must be sent then.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if any(line.split()[0].casefold() == "/msg" for line in lines[1:]):
        raise UsageError("not sent: one of these lines begins with /msg", "send the lines one by one")
    if not lines or (len(lines) > 1 and find(lines[0].split()[0]) is None):
        return None
    word, _, rest = lines[0].strip().partition(" ")
    if word.startswith("//") or not word.startswith("/"):
        return None
    command = find(word)
    if command is None:
        raise UsageError(f"unknown command {lines[0].strip()}, not sent", "/help lists the commands")
    if len(lines) > 1:
        raise UsageError(f"not sent: {command.name} takes one line", "send the lines one by one")
    return command, rest.strip()
