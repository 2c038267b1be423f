"""The commands of a chat: a table of their names, what they take, what /help says, and what they do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from mcast.cli.actions import ACTION, TOPIC
from mcast.cli.output import escape, note
from mcast.cli.people import comparison_words
from mcast.cli.private import find_here
from mcast.cli.session import GroupSession
from mcast.errors import McastError, UsageError
from mcast.wire.limits import NAME_MAX

from . import files, lookups
from .rooms import LOBBY

if TYPE_CHECKING:
    from .talk import Talk


MOST_ROOMS = 30
"""Rooms of others in a list: anybody can make them up."""
USAGE = 20
"""Columns of the first part of a line of /help."""
SAME = "ok"
"""The word behind the name that says that both see the same words."""


class Command(msgspec.Struct, frozen=True):
    """A command: its name with the slash, what it takes, the line of /help, and what it does.

    `run` gets the chat and what was typed behind the name, stripped. It raises a McastError if that does not
    work; `sends` says that the user must then learn that nothing was sent. `aliases` are other names for it.
    Only a command that takes `lines` may have several. `completes` is what Tab offers: "peers", "rooms" (that
    one is in) or "known rooms". One that is not `listed` is told of by another in /help, which fits a screen.
    """

    name: str
    arguments: str
    help: str
    run: Callable[[Talk, str], Awaitable[None]]
    aliases: tuple[str, ...] = ()
    sends: bool = False
    lines: bool = False
    completes: str = ""
    listed: bool = True

    @property
    def entry(self) -> str:
        """The line of /help."""
        return f"{f'{self.name} {self.arguments}':{USAGE}}{self.help}"


async def _who(talk: Talk, _: str) -> None:
    note(talk.room.who())


async def _msg(talk: Talk, line: str) -> None:
    await talk.room.send_privately(line)


async def _status(talk: Talk, _: str) -> None:
    for line in talk.room.delivered():
        note(line)


async def _more(talk: Talk, words: str) -> None:
    talk.screen.more(words)


async def _help(_: Talk, name: str) -> None:
    for entry in entries() if not name else [entry_of(name)]:
        note(entry)


async def _quit(talk: Talk, _: str) -> None:
    talk.leave()


async def _me(talk: Talk, text: str) -> None:
    if not text:
        raise UsageError("/me needs a text", "write /me TEXT, such as /me waves")
    await talk.room.send(f"{ACTION}{text}")


async def _topic(talk: Talk, text: str) -> None:
    if not text:
        topic = talk.room.topic
        note(f"topic: {escape(topic)}" if topic else "no topic is set: /topic TEXT sets one")
        return
    if (size := len(text.encode("utf-8", "replace"))) > NAME_MAX:
        raise UsageError(f"the topic has {size} bytes", f"use at most {NAME_MAX}")
    await talk.room.send(f"{TOPIC}{text}")


async def _bell(talk: Talk, mode: str) -> None:
    note(talk.bell.choose(mode.casefold()))


async def _join(talk: Talk, room: str) -> None:
    if not room:
        raise UsageError("/join needs a room", "write /join ROOM; lobby is the default room")
    await talk.rooms.join(room)


async def _key(talk: Talk, room: str) -> None:
    from mcast.cli import keyring  # most chats need none

    if not room:
        raise UsageError("/key needs a room", "write /key ROOM; then you are asked for its words")
    keyring.check_name(room)
    if room in talk.rooms.names():
        raise UsageError(f"you are in the room {escape(room)}", f"/leave {escape(room)}, then /key again")
    typed = await talk.screen.read_secret("the words or the passphrase, which are not shown: ")
    if typed is None:
        note("nothing was typed, so nothing has changed")
        return
    key = await asyncio.to_thread(keyring.add_typed, room, typed, talk.room.place)
    note(f"the key of {escape(room)} is saved; its fingerprint is: {keyring.fingerprint(key)}")
    await talk.rooms.join(room)


async def _rooms(talk: Talk, _: str) -> None:
    for line in talk.rooms.report():
        note(line)
    inside = talk.rooms.names()
    others = [room for room in await talk.room.find_rooms() if (room.name or LOBBY) not in inside]
    for room in others[:MOST_ROOMS]:
        people = f"{room.members:,} {'person' if room.members == 1 else 'people'}"
        topic = f", topic: {escape(room.topic)}" if room.topic else ""
        name = escape(room.name) or LOBBY
        note(f"{name}: open, {people}{topic}; /join {name} enters it")
    if more := len(others[MOST_ROOMS:]):
        note(f"and {more} more")
    inside += [room.name or LOBBY for room in others]
    if left := [name for name in talk.room_names("", known=True) if name not in inside]:
        note(f"you were in: {', '.join(left)}; /join ROOM enters one")


async def _leave(talk: Talk, room: str) -> None:
    if not await talk.rooms.leave(room or None):
        talk.leave()


async def _nick(talk: Talk, name: str) -> None:
    if not name or talk.simple:
        raise UsageError(
            "/nick needs a name" if not talk.simple else "plain text has no names", "write /nick NAME"
        )
    await talk.rooms.rename(name)
    note(talk.room.who())


_MSG = "say something to one person alone"
_VERIFY = "compare keys: both of you read the same eight words"
_JOIN = "enter a room and stay in this one; or show it again"
_IGNORE = "see no more of a person; again: see them again"


async def _verify(talk: Talk, line: str) -> None:
    """Show the words for the peer that is named, or remember that they are the same on both sides."""
    session = talk.room.session
    if not isinstance(session, GroupSession):
        raise UsageError("plain text has no keys", "use mcast chat without --plain")
    if not line:
        raise UsageError("/verify needs a name", f"write /verify NAME, then /verify NAME {SAME}")
    context = session.contexts[0]
    group, known = context.group, context.acquaintances
    if known is None:
        raise UsageError("nobody is remembered here", "chat without --no-history to verify people")
    name, _, word = line.rpartition(" ")
    same = bool(name) and word.casefold() == SAME
    peer = find_here(group.peers(), name if same else line)
    key, own = group.public_key(peer.peer_id), group.public_key(group.peer_id)
    label = context.labels.label(peer.peer_id, peer.name)
    if key is None or own is None:
        raise McastError(f"the key of {label} is not here yet", "try again in a moment")
    if same:
        await asyncio.to_thread(known.verify, key, peer.name, time.time())
        note(f"{context.labels.label(peer.peer_id, peer.name)} is verified")
        return
    note(await asyncio.to_thread(comparison_words, own, key))
    note(f"{label} types /verify too; if both of you read the same words: /verify {peer.name} {SAME}")


COMMANDS = (
    Command("/who", "", "see who is here", _who),
    Command("/status", "", "see who has got what you said last, and who has not", _status),
    Command("/msg", "NAME TEXT", _MSG, _msg, sends=True, lines=True, completes="peers"),
    Command("/drop", "PATH", "offer files; /files lists offers, /accept N takes one", files.drop),
    Command("/files", "", "see what files are offered, and how far they are", files.files, listed=False),
    Command("/accept", "N [DIR]", "take the files with this number", files.accept, listed=False),
    Command("/me", "TEXT", "say what you do: * ada waves", _me, sends=True, lines=True),
    Command("/topic", "[TEXT]", "see or set what this room talks about", _topic, sends=True),
    Command("/nick", "NAME", "take another name: you leave and enter again", _nick),
    Command("/join", "ROOM", _JOIN, _join, ("/room",), completes="known rooms"),
    Command("/key", "ROOM", "type the words of a room with a key, and enter it", _key),
    Command("/rooms", "", "see your rooms, what is unread, and other open rooms", _rooms),
    Command("/leave", "[ROOM]", "leave this room or another one", _leave, completes="rooms"),
    Command("/whois", "NAME", "see who somebody is", lookups.whois, completes="peers"),
    Command("/verify", "NAME", _VERIFY, _verify, completes="peers"),
    Command("/ignore", "[NAME]", _IGNORE, lookups.ignore, completes="peers"),
    Command("/search", "TEXT", "find what was said in this room", lookups.search),
    Command("/more", "[N]", "see the rest of a long message", _more),
    Command("/save", "[FILE]", "write what is kept of this room to a new file", lookups.save),
    Command("/bell", "[off|pm|all]", "when to ring: pm is for your name and /msg", _bell),
    Command("/stats", "", "see the counters of the network", lookups.stats),
    Command("/help", "[NAME]", "see this list, or what one command does", _help, ("/?",)),
    Command("/quit", "", "leave; so does Ctrl-C or Ctrl-D on an empty line", _quit, ("/exit",)),
)
"""All commands, in the order of /help."""
SLASHES = f"{'//text':{USAGE}}send a text that begins with a slash"


def entries() -> Iterator[str]:
    """The lines of /help."""
    yield from (command.entry for command in COMMANDS if command.listed)
    yield SLASHES


def entry_of(name: str) -> str:
    """The line of /help of one command, which may be written without its slash."""
    word = f"/{name.removeprefix('/')}"
    command = find(word)
    if command is None:
        raise UsageError(f"unknown command {word}", _meant(word))
    return "; also ".join((command.entry, *command.aliases))


def find(word: str) -> Command | None:
    """The command of this name, in upper or lower case."""
    word = word.casefold()
    return next((one for one in COMMANDS if word == one.name or word in one.aliases), None)


def command_in(text: str) -> tuple[Command, str] | None:
    """The command that a text is, and what follows its name; None if the text is a message.

    Raises UsageError for a command that does not exist or is not used like this: nothing must be sent then.
    Several lines are a message, unless the first one is a command that takes lines.
    """
    first, *more = text.strip().split("\n")
    if any(line.split()[:1] and line.split()[0].casefold() == "/msg" for line in more):
        raise UsageError("not sent: a line after the first begins with /msg", "send the lines one by one")
    word, _, rest = first.strip().partition(" ")
    if word.startswith("//") or not word.startswith("/"):
        return None
    command = find(word)
    if more and not (command and command.lines):
        return None
    if command is None:
        raise UsageError(f"unknown command {first.strip()}, not sent", _meant(word))
    return command, "\n".join([rest.strip(), *more]).rstrip()


def _meant(word: str) -> str:
    """What to do about a command that does not exist."""
    from difflib import get_close_matches

    close = get_close_matches(word.casefold(), [one.name for one in COMMANDS], 1, 0.7)
    return f"did you mean {close[0]}? /help lists the commands" if close else "/help lists the commands"
