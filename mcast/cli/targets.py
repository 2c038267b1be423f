"""Which peers `ping` and `doctor --with` ask: by name or id from the roster, or by address."""

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import Sequence

from mcast import interfaces
from mcast.aio import Group
from mcast.core.events import PeerView
from mcast.doctor.evidence import Heard, Peer
from mcast.doctor.exchange import OVERHEAD, Address, Exchange, Target
from mcast.doctor.trial import elsewhere, measure, unreached
from mcast.errors import SocketError
from mcast.interfaces import Interface
from mcast.net.socket_options import source_towards
from mcast.runtime.static_peers import PeerName, parse_peer

from . import exits
from .output import Output
from .runner import Ending, run
from .session import Network, Participant

TARGETS_MAX = 16
LONGEST, MOST = 2.5, 20_000
"""Seconds for which the roster is collected, and bytes that are sent meanwhile: there may be a crowd, and
much said."""
LOOK = 0.05
"""Seconds between two looks at what was sent."""
FOUND = 2.0
"""Seconds in which whoever is at an address answers."""


def by_address(text: str, port: int, versions: Sequence[int]) -> PeerName | None:
    """The address and port that the text is, None if it is a name or an id."""
    host = text.strip()
    if not host.startswith("[") and host.count(":") == 1:
        host = host.partition(":")[0]
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host.partition("]")[0].lstrip("[").partition("%")[0])
        return parse_peer(text, port, versions)
    return None


def roster(exchange: Exchange, network: Network, who: Participant) -> list[Target]:
    """The peers that are here, as a visitor learns of them. What it sends counts for the exchange."""
    found: list[Target] = []

    async def command(ending: Ending, output: Output) -> int:
        async with network.protocol(who, visitor=True, wait=False) as session:
            group = session.groups[0]
            await ending.during(_acquaint(group, min(MOST, exchange.most - exchange.sent_bytes)))
            exchange.sent_bytes += _sent_bytes(group)
            found.extend(target for peer in group.peers() if (target := _target(group, peer)) is not None)
        return exits.DONE

    run(command, timeout=max(0.0, min(LONGEST, exchange.until - time.perf_counter())))
    return found[:TARGETS_MAX]


def _sent_bytes(group: Group) -> int:
    traffic = group.traffic().values()
    return sum(one["sent_bytes"] + one["sent"] * OVERHEAD[6] for one in traffic)


async def _acquaint(group: Group, most: float) -> None:
    """Wait until it is known who is here, or so many bytes were sent."""
    task = asyncio.ensure_future(group.acquaint())
    try:
        while not task.done() and _sent_bytes(group) < most:
            await asyncio.wait({task}, timeout=LOOK)
        if task.done():
            task.result()
    finally:
        task.cancel()


def _target(group: Group, peer: PeerView) -> Target | None:
    """Where a peer is; None if nobody told."""
    source = peer.source
    if not isinstance(source, tuple) or len(source) < 2:
        return None
    name = group.interface_of(source)
    link = next((link for link in group.links.used if link.name == name), None)
    if link is None:
        return None
    host = str(source[0])
    scoped = ":" in host and ipaddress.ip_address(host).is_link_local
    return Target(peer.peer_id, (f"{host}%{link.name}" if scoped else host, int(source[1])), link, peer.name)


def leads_to(address: Address, choices: Sequence[interfaces.Choice]) -> Interface | None:
    """The interface from which the system sends to an address; None if it has no route."""
    host, _, zone = address[0].partition("%")
    if zone:
        return next((one.interface for one in choices if one.interface.name == zone), None)
    source = source_towards((host, address[1]))
    return next((one.interface for one in choices if source in one.interface.addresses), None)


def at_address(exchange: Exchange, name: PeerName, choices: Sequence[interfaces.Choice]) -> Target | None:
    """Who answers at an address, asked by unicast."""
    address = (name.host, name.port)
    link = leads_to(address, choices)
    if link is None:
        return None
    with contextlib.suppress(SocketError):
        sender = exchange.sender(link, name.version or 4)
        peer_id = exchange.find(address, sender, FOUND)
        if peer_id is not None:
            return Target(peer_id, address, link)
    return None


def is_called(target: Target, text: str) -> bool:
    """Whether a target has this name or id."""
    return PeerView(target.peer_id, target.name).is_called(text)


def measured_with(
    exchange: Exchange,
    network: Network,
    who: Participant,
    text: str,
    choices: Sequence[interfaces.Choice],
    heard: Sequence[Heard],
    versions: Sequence[int],
) -> tuple[Peer, ...]:
    """What all ways to a peer are like, by each interface; nothing if nobody of that name is known. Raises
    Exhausted.

    heard: who was heard by multicast, by which a name stands for an address, too.
    """
    port = exchange.groups[0].port
    name = by_address(text, port, versions)
    if name is None:
        target = next((one for one in roster(exchange, network, who) if is_called(one, text)), None)
        known = next((one.address for one in heard if one.name == text), None)
        if target is None and known is None:
            return ()
        host = target.address[0] if target is not None else f"{known}"
        name = PeerName(host, target.address[1] if target is not None else port)
    else:
        target = at_address(exchange, name, choices)
    if target is not None:
        first = measure(exchange, target, tuple(versions))
        used = (choice.interface for choice in choices if choice.used and choice.interface != target.link)
        others = (link for link in used if not link.loopback and first.reached)
        return (first, *elsewhere(exchange, target, others, tuple(versions)))
    link = leads_to((name.host, name.port), choices)
    return (unreached(exchange, name.host, link),)
