"""`mcast history`: show, search, export and remove the messages of the rooms you were in."""

import html as markup
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import typer

from mcast.errors import UsageError
from mcast.store.history import Entry, History, Room

from . import exits, options
from .actions import action_in
from .output import Output, clock, escape, note, payload, rfc3339
from .profiles import Profile, data_directory

MOST = 100
"""Messages that are shown unless --last says otherwise."""
DAY = "%Y-%m-%d"

RoomPattern = Annotated[
    str | None,
    typer.Option(
        "--room", metavar="GLOB", help="Only rooms whose name matches; 'lobby' is the default room."
    ),
]
Search = Annotated[
    str | None, typer.Option("--search", "-s", metavar="TEXT", help="Only messages that contain TEXT.")
]
Last = Annotated[
    int | None,
    options.number_option("--last", least=1, help="Show the last N messages.", show_default=str(MOST)),
]
Since = Annotated[float | None, options.time_option("--since", help="Only messages of the last TIME.")]
Before = Annotated[float | None, options.time_option("--before", help="Only messages older than TIME.")]
Forget = Annotated[bool, typer.Option("--forget", help="Remove the messages instead of showing them.")]
Yes = Annotated[bool, typer.Option("--yes", help="Remove without asking.")]
Json = Annotated[bool, options.json_option("Print one JSON object per message.")]
Html = Annotated[bool, typer.Option("--html", help="Print a web page.")]
Text = Annotated[bool, typer.Option("--text", help="Print text (this is the default).")]


def history(
    profile: options.Profile = "default",
    room: RoomPattern = None,
    search: Search = None,
    last: Last = None,
    since: Since = None,
    before: Before = None,
    forget: Forget = False,
    yes: Yes = False,
    json: Json = False,
    html: Html = False,
    text: Text = False,
) -> int:
    """Show the messages that your chats have kept, or remove them.

    Exit codes: 0 done, 1 the history cannot be read, 2 wrong usage, 4 there is no such message.
    """
    if json + html + text > 1:
        raise UsageError("--json, --html and --text are given together", "use one of them")
    if forget and (search or last or since):
        raise UsageError("--forget cannot be used with --search, --last or --since", "leave them out")
    path = history_file(profile)
    if not path.exists():
        note("there is no history yet; a chat makes one")
        return exits.NOTHING_FOUND
    store = History(path)
    if store.notice:
        note(store.notice)
    rooms = [one for one in store.rooms() if room is None or fnmatchcase(room_label(one), room)]
    now = time.time()
    if forget:
        return _forget(store, rooms, room, now - before if before is not None else float("inf"), yes)
    entries = _found(store, rooms, search or "", last or MOST, now, since, before)
    output = Output()
    if json:
        output.events(event(entry) for entry in entries)
    else:
        output.lines(page(entries) if html else report(entries))
    if not entries:
        note("there is no such message")
    return exits.DONE if entries else exits.NOTHING_FOUND


def history_file(profile: str) -> Path:
    """Where the history of an identity is kept."""
    return data_directory() / f"history-{Profile(profile).name}.db"


def room_label(room: Room) -> str:
    """What a user calls a room. A room with a key has no name: it is called after the start of its id."""
    return f"key {room.id.hex()[:8]}" if room.keyed else room.name or "lobby"


def _found(
    store: History,
    rooms: list[Room],
    search: str,
    last: int,
    now: float,
    since: float | None,
    before: float | None,
) -> list[Entry]:
    start = 0.0 if since is None else now - since
    end = float("inf") if before is None else now - before
    found = [
        entry for room in rooms for entry in store.find(search, room=room, since=start, before=end, last=last)
    ]
    return sorted(found, key=lambda entry: entry.number)[-last:]


def _forget(store: History, rooms: list[Room], pattern: str | None, before: float, yes: bool) -> int:
    if not rooms:
        note(f"no room matches {pattern!r}" if pattern else "there is no message")
        return exits.NOTHING_FOUND
    names = ", ".join(room_label(room) for room in rooms)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("--forget asks before it removes messages", "use --yes where nobody can answer")
        if not typer.confirm(f"Remove the kept messages of {escape(names)}?", err=True):
            return exits.DONE
    count = sum(store.forget(room, before=before) for room in rooms)
    note(f"removed {count} message{'' if count == 1 else 's'} of {names}")
    return exits.DONE


def event(entry: Entry) -> dict[str, Any]:
    """A message as JSON, as `listen --json` prints it, with `"own": true` if this user wrote it."""
    room = entry.room
    name = room.name if room else ""
    return {
        "v": 1,
        "type": "message",
        "ts": rfc3339(entry.received),
        "group": room.group if room else "",
        **({"room": name} if name else {}),
        "sent": rfc3339(entry.sent),
        "id": entry.id,
        "from": {"id": entry.origin.hex()[:16], "name": entry.name},
        **payload(entry.data, entry.text),
        "history": True,
        **({"own": True} if entry.own else {}),
        **({"private": True} if entry.private else {}),
        **({"to": entry.to} if entry.to else {}),
    }


def report(entries: Iterable[Entry]) -> Iterator[str]:
    """The messages as text: a line for each new day or room, and a message's own lines below each other."""
    before = ""
    for entry in entries:
        day = datetime.fromtimestamp(entry.received).astimezone().strftime(DAY)
        heading = f"--- {day} {escape(room_label(entry.room)) if entry.room else ''}".rstrip()
        if heading != before:
            yield heading
            before = heading
        who, text = speaker(entry), "\n".join(_lines(entry))
        action = action_in(text)
        first, *rest = (f"{who}: {text}" if action is None else f"* {who} {action}").split("\n")
        yield f"{clock(entry.received)} {first}"
        yield from (" " * 9 + line for line in rest)


def speaker(entry: Entry) -> str:
    """Who wrote it, as a person reads it, escaped. What this user does is told of the name, as in a chat."""
    own = entry.own and action_in(entry.text or "") is None
    name = "you" if own else f"{escape(entry.name)}·{entry.origin.hex()[:4]}"
    return f"{name} to {escape(entry.to)}" if entry.to else f"{name} (private)" if entry.private else name


def _lines(entry: Entry) -> list[str]:
    """The lines of a message, escaped. Bytes that are no text are shown as their number."""
    if (text := entry.text) is None:
        return [f"({len(entry.data)} bytes)"]
    return [escape(line.expandtabs()) for line in text.split("\n")]


def page(entries: Iterable[Entry]) -> Iterator[str]:
    """The messages as a web page that needs nothing else."""
    yield '<!DOCTYPE html><html><head><meta charset="utf-8"><title>mcast history</title><style>'
    yield "body{font:1em/1.5 sans-serif;max-width:50em;margin:auto;color-scheme:light dark}"
    yield "p{margin:.2em 0;white-space:pre-wrap;overflow-wrap:anywhere}time{opacity:.6}</style></head><body>"
    before = ""
    for entry in entries:
        when = datetime.fromtimestamp(entry.received).astimezone()
        heading = f"{when.strftime(DAY)} {room_label(entry.room) if entry.room else ''}"
        if heading != before:
            yield f"<h2>{markup.escape(escape(heading))}</h2>"
            before = heading
        text = "\n".join(_lines(entry))
        action = action_in(text)
        start, end = ("", ":") if action is None else ("* ", "")
        yield (
            f'<p><time datetime="{when.isoformat()}">{clock(entry.received)}</time>'
            f" {start}<b>{markup.escape(speaker(entry))}</b>{end}"
            f" <bdi>{markup.escape(text if action is None else action)}</bdi></p>"
        )
    yield "</body></html>"
