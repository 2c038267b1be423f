"""`mcast browse`: show the peers of a group and their services, without appearing in the group."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Annotated

import typer

from mcast.aio import Group
from mcast.errors import UsageError

from . import counters, options
from .hooks import Hooks, OnPeers
from .joining import joins
from .others import Others, first_of
from .output import Output, note
from .peer_table import (
    LETTERS,
    PeerFilter,
    PeerTable,
    avahi,
    default_form,
    formatted,
    in_json,
    in_lines,
)
from .runner import Ending, run
from .session import Network, Participant, Reporter

SETTLED = 0.4
"""Seconds without a new entry of DNS-SD or SSDP after which a snapshot is complete."""

Terminate = Annotated[
    bool, typer.Option("--terminate", "-t", help="Show who is there now and stop, after at most 2 s.")
]
Rows = Annotated[int | None, options.number_option("--count", "-C", "-c", least=1, help="Stop after N rows.")]
Services = Annotated[
    list[str] | None,
    typer.Option("--service", metavar="GLOB", help="Show only these services (_http*); may be repeated."),
]
Match = Annotated[
    str | None, typer.Option("--match", metavar="GLOB", help="Show only peers with this name ('printer*').")
]
Passive = Annotated[
    bool, typer.Option("--passive", help="Send nothing: show only what others say by themselves.")
]
Format = Annotated[
    str | None,
    typer.Option("--format", metavar="avahi", help="Print what avahi-browse -r -p -k prints."),
]
Fields = Annotated[str | None, options.fields_option(LETTERS, "%n %a %p")]
DnsSd = Annotated[bool, typer.Option("--dnssd", help="Also show what is offered by DNS-SD (Bonjour).")]
Ssdp = Annotated[bool, typer.Option("--ssdp", help="Also show routers, televisions and drives (UPnP).")]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="KEY=GLOB", help="Show only peers with this tag; may be repeated."),
]


@joins("name")
def browse(
    terminate: Terminate = False,
    service: Services = None,
    tag: Tags = None,
    match: Match = None,
    passive: Passive = False,
    dnssd: DnsSd = False,
    ssdp: Ssdp = False,
    *,
    network: Network,
    me: Participant,
    peers: Sequence[str],
    count: Rows = None,
    timeout: options.Timeout = None,
    on: OnPeers = None,
    format: Format = None,
    fields: Fields = None,
    json: options.Json = False,
    stats: counters.Stats = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Show who is in the group and what they offer.

    A peer has a row for each service, or one if it has none. Columns: mark (+ joined, = changed, - left),
    name, id, service, address, port, interface, age, tags.

    Exit codes: 0 peers found, 1 failed, 2 wrong usage, 3 no usable interface or no permission,
    4 no peer found, 27 fewer than -C asked for, 130 or 143 interrupted before that.
    """
    wanted = PeerFilter(service or (), tag or (), "*" if match is None else match)
    _check(terminate, passive, format, fields, json)
    others = Others(dnssd, ssdp, service or ())
    if passive and (dnssd or ssdp):
        raise UsageError(
            "--passive cannot be used with --dnssd or --ssdp, which ask", "leave one of them out"
        )
    form = avahi if format else default_form() if fields is None else formatted(fields)
    hooks = Hooks(on)

    async def command(ending: Ending, output: Output) -> int:
        wait = bool(network.interfaces) and not terminate
        joining = network.protocol(me, visitor=True, passive=passive, wait=wait, peers=peers)
        async with (
            joining as session,
            counters.counted(session, stats, output if json else None),
            hooks,
            contextlib.AsyncExitStack() as stack,
        ):
            reporter = Reporter(session, quiet=quiet or terminate, verbose=verbose)
            reporter.joined("browsing")
            show = in_json(output) if json else in_lines(output, form)
            table = PeerTable(wanted, show, most=count, merged=others.merged, hold=terminate)
            await stack.enter_async_context(others.on(session.plan))
            asking = asyncio.ensure_future(_ask(session.groups[0], others, ending, terminate))
            try:
                watching = [table.follow(session, reporter, hooks, output)]
                watching += [table.follow_others(each, hooks.put, output) for each in others.batches()]
                complete = await ending.during(first_of(watching))
                table.release()
                if complete:
                    await hooks.done()
            finally:
                asking.cancel()
                reporter.close()
            if not (table.found or quiet) and ending.reason in ("timeout", "settled"):
                nobody = not (session.groups[0].peers() or others.count)
                note(_nothing(nobody, bool(service), bool(tag or match)))
            return ending.exit_code(complete, table.found, count)

    return run(command, timeout=timeout)


def _check(terminate: bool, passive: bool, format: str | None, fields: str | None, json: bool) -> None:
    """UsageError for options that do not go together."""
    if terminate and passive:
        problem = "--passive cannot ask who is there now, as -t does"
        raise UsageError(problem, "use -W TIME instead of -t: peers speak every 5 s or less often")
    if format not in (None, "avahi"):
        raise UsageError(f"--format {format!r} is not a format", "use avahi, or -F for fields of your choice")
    chosen = [flag for flag, on in (("--format", format), ("-F", fields), ("--json", json)) if on]
    if len(chosen) > 1:
        raise UsageError(f"use either {' or '.join(chosen)}, not both")


def _nothing(nobody: bool, by_service: bool, by_tag: bool) -> str:
    """Why nothing was found."""
    if nobody:
        return "nobody is here"
    return "no peer matches" if by_tag else "no service matches" if by_service else "nobody is here"


async def _ask(group: Group, others: Others, ending: Ending, terminate: bool) -> None:
    """Ask who is here. End a snapshot when nothing new appears."""
    start = group.now
    await group.acquaint()
    known, since = others.count, group.now
    while others.wanted and (group.now - since <= SETTLED or group.now - start <= others.patience):
        await asyncio.sleep(0.05)
        if others.count != known:
            known, since = others.count, group.now
    if terminate:
        ending.end("settled")
