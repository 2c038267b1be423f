"""`mcast browse`: see who is there and what they offer, without being seen."""

import asyncio
from typing import Annotated, Any

import typer

from . import exits, options, who
from .board import Board, Filter
from .hooks import Hooks, On
from .opening import Network
from .render import Output
from .report import Reporter
from .run import Ending, run
from .watching import watch_peers
from .wires import GroupWire

ASK_AGAIN = (0.15, 0.4, 0.8)
"""Seconds after which a visitor that heard nothing asks once more."""
SETTLED = 0.4
"""Seconds without a new peer after which a snapshot is complete."""
NOBODY = 1.5
"""Seconds after which nobody is there."""

Terminate = Annotated[
    bool, typer.Option("--terminate", "-t", help="Show who is there now, then stop; at most 2 s.")
]
Peers = Annotated[
    int | None, typer.Option("--count", "-C", "-c", min=1, metavar="N", help="Stop after N peers.")
]
Services = Annotated[
    list[str] | None,
    typer.Option("--service", metavar="GLOB", help="Only peers that offer such a service; may be repeated."),
]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="KEY=GLOB", help="Only peers with such a tag; may be repeated."),
]


def browse(
    context: typer.Context,
    terminate: Terminate = False,
    service: Services = None,
    tag: Tags = None,
    profile: who.ProfileName = "default",
    group: options.Groups = None,
    port: options.Port = None,
    room: who.Room = "",
    key_file: who.KeyFile = None,
    interface: options.Interfaces = None,
    only4: options.Only4 = False,
    only6: options.Only6 = False,
    ttl: options.Ttl = 1,
    peer: options.Peers = None,
    count: Peers = None,
    timeout: options.Timeout = None,
    on: On = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Show who is in the group and what they offer.

    Columns: mark (+ joined, = changed, - left), name, id, service, address, port, interface, age, tags.
    Exit codes: 0 somebody is there, 4 nobody, 27 fewer than -C asked for, 3 no usable interface.
    """
    me = who.Who(profile, None, room, key_file)
    wanted = Filter(service or (), tag or ())
    network = Network(context, group, port, interface, only4, only6, ttl)
    hooks = Hooks(on)

    async def command(ending: Ending, output: Output) -> int:
        manners: dict[str, Any] = {
            "visitor": True,
            "wait": bool(interface) and not terminate,
            "peers": peer or (),
        }
        async with network.protocol(me, **manners) as wire, hooks:
            reporter = Reporter(wire, quiet=quiet or terminate, verbose=verbose)
            reporter.joined("browsing")
            board = Board(output, wanted, json=json)
            asking = asyncio.ensure_future(_ask(wire, ending, terminate))
            try:
                complete = await ending.during(watch_peers(wire, board, reporter, hooks, count))
            finally:
                asking.cancel()
            return _exit_code(ending, complete, board.found, count)

    return run(command, timeout=timeout)


async def _ask(wire: GroupWire, ending: Ending, terminate: bool) -> None:
    """Ask for the roster until somebody answers; end a snapshot when nothing new comes."""
    group = wire.groups[0]
    start = group.now
    for delay in (0.0, *ASK_AGAIN):
        await asyncio.sleep(max(0.0, start + delay - group.now))
        if group.peers():
            break
        group.ask_roster()
    if not terminate:
        return
    known, since = len(group.peers()), group.now
    while True:
        await asyncio.sleep(0.05)
        if len(group.peers()) != known:
            known, since = len(group.peers()), group.now
        if group.now - since > (SETTLED if known else NOBODY - ASK_AGAIN[-1]):
            ending.end("settled")
            return


def _exit_code(ending: Ending, complete: bool, found: int, count: int | None) -> int:
    if complete or ending.reason == "closed":
        return exits.DONE
    if ending.reason == "signal":
        return exits.INTERRUPTED + ending.signal if count else exits.DONE
    if count:
        return exits.TIMED_OUT
    return exits.DONE if found else exits.NOTHING_FOUND
