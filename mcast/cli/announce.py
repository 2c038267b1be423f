"""`mcast announce`: join a group, advertise services and tags, and show the other peers or run a command."""

import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mcast.aio import Group
from mcast.errors import McastError, UsageError

from . import counters, exits, options
from .extras import require
from .hooks import Hooks, OnPeers
from .joining import joins
from .output import Output, escape, note
from .peer_table import PeerFilter, PeerTable, default_form, in_json, in_lines, no_lines, parse_tag
from .programs import environment
from .runner import Ending, run
from .session import Network, Participant, Reporter

if TYPE_CHECKING:  # an extra, imported when it is asked for
    from mcast.discovery.dnssd import Advertiser

CONTEXT_SETTINGS = {"allow_interspersed_args": False}
"""What stands behind the first word of COMMAND belongs to it."""

Command = Annotated[list[str] | None, typer.Argument(metavar="[COMMAND]...", help="Of --exec.")]
Services = Annotated[
    list[str] | None,
    typer.Option(
        "--service", metavar="TYPE[:PORT]", help="Advertise this service (_http._tcp:8080); may be repeated."
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="KEY=VALUE", help="Advertise this tag (room=B12); may be repeated."),
]
NoHost = Annotated[bool, typer.Option("--no-host", help="Do not advertise the name of this computer.")]
DnsSd = Annotated[
    bool,
    typer.Option("--dnssd", help="Also advertise by DNS-SD (Bonjour), to whoever is on the network."),
]
Exec = Annotated[
    bool,
    typer.Option("--exec", help="Advertise while COMMAND runs, and end with its exit code. Must come last."),
]


@joins()
def announce(
    command: Command = None,
    service: Services = None,
    tag: Tags = None,
    no_host: NoHost = False,
    dnssd: DnsSd = False,
    *,
    network: Network,
    me: Participant,
    peers: Sequence[str],
    timeout: options.Timeout = None,
    on: OnPeers = None,
    json: options.Json = False,
    stats: counters.Stats = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    execute: Exec = False,
) -> int:
    """Advertise services and show who is in the group.

    A peer has a row for each service, or one if it has none. Columns: mark (+ joined, = changed, - left),
    name, id, service, address, port, interface, age, tags. With --exec only COMMAND prints.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no usable interface or no permission; with --exec that of
    COMMAND.
    """
    _check(execute, command or [], json)
    if dnssd:
        require("dnssd")
    tags = {**_host_tag(no_host), **dict(parse_tag(text) for text in tag or ())}
    hooks = Hooks(on)

    async def announcing(ending: Ending, output: Output) -> int:
        wanted = network.protocol(me, tags=tags, services=service or (), peers=peers)
        async with (
            wanted as session,
            counters.counted(session, stats, output if json and not execute else None),
            hooks,
            contextlib.AsyncExitStack() as stack,
        ):
            reporter = Reporter(session, quiet=quiet, verbose=verbose)
            reporter.joined("announcing in")
            if dnssd:
                await stack.enter_async_context(_advertiser(session.groups[0], reporter))
            show = in_json(output) if json else in_lines(output, default_form())
            table = PeerTable(PeerFilter(), no_lines if execute else show)
            watching = table.follow(session, reporter, hooks, output)
            try:
                if command is None:
                    await ending.during(watching)
                    return exits.DONE
                return await _run(command, ending, asyncio.ensure_future(watching))
            finally:
                reporter.close()

    return run(announcing, timeout=timeout)


def _advertiser(group: Group, reporter: Reporter) -> "Advertiser":
    from mcast.discovery.dnssd import Advertiser

    if not group.offers.services:
        note("DNS-SD has nothing to show: add --service _TYPE._tcp:PORT")
    return Advertiser(group, reporter.say)


def _check(execute: bool, command: list[str], json: bool) -> None:
    """UsageError if --exec and the rest of the command line do not go together."""
    if command and not execute:
        raise UsageError(f"too many arguments: {' '.join(command)}", "to run a command, write --exec COMMAND")
    if not execute:
        return
    if not command:
        raise UsageError("--exec has no command", "write --exec COMMAND at the end")
    if json:
        raise UsageError("--json cannot be used with --exec, which shows no peers", "leave one of them out")
    if shutil.which(command[0]) is None:
        raise UsageError(f"--exec: program {command[0]!r} not found", "give the name or path of a program")


def _host_tag(no_host: bool) -> dict[str, str]:
    host = socket.gethostname().strip()
    return {} if no_host or not host else {"host": host}


async def _run(command: list[str], ending: Ending, watching: asyncio.Task[None]) -> int:
    """Run the command until it ends, and return its exit code. What ends us ends the command first."""
    try:
        process = subprocess.Popen(command, env=environment({}))  # noqa: S603, ASYNC220 - no shell
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise McastError(f"--exec: cannot run {escape(command[0])} ({why})", "check the program") from None
    try:
        running = asyncio.create_task(asyncio.to_thread(process.wait))
        if not await ending.during(_first_of(running, watching)):
            if ending.signal != signal.SIGINT or not _on_terminal():
                process.send_signal(ending.signal or signal.SIGTERM)
            await running
        code = await running
    finally:
        await asyncio.to_thread(_end, process)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    return code if code >= 0 else exits.INTERRUPTED - code


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop the process if it still runs: terminate it, and kill it after two seconds."""
    for stop in (process.terminate, process.kill):
        if process.poll() is None:
            stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(2.0)


async def _first_of(running: asyncio.Task[int], watching: asyncio.Task[None]) -> None:
    """Return when the command has ended. A failure of the watch is raised."""
    await asyncio.wait({running, watching}, return_when=asyncio.FIRST_COMPLETED)
    if watching.done():
        watching.result()
    await asyncio.shield(running)


def _on_terminal() -> bool:
    """Whether Ctrl-C has reached the command already: a terminal sends it to all its programs."""
    return any(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
