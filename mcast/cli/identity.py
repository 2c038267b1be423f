"""`mcast identity`: show, move and replace who you are, and verify who others are."""

import os
import sys
import time
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mcast.crypto.keys import Identity
from mcast.crypto.stretch import SALT_SIZE, lock, unlock
from mcast.errors import McastError, UsageError
from mcast.store.people import People, Person

from . import exits, files, options
from .items import head_of
from .keyring import check_passphrase
from .output import Output, note, rfc3339
from .people import comparison_words, known_as, label, people_file, public_key
from .profiles import SEED_SIZE, Profile, default_name, seed_of, seed_text
from .sharing import ask_new_secret, ask_secret, qr

LOCKED = b"mcast-identity locked 1 "
SIZE_LIMIT = 1024
"""Bytes of an exported identity at most."""


class Action(StrEnum):
    """What to do with an identity."""

    show = "show"
    list = "list"
    verify = "verify"
    new = "new"
    export = "export"
    import_ = "import"


What = Annotated[
    Action,
    typer.Argument(
        metavar="show|list|verify|new|export|import",
        help="show: print your identity. list: print the people you have met. verify: compare the key of one "
        "of them. new: make a new identity. export, import: move an identity to another computer, as a file.",
    ),
]
Subject = Annotated[
    str, typer.Argument(metavar="[NAME|FILE]", help="The person, or the file.", show_default=False)
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Replace an identity that is already there; its file is renamed.")
]
Qr = Annotated[bool, typer.Option("--qr", help="Also show the words as a QR code.")]
Yes = Annotated[bool, typer.Option("--yes", help="The words are the same: do not ask.")]
Undo = Annotated[bool, typer.Option("--undo", help="The person does not count as verified any more.")]
NoPassphrase = Annotated[
    bool, typer.Option("--no-passphrase", help="Export without a passphrase: who has the file is you.")
]


def identity(
    action: What,
    subject: Subject = "",
    profile: options.Profile = "default",
    replace: Replace = False,
    as_qr: Qr = False,
    yes: Yes = False,
    undo: Undo = False,
    no_passphrase: NoPassphrase = False,
    json: options.Json = False,
) -> int:
    """Show, move and replace your identity, and verify those of others.

    An identity is a secret key, made when you use mcast for the first time. Others recognize you by it. To
    verify somebody, both of you run `mcast identity verify NAME` and read each other the eight words.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 4 there is no identity, or nobody was met yet.
    """
    own = Profile(profile)
    needs = {Action.verify: "the name of a person", Action.export: "a file", Action.import_: "a file"}
    if action in needs and not subject:
        raise UsageError(f"mcast identity {action} needs {needs[action]}", f"see: mcast identity {action} -h")
    if action not in needs and subject:
        raise UsageError(f"mcast identity {action} takes no name", f"leave {subject!r} out, or use --profile")
    if action in (Action.new, Action.import_):
        seed = os.urandom(SEED_SIZE) if action is Action.new else _read(Path(subject))
        return _adopt(own, seed, replace)
    if not own.exists:
        note(f"there is no identity {own.name} yet; make one with: mcast identity new")
        return exits.NOTHING_FOUND
    if action is Action.export:
        return _export(own, Path(subject), no_passphrase)
    if action is Action.show:
        return _show(own, json)
    people = _people(profile)
    if people is None:
        note("you have met nobody yet; people are remembered when you chat")
        return exits.NOTHING_FOUND
    if action is Action.list:
        return _list(people.all(), json)
    return _verify(people, subject, profile, as_qr=as_qr, yes=yes, undo=undo)


def _people(profile: str) -> People | None:
    """The people that the identity has met; None if no chat has made the file yet."""
    path = people_file(profile)
    if not path.exists():
        return None
    people = People(path)
    if people.notice:
        note(people.notice)
    return people


def _show(own: Profile, json: bool) -> int:
    origin = Identity(own.seed()).origin.hex()
    if json:
        Output().events([{**head_of("identity", time.time()), "id": origin[:16], "profile": own.name}])
    else:
        Output().lines(
            [
                f"others see you as {default_name()}·{origin[:4]}, unless you use --name",
                f"id       {origin[:16]}",
                f"profile  {own.name}",
                f"file     {own.file} (secret)",
            ]
        )
    return exits.DONE


def _list(people: list[Person], json: bool) -> int:
    if json:
        Output().events(map(_event, people))
    else:
        Output().lines(_row(person) for person in people)
    if not people:
        note("you have met nobody yet")
    return exits.DONE if people else exits.NOTHING_FOUND


def _event(person: Person) -> dict[str, Any]:
    return {
        **head_of("person", time.time()),
        "id": person.origin.hex()[:16],
        "name": person.name,
        "key": person.key.hex(),
        "first": rfc3339(person.first),
        "last": rfc3339(person.last),
        **({"verified": rfc3339(person.verified)} if person.verified is not None else {}),
    }


def _row(person: Person) -> str:
    state = f"verified on {_day(person.verified)}" if person.verified is not None else "not verified"
    return f"{label(person)}  {state}, met on {_day(person.first)}, last seen on {_day(person.last)}"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d")


def _verify(people: People, name: str, profile: str, *, as_qr: bool, yes: bool, undo: bool) -> int:
    """Let the user compare the words, and remember the answer."""
    person = known_as(people.all(), name)
    if undo:
        people.doubt(person.key)
        note(f"{label(person)} does not count as verified any more")
        return exits.DONE
    code = comparison_words(public_key(profile), person.key)
    output = Output()
    output.lines([code])
    if as_qr:
        output.lines(qr(code))
    if not yes:
        note(f"{label(person)} runs `mcast identity verify` with your name, or types /verify in the chat")
        if not sys.stdin.isatty():
            note("if both see the same words, run this again with --yes")
            return exits.DONE
        if not typer.confirm("Do both of you see the same words?", err=True):
            note(f"not verified: perhaps this is another {label(person)}, or somebody is between you")
            return exits.FAILED
    people.verify(person.key, person.name, time.time())
    note(f"{label(person)} is verified; you are warned if somebody else uses that name")
    return exits.DONE


def _adopt(own: Profile, seed: bytes, replace: bool) -> int:
    if own.exists and not replace:
        raise UsageError(
            f"there is an identity {own.name} already",
            "add --replace to use another one instead, or --profile NAME for one more",
        )
    aside = own.adopt(seed)
    if aside is not None:
        note(f"the identity of before is now {aside}; others take you for somebody new")
    return _show(own, json=False)


def _export(own: Profile, path: Path, no_passphrase: bool) -> int:
    """Write the identity to a new file that only this user can read."""
    data = seed_text(own.seed())
    if not no_passphrase:
        passphrase = check_passphrase(ask_new_secret("Passphrase for the file: "))
        data = LOCKED + lock(passphrase, data, os.urandom(SALT_SIZE)).hex().encode() + b"\n"
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | files.BINARY, 0o600)
        with open(file, "wb") as stream:
            stream.write(data)
    except OSError as error:
        raise McastError(
            f"cannot write {path}: {error.strerror or error}", "choose a new file in a directory of yours"
        ) from error
    note(f"whoever has {path}{'' if no_passphrase else ' and the passphrase'} can be you; import it with:")
    note(f"  mcast identity import {path.name}")
    return exits.DONE


def _read(path: Path) -> bytes:
    """The seed in an exported file. UsageError if there is none."""
    try:
        data, _ = files.read(path, SIZE_LIMIT)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it cannot be read"
        raise UsageError(f"cannot read {path} ({why})", "check its name and permissions") from None
    if data.startswith(LOCKED):
        try:
            locked = bytes.fromhex(data.removeprefix(LOCKED).decode("ascii", "replace"))
        except ValueError:
            locked = b""
        opened = unlock(ask_secret("Passphrase of the file: "), locked)
        if opened is None:
            raise UsageError(f"the passphrase does not open {path}", "type the one that it was exported with")
        data = opened
    seed = seed_of(data)
    if seed is None:
        raise UsageError(f"{path} does not contain an identity", "make one with: mcast identity export FILE")
    return seed
