"""The asyncio API: join a group, send messages, iterate over events.

    async with mcast.aio.join("230.0.0.1", name="ada") as group:
        receipt = await group.send("hello")
        async for message in group.messages():
            print(message.name, message.text)

A Group belongs to the event loop that entered it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

import msgspec

from . import settings as presets
from .core.context import Mode
from .errors import UsageError
from .net.links import Plan
from .runtime.asking import Answers, PrivateReceipt
from .runtime.discovering import Announcer, Browser, Place, make_filter
from .runtime.group import OVERLAP, Acks, By, Group, Options, Receipt
from .runtime.joining import (
    DEFAULT_GROUP,
    DEFAULT_PORT,
    DEFAULT_TWIN,
    check_ttl,
    list_of,
    make_attributes,
    make_former_key,
    make_identity,
    make_incarnation,
    make_machine,
    make_name,
    make_room,
    message_id,
    parse_pair,
    private_id,
    wants_history,
)
from .runtime.static_peers import parse_peer
from .settings import Settings
from .wire.attributes import Service

__all__ = [
    "DEFAULT_GROUP",
    "DEFAULT_PORT",
    "DEFAULT_TWIN",
    "Acks",
    "Announcer",
    "Answers",
    "Browser",
    "By",
    "Group",
    "PrivateReceipt",
    "Receipt",
    "Service",
    "announce",
    "browse",
    "join",
    "make_room",
    "message_id",
    "parse_pair",
    "private_id",
]


def join(
    group: str | None = None,
    *,
    port: int | None = None,
    room: str = "",
    name: str | None = None,
    key: bytes | None = None,
    room_id: bytes | None = None,
    former_key: bytes | None = None,
    overlap: float = OVERLAP,
    interfaces: Sequence[str] = (),
    exclude: Sequence[str] = (),
    versions: Sequence[int] = (4, 6),
    ttl: int = 1,
    sources: Sequence[str] = (),
    identity: bytes | None = None,
    incarnation: int | None = None,
    tags: Mapping[str, str] | None = None,
    services: Sequence[str] = (),
    gap_timeout: float | None = None,
    visitor: bool = False,
    listener: bool = False,
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
    """Return a group to enter with `async with`. All arguments are optional.

    group: the multicast group, `ADDRESS` or `ADDRESS:PORT`. Default: 230.0.0.1 with its IPv6 twin ff12::6d63,
        port 28003; both are one group.
    port: its UDP port, if `group` has none. Default: 28003.
    room: name of a conversation within the group, at most 255 bytes of UTF-8. Default: "", the open room.
    name: how others see this peer, at most 64 bytes of UTF-8. Default: no name.
    key: the room's secret key, 32 bytes. Only peers with the same key can read and write in the room; it
        replaces `room`. Default: none, everybody on the network can read and write.
    room_id: identifies the room of a key, 16 bytes. Default: derived from `key`.
    former_key: the key of before, if it was changed: what others seal with it is taken, too. Default: none.
    overlap: for so many seconds. Default: 600.
    interfaces: names or addresses of the network interfaces to use. Default: all suitable ones.
    exclude: names or addresses of network interfaces not to use. Default: none.
    versions: IP versions to use. Default: (4, 6).
    ttl: how many networks a datagram may cross, 0 to 255. Default: 1, the local network only.
    sources: receive from these addresses only, which source-specific groups (232.0.0.0/8) require. Default:
        receive from everybody.
    identity: secret seed of this peer's signing key, 32 bytes. The same seed makes the same peer again.
        Default: a new random one.
    incarnation: tells two runs of one identity apart, 1 to 2**63 - 1; a later run needs a larger number.
        Default: made from the clock.
    tags: names and values that this peer announces. Default: none.
    services: what this peer offers, each `TYPE` or `TYPE:PORT`, such as `_http._tcp:8080`. Default: none.
    gap_timeout: seconds to wait for a missing message before later ones of its sender are delivered.
        Default: that of `settings`, which is 30 s. If it comes later it has `late=True`.
    visitor: stay out of the roster, for programs that only send or look. Default: False.
    listener: tell others that this program only listens. It confirms like others, but chats do not show how
        it comes and goes. Default: False.
    passive: never send anything. Default: False.
    quiet: send nothing before another peer was heard. Default: False.
    history: also deliver earlier messages, fetched from other peers. They have `history=True` and come in
        an order of their own. Default: False.
    last: at most that many earlier messages; implies `history`. Default: no limit.
    since: only messages of the last that many seconds; implies `history`. Default: no limit.
    wait: enter even if no interface is usable yet, or one of `interfaces` does not exist yet, and use them
        as they come. Default: False.
    machine: identifies this computer, 8 bytes, so that peers notice an identity that runs on two computers.
        Default: zeros, which identify none.
    peers: static peers, each `HOST` or `HOST:PORT`, to reach by unicast where multicast does not get through.
        It is enough if one side names the other. Entering takes up to 0.3 s longer, and 3 s more if names
        must be resolved. Default: none.
    settings: timers and limits of the protocol, from mcast.settings. Default: mcast.settings.lan().

    Raises InvalidGroup, InvalidPort or UsageError for wrong arguments. Entering raises UnknownInterface,
    NoInterface, UsageError for an unknown host in `peers`, or a SocketError such as PortTaken.
    """
    groups = parse_pair(group, port, versions)
    name = make_name(name)
    chosen = presets.lan() if settings is None else settings
    if not isinstance(chosen, Settings):
        raise UsageError("settings must come from mcast.settings", "for example mcast.settings.wifi()")
    if gap_timeout is not None:
        chosen = msgspec.structs.replace(chosen, gap_timeout=gap_timeout)
    plan = Plan(
        groups,
        list_of("interfaces", interfaces),
        list_of("exclude", exclude),
        tuple(sorted({group.version for group in groups})),
        check_ttl(ttl),
        list_of("sources", sources),
        unicast=True,
        hold=not (visitor or passive),
        wait=wait,
    )
    static_peers = [parse_peer(text, groups[0].port, plan.versions) for text in list_of("peers", peers)]
    if static_peers and passive:
        raise UsageError("a passive member cannot contact peers", "leave out passive or peers")
    return Group(
        Options(
            plan=plan,
            room=make_room(groups, room, key, room_id),
            identity=make_identity(identity),
            incarnation=make_incarnation(incarnation),
            name=name,
            attributes=make_attributes(tags, services, name),
            machine=make_machine(machine),
            former_key=make_former_key(former_key, key),
            overlap=overlap,
            settings=chosen,
            static_peers=static_peers,
            mode=Mode(visitor, passive, quiet, wants_history(history, last, since), last, since),
            listener=listener,
        )
    )


def browse(
    group: str | None = None,
    *,
    services: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    match: str = "*",
    passive: bool = False,
    **place: Unpack[Place],
) -> Browser:
    """Return a browser to enter with `async with`: it shows who is in a group, and is in no list of peers.

    group: as in join(). Default: the default group.
    services: shell patterns such as `_http._tcp`; a peer must offer a service of each. Default: none.
    tags: a shell pattern for the value of each tag that a peer must have. Default: none.
    match: a shell pattern for the names of peers. Default: all.
    passive: send nothing, and see only what peers say by themselves, every 5 s or less often. Default: False.
    place: `port`, `room`, `key`, `room_id`, `interfaces`, `exclude`, `versions`, `ttl`, `peers`, `wait` and
        `settings`, as in join().

    Raises what join() raises.
    """
    wanted = make_filter(services, tags, match)
    return Browser(join(group, visitor=True, passive=passive, **place), wanted)


def announce(
    group: str | None = None,
    *,
    name: str | None = None,
    services: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    identity: bytes | None = None,
    **place: Unpack[Place],
) -> Announcer:
    """Return an announcer to enter with `async with`: as long as it is entered, it offers services and tags.

    group: as in join(). Default: the default group.
    name: how others see this peer, at most 64 bytes of UTF-8. Default: no name.
    services: what to offer, each `TYPE` or `TYPE:PORT`, such as `_http._tcp:8080`. Default: none.
    tags: names and values. Default: none.
    identity: as in join(). Default: a new random one.
    place: `port`, `room`, `key`, `room_id`, `interfaces`, `exclude`, `versions`, `ttl`, `peers`, `wait` and
        `settings`, as in join().

    Raises what join() raises.
    """
    joined = join(group, name=name, services=services, tags=tags, identity=identity, **place)
    return Announcer(joined, make_filter((), None, "*"), tags or {}, services)
