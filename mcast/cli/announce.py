"""`mcast announce`: be there, say what you offer, and see who else is."""

from typing import Annotated

import typer

from . import exits, options, who
from .board import Board, Filter, parse_tag
from .hooks import Hooks, On
from .opening import Network
from .render import Output
from .report import Reporter
from .run import Ending, run
from .watching import watch_peers

Services = Annotated[
    list[str] | None,
    typer.Option(
        "--service", metavar="TYPE[:PORT]", help="A service you offer, _http._tcp:8080; may be repeated."
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="KEY=VALUE", help="Something to know about you; may be repeated."),
]


def announce(
    context: typer.Context,
    service: Services = None,
    tag: Tags = None,
    name: who.Name = None,
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
    timeout: options.Timeout = None,
    on: On = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Say what you offer, be in the group with it, and show who is there.

    Columns: mark (+ joined, = changed, - left), name, id, service, address, port, interface, age, tags.
    Exit codes: 0 done, 2 wrong usage, 3 no usable interface.
    """
    me = who.Who(profile, name, room, key_file)
    tags = dict(parse_tag(text) for text in tag or ())
    network = Network(context, group, port, interface, only4, only6, ttl)
    hooks = Hooks(on)

    async def command(ending: Ending, output: Output) -> int:
        wanted = network.protocol(me, tags=tags, services=service or (), peers=peer or ())
        async with wanted as wire, hooks:
            reporter = Reporter(wire, quiet=quiet, verbose=verbose)
            reporter.joined("announcing in")
            board = Board(output, Filter((), ()), json=json)
            await ending.during(watch_peers(wire, board, reporter, hooks))
        return exits.DONE

    return run(command, timeout=timeout)
