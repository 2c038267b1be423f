"""What was seen. The diagnosis is a function of this and of nothing else; None means "not known"."""

from __future__ import annotations

import msgspec


class Link(msgspec.Struct, frozen=True):
    """An interface: whether mcast uses it and why, and what the system tells about it.

    `querier`: an IGMP query of version 1 or 2 was heard in the last 260 s; a newer one leaves no trace.
    """

    name: str
    used: bool
    reason: str = ""
    up: bool = True
    loopback: bool = False
    tunnel: bool = False
    mtu: int = 1500
    addresses: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    querier: bool = False


class Attempt(msgspec.Struct, frozen=True):
    """One question to the group by one interface in one IP version.

    `joined` and `sent` are the names of the errors (EPERM …), empty if there was none. `looped`: our own copy
    came back, as the system does for programs on one computer. `answered`: addresses that answered the
    question by unicast.
    """

    interface: str
    version: int
    joined: str = ""
    sent: str = ""
    looped: bool | None = None
    answered: tuple[str, ...] = ()


class Route(msgspec.Struct, frozen=True):
    """Where the system sends what a program sends to the group without naming an interface.

    `error` is the name of the error if it refuses, `interface` where it goes.
    """

    error: str = ""
    interface: str = ""


class Heard(msgspec.Struct, frozen=True):
    """Who was heard by multicast: the address, by which interface, and in which room.

    `room`: "ours", "other" (another room or key), or "version" (another version of the protocol). `skew`:
    seconds by which its clock is ahead of ours, None if it told no time.
    """

    address: str
    interface: str
    room: str = "ours"
    name: str = ""
    skew: float | None = None


class Port(msgspec.Struct, frozen=True):
    """The group's port: who holds it so that we cannot share it, and what its sockets lost."""

    number: int
    refused: bool = False
    holders: tuple[str, ...] = ()
    dropped: int = 0


class Counters(msgspec.Struct, frozen=True):
    """Of the kernel, since it started: UDP datagrams received, those lost because a program read too late or
    had too small a buffer, and packets that the reverse path filter dropped."""

    received: int = 0
    overflowed: int = 0
    reverse_path: int = 0


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that a look has found. `before` and `after` are the counters at its start and at its end.

    `place`: "docker", "wsl" or the name of a cloud, if this computer is in one. `firewall`: the program that
    manages the firewall here, as far as anybody may know. `requested`: interfaces that the user named.
    """

    system: str
    group: str
    port: Port
    links: tuple[Link, ...] = ()
    requested: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    routes: dict[int, Route] = {}
    heard: tuple[Heard, ...] = ()
    before: Counters = Counters()
    after: Counters = Counters()
    place: str = ""
    firewall: str = ""
    privileged: bool = False

    @property
    def used(self) -> tuple[Link, ...]:
        """The interfaces that mcast uses."""
        return tuple(link for link in self.links if link.used)

    @property
    def ours(self) -> tuple[Heard, ...]:
        """Who was heard in our room."""
        return tuple(one for one in self.heard if one.room == "ours")
