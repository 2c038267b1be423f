"""`mcast interfaces`: what there is, what mcast would use, and why."""

import shutil
import sys
import time
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from mcast import interfaces as network
from mcast.interfaces import Choice, choose

from . import exits, options
from .render import Output, escape, rfc3339

Row = tuple[str, ...]
_COLUMNS: Row = ("name", "index", "use", "why", "MTU", "flags", "addresses")


def interfaces(
    interface: options.Interfaces = None,
    only4: options.Only4 = False,
    only6: options.Only6 = False,
    json: options.Json = False,
) -> int:
    """Show the network interfaces, whether mcast uses them, and why.

    Exit codes: 0 there is one to use, 3 there is none.
    """
    versions = (4,) if only4 and not only6 else (6,) if only6 and not only4 else (4, 6)
    choices = choose(network.read(), interface or (), versions=versions)
    output = Output()
    if json:
        output.events(map(_event, choices))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        output.lines(table([_COLUMNS, *map(_row, choices)], width))
    return exits.DONE if any(choice.used for choice in choices) else exits.NO_NETWORK


def _event(choice: Choice) -> Mapping[str, Any]:
    link = choice.interface
    return {
        "v": 1,
        "type": "interface",
        "ts": rfc3339(time.time()),
        "interface": link.name,
        "index": link.index,
        "ipv4": link.ipv4,
        "ipv6": link.ipv6,
        "mtu": link.mtu,
        "up": link.up,
        "multicast": link.multicast,
        "loopback": link.loopback,
        "tunnel": link.tunnel,
        "default_route": link.default_route,
        "used": choice.used,
        "versions": choice.versions,
        "reason": choice.reason,
    }


def _row(choice: Choice) -> Row:
    link = choice.interface
    flags = {
        "up": link.up,
        "down": not link.up,
        "multicast": link.multicast,
        "loopback": link.loopback,
        "tunnel": link.tunnel,
        "default": link.default_route,
    }
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
    """Columns as wide as their widest cell, two spaces between. The words of the last column go on under
    each other where a row would be wider than `width`, so that a terminal does not break them."""
    widths = [max(map(_cells, column)) for column in list(zip(*rows, strict=True))[:-1]]
    indent = sum(widths) + 2 * len(widths)
    for *cells, last in rows:
        start = "".join(
            cell + " " * (wide - _cells(cell) + 2) for cell, wide in zip(cells, widths, strict=True)
        )
        for line in _wrapped(last.split(), width and width - indent):
            yield (start + line).rstrip()
            start = " " * indent


def _wrapped(words: list[str], width: int | None) -> list[str]:
    lines = words[:1]
    for word in words[1:]:
        if width is not None and _cells(lines[-1]) + 1 + _cells(word) > width:
            lines.append(word)
        else:
            lines[-1] += f" {word}"
    return lines


def _cells(text: str) -> int:
    """Columns that a terminal needs for it."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
