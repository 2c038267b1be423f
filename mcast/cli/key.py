"""`mcast key`: make, share and keep the keys of rooms."""

import os
import sys
from enum import StrEnum
from typing import Annotated

import typer

from mcast.errors import UsageError

from . import exits, keyring, options, words
from .keyring import ROTATED, SECRET_SIZE, WHOLE
from .output import Output, escape, note
from .sharing import ask_new_secret, ask_secret, qr


class Action(StrEnum):
    """What to do with a key."""

    new = "new"
    add = "add"
    rotate = "rotate"
    share = "share"
    show = "show"
    list = "list"
    remove = "remove"


What = Annotated[
    Action,
    typer.Argument(
        metavar="new|add|rotate|share|show|list|remove",
        help="new: make a key. add: type the words that somebody gave you. rotate: replace the key. "
        "share: print the words again. show: print a fingerprint to compare. list: print the rooms that have "
        "a key. remove: forget a key.",
    ),
]
RoomName = Annotated[str, typer.Argument(metavar="ROOM", help="The room.", show_default=False)]
Passphrase = Annotated[
    bool, typer.Option("--passphrase", help="Ask for a passphrase of yours, instead of random words.")
]
Qr = Annotated[bool, typer.Option("--qr", help="Also show the words as a QR code.")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace a key that is already there.")]


def key(
    action: What,
    room: RoomName = "",
    group: options.Group = None,
    passphrase: Passphrase = False,
    as_qr: Qr = False,
    replace: Replace = False,
) -> int:
    """Make, share and keep the secret keys of rooms.

    A room with a key can be read and written only by those who have the key. All commands use the key of a
    room as soon as it is here: mcast key new lab; mcast chat --room lab.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 4 there is no such key.
    """
    if action is Action.list:
        rooms = keyring.rooms()
        Output().lines(map(escape, rooms))
        if not rooms:
            note("there is no key yet; make one with: mcast key new ROOM")
        return exits.DONE
    if not room:
        raise UsageError(
            f"mcast key {action} needs the name of a room", f"for instance: mcast key {action} lab"
        )
    keyring.check_name(room)
    place = _one(group)
    if action is Action.rotate:
        return _rotate(room, place, as_qr=as_qr)
    if action in (Action.new, Action.add):
        return _make(action, room, place, passphrase=passphrase, as_qr=as_qr, replace=replace)
    known = keyring.find(room)
    if known is None:
        note(f"there is no key for the room {room}; make one with: mcast key new {room}")
        return exits.NOTHING_FOUND
    if action is Action.remove:
        keyring.remove(room)
        note(f"removed the key of the room {room}")
    elif action is Action.show:
        Output().lines([keyring.fingerprint(known)])
    else:
        _share(known, as_qr=as_qr)
    return exits.DONE


def _one(groups: list[str] | None) -> str | None:
    if groups and len(groups) > 1:
        raise UsageError("a key belongs to one group", "name one group, or none for the default one")
    return groups[0] if groups else None


def _make(
    action: Action, room: str, group: str | None, *, passphrase: bool, as_qr: bool, replace: bool
) -> int:
    """Make a key from new words, from those that somebody else has, or from a passphrase."""
    if passphrase:
        ask = ask_new_secret if action is Action.new else ask_secret
        secret = keyring.check_passphrase(ask("Passphrase: "))
    elif action is Action.new:
        secret = words.encode(os.urandom(SECRET_SIZE))
    else:
        return _add(room, ask_secret("The words: "), group, replace=replace)
    made = keyring.save(room, secret, group, replace=replace)
    # A mistake in a passphrase shows nowhere else: it makes another room, in which nobody is.
    note(f"the key of the room {room} is saved; its fingerprint is: {keyring.fingerprint(made)}")
    if action is Action.new and not passphrase:
        _share(made, as_qr=as_qr)
    note(f"use it with: mcast chat --room {room}")
    return exits.DONE


def _add(room: str, typed: str, group: str | None, *, replace: bool) -> int:
    """Keep the key that somebody's words make."""
    made = keyring.add(room, typed, group, replace=replace)
    note(f"the key of the room {room} is saved; its fingerprint is: {keyring.fingerprint(made)}")
    note(f"use it with: mcast chat --room {room}")
    return exits.DONE


def _rotate(room: str, group: str | None, *, as_qr: bool) -> int:
    """Replace the key of a room by a new one, and print its words."""
    secret = words.encode(os.urandom(SECRET_SIZE), ROTATED)
    made = keyring.rotate(room, secret, group)
    note(f"the key of the room {room} is replaced; the new fingerprint is: {keyring.fingerprint(made)}")
    note("chats of yours that run use it at once, and take the old one for ten minutes more")
    if sys.stdout.isatty():
        note(f"give these words to all others who are to stay; they type them after: mcast key add {room}")
    output = Output()
    output.lines([made.secret])
    if as_qr:
        output.lines(qr(made.secret))
    return exits.DONE


def _shared(known: keyring.RoomKey) -> str:
    """What others type. If the key was replaced, it also tells which room it belongs to."""
    if not known.rotated or known.material.room_id is None:
        return known.secret
    return words.encode(words.decode(known.secret, SECRET_SIZE, ROTATED) + known.material.room_id, WHOLE)


def _share(known: keyring.RoomKey, *, as_qr: bool) -> None:
    """Print the secret of a key, which others type."""
    if not known.secret:
        raise UsageError(f"the key of {known.room} was not made from words", "copy its file instead")
    if sys.stdout.isatty():
        note(f"whoever knows these words can read and write in {known.room}; others type them after:")
        note(f"  mcast key add {known.room}")
    output = Output()
    secret = _shared(known)
    output.lines([escape(secret)])
    if as_qr:
        output.lines(qr(secret))
