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


SMALL, MIDDLE, LARGE = 120, 1200, 1450
"""Bytes of the datagrams that are tried."""
SIZES = (SMALL, MIDDLE, LARGE)


class Cell(msgspec.Struct, frozen=True):
    """One way to a peer (`outward`) or from it: by which path, in which IP version, at which size.

    `path`: unicast, group, scoped (a group that was joined just now), local (224.0.0.x, ff02::1) or
    broadcast. `passed` is None if it could not be tried.
    """

    version: int
    outward: bool
    path: str
    size: int
    passed: bool | None


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured with one peer.

    `gateway`: our system sends through a router to get there. `near`: its address is in a network of ours.
    `neighbour`: whether its hardware address is known, None if the system does not tell. `reached`: it
    answered anything. `heard`: it was heard by multicast. `foreign`: what comes from there is of another room
    or version. `refused`, `overflowed`: what it tells of its computer. `replies_lost`: our questions to the
    group arrived there, and the answers by unicast did not come back, although it answers by unicast; None
    if that is not known.
    """

    name: str
    address: str
    interface: str = ""
    tunnel: bool = False
    gateway: bool = False
    near: bool = True
    neighbour: bool | None = None
    reached: bool = False
    heard: bool = False
    foreign: bool = False
    refused: bool = False
    overflowed: bool = False
    replies_lost: bool | None = None
    skew: float | None = None
    cells: tuple[Cell, ...] = ()

    def passed(self, version: int, outward: bool, path: str, size: int = SMALL) -> bool | None:
        """Whether a datagram passed; None if that is not known."""
        for cell in self.cells:
            if (cell.version, cell.outward, cell.path, cell.size) == (version, outward, path, size):
                return cell.passed
        return None


class Hears(msgspec.Struct, frozen=True):
    """Whether `hearer` hears `speaker` through the group; "" is this computer. None if nobody could tell."""

    speaker: str
    hearer: str
    heard: bool | None


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that a look has found. `before` and `after` are the counters at its start and at its end.

    `place`: "docker", "wsl" or the name of a cloud, if this computer is in one. `firewall`: the program that
    manages the firewall here, as far as anybody may know. `requested`: interfaces that the user named.
    `elsewhere`: what was measured with the peer by further interfaces. `hears`: who hears whom, of several.
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
    peer: Peer | None = None
    elsewhere: tuple[Peer, ...] = ()
    hears: tuple[Hears, ...] = ()

    @property
    def used(self) -> tuple[Link, ...]:
        """The interfaces that mcast uses."""
        return tuple(link for link in self.links if link.used)

    @property
    def ours(self) -> tuple[Heard, ...]:
        """Who was heard in our room."""
        return tuple(one for one in self.heard if one.room == "ours")
