"""The options that several commands share, and what follows from them."""

from __future__ import annotations

import ipaddress
from typing import Annotated

import typer

from mcast.errors import UsageError
from mcast.net.address import GroupAddress, parse_group, parse_port
from mcast.net.links import Plan
from mcast.net.plain_text import DEFAULT_PORT
from mcast.runtime import joining

from .durations import duration

DEFAULT_GROUP = "230.0.0.1"

Groups = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        "-g",
        envvar="MCAST_GROUP",
        metavar="ADDRESS[:PORT]",
        help=f"Group to join, {DEFAULT_GROUP} unless told; listen and send take several.",
    ),
]
Port = Annotated[
    str | None,
    typer.Option(
        "--port",
        "-p",
        envvar="MCAST_PORT",
        metavar="PORT",
        help=f"UDP port, {joining.DEFAULT_PORT} unless told, with --plain {DEFAULT_PORT}.",
    ),
]
Interfaces = Annotated[
    list[str] | None,
    typer.Option(
        "--interface",
        "-i",
        envvar="MCAST_INTERFACE",
        metavar="NAME_OR_IP",
        help="Network interface to use instead of those chosen; may be repeated.",
    ),
]
Only4 = Annotated[bool, typer.Option("-4", help="IPv4 only.")]
Only6 = Annotated[bool, typer.Option("-6", help="IPv6 only.")]
Ttl = Annotated[
    int,
    typer.Option(
        "--ttl",
        envvar="MCAST_TTL",
        min=0,
        max=255,
        help="How many networks a datagram may cross: 1 is this one.",
    ),
]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="ADDRESS",
        help="Receive from this sender only (needed in 232/8); may be repeated.",
    ),
]
Peers = Annotated[
    list[str] | None,
    typer.Option(
        "--peer",
        envvar="MCAST_PEER",
        metavar="HOST[:PORT]",
        help="Meet this computer by unicast too, where multicast does not get through; may be repeated.",
    ),
]
Plain = Annotated[
    bool,
    typer.Option(
        "--plain", envvar="MCAST_PLAIN", help="Speak plain UTF-8 text, as simple multicast chats do."
    ),
]
Json = Annotated[bool, typer.Option("--json", envvar="MCAST_JSON", help="A JSON object per event.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", envvar="MCAST_QUIET", help="Nothing on stderr but errors.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", envvar="MCAST_VERBOSE", help="Say more.")]
Count = Annotated[
    int | None, typer.Option("--count", "-C", "-c", min=1, metavar="N", help="Stop after N messages.")
]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", "-W", parser=duration, metavar="TIME", help="Stop after this time in all."),
]
Last = Annotated[
    int | None,
    typer.Option("--last", min=0, metavar="N", help="Also the last N messages of those sent before."),
]
Since = Annotated[
    float | None,
    typer.Option("--since", parser=duration, metavar="TIME", help="Also what was sent in the last TIME."),
]
Idle = Annotated[
    float | None,
    typer.Option("--idle", parser=duration, metavar="TIME", help="Stop when nothing came for this long."),
]


def versions(only4: bool, only6: bool) -> tuple[int, ...]:
    """The IP versions that -4 and -6 leave; both flags together are no restriction."""
    return (4, 6) if only4 == only6 else (4,) if only4 else (6,)


def has_port(group: str) -> bool:
    """Whether the text of a group names a port."""
    return (group.startswith("[") and not group.endswith("]")) or group.count(":") == 1


def parse_groups(texts: list[str] | None, port: str | None) -> tuple[GroupAddress, ...]:
    """The groups named, the default one if none is. UsageError for a bad or contradictory one."""
    number = parse_port(port) if port is not None else None
    groups = [parse_group(text, number, default_port=DEFAULT_PORT) for text in texts or [DEFAULT_GROUP]]
    return tuple(dict.fromkeys(groups))


def make_plan(
    groups: list[str] | None,
    port: str | None,
    interfaces: list[str] | None,
    only4: bool,
    only6: bool,
    *,
    ttl: int = 1,
    sources: list[str] | None = None,
    receive: bool = True,
) -> Plan:
    """What the flags ask for, checked: UsageError where they contradict each other or name no group.

    `sources` is None for a command that has no --source.
    """
    chosen = parse_groups(groups, port)
    versions = tuple(sorted({group.version for group in chosen}))
    for only, version in ((only4, 4), (only6, 6)):
        wrong = [group for group in chosen if only and group.version != version]
        if wrong:
            raise UsageError(f"-{version} excludes the group {wrong[0].host}", f"name an IPv{version} group")
    if receive:
        check_sources(chosen, sources)
    return Plan(chosen, tuple(interfaces or ()), versions, ttl, tuple(sources or ()), receive)


def check_sources(groups: tuple[GroupAddress, ...], sources: list[str] | None) -> None:
    """UsageError where a group needs a source and has none, or a source does not fit."""
    for group in groups:
        if group.needs_source and not sources:
            remedy = "name the sender with --source ADDRESS"
            if sources is None:
                remedy = "take another group, or hear one sender with mcast listen --source ADDRESS"
            raise UsageError(f"{group.host} is source-specific", remedy)
    for source in sources or ():
        try:
            address = ipaddress.ip_address(source)
        except ValueError:
            raise UsageError(f"{source!r} is not an address", "give --source an IP address") from None
        if address.is_multicast or any(group.version != address.version for group in groups):
            raise UsageError(
                f"source {source} does not fit the groups", "give a sender's address of their IP version"
            )
