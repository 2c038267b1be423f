"""`mcast interfaces`: what there is, what mcast would use, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcast.interfaces import Choice, choose, read

from . import exits, options
from .render import Output, escape

_COLUMNS = ("name", "index", "use", "why", "MTU", "flags", "addresses")


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
    choices = choose(read(), interface or (), versions=versions)
    output = Output()
    if json:
        output.events(map(_event, choices))
    else:
        output.lines(_table([_COLUMNS, *map(_row, choices)]))
    return exits.DONE if any(choice.used for choice in choices) else exits.NO_NETWORK


def _event(choice: Choice) -> Mapping[str, Any]:
    link = choice.interface
    return {
        "v": 1,
        "type": "interface",
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


def _row(choice: Choice) -> tuple[str, ...]:
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


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns as wide as their widest cell, two spaces between."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
