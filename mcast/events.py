"""What a group tells its application: what the protocol says, what the sockets say, what the queue says."""

from __future__ import annotations

import msgspec

from .core.events import (
    Alarm,
    GapAbandoned,
    GapFilled,
    GapOpened,
    Message,
    PeerJoined,
    PeerLeft,
    PeerUpdated,
    PeerView,
    SendingResumed,
    SendingStopped,
    SlowMember,
)
from .errors import SocketError
from .interfaces import Interface
from .net.address import GroupAddress

__all__ = [
    "Alarm",
    "Event",
    "GapAbandoned",
    "GapFilled",
    "GapOpened",
    "InterfacesChanged",
    "Message",
    "Overflow",
    "PeerJoined",
    "PeerLeft",
    "PeerUpdated",
    "PeerView",
    "PlainText",
    "SendingResumed",
    "SendingStopped",
    "SlowMember",
]


class InterfacesChanged(msgspec.Struct, frozen=True):
    """Interfaces came into use or went out of it; `problems` are what could not be joined or sent from."""

    joined: tuple[Interface, ...] = ()
    left: tuple[Interface, ...] = ()
    problems: tuple[SocketError, ...] = ()


class PlainText(msgspec.Struct, frozen=True):
    """A datagram that is not of our protocol arrived in an open room.

    `text` is None where it is not UTF-8; `source` is (address, port); `interface` a name; `received` unix
    seconds. Nothing about it is certain.
    """

    data: bytes
    text: str | None
    source: tuple[str, int]
    group: GroupAddress
    interface: str
    received: float


class Overflow(msgspec.Struct, frozen=True):
    """Events were not taken in time: the `dropped` oldest are gone, of which `messages` were messages."""

    dropped: int
    messages: int


Event = (
    Message
    | PeerJoined
    | PeerUpdated
    | PeerLeft
    | GapOpened
    | GapFilled
    | GapAbandoned
    | Alarm
    | SlowMember
    | SendingStopped
    | SendingResumed
    | InterfacesChanged
    | PlainText
    | Overflow
)
