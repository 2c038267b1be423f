"""`mcast gateway`: let people without mcast into a group, by lines over TCP or a web page."""

import asyncio
import base64
import contextlib
import hmac
import ipaddress
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from mcast.errors import McastError, UsageError
from mcast.events import InterfacesChanged
from mcast.gateway import Echo, Lines, Lobby
from mcast.gateway.lines import parse_listen
from mcast.net.links import Links

from . import counters, exits, options
from .extras import require
from .joining import joins
from .output import Output, note
from .profiles import Profile
from .runner import Ending, run
from .session import Network, Participant, Reporter

DOORS = ("lines", "web")
LAST = 50
"""Messages of before that a web page shows."""

Doors = Annotated[list[str], typer.Argument(metavar="lines|web...", help="The doors to open.")]
Listen = Annotated[
    list[str] | None,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        help="Where a door listens; one for each door, in their order.",
        show_default="127.0.0.1:3000 for lines, port 8080 on the LAN for web",
    ),
]
EchoBack = Annotated[
    bool, typer.Option("--echo", help="Send back to each client what it sends, and nothing to the group.")
]
Open = Annotated[bool, typer.Option("--open", help="Let everybody use the web page, without link or PIN.")]
AllowKeyed = Annotated[
    bool, typer.Option("--allow-keyed", help="Let guests without the key into a room that has one.")
]
GateName = Annotated[
    str,
    typer.Option(
        "--name",
        "-n",
        metavar="NAME",
        envvar="MCAST_NAME",
        help="Show this name to others, as in 'via gate'.",
    ),
]
GateProfile = Annotated[
    str,
    typer.Option(
        "--profile", metavar="NAME", envvar="MCAST_PROFILE", help="Use the identity NAME (created if new)."
    ),
]


@joins(name=(GateName, "gate"), profile=(GateProfile, "gateway"))
def gateway(
    doors: Doors,
    listen: Listen = None,
    echo: EchoBack = False,
    open_: Open = False,
    allow_keyed: AllowKeyed = False,
    *,
    network: Network,
    me: Participant,
    peers: Sequence[str],
    timeout: options.Timeout = None,
    stats: counters.Stats = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Let people without mcast into a group: lines over TCP, or a web page.

    Prints where each door listens. Members see guests as "ada via gate". You can read all that guests say,
    and you sign it for them.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no usable interface or no permission.
    """
    wanted = _doors(doors, listen or [], echo)
    if echo:
        return run(lambda ending, output: _echo(ending, output, wanted["lines"]), timeout=timeout)

    async def command(ending: Ending, output: Output) -> int:
        joining = network.protocol(me, peers=peers, last=LAST)
        async with joining as session, counters.counted(session, stats), contextlib.AsyncExitStack() as stack:
            reporter = Reporter(session, quiet=quiet, verbose=verbose)
            reporter.joined("a gateway to")
            joined = session.groups[0]
            if not joined.room.public:
                _check_keyed(allow_keyed)
            lobby = Lobby(joined)
            for door, where in wanted.items():
                if door == "lines":
                    lines = await stack.enter_async_context(Lines(lobby, where))
                    _warn(lines.addresses)
                    output.lines(f"lines {address}" for address in lines.addresses)
                    host, _, port = lines.addresses[0].rpartition(":")
                    note(f"guests come in with: nc {host.strip('[]')} {port}")
                else:
                    host = where or f"{_lan_address(joined.links)}:8080"
                    await _open_web(stack, lobby, host, me.profile, output, everybody=open_)

            async def watching() -> None:
                async for batch in joined.batches():
                    session.require_sent()
                    for event in batch:
                        if isinstance(event, InterfacesChanged):
                            reporter.changed(event)
                        lobby.take(event)

            try:
                await ending.during(watching())
            finally:
                reporter.close()
            return exits.DONE

    return run(command, timeout=timeout)


def _doors(doors: list[str], listen: list[str], echo: bool) -> dict[str, str]:
    """Where each door listens. UsageError for unknown or doubled doors, or wrong addresses."""
    for door in doors:
        if door not in DOORS:
            raise UsageError(f"there is no door {door!r}", "use lines, web or both")
        if door == "web":
            require("web")
    if len(set(doors)) < len(doors):
        raise UsageError("a door is named twice", "use lines, web or both")
    if echo and doors != ["lines"]:
        raise UsageError("--echo is for lines only", "use: mcast gateway lines --echo")
    if len(listen) > len(doors):
        raise UsageError("there are more --listen than doors", "give one for each door, in their order")
    defaults = {"lines": "127.0.0.1:3000", "web": ""}
    wanted = {door: (listen[at] if at < len(listen) else defaults[door]) for at, door in enumerate(doors)}
    for where in filter(None, wanted.values()):
        parse_listen(where, 0)
    return wanted


def _check_keyed(allowed: bool) -> None:
    if not allowed:
        raise UsageError(
            "this room has a key, and guests would read and write in it without",
            "if you want that, add --allow-keyed",
        )
    note("WARNING: guests can read and write in this room without its key")


def _warn(addresses: list[str]) -> None:
    """Say what lines on an address of the LAN open."""
    for address in addresses:
        host = address.rpartition(":")[0].strip("[]").partition("%")[0]
        if not ipaddress.ip_address(host).is_loopback:
            note(f"WARNING: whoever can reach {address} can read and write in this group, without a password")


async def _echo(ending: Ending, output: Output, where: str) -> int:
    async with Echo(where) as echo:
        output.lines(f"echo {address}" for address in echo.addresses)
        await ending.during(_forever())
    return exits.DONE


async def _forever() -> None:
    await asyncio.get_running_loop().create_future()


async def _open_web(
    stack: contextlib.AsyncExitStack,
    lobby: Lobby,
    where: str,
    profile: str,
    output: Output,
    *,
    everybody: bool,
) -> None:
    from mcast.gateway.web import Web

    door = Web(lobby, where, everybody=everybody, secret=_secret(profile))
    web = await stack.enter_async_context(door)
    output.lines(f"web {link}" for link in web.links)
    if everybody:
        note("WARNING: everybody who can reach this page can read and write in this group")
    else:
        note(f"who opens the page without this link needs the PIN {web.pin}")
    if sys.stdout.isatty():
        output.lines(web.qr_code())


def _secret(profile: str) -> str | None:
    """The secret of the link: the same for a profile, so that phones come back after a restart."""
    try:
        seed = Profile(profile).seed()
    except McastError:
        return None  # a temporary identity has a temporary link
    digest = hmac.digest(seed, b"mcast gateway: the secret in the link of the web page", "sha256")
    return base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")


def _lan_address(links: Links) -> str:
    """Our own address on the interface that mcast prefers."""
    for link in links.used:
        addresses = [*link.ipv4, *link.ipv6]
        for address in addresses:
            if not ipaddress.ip_interface(address).is_loopback:
                return str(ipaddress.ip_interface(address).ip)
    return "127.0.0.1"
