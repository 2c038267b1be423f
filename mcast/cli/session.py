"""From the options of a command to a joined group: the mcast protocol, or plain text with --plain.

`Network` says where to join and `Participant` as whom. `Network.protocol` and `Network.plain` make a session;
`Reporter` tells the user about it on standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, Self

import msgspec
import typer

from mcast.aio import DEFAULT_GROUP, DEFAULT_PORT, Group, Receipt, join, make_room, parse_pair
from mcast.crypto.rooms import Room
from mcast.errors import McastError, UsageError
from mcast.events import InterfacesChanged
from mcast.net.address import GroupAddress, parse_group, parse_port
from mcast.net.links import Change, Plan
from mcast.net.plain_text import DEFAULT_PORT as PLAIN_PORT
from mcast.net.plain_text import Line, PlainGroup
from mcast.net.socket_options import udp_errors
from mcast.runtime.static_peers import CHECK_NAME, RETRIED
from mcast.wire.limits import NAME_MAX

from .config import from_command_line
from .notices import Notices
from .options import versions
from .output import note, rfc3339
from .profiles import Profile, default_name, machine_id

if TYPE_CHECKING:  # `send` starts faster without what only commands that show events need
    from .items import GroupContext, Item
    from .key_files import KeyMaterial
    from .keyring import RoomKey

    Batch = tuple[Sequence[Change | InterfacesChanged], list[Item]]

NONE = "there is none"
NOBODY = "nobody confirmed that they heard it"
KEY_LOOK = 2.0
"""Seconds between two looks whether this user has changed the key of the room."""
LINGER = 2.0
"""Seconds that a chat in a pipe waits at the end of its input until everyone has confirmed."""
LINGER_ALONE = 0.1
"""The same if all peers have left: time for their last receiver reports."""
LOOK, TOLD = 1.0, 9.0
"""Seconds between two looks at what the kernel dropped, and more seconds after it was told."""
PORTION = 64
"""Items that are shown at once. Messages may have 64 KiB each."""
NOT_PLAIN = (
    "name",
    "profile",
    "room",
    "key_file",
    "wait_acks",
    "wait_for",
    "wait_acks_from",
    "linger",
    "to",
    "keep",
    "passive",
    "gap_timeout",
    "peer",
    "last",
    "since",
)
"""Parameters that have no meaning for plain text."""


class Participant(msgspec.Struct, frozen=True):
    """Who joins: profile, display name, room, and the file with the room's key."""

    profile: str = "default"
    name: str | None = None
    room: str = ""
    key_file: str | None = None

    def join(self, group: str | None, port: int | None, *, versions: Sequence[int], **options: Any) -> Group:
        """The group, ready to be entered. The arguments are those of mcast.aio.join()."""
        kept = self.kept_key()
        material = kept.material if kept is not None else self._key()
        seed, incarnation, shared = self._identity()
        key = material.key if material else None
        room_id = material.room_id if material else None
        room = make_room(parse_pair(group, port, versions), self.room, key, room_id)
        return join(
            group,
            port=port,
            versions=versions,
            room=self.room,
            name=self._name(),
            key=key,
            room_id=room_id,
            **(kept.overlapping(time.time()) if kept is not None else {}),
            identity=seed,
            incarnation=incarnation,
            # Others would take a second computer for a thief.
            machine=bytes(8) if shared else machine_id(room.id) or bytes(8),
            **options,
        )

    def room_in(self, group: str | None, port: int | None, versions: Sequence[int]) -> Room:
        """The room alone, for a command that joins nothing."""
        material = self._key()
        key, room_id = (material.key, material.room_id) if material else (None, None)
        return make_room(parse_pair(group, port, versions), self.room, key, room_id)

    def _name(self) -> str:
        name = default_name() if self.name is None else self.name.strip()
        if not name:
            raise UsageError("the name is empty", "give one with --name, or leave --name out")
        if (size := len(name.encode("utf-8", "replace"))) > NAME_MAX:
            raise UsageError(f"the name has {size} bytes", f"use at most {NAME_MAX} with --name")
        return name

    def _key(self) -> KeyMaterial | None:
        text = os.environ.get("MCAST_KEY")
        if self.key_file is None and not text:
            return None
        if self.room:
            given = "MCAST_KEY" if self.key_file is None else "--key-file"
            note(f"--room has no effect beside {given}: the key alone determines the room")
        from .key_files import parse_key, read_key_file

        if self.key_file is None:
            return parse_key(text or "", "MCAST_KEY")
        material, warning = read_key_file(self.key_file)
        if warning:
            note(warning)
        return material

    def kept_key(self) -> RoomKey | None:
        """The key that `mcast key` keeps for the room; None if there is none, or if another is given."""
        if not self.room or self.key_file is not None or os.environ.get("MCAST_KEY"):
            return None
        from . import keyring

        return keyring.find(self.room)

    def _identity(self) -> tuple[bytes | None, int | None, bool]:
        """The seed of the identity, a new incarnation, and whether other computers share the identity.

        None for a temporary identity, if no file can be used.
        """
        try:
            profile = Profile(self.profile)
            entropy = int.from_bytes(os.urandom(2), "big")
            seed, incarnation = profile.seed(), profile.next_incarnation(time.time(), entropy)
            shared, new = profile.shared(machine_id(b"profile").hex().encode())
        except McastError as error:
            if isinstance(error, UsageError) or "damaged" in error.message:
                raise
            note(f"{error.message}; using a temporary identity")
            return None, None, False
        if new:
            note(
                "another computer uses this identity too, perhaps because both share a home directory: "
                "to be told apart there, use --profile NAME"
            )
        return seed, incarnation, shared


class Network(msgspec.Struct, frozen=True):
    """Where to join: groups, port, interfaces, IP versions, TTL and sources, as given in the options."""

    context: typer.Context
    groups: list[str] | None
    port: str | None
    interfaces: list[str] | None
    only4: bool
    only6: bool
    ttl: int = 1
    sources: tuple[str, ...] = ()
    excluded: list[str] | None = None

    def plain(self, *, sends: bool = True, answers: bool = False) -> PlainSession:
        """Plain text in all the groups; `answers`: by unicast, too, what was asked by unicast.

        UsageError for options that need the mcast protocol.
        """
        plan = self.plain_plan(sends=sends)
        if answers:
            plan = msgspec.structs.replace(plan, unicast=True, hold=True)
        return PlainSession(PlainGroup(msgspec.structs.replace(plan, wait=bool(plan.requested))))

    def plain_plan(self, *, receive: bool = True, sends: bool = True) -> Plan:
        """The plan for plain text. UsageError if it `sends` although a key is set."""
        self.check_plain(sends=sends)
        groups = self._addresses(self.groups or [DEFAULT_GROUP.host], PLAIN_PORT)
        for group in groups:
            for only, version in ((self.only4, 4), (self.only6, 6)):
                if only and group.version != version:
                    problem = f"-{version} cannot be used with the group {group.host}"
                    raise UsageError(problem, f"name an IPv{version} group")
        if receive:
            self._check_sources(groups)
        used = tuple(sorted({group.version for group in groups}))
        named, excluded = tuple(self.interfaces or ()), tuple(self.excluded or ())
        return Plan(groups, named, excluded, used, self.ttl, self.sources, receive)

    def check_plain(self, *, sends: bool) -> None:
        """UsageError for options that need the mcast protocol, or if it `sends` although a key is set."""
        for name in NOT_PLAIN:
            if name in self.context.params and from_command_line(self.context, name):
                flag = name.replace("_", "-")
                raise UsageError(f"--plain cannot be used with --{flag}", "leave one of them out")
        # `params` has the key file of an option, of the environment or of the configuration.
        if sends and (self.context.params.get("key_file") or os.environ.get("MCAST_KEY")):
            remedy = "unset MCAST_KEY, MCAST_KEY_FILE or key-file"
            raise UsageError("--plain sends without encryption, but a key is set", remedy)

    def protocol(
        self, who: Participant, *, several: bool = False, sends: bool = True, **join_options: Any
    ) -> GroupSession:
        """The mcast protocol in the group, or in each group if the command takes `several`.

        sends: the command is of no use if the system lets it send nothing.
        """
        groups: Sequence[str | None] = list(dict.fromkeys(self.groups or ())) or [None]
        self._check_sources(self._addresses((one for one in groups if one is not None), DEFAULT_PORT))
        allowed = self._versions()
        if len(groups) > 1 and not several:
            raise UsageError(f"this command takes one group, not {len(groups)}", "run it once for each group")
        joined = [
            who.join(
                group,
                self._port(),
                versions=allowed,
                interfaces=self.interfaces or (),
                exclude=self.excluded or (),
                ttl=self.ttl,
                sources=self.sources,
                **{"wait": bool(self.interfaces), **join_options},
            )
            for group in groups
        ]
        return GroupSession(joined, who.room, sends=sends, kept=who.kept_key())

    def _check_sources(self, groups: Sequence[GroupAddress]) -> None:
        """UsageError if a group needs a source and has none, or if a source does not fit the groups."""
        for group in groups:
            if group.needs_source and not self.sources:
                remedy = "use another group, or mcast listen --source ADDRESS"
                if "source" in self.context.params:
                    remedy = "name the sender with --source ADDRESS"
                raise UsageError(f"the group {group.host} is source-specific", remedy)
        for source in self.sources:
            remedy = "give the IP address of a sender, of the same IP version as the group"
            try:
                address = ipaddress.ip_address(source)
            except ValueError:
                raise UsageError(f"--source {source!r} is not an IP address", remedy) from None
            if address.is_multicast or any(group.version != address.version for group in groups):
                raise UsageError(f"--source {source} does not fit the group", remedy)

    def place(self, who: Participant) -> tuple[tuple[GroupAddress, ...], Room]:
        """The addresses of the one group, and the room in it, for a command that joins nothing."""
        groups = list(dict.fromkeys(self.groups or ()))
        if len(groups) > 1:
            raise UsageError(f"this command takes one group, not {len(groups)}", "run it once for each group")
        group, allowed = next(iter(groups), None), self._versions()
        pair = parse_pair(group, self._port(), allowed)
        self._check_sources(pair)
        return pair, who.room_in(group, self._port(), allowed)

    def _versions(self) -> tuple[int, ...]:
        """The IP versions of -4, -6 and --source. The default group has an address of each version."""
        allowed = versions(self.only4, self.only6)
        if not self.sources:
            return allowed
        wanted = {ipaddress.ip_address(source).version for source in self.sources}
        if len(wanted) > 1:
            problem = "--source is given with IPv4 and IPv6 addresses"
            raise UsageError(problem, "run the command once for each IP version")
        if not wanted <= set(allowed):
            problem = f"-{allowed[0]} cannot be used with --source {self.sources[0]}"
            raise UsageError(problem, "leave one of them out")
        return tuple(wanted)

    def _addresses(self, groups: Iterable[str], default_port: int) -> tuple[GroupAddress, ...]:
        port = self._port()
        return tuple(dict.fromkeys(parse_group(group, port, default_port=default_port) for group in groups))

    def _port(self) -> int | None:
        """--port. One from the environment or the configuration yields to a port given with a group."""
        in_group = any(_has_port(group) for group in self.groups or ())
        if self.port is None or (in_group and not from_command_line(self.context, "port")):
            return None
        return parse_port(self.port)


def _has_port(group: str) -> bool:
    """Whether the text of a group includes a port."""
    return (group.startswith("[") and not group.endswith("]")) or group.count(":") == 1


class PlainSession:
    """Plain text in one or several groups, with the methods of GroupSession. Nothing is ever confirmed."""

    room_text: Sequence[str] = ()

    def __init__(self, group: PlainGroup) -> None:
        self._group = group
        self.links, self.plan = group.links, group.plan

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self.started = self._group.started
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def leave(self) -> None:
        await self._group.close()

    @property
    def kernel_drops(self) -> int:
        return self._group.kernel_drops

    async def batches(self) -> AsyncIterator[Batch]:
        from .items import PlainItem

        async for events in self._group.batches():
            changes = [event for event in events if isinstance(event, Change)]
            yield changes, [PlainItem(event) for event in events if isinstance(event, Line)]

    async def questions(self) -> AsyncIterator[list[Line]]:
        """The lines since the last list, by unicast too, without end."""
        if not self.links.holding:
            note(f"port {self.plan.groups[0].port} is taken: only questions to the group are answered")
        async for events in self._group.batches():
            yield [event for event in events if isinstance(event, Line)]

    def answer(self, line: Line, data: bytes) -> None:
        """Answer a line by unicast."""
        self._group.answer(line, data)

    async def send(self, text: str) -> None:
        self._group.send(text)

    async def settle(self) -> str:
        return ""


class GroupSession:
    """The mcast protocol in one group or, for commands that only listen or send, in several.

    links: sockets and interfaces. plan: what was asked for. started: the result of joining. last: the receipt
    of the message that was sent last.

    A command that `sends` ends with an error (exit code 3 behind a firewall) if the system refused to send
    from the start, or refused what was sent last.
    """

    def __init__(
        self, groups: Sequence[Group], room: str, *, sends: bool, kept: RoomKey | None = None
    ) -> None:
        self._kept = kept
        self.groups = tuple(groups)
        self.last: Receipt | None = None
        self._room, self._sends = room, sends
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            for group in self.groups:
                await stack.enter_async_context(group)
            if self._kept is not None:
                following = asyncio.create_task(_follow_key(self.groups, self._kept))
                stack.callback(following.cancel)
            self._stack = stack.pop_all()
        first = self.groups[0]
        self.links, self.started = first.links, first.started
        addresses = tuple(address for group in self.groups for address in group.plan.groups)
        self.plan = msgspec.structs.replace(first.plan, groups=addresses)
        return self

    async def __aexit__(self, error: type[BaseException] | None, *_: object) -> None:
        refused = [group.refusal for group in self.groups if group.refusal is not None]
        await self._stack.aclose()
        if error is None and self._sends and refused:
            raise refused[0]

    @property
    def room_field(self) -> dict[str, str]:
        """The room in JSON objects."""
        return {"room": self._room} if self._room else {}

    async def leave(self) -> None:
        """Leave the groups. batches() ends once it has given what came before."""
        await self._stack.aclose()

    @property
    def room_text(self) -> Sequence[str]:
        """What to say about the room; nothing for the default one."""
        named = [f"room {self._room}"] if self._room else []
        return named if self.groups[0].room.public else [*named, "sealed with a key"]

    @property
    def kernel_drops(self) -> int:
        """Datagrams that the kernel dropped because they were not read in time."""
        return sum(group.kernel_drops for group in self.groups)

    @cached_property
    def contexts(self) -> list[GroupContext]:
        """The context of each group, for its items."""
        from .items import GroupContext

        return [GroupContext(group, self._room) for group in self.groups]

    async def batches(self) -> AsyncIterator[Batch]:
        """The changes of interfaces and all other items since the last batch, until leave() is called."""
        one = len(self.groups) == 1
        async for batch in _items(self.contexts[0]) if one else _merged(self.contexts):
            self.require_sent()
            yield batch

    def require_sent(self) -> None:
        """Raise a SocketError if the command sends, and the system refused that from the start."""
        for group in self.groups if self._sends else ():
            if group.refusal is not None and not group.has_sent:
                raise group.refusal

    async def send(self, text: str) -> None:
        """Send a message to the first group. SocketError if the system refuses that."""
        group = self.groups[0]
        self.last = await group.send(text)
        if group.refusal is not None:
            raise group.refusal

    async def settle(self) -> str:
        """Wait a little until the last message is confirmed. Returns what went wrong, empty if nothing."""
        if self.last is None or self.groups[0].refusal is not None:
            return ""
        await self.groups[0].acquaint()
        if await self.last.confirmed(timeout=LINGER if self.groups[0].peers() else LINGER_ALONE):
            return ""
        if missing := len(self.last.unheard_by):
            return f"{missing} peer{'s' if missing > 1 else ''} did not confirm the last message"
        return "" if self.last.heard_by else NOBODY  # a peer that heard it may have left since


Session = PlainSession | GroupSession


async def _follow_key(groups: Sequence[Group], kept: RoomKey) -> None:
    """Use another key of the room as soon as this user has changed it."""
    from . import keyring

    stamp = keyring.stamp(kept.room)
    while True:
        await asyncio.sleep(KEY_LOOK)
        if stamp == (latest := keyring.stamp(kept.room)):
            continue
        stamp = latest
        try:
            known = keyring.find(kept.room)
        except McastError as error:
            note(str(error))
            continue
        if known is None or known.material.key == kept.material.key:
            continue
        if known.material.room_id != kept.material.room_id:
            note(f"the key of {kept.room} is that of another room now: start again to go there")
            continue
        kept = known
        for group in groups:
            group.rekey(known.material.key)
        note(f"the key of {kept.room} was changed: the old one is taken for ten minutes more")


async def _items(context: GroupContext) -> AsyncIterator[Batch]:
    from .items import item_of

    async for events in context.group.batches():
        received = time.time() - context.group.behind
        changes = [event for event in events if isinstance(event, InterfacesChanged)]
        others = [event for event in events if not isinstance(event, InterfacesChanged)]
        items = [item_of(event, context, received) for event in others]
        known = context.acquaintances
        yield changes, items if known is None else known.checked(items, context)


async def _merged(contexts: Sequence[GroupContext]) -> AsyncIterator[Batch]:
    """The batches of several groups as they come. If they are read slowly, all groups wait."""
    queue: asyncio.Queue[Batch | None] = asyncio.Queue(maxsize=len(contexts))

    async def fetch(context: GroupContext) -> None:
        async for batch in _items(context):
            await queue.put(batch)
        await queue.put(None)

    tasks = [asyncio.create_task(fetch(context)) for context in contexts]
    left = len(tasks)
    try:
        while left:
            if (batch := await queue.get()) is None:
                left -= 1
            else:
                yield batch
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Screen(Protocol):
    """What items are shown on."""

    async def room(self) -> None:
        """Wait until what was shown has been read, but for a little."""


async def portions(items: Sequence[Item], screen: Screen) -> AsyncIterator[Sequence[Item]]:
    """Parts of `items` to show. After each, `screen` has room and the sockets have been read."""
    for first in range(0, len(items), PORTION):
        yield items[first : first + PORTION]
        await screen.room()
        if first + PORTION < len(items):
            await asyncio.sleep(0)


class Reporter:
    """Tells the user on standard error where a command joined, what changes, and what the kernel dropped."""

    def __init__(self, session: Session, *, quiet: bool, verbose: bool) -> None:
        self._session = session
        self._quiet = quiet
        self._verbose = verbose
        self._late = self._damaged = 0
        self._look_at = time.monotonic() + LOOK
        self._errors = 0, 0
        self._peers, self._urgent = Notices(self.say), Notices(self.say)
        self._private = Notices(note)

    def joined(self, doing: str) -> None:
        """Say once where the command joined, and what went wrong; `doing` is for instance "listening to"."""
        links = self._session.links
        self._errors = udp_errors()
        self.say(self.where(doing))
        self._problems(self._session.started)
        if self._verbose:
            for receiver in links.receivers.values():
                self.say(f"receive buffer of {receiver.group}: {receiver.granted_buffer // 1024} KiB")

    def where(self, doing: str) -> str:
        """The line that says where the command joined."""
        links = self._session.links
        used = [choice for choice in links.choices if choice.used]
        versions = {version for choice in used for version in choice.interface.versions}
        groups = [str(group) for group in self._session.plan.groups if group.version in versions or not used]
        what = ", ".join([*groups, *self._session.room_text])
        where = ", ".join(f"{choice.interface.name} ({choice.reason})" for choice in used)
        why = self._unused()
        waiting = f"; waiting for {why}" if where and self._session.plan.requested and why else ""
        return f"{doing} {what} on {where or f'no interface yet ({why or NONE})'}{waiting}"

    def problems_at_once(self) -> None:
        """Say what went wrong when a command joined that ends too soon to try anything again."""
        for problem in dict.fromkeys(self._session.started.problems):
            self.say(f"{problem.message}: {CHECK_NAME}" if problem.remedy == RETRIED else str(problem))

    def changed(self, change: Change | InterfacesChanged) -> None:
        """Say which interfaces came into use or went out of use."""
        links = self._session.links
        reasons = {choice.interface.index: choice.reason for choice in links.choices}
        for link in change.joined:
            self.say(f"now also using {link.name} ({reasons.get(link.index, 'up')})")
        for link in change.left:
            self.say(f"no longer using {link.name} ({reasons.get(link.index, 'gone')})")
        if change.left and not links.used:
            self.say(f"no interface left; waiting for one ({self._unused() or NONE})")
        self._problems(change)

    def drops(self, *, now: bool = False) -> None:
        """Say how many datagrams the kernel dropped, and why. Looks at most once a second unless `now`."""
        if not now and time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK
        dropped = self._session.kernel_drops
        if dropped <= self._late + self._damaged:
            return
        self._look_at += TOLD
        full, wrong = (now - then for now, then in zip(udp_errors(), self._errors, strict=True))
        # These two are of all programs together: what full buffers do not explain is damaged.
        damaged = max(self._damaged, min(wrong, dropped - full))
        late, new = dropped - damaged, damaged - self._damaged
        if new > 0:
            note(
                f"the kernel dropped {new} datagrams with a wrong checksum ({damaged} in all):"
                " check the cable, the Wi-Fi or the driver of the interface"
            )
        if late > self._late:
            note(
                f"the kernel dropped {late - self._late} datagrams that came faster than they were read"
                f" ({late} in all): increase net.core.rmem_max"
            )
        self._late, self._damaged = late, damaged

    def notice(self, item: Item) -> None:
        """Print the notice of an item, if it has one. Too many are summed up, alarms apart from peers."""
        if text := item.notice():
            notices = self._peers if item.type in ("join", "leave", "gap", "message") else self._urgent
            notices.add(text, item.summary, item.count)

    def private(self, item: Item) -> None:
        """Tell of a private message, in a command that shows no messages: it was confirmed."""
        from .items import PrivateItem

        if isinstance(item, PrivateItem) and item.type == "message":
            self._private.add(item.chat_line().without_time(), "{} private messages")

    def close(self) -> None:
        """Print what has not been said yet."""
        self._peers.close()
        self._urgent.close()
        self._private.close()
        self.drops(now=True)

    def say(self, text: str) -> None:
        """Print a line, unless it is empty or --quiet was given."""
        if text and not self._quiet:
            note(text)

    def _problems(self, change: Change | InterfacesChanged) -> None:
        for problem in dict.fromkeys(map(str, change.problems)):
            note(problem)

    def _unused(self) -> str:
        """Why interfaces are not used: the reason for each that was asked for."""
        choices = self._session.links.choices
        asked = [choice for choice in choices if not choice.used and choice.reason != "not asked for"]
        return "; ".join(f"{choice.interface.name}: {choice.reason}" for choice in asked)


def interface_events(change: Change | InterfacesChanged) -> Iterator[Mapping[str, Any]]:
    """The change as JSON objects."""
    for state, links in (("joined", change.joined), ("left", change.left)):
        for link in links:
            head = {"v": 1, "type": "interface", "ts": rfc3339(time.time())}
            yield {**head, "interface": link.name, "state": state}
