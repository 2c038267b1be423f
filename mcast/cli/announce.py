"""`mcast announce`: join a group, advertise services and tags, and show the other peers."""

from typing import Annotated

import typer

from . import exits, options
from .hooks import Hooks, OnPeers
from .output import Output
from .peer_table import PeerFilter, PeerTable, parse_tag
from .runner import Ending, run
from .session import Network, Participant, Reporter

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


def announce(
    context: typer.Context,
    service: Services = None,
    tag: Tags = None,
    name: options.Name = None,
    profile: options.Profile = "default",
    group: options.Group = None,
    port: options.Port = None,
    room: options.Room = "",
    key_file: options.KeyFile = None,
    interface: options.Interfaces = None,
    only4: options.Only4 = False,
    only6: options.Only6 = False,
    ttl: options.Ttl = 1,
    peer: options.Peers = None,
    timeout: options.Timeout = None,
    on: OnPeers = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Advertise services and show who is in the group.

    Columns: mark (+ joined, = changed, - left), name, id, service, address, port, interface, age, tags.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no usable interface or no permission.
    """
    me = Participant(profile, name, room, key_file)
    tags = dict(parse_tag(text) for text in tag or ())
    network = Network(context, group, port, interface, only4, only6, ttl)
    hooks = Hooks(on)

    async def command(ending: Ending, output: Output) -> int:
        wanted = network.protocol(me, tags=tags, services=service or (), peers=peer or ())
        async with wanted as session, hooks:
            reporter = Reporter(session, quiet=quiet, verbose=verbose)
            reporter.joined("announcing in")
            table = PeerTable(output, PeerFilter((), ()), json=json)
            await ending.during(table.follow(session, reporter, hooks))
        return exits.DONE

    return run(command, timeout=timeout)
