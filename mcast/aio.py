"""The asyncio API: join a group, send, and iterate over what comes.

    async with mcast.aio.join("230.0.0.1", name="ada") as group:
        receipt = await group.send("hello")
        async for message in group.messages():
            print(message.name, message.text)

A Group belongs to the event loop it was entered in. It is sockets, one engine and the pump between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from . import settings as presets
from .core.context import Mode
from .errors import UsageError
from .net.links import Plan
from .runtime.group import Group
from .runtime.joining import (
    DEFAULT_GROUP,
    DEFAULT_PORT,
    DEFAULT_TWIN,
    check_ttl,
    list_of,
    make_attributes,
    make_identity,
    make_incarnation,
    make_machine,
    make_name,
    make_room,
    message_id,
    parse_pair,
    wants_history,
)
from .runtime.receipts import Receipt
from .runtime.static_peers import parse_peer
from .settings import Settings

__all__ = [
    "DEFAULT_GROUP",
    "DEFAULT_PORT",
    "DEFAULT_TWIN",
    "Group",
    "Receipt",
    "join",
    "make_room",
    "message_id",
    "parse_pair",
]


def join(
    group: str | None = None,
    *,
    port: int | None = None,
    room: str = "",
    name: str | None = None,
    key: bytes | None = None,
    room_id: bytes | None = None,
    interfaces: Sequence[str] = (),
    versions: Sequence[int] = (4, 6),
    ttl: int = 1,
    sources: Sequence[str] = (),
    identity: bytes | None = None,
    incarnation: int | None = None,
    tags: Mapping[str, str] | None = None,
    services: Sequence[str] = (),
    gap_timeout: float | None = None,
    visitor: bool = False,
    passive: bool = False,
    quiet: bool = False,
    history: bool = False,
    last: int | None = None,
    since: float | None = None,
    wait: bool = False,
    machine: bytes = bytes(8),
    peers: Sequence[str] = (),
    settings: Settings | None = None,
) -> Group:
    """A group to be entered with `async with`.

    group: `ADDRESS[:PORT]`; the default is 230.0.0.1 with its IPv6 twin ff12::6d63, port 28003, one group
        that either half names. room: a conversation within the group, by name. key: 32 secret bytes;
        whoever has them is in the room, `room_id` (16 bytes) is made from them unless given.
    sources: receive from these addresses only, which source-specific groups (232/8) need.
    interfaces: names or addresses; none means all suitable ones. versions: IP versions. ttl: networks
        that a datagram may cross.
    name: how others see this peer. identity: 32 secret bytes that make it the same peer next time; drawn anew
        unless given. incarnation: see docs/protocol.md; made from the clock unless given.
    tags, services: what this peer offers, services as `TYPE[:PORT]`.
    gap_timeout: seconds to wait for a missing message before going on without it; None waits until it is
        repaired or declared lost.
    visitor: in no roster, no join or leave (for programs that only send or look). passive: never sends.
    quiet: sends nothing before it heard somebody. wait: do not fail when no interface is usable yet.
    history: also tell what was said before, fetched from whoever has it: messages with history=True, in an
        order of their own; last: of it the last N messages at most; since: what was sent in the last so many
        seconds. Either implies history.
    machine: 8 bytes that name this computer, so that an identity copied to another is noticed.
    peers: `HOST[:PORT]`, computers to meet by unicast too, for where multicast does not get through; one side
        naming the other is enough. Entering then takes up to 0.3 s, and 3 s more while names are resolved.

    Raises InvalidGroup, InvalidPort, UsageError at once; the rest on entering.
    """
    groups = parse_pair(group, port, versions)
    name = make_name(name)
    chosen = presets.lan() if settings is None else settings
    if not isinstance(chosen, Settings):
        raise UsageError("settings are made by mcast.settings", "for instance mcast.settings.wifi()")
    if gap_timeout is not None:
        chosen = msgspec.structs.replace(chosen, gap_timeout=gap_timeout)
    plan = Plan(
        groups,
        list_of("interfaces", interfaces),
        tuple(sorted({group.version for group in groups})),
        check_ttl(ttl),
        list_of("sources", sources),
        unicast=True,
        hold=not (visitor or passive),
    )
    named = [parse_peer(text, groups[0].port, plan.versions) for text in list_of("peers", peers)]
    if named and passive:
        raise UsageError("a passive member asks nobody", "leave out passive, or the peers")
    return Group(
        groups,
        make_room(groups, room, key, room_id),
        make_identity(identity),
        incarnation=make_incarnation(incarnation),
        name=name,
        plan=plan,
        settings=chosen,
        mode=Mode(visitor, passive, quiet, wants_history(history, last, since), last, since),
        wait=wait,
        attributes=make_attributes(tags, services, name),
        machine=make_machine(machine),
        peers=named,
    )
