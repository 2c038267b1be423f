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
    PeerId,
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
    Told,
    Unheard,
)
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
    "TransferOffered",
    "TransferWithdrawn",
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


class TransferOffered(msgspec.Struct, frozen=True):
    """A peer offers a transfer to all in the room, or to us. It comes with history as messages do.

    `id` (16 hex digits) names the content: two peers that offer the same to all have the same id. `root` is
    the 32 bytes of its hash; of a private offer they only name it. `title` is short text of the author,
    untrusted as any text from the network. `count` is what the author says about the number of files. `size`
    is that of the content, `manifest_size` that of the manifest. `sent` is unix ms by the author's clock.
    `name` is what the peer `peer_id` calls itself. `to` are the identities (16 bytes) that it is for, none
    for everybody: nobody else can read it.
    """

    id: str
    root: bytes
    peer_id: PeerId
    name: str
    title: str
    count: int
    size: int
    manifest_size: int
    block_size: int
    sent: int
    history: bool = False
    to: tuple[bytes, ...] = ()


class TransferWithdrawn(msgspec.Struct, frozen=True):
    """The author has withdrawn its offer, and nobody who holds all of it says that it gives it."""

    id: str
    peer_id: PeerId
    name: str


class Overflow(msgspec.Struct, frozen=True):
    """The event queue was full: the oldest `dropped` events are lost, among them `messages` messages."""

    dropped: int
    messages: int


Event = Told | InterfacesChanged | PlainText | Overflow | TransferOffered | TransferWithdrawn
