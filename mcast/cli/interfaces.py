"""`mcast interfaces`: show the network interfaces, which of them mcast uses, and why."""

import contextlib
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from mcast import interfaces as network
from mcast.interfaces import Choice, choose

from . import exits, options
from .output import Output, escape, rfc3339

Row = tuple[str, ...]
_ATTRIBUTES = ("index", "ipv4", "ipv6", "mtu", "up", "multicast", "loopback", "tunnel", "default_route")
"""Attributes of an interface that have the same name in JSON."""
_COLUMNS: Row = ("name", "index", "use", "why", "MTU", "flags", "addresses")

Named = Annotated[
    list[str] | None,
    options.interface_option("Show what mcast uses if you name this interface; may be repeated."),
]
Json = Annotated[bool, options.json_option("Print one JSON object per interface.")]
Watch = Annotated[
    bool, typer.Option("--watch", help="Go on, and show each interface that changes. Ctrl-C ends it.")
]
LOOK = 1.0
"""Seconds between two looks with --watch."""


def interfaces(
    interface: Named = None,
    exclude: options.Excluded = None,
    only4: options.Only4 = False,
    only6: options.Only6 = False,
    watch: Watch = False,
    json: Json = False,
) -> int:
    """Show the network interfaces, whether mcast uses them, and why.

    With --watch it goes on, and shows those that change.

    Exit codes: 0 at least one is usable, 1 failed, 2 wrong usage, 3 none is usable.
    """
    wanted, versions = interface or (), options.versions(only4, only6)
    output = Output()
    if watch:
        with contextlib.suppress(KeyboardInterrupt), exits.terminable():
            for changed in _changes(wanted, exclude or (), versions):
                _show(output, changed, json)
        return exits.DONE
    choices = choose(network.read(), wanted, versions=versions, excluded=exclude or ())
    _show(output, choices, json)
    return exits.DONE if any(choice.used for choice in choices) else exits.NO_NETWORK


def _show(output: Output, choices: Sequence[Choice], json: bool) -> None:
    if json:
        output.events(map(_event, choices))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        output.lines(table([_COLUMNS, *map(_row, choices)], width))


def _changes(
    wanted: Sequence[str], excluded: Sequence[str], versions: Sequence[int]
) -> Iterator[list[Choice]]:
    """All interfaces, then those that have changed or gone, without end."""
    known: dict[str, Choice] = {}
    with network.Watcher() as watcher:
        while True:
            table = None
            with contextlib.suppress(OSError):  # the next look tries again
                table = watcher.poll()
            if table is not None:
                choices = choose(table, wanted, versions=versions, absent_ok=True, excluded=excluded)
                now = {choice.interface.name: choice for choice in choices}
                gone = [
                    Choice(choice.interface, False, "gone")
                    for name, choice in known.items()
                    if name not in now
                ]
                if changed := [choice for name, choice in now.items() if known.get(name) != choice] + gone:
                    yield changed
                known = now
            time.sleep(LOOK)


def _event(choice: Choice) -> Mapping[str, Any]:
    link = choice.interface
    return {
        "v": 1,
        "type": "interface",
        "ts": rfc3339(time.time()),
        "interface": link.name,
        **{name: getattr(link, name) for name in _ATTRIBUTES},
        "used": choice.used,
        "versions": choice.versions,
        "reason": choice.reason,
    }


def _row(choice: Choice) -> Row:
    link = choice.interface
    flags = {"multicast": link.multicast, "loopback": link.loopback, "tunnel": link.tunnel}
    flags = {"up": link.up, "down": not link.up, **flags, "default": link.default_route}
    return (
        escape(link.name),
        str(link.index),
        "yes" if choice.used else "no",
        escape(choice.reason),
        str(link.mtu),
        ",".join(name for name, on in flags.items() if on),
        " ".join(link.addresses) or "-",
    )


def table(rows: list[Row], width: int | None) -> Iterator[str]:
    """Lines of the table: each column is as wide as its widest cell.

    If a row is wider than `width` columns, the last cell continues on the next lines, broken between words.
    """
    widths = [max(map(cells_of, column)) for column in list(zip(*rows, strict=True))[:-1]]
    indent = sum(widths) + 2 * len(widths)
    for *cells, last in rows:
        start = "".join(
            cell + " " * (wide - cells_of(cell) + 2) for cell, wide in zip(cells, widths, strict=True)
        )
        for line in _wrapped(last.split(), width and width - indent):
            yield (start + line).rstrip()
            start = " " * indent


def _wrapped(words: list[str], width: int | None) -> list[str]:
    lines = words[:1]
    for word in words[1:]:
        if width is not None and cells_of(lines[-1]) + 1 + cells_of(word) > width:
            lines.append(word)
        else:
            lines[-1] += f" {word}"
    return lines


def cells_of(text: str) -> int:
    """Columns of a terminal that the text takes."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
