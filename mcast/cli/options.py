"""The options that several commands share, and the durations that they take."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from mcast.net.plain_text import DEFAULT_PORT as PLAIN_PORT
from mcast.runtime.joining import DEFAULT_GROUP, DEFAULT_PORT

_UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|s|m|h|d|)", re.ASCII)
_LONGEST = 10 * 365 * 86400


class Seconds(float):
    """A default of a duration, which the help shows with its unit."""

    def __str__(self) -> str:
        return duration_text(self)


def duration_text(seconds: float) -> str:
    """A duration as a user would type it: `300ms`, `10s`, `5m`."""
    for unit in ("d", "h", "m", "s"):
        amount = seconds / _UNITS[unit]
        if amount >= 1 and (unit == "s" or amount.is_integer()):
            return f"{amount:g}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0s"


def duration(text: str | float) -> float:
    """The seconds in `300ms`, `10s`, `5m`, `2h` or `1d`; a bare number is seconds. BadParameter otherwise."""
    match = _DURATION.fullmatch(str(text).strip())
    seconds = float(match[1]) * _UNITS[match[2]] if match else math.inf
    if seconds > _LONGEST:
        raise typer.BadParameter(f"{str(text)!r} is not a duration (300ms, 10s, 5m, 2h)")
    return seconds


def _setting(flag: str, *more: str, **option: Any) -> Any:
    """An option that the environment can set too: --key-file as MCAST_KEY_FILE."""
    variable = f"MCAST_{flag.removeprefix('--').replace('-', '_').upper()}"
    return typer.Option(flag, *more, envvar=variable, **option)


def time_option(*flags: str, **option: Any) -> Any:
    """An option that takes a duration, in seconds for the command."""
    return typer.Option(*flags, parser=duration, metavar="TIME", **option)


def whole_number(least: int, most: int | None = None) -> Callable[[str | int], int]:
    """The parser of an option that takes a whole number from `least` to `most`."""

    def parse(text: str | int) -> int:
        with contextlib.suppress(ValueError):
            if least <= (number := int(text)) and (most is None or number <= most):
                return number
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise typer.BadParameter(f"{str(text)!r} is not a whole number {bounds}")

    return parse


def number_option(*flags: str, least: int, **option: Any) -> Any:
    """An option that takes a whole number of at least `least`."""
    return typer.Option(*flags, parser=whole_number(least), metavar="N", **option)


def _group_option(help: str) -> Any:
    return _setting("--group", "-g", metavar="ADDRESS[:PORT]", help=help, show_default=DEFAULT_GROUP.host)


Group = Annotated[list[str] | None, _group_option("Join this group.")]
Groups = Annotated[list[str] | None, _group_option("Join this group; may be repeated.")]
TargetGroups = Annotated[list[str] | None, _group_option("Send to this group; may be repeated.")]
"""Of `send`."""


def _port_option(show_default: str) -> Any:
    return _setting("--port", "-p", metavar="PORT", help="Use this UDP port.", show_default=show_default)


Port = Annotated[str | None, _port_option(f"{DEFAULT_PORT}")]
PortOrPlain = Annotated[str | None, _port_option(f"{DEFAULT_PORT}, with --plain {PLAIN_PORT}")]
"""Of commands that have --plain."""
Room = Annotated[str, _setting("--room", metavar="NAME", help="Use this room of the group.")]
KeyFile = Annotated[
    str | None,
    _setting(
        "--key-file",
        metavar="FILE",
        help="Read the room's secret key from FILE; others can neither read nor write. Or set MCAST_KEY.",
    ),
]
Name = Annotated[
    str | None,
    _setting("--name", "-n", metavar="NAME", help="Show this name to others.", show_default="your user name"),
]
Profile = Annotated[
    str, _setting("--profile", metavar="NAME", help="Use the identity NAME (created if new).")
]


def interface_option(help: str) -> Any:
    """--interface, which means something else to `mcast interfaces`."""
    return _setting("--interface", "-i", metavar="NAME_OR_IP", help=help, show_default="all suitable ones")


Interfaces = Annotated[list[str] | None, interface_option("Use this network interface; may be repeated.")]
Excluded = Annotated[
    list[str] | None,
    _setting(
        "--exclude", "-x", metavar="NAME_OR_IP", help="Leave out this network interface; may be repeated."
    ),
]
Only4 = Annotated[bool, typer.Option("-4", help="Use IPv4 only.")]
Only6 = Annotated[bool, typer.Option("-6", help="Use IPv6 only.")]
Ttl = Annotated[
    int,
    _setting(
        "--ttl",
        parser=whole_number(0, 255),
        metavar="N",
        help="Let datagrams cross at most N networks (0 to 255); 1 stays on your own network.",
    ),
]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="ADDRESS",
        help="Receive only from this sender (required for groups in 232.0.0.0/8); may be repeated.",
    ),
]
Peers = Annotated[
    list[str] | None,
    _setting(
        "--peer",
        metavar="HOST[:PORT]",
        help="Also reach this computer by unicast, if multicast does not get there; may be repeated.",
    ),
]
Plain = Annotated[bool, _setting("--plain", help="Use plain UTF-8 datagrams, as simple multicast chats do.")]


def json_option(help: str) -> Any:
    """--json of a command."""
    return _setting("--json", help=help)


def fields_option(letters: Mapping[str, str], example: str) -> Any:
    """-F of a command whose fields have these letters."""
    known = ", ".join(f"%{letter} {name}" for letter, name in letters.items())
    return typer.Option("-F", metavar="FIELDS", help=f"Print these fields ('{example}'): {known}.")


Json = Annotated[bool, json_option("Print one JSON object per event.")]
Quiet = Annotated[bool, _setting("--quiet", "-q", help="Print nothing but errors on stderr.")]
Verbose = Annotated[bool, _setting("--verbose", "-v", help="Print more details.")]
Count = Annotated[int | None, number_option("--count", "-C", "-c", least=1, help="Stop after N messages.")]
Timeout = Annotated[float | None, time_option("--timeout", "-W", help="Stop after TIME (10s, 5m).")]
Idle = Annotated[float | None, time_option("--idle", help="Stop when nothing arrived for TIME.")]
Last = Annotated[
    int | None,
    number_option("--last", least=0, help="Also show the last N messages sent before you joined."),
]
Since = Annotated[float | None, time_option("--since", help="Also show messages sent in the last TIME.")]


NoHistory = Annotated[bool, _setting("--no-history", help="Keep no messages on this computer.")]
HistoryAge = Annotated[
    float,
    _setting(
        "--history-age", parser=duration, metavar="TIME", help="Keep messages on this computer for this time."
    ),
]
HistorySize = Annotated[
    int,
    _setting(
        "--history-size",
        parser=whole_number(1),
        metavar="MB",
        help="Keep at most this many megabytes of messages; the oldest go first.",
    ),
]


def versions(only4: bool, only6: bool) -> tuple[int, ...]:
    """The IP versions that -4 and -6 allow; both flags together allow both."""
    return (4, 6) if only4 == only6 else (4,) if only4 else (6,)
