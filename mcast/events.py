"""The events that a group delivers to its application: of the protocol, the sockets and the queue."""

from __future__ import annotations

import msgspec

from .core.events import (
    Alarm,
    Answer,
    Fallback,
    GapAbandoned,
    GapFilled,
    GapOpened,
    GapStalled,
    Message,
    OtherRoom,
    OtherVersion,
    PeerJoined,
    PeerLeft,
    PeerUpdated,
    PeerView,
    PrivateMessage,
    Question,
    RoomView,
    SendingResumed,
    SendingStopped,
    SlowMember,
    Unheard,
)
from .core.events import Event as CoreEvent
from .errors import SocketError
from .interfaces import Interface
from .net.address import GroupAddress

__all__ = [
    "Alarm",
    "Answer",
    "Event",
    "Fallback",
    "GapAbandoned",
    "GapFilled",
    "GapOpened",
    "GapStalled",
    "InterfacesChanged",
    "Message",
    "OtherRoom",
    "OtherVersion",
    "Overflow",
    "PeerJoined",
    "PeerLeft",
    "PeerUpdated",
    "PeerView",
    "PlainText",
    "PrivateMessage",
    "Question",
    "RoomView",
    "SendingResumed",
    "SendingStopped",
    "SlowMember",
    "Unheard",
]


class InterfacesChanged(msgspec.Struct, frozen=True):
    """Interfaces came into use or went out of it. `problems`: what cannot be used, static peers too."""

    joined: tuple[Interface, ...] = ()
    left: tuple[Interface, ...] = ()
    problems: tuple[SocketError, ...] = ()


class PlainText(msgspec.Struct, frozen=True):
    """A datagram that is not mcast's arrived in an open room. Anyone can have sent it.

    `text` is None if it is not UTF-8. `source` is (address, port), `interface` a name, `received` the local
    unix time in seconds.
    """

    data: bytes
    text: str | None
    source: tuple[str, int]
    group: GroupAddress
    interface: str
    received: float


class Overflow(msgspec.Struct, frozen=True):
    """The event queue was full: the oldest `dropped` events are lost, among them `messages` messages."""

    dropped: int
    messages: int


Event = CoreEvent | InterfacesChanged | PlainText | Overflow
