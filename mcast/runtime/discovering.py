"""Who is in a group and what they offer: for programs that look, and for those that offer something."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Self, TypedDict

import msgspec

from mcast.core.events import PeerId
from mcast.errors import GroupClosed
from mcast.events import Event, PeerJoined, PeerLeft, PeerUpdated, PeerView
from mcast.runtime.group import Group
from mcast.runtime.joining import list_of
from mcast.settings import Settings

Change = PeerJoined | PeerUpdated | PeerLeft
"""A peer that matches is here, changed, or is gone."""


class Place(TypedDict, total=False):
    """Where to join: these arguments of join()."""

    port: int | None
    room: str
    key: bytes | None
    room_id: bytes | None
    interfaces: Sequence[str]
    exclude: Sequence[str]
    versions: Sequence[int]
    ttl: int
    peers: Sequence[str]
    wait: bool
    settings: Settings | None


class PeerFilter(msgspec.Struct, frozen=True):
    """Which peers to show: shell patterns for services, the values of tags, and the name. All must match."""

    services: tuple[str, ...]
    tags: Mapping[str, str]
    name: str

    def matches(self, peer: PeerView) -> bool:
        """Whether to show the peer."""
        services, tags = peer.services, peer.tags
        return (
            fnmatchcase(peer.name, self.name)
            and all(key in tags and fnmatchcase(tags[key], glob) for key, glob in self.tags.items())
            and all(any(fnmatchcase(service.type, glob) for service in services) for glob in self.services)
        )


def make_filter(services: Sequence[str], tags: Mapping[str, str] | None, match: str) -> PeerFilter:
    """The filter of these patterns. Raises UsageError for a bare string in place of a list."""
    return PeerFilter(list_of("services", services), dict(tags or {}), match)


class Browser:
    """Shows who is in a group, without being seen itself. Made by browse(); `group` is the group it is in.

    Use it with `async with`. Iterating gives a PeerJoined for each peer that matches, those that are here
    first, a PeerUpdated when it changes, and a PeerLeft when it is gone or matches no more.
    """

    def __init__(self, group: Group, wanted: PeerFilter) -> None:
        self.group = group
        self._wanted = wanted
        self._shown: set[PeerId] = set()
        self._asking: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.group!r})"

    async def __aenter__(self) -> Self:
        await self.group.__aenter__()
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def start(self) -> None:
        """Ask who is here. Entering does it."""
        self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def close(self) -> None:
        """Leave the group."""
        if self._asking is not None:
            self._asking.cancel()
        await self.group.close()

    async def peers(self) -> list[PeerView]:
        """The peers that match and are here now. In the first half second it waits until they are known."""
        if self._asking is not None:
            await asyncio.wait([self._asking])
        return list(filter(self._wanted.matches, self.group.peers()))

    async def changes(self, timeout: float | None = None) -> AsyncIterator[Change]:
        """Iterate over the changes, until the group is closed.

        timeout: stop after so many seconds without one; None waits for ever.
        """
        events = self.group.events()
        while True:
            change = None
            try:
                async with asyncio.timeout(timeout):
                    while change is None:
                        change = self.change(await anext(events))
            except (TimeoutError, StopAsyncIteration):
                return
            yield change

    def __aiter__(self) -> AsyncIterator[Change]:
        return self.changes()

    def change(self, event: Event) -> Change | None:
        """What an event of the group means for the peers that match; None for nothing."""
        if not isinstance(event, PeerJoined | PeerUpdated | PeerLeft):
            return None
        peer = event.peer
        known = peer.peer_id in self._shown
        if not isinstance(event, PeerLeft) and self._wanted.matches(peer):
            self._shown.add(peer.peer_id)
            return PeerUpdated(peer) if known else PeerJoined(peer)
        self._shown.discard(peer.peer_id)
        left = event if isinstance(event, PeerLeft) else PeerLeft(peer, "changed")
        return left if known else None

    async def _ask(self) -> None:
        with contextlib.suppress(GroupClosed):
            await self.group.acquaint()


class Announcer(Browser):
    """Offers services and tags in a group, and shows who else is there. Made by announce()."""

    def __init__(
        self, group: Group, wanted: PeerFilter, tags: Mapping[str, str], services: Sequence[str]
    ) -> None:
        super().__init__(group, wanted)
        self._tags, self._services = dict(tags), tuple(services)

    def update(self, *, tags: Mapping[str, str] | None = None, services: Sequence[str] | None = None) -> None:
        """Offer other tags or other services from now on. None leaves them as they are.

        Raises UsageError if they do not fit an announcement, GroupClosed after close().
        """
        new_tags = self._tags if tags is None else dict(tags)
        new_services = self._services if services is None else list_of("services", services)
        self.group.announce(tags=new_tags, services=new_services)
        self._tags, self._services = new_tags, new_services
