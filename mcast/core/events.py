"""What the application is told, and what names a peer."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

import msgspec

from mcast.wire.attributes import Attributes, Service, decode_attributes

ID_SIZE = 16  # hex digits of an identity that are shown

Address = Hashable  # of the socket layer: a tuple that begins with host and port; opaque to the engine


class Detour(NamedTuple):
    """In place of an address: the way (wire.frames.Path) of an answer to a PING that does not go to its
    asker, and the IP version."""

    path: int
    version: int


CLOCK_OFF = 60.0  # seconds from which on a clock is said to be off


class PeerId(NamedTuple):
    """`origin` is the 16-byte identity; `incarnation` names one run of it and rises with each."""

    origin: bytes
    incarnation: int


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message of another peer.

    `origin` (16 bytes) and `incarnation` name its author, `sequence` and `index` the message. `sent` is
    unix ms by the author's clock, advisory. `late`: it came after its gap was given up, outside the order.
    `history`: it was published before we joined. `source` is where the datagram came from, the author or
    whoever repaired it. `skew`: seconds by which the author's clock is ahead of ours (below 0: behind), 0 if
    that is less than a minute. `guest`: who said it, if the author
    speaks for a guest; then `name` is "ada via gate".
    """

    origin: bytes
    incarnation: int
    sequence: int
    index: int
    data: bytes
    sent: int
    name: str = ""
    source: Address = None
    late: bool = False
    history: bool = False
    skew: float = 0.0
    guest: str = ""

    @property
    def peer_id(self) -> PeerId:
        """The author."""
        return PeerId(self.origin, self.incarnation)

    @property
    def text(self) -> str | None:
        """The message as UTF-8, or None when it is something else."""
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            return None

    def __repr__(self) -> str:
        text = self.text
        content = f"data={self.data!r}" if text is None else f"text={text!r}"
        marks = "".join(f", {mark}=True" for mark in ("late", "history") if getattr(self, mark))
        return f"Message(name={self.name!r}, {content}, sequence={self.sequence}{marks})"


class Notice(msgspec.Struct, frozen=True, gc=False):
    """A record of another peer for programs, not to be shown. The fields are those of a Message."""

    origin: bytes
    incarnation: int
    sequence: int
    data: bytes
    sent: int
    name: str = ""
    source: Address = None
    history: bool = False

    @property
    def peer_id(self) -> PeerId:
        """The author."""
        return PeerId(self.origin, self.incarnation)


class FromPeer(msgspec.Struct, frozen=True, gc=False):
    """What one peer sent to us alone, message `number` of it; only the two can read it."""

    origin: bytes
    incarnation: int
    number: int
    data: bytes
    sent: int
    name: str = ""
    source: Address = None

    @property
    def peer_id(self) -> PeerId:
        """The author."""
        return PeerId(self.origin, self.incarnation)

    @property
    def text(self) -> str | None:
        """The message as UTF-8, or None when it is something else."""
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            return None


class PrivateMessage(FromPeer, frozen=True, gc=False):
    """A message that another peer sent to us alone.

    `letter` is not 0 if its sender sends it again until it is sure that it arrived: it is the same each time.
    """

    letter: int = 0


class Question(FromPeer, frozen=True, gc=False):
    """A question of another peer, which waits for our answer."""


class Answer(FromPeer, frozen=True, gc=False):
    """What a peer says to our question `about`. `kind` is "answer", "no_answer" (`data` says why there is
    none) or "declined" (the question is not for that peer). `late`: the asker waits no longer."""

    about: int = 0
    kind: str = "answer"
    late: bool = False


class RoomView(msgspec.Struct, frozen=True):
    """An open room of the group: its `name` (empty: the default room), its `topic`, and how many are in it.

    Anybody can make one up.
    """

    name: str
    topic: str
    members: int


class PeerView(msgspec.Struct, frozen=True, gc=False):
    """A peer as the application sees it.

    It announces its `name`, `services` and `tags`. `addresses` are those that it was heard at, the latest
    last, and `interfaces` the names of ours by which it was heard. `id` names its identity. `peer_id` names
    this one run of it.

    `confirmed` is False while only others spoke of it; `suspect` while it is silent and being probed; `heard`
    is the time of its last signed word, `joined` that of its entry, both on the engine's clock. `attributes`
    is what it announced as bytes, `source` its last address with the port, `hears` the HEARS flags of its
    announcement; `answers` tells that it answers questions, `listener` that it is a program
    that only listens.
    """

    peer_id: PeerId
    name: str
    attributes: bytes = b""
    source: Address = None
    confirmed: bool = False
    suspect: bool = False
    heard: float = 0.0
    joined: float = 0.0
    machine: bytes = bytes(8)
    hears: int = 0
    answers: bool = False
    addresses: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()
    listener: bool = False

    @property
    def id(self) -> str:
        """The first 16 hex digits of its identity, as in the JSON of the command line."""
        return self.peer_id.origin.hex()[:ID_SIZE]

    @property
    def services(self) -> tuple[Service, ...]:
        """What it offers, each with a `type` and a `port`, 0 if it has none."""
        return self._offers.services

    @property
    def tags(self) -> dict[str, str]:
        """Its tags."""
        return self._offers.tags

    @property
    def _offers(self) -> Attributes:
        attributes = decode_attributes(self.attributes)
        return attributes if isinstance(attributes, Attributes) else Attributes()

    def is_called(self, text: str) -> bool:
        """Whether `text` is its name or its id: 16 hex digits or more are an id, which no name can fake."""
        return self.peer_id.origin.hex().startswith(text.lower()) if is_id(text) else text == self.name

    def __repr__(self) -> str:
        shown = ("name", "id", "services", "tags", "addresses", "interfaces")
        return f"PeerView({', '.join(f'{field}={getattr(self, field)!r}' for field in shown)})"


def is_id(text: str) -> bool:
    """Whether this names an identity: 16 to 32 hex digits."""
    return ID_SIZE <= len(text) <= 32 and all(char in "0123456789abcdef" for char in text.lower())


class PeerJoined(msgspec.Struct, frozen=True, gc=False):
    """A peer is here."""

    peer: PeerView


class PeerUpdated(msgspec.Struct, frozen=True, gc=False):
    """A peer changed its name or what it offers, or was heard itself for the first time."""

    peer: PeerView


class PeerLeft(msgspec.Struct, frozen=True, gc=False):
    """A peer is gone: `reason` is "goodbye" or "expired", or "changed" if it no longer matches a browser."""

    peer: PeerView
    reason: str


class GapOpened(msgspec.Struct, frozen=True, gc=False):
    """Records `first` to `last` of a peer, which calls itself `name`, are missing and were asked for."""

    peer_id: PeerId
    first: int
    last: int
    name: str = ""


class GapStalled(msgspec.Struct, frozen=True, gc=False):
    """Records `first` to `last` of a peer have been asked for in vain for 2 s: what it published after them
    waits."""

    peer_id: PeerId
    first: int
    last: int
    name: str = ""


class GapFilled(msgspec.Struct, frozen=True, gc=False):
    """A gap that was opened is complete."""

    peer_id: PeerId
    first: int
    last: int
    name: str = ""


class GapAbandoned(msgspec.Struct, frozen=True, gc=False):
    """Records `first` to `last` of a peer are given up; what still comes of them is late."""

    peer_id: PeerId
    first: int
    last: int
    name: str = ""


class Alarm(msgspec.Struct, frozen=True, gc=False):
    """Somebody cheats: `kind` is "equivocation" (two records with one sequence) or "two-machines" (one
    origin live on two computers, which a stolen or copied identity causes)."""

    kind: str
    peer_id: PeerId


class SlowMember(msgspec.Struct, frozen=True, gc=False):
    """A peer, which calls itself `name`, has held what we send below a quarter of what the others take, for
    10 s. We go on without waiting for it: it may miss what we send until it keeps up again."""

    peer_id: PeerId
    name: str = ""


class SendingStopped(msgspec.Struct, frozen=True, gc=False):
    """Peers are here, but for 5 s of sending none confirmed anything: all but a datagram a second waits,
    and so does `send`, until one does."""


class SendingResumed(msgspec.Struct, frozen=True, gc=False):
    """A peer confirmed: sending goes on by itself."""


class Fallback(msgspec.Struct, frozen=True, gc=False):
    """So many `peers` get copies by unicast, because multicast does not get through between them and us; 0
    when it does again. `interfaces`: the numbers of those that lead there."""

    peers: int
    interfaces: tuple[int, ...] = ()


class OtherVersion(msgspec.Struct, frozen=True, gc=False):
    """Somebody at `source` speaks `version` of the protocol, which we do not. Told once."""

    version: int
    source: Address


class OtherRoom(msgspec.Struct, frozen=True, gc=False):
    """Somebody at `source` is in the open room `name`, which differs from ours in upper and lower case only.

    Told once for each such name.
    """

    name: str
    source: Address


class Unheard(msgspec.Struct, frozen=True, gc=False):
    """Somebody at `source` sends what this room, which has a key, does not take. Each kind is told once.

    `kind` is "plain" (plain text), "old-key" (a key of this room that is not accepted any more), "new-key" (a
    peer that was here uses a key that we do not have) or "other-key" (another room or another key, while
    nobody is here).
    """

    kind: str
    source: Address


Told = (
    Message
    | PrivateMessage
    | Question
    | Answer
    | PeerJoined
    | PeerUpdated
    | PeerLeft
    | GapOpened
    | GapStalled
    | GapFilled
    | GapAbandoned
    | Alarm
    | SlowMember
    | Fallback
    | SendingStopped
    | SendingResumed
    | OtherVersion
    | OtherRoom
    | Unheard
)
"""What applications are told."""
Event = Told | Notice
