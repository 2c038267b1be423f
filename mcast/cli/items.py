"""What a command shows of the events in a group: a chat line, a notice, JSON, or input for an --on command.

Each event becomes an `Item`: `MessageItem`, `PlainItem` (plain text), `PeerItem` or `NoticeItem` (the rest).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from mcast.aio import Group, message_id, private_id
from mcast.core.events import PeerId
from mcast.events import (
    Alarm,
    Answer,
    Event,
    Fallback,
    GapAbandoned,
    GapFilled,
    GapOpened,
    GapStalled,
    Message,
    OtherRoom,
    OtherVersion,
    Overflow,
    PeerJoined,
    PeerLeft,
    PeerUpdated,
    PeerView,
    PlainText,
    PrivateMessage,
    Question,
    SendingResumed,
    SendingStopped,
    SlowMember,
    TransferOffered,
    TransferWithdrawn,
    Unheard,
)
from mcast.net.plain_text import Line
from mcast.wire.attributes import Attributes, Service, decode_attributes

from .offers import offer_text
from .output import clock, decoded, escape, escape_exactly, payload, rfc3339

if TYPE_CHECKING:
    from .people import Acquaintances

BEHIND = 1.0
"""Seconds after its arrival from which an event tells in JSON how late it is printed."""
PEERS_NUMBERED = 4096
"""Peers with a number. The oldest are dropped, because a flood can invent any number of peers."""


VERIFIED = "✓"
"""Behind the label of somebody whose key this user has compared. Names stand before the identity, so no name
can fake it."""


class PeerLabels:
    """Labels of peers: name and start of the identity, with a number where one identity runs several times.

    The numbers follow the order of appearance: `ada·a3f2`, `ada·a3f2/2`. If `own` is set, to this very peer,
    the other programs of its identity are `you (2)`, `you (3)`. `is_verified` tells of an origin whether this
    user has compared its key.
    """

    def __init__(self) -> None:
        self.own: PeerId | None = None
        self.is_verified: Callable[[bytes], bool] = lambda origin: False
        self._numbers: dict[PeerId, int] = {}
        self._taken: dict[bytes, set[int]] = {}

    def label(self, peer_id: PeerId, name: str) -> str:
        """The label, escaped. A visitor never joins, so it has no number."""
        number = self._numbers.get(peer_id, 1)
        if self.own is not None and peer_id.origin == self.own.origin and peer_id != self.own:
            return f"you ({number + 1})"
        suffix = f"/{number}" if number > 1 else ""
        verified = VERIFIED if self.is_verified(peer_id.origin) else ""
        # A name may not look like the label of another, or like the end of one and the begin of a message.
        shown = escape(name).replace("·", "\\xb7").replace(": ", "\\x3a ")
        return f"{shown}·{peer_id.origin.hex()[:4]}{suffix}{verified}"

    def joined(self, peer_id: PeerId) -> None:
        """Give the peer the first free number of its identity."""
        if peer_id in self._numbers:
            return
        if len(self._numbers) >= PEERS_NUMBERED:
            self.left(next(iter(self._numbers)))
        taken = self._taken.setdefault(peer_id.origin, set())
        number = next(n for n in range(1, len(taken) + 2) if n not in taken)
        taken.add(number)
        self._numbers[peer_id] = number

    def left(self, peer_id: PeerId) -> None:
        """Free the number of the peer."""
        number = self._numbers.pop(peer_id, None)
        if number is not None:
            taken = self._taken[peer_id.origin]
            taken.discard(number)
            if not taken:
                del self._taken[peer_id.origin]


class GroupContext:
    """The group in which events happen, and the JSON fields and labels that depend on it."""

    def __init__(self, group: Group, room: str) -> None:
        self.group = group
        self.labels = PeerLabels()
        self.acquaintances: Acquaintances | None = None
        self.address = str(group.groups[0])
        self._room = room

    def head(self, kind: str, received: float) -> dict[str, Any]:
        """The first fields of every JSON object of this group."""
        head: dict[str, Any] = {**head_of(kind, received), "group": self.address}
        if self._room:
            head["room"] = self._room
        return head

    def path(self, source: object) -> dict[str, str]:
        """The `source` and `interface` fields, if they are known."""
        if not isinstance(source, tuple) or len(source) < 2:
            return {}
        host, port = source[:2]
        local = host.startswith("fe80:")
        interface = self.group.interface_of(source)
        used = self.group.links.used
        if not interface and local and len(used) == 1:
            interface = used[0].name  # another peer reported the address; it must be on our only link
        scoped = local and interface
        text = source_text((f"{host}%{interface}" if scoped else host, port))
        return {"source": text, "interface": interface} if interface else {"source": text}


def head_of(kind: str, received: float) -> dict[str, Any]:
    """The first fields of every JSON object; `behind` tells how far behind the reader of the output is."""
    behind = time.time() - received
    late = {"behind": round(behind, 1)} if behind >= BEHIND else {}
    return {"v": 1, "type": kind, "ts": rfc3339(received), **late}


def author_field(peer_id: PeerId, name: str) -> dict[str, Any]:
    """The `from` field of a JSON object."""
    return {"from": {"id": peer_id.origin.hex()[:16], "name": name}}


class ChatLine(msgspec.Struct, frozen=True):
    """A message as a person reads it: unix seconds, escaped sender and text, and a mark of its kind.

    `own`: this user wrote it. `data` is the message itself, `origin` the identity of its author, or the
    address of plain text; `id` names the message.
    """

    seconds: float
    sender: str
    text: str
    mark: str = ""
    own: bool = False
    data: bytes = b""
    origin: bytes = b""
    id: str = ""

    def full(self) -> str:
        """Time, sender, mark and text, as a chat in a pipe prints them."""
        return f"{clock(self.seconds)} {self.without_time()}"

    def without_time(self) -> str:
        """Sender, mark and text."""
        mark = f" ({self.mark})" if self.mark else ""
        return f"{self.sender}{mark}: {self.text}"

    def fields(self) -> dict[str, str]:
        """Those of -F that are here."""
        return {"time": clock(self.seconds), "from": self.sender, "text": self.text}

    def tabbed(self) -> str:
        """Time, sender and text, separated by tabs."""
        return f"{clock(self.seconds)}\t{self.sender}\t{self.text}"


class Item:
    """One event. Each method has a neutral default, which the kinds of items override."""

    type = ""
    """The word for it in --on and in JSON."""
    data = b""
    """Standard input of an --on command."""
    foreign = False
    """Whether it is plain text heard in a room of the mcast protocol: anybody can send it."""
    essential = False
    """Whether it is a message, or says that some are lost: what a script must not miss."""
    summary = "{} other notices"
    """What a number of them is called when there are too many to show."""
    count = 1
    """What it adds to that number."""
    received = 0.0
    """When it came, in unix seconds."""

    def chat_line(self, *, exact: bool = False) -> ChatLine | None:
        """How a chat shows it; None if it is not a message. exact: `printf %b` gives back the text."""
        return None

    def fields(self) -> Mapping[str, str]:
        """What -F can print of a message, escaped."""
        raise NotImplementedError

    def notice(self) -> str:
        """The line for a person if it is not a message; empty for nothing."""
        return ""

    def json(self) -> Mapping[str, Any]:
        """The JSON object."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """The environment variables of an --on command."""
        return {**_from(None), "MCAST_ID": ""}


class PlainItem(Item):
    """A datagram of plain text. `mark` is set where it was heard in a room of the mcast protocol."""

    type = "message"
    summary = "{} lines of plain text"

    def __init__(self, line: Line | PlainText, mark: str = "") -> None:
        self._line, self._mark = line, mark
        self.received = line.received
        self.foreign, self.essential = bool(mark), not mark
        self.data = line.data
        self.host = escape(line.source[0])
        self.group = str(line.group)

    def chat_line(self, *, exact: bool = False) -> ChatLine:
        line = self._line
        sender, text = source_text(line.source), _text(line.data, exact)
        return ChatLine(
            line.received, sender, text, self._mark, data=line.data, origin=line.source[0].encode()
        )

    def notice(self) -> str:
        return self.chat_line().without_time()

    def fields(self) -> Mapping[str, str]:
        return {**self.chat_line(exact=True).fields(), "name": "", "identity": "", "group": self.group}

    def json(self) -> Mapping[str, Any]:
        line = self._line
        return {
            **head_of("message", line.received),
            "group": self.group,
            "interface": line.interface,
            "source": source_text(line.source),
            **payload(line.data, line.text),
            "plain": True,
        }

    def environment(self) -> dict[str, str]:
        source = {**_from(None), "MCAST_FROM": source_text(self._line.source)}
        return {**source, "MCAST_ID": "", "MCAST_GROUP": self.group}


class MessageItem(Item):
    """A message of a peer. `received` is in unix seconds."""

    type = "message"
    essential = True

    def __init__(self, message: Message, context: GroupContext, received: float) -> None:
        self.message, self.received = message, received
        self._context = context
        self.data = message.data

    @property
    def group(self) -> Group:
        """Where it was heard."""
        return self._context.group

    def chat_line(self, *, exact: bool = False) -> ChatLine:
        message = self.message
        seconds = message.sent / 1000 - message.skew
        marks = {"history": message.history, "late": message.late and not message.history}
        mark = ", ".join(word for word, holds in {**marks, "clock off": message.skew}.items() if holds)
        own = message.history and message.origin == self._context.group.peer_id.origin and not message.guest
        label = "you" if own else self._context.labels.label(message.peer_id, message.name)
        text, origin = _text(message.data, exact), message.origin
        return ChatLine(seconds, label, text, mark, own, message.data, origin, self.id)

    def fields(self) -> Mapping[str, str]:
        message = self.message
        return {
            **self.chat_line(exact=True).fields(),
            "name": escape_exactly(message.name),
            "identity": message.peer_id.origin.hex()[:16],
            "group": self._context.address,
        }

    def json(self) -> Mapping[str, Any]:
        message = self.message
        return {
            **self._context.head("message", self.received),
            "sent": rfc3339(message.sent / 1000),
            "id": self.id,
            **author_field(message.peer_id, message.name),
            **self._context.path(message.source),
            "seq": message.sequence,
            **payload(message.data, message.text),
            **({"history": True} if message.history else {}),
            **({"late": True} if message.late else {}),
            **({"skew": round(message.skew, 3)} if message.skew else {}),
            **({"via": {"guest": message.guest}} if message.guest else {}),
        }

    def environment(self) -> dict[str, str]:
        sender = _from(self.message.peer_id, self.message.name)
        return {**sender, "MCAST_ID": self.id, "MCAST_GROUP": self._context.address}

    @property
    def id(self) -> str:
        """What names the message everywhere."""
        return message_id(self.message.peer_id, self.message.sequence, self.message.index)


class PrivateItem(Item):
    """A message, a question or an answer that a peer sent to us alone."""

    essential = True

    def __init__(
        self, message: PrivateMessage | Question | Answer, context: GroupContext, received: float
    ) -> None:
        self.message, self.received = message, received
        self._context = context
        self.type = _PRIVATE_TYPES[type(message)]
        self.data = message.data

    def chat_line(self, *, exact: bool = False) -> ChatLine:
        message = self.message
        label = self._context.labels.label(message.peer_id, message.name)
        kind = "private" if self.type == "message" else self.type
        text = _text(message.data, exact)
        return ChatLine(
            self.received, f"{label} ({kind})", text, data=message.data, origin=message.origin, id=self.id
        )

    def fields(self) -> Mapping[str, str]:
        message = self.message
        return {
            **self.chat_line(exact=True).fields(),
            "name": escape_exactly(message.name),
            "identity": message.peer_id.origin.hex()[:16],
            "group": self._context.address,
        }

    def json(self) -> Mapping[str, Any]:
        message = self.message
        fields = payload(message.data, message.text)
        if isinstance(message, Answer):
            fields = _answer_fields(message, fields)
        return {
            **self._context.head(self.type, self.received),
            "sent": rfc3339(message.sent / 1000),
            "id": self.id,
            **author_field(message.peer_id, message.name),
            **self._context.path(message.source),
            **fields,
            **({"private": True} if self.type == "message" else {}),
        }

    def environment(self) -> dict[str, str]:
        message = self.message
        return {
            **_from(message.peer_id, message.name),
            "MCAST_ID": self.id,
            "MCAST_GROUP": self._context.address,
            "MCAST_PRIVATE": "1",
        }

    @property
    def id(self) -> str:
        """What names the message everywhere."""
        message = self.message
        letter = message.letter if isinstance(message, PrivateMessage) else 0
        return private_id(message.peer_id, message.number, letter)


_PRIVATE_TYPES: dict[type, str] = {PrivateMessage: "message", Question: "question", Answer: "reply"}


def _answer_fields(answer: Answer, fields: dict[str, str]) -> dict[str, Any]:
    late = {"late": True} if answer.late else {}
    if answer.kind == "no_answer":
        return {"error": answer.text or "unknown", **late}
    return {**({"declined": True} if answer.kind == "declined" else fields), **late}


class PeerItem(Item):
    """A peer joined, changed or left (`kind`); `reason` says why it left."""

    def __init__(self, kind: str, peer: PeerView, context: GroupContext, reason: str = "") -> None:
        self.type = kind
        self.peer = peer
        self.key, self.name = peer.peer_id, peer.name
        context.labels.joined(peer.peer_id)
        self.label = context.labels.label(peer.peer_id, peer.name)
        if kind == "leave":
            context.labels.left(peer.peer_id)
        self.offers = _offers_of(peer)
        self.summary = "{} left" if kind == "leave" else "{} joined"
        self._context, self._reason = context, reason

    def notice(self) -> str:
        if self.peer.listener:
            return ""  # no person who comes and goes
        words = {"join": "joined", "leave": "left" if self._reason == "goodbye" else "is gone"}
        return f"{self.label} {words[self.type]}" if self.type in words else ""

    def json(self) -> Mapping[str, Any]:
        return self.json_of(self.offers.services)

    def json_of(self, services: Iterable[Service]) -> dict[str, Any]:
        """The JSON object with only these of the peer's services."""
        peer = self.peer
        return {
            **self._context.head(self.type, self.received),
            **author_field(peer.peer_id, peer.name),
            **self._context.path(peer.source),
            "tags": self.offers.tags,
            "services": [service_field(one) for one in services],
            **({} if peer.confirmed else {"unconfirmed": True}),
            **({"listener": True} if peer.listener else {}),
            **({"reason": self._reason} if self._reason else {}),
        }

    def environment(self) -> dict[str, str]:
        peer = _from(self.peer.peer_id, self.peer.name)
        return {**peer, "MCAST_ID": "", "MCAST_GROUP": self._context.address}

    def row(self, service: Service | None) -> dict[str, str]:
        """What tables show of one service of the peer; None for one without. Nothing is escaped."""
        peer, path = self.peer, self._context.path(self.peer.source)
        tags = self.offers.tags
        return {
            "name": peer.name,
            "identity": peer.peer_id.origin.hex()[:16],
            "service": service.type if service else "",
            "address": path.get("source", "").rpartition(":")[0].strip("[]"),
            "port": str(service.port or "") if service else "",
            "interface": path.get("interface", ""),
            "age": f"{max(0.0, self._context.group.now - peer.heard):.0f}s",
            "tags": " ".join(f"{key}={value}" for key, value in sorted(tags.items())),
            "host": tags.get("host", ""),
        }

    def texts(self, service: Service | None) -> list[bytes]:
        """The tags as strings of a TXT record, for any of its services."""
        return [
            f"{key}={value}".encode("utf-8", "replace") for key, value in sorted(self.offers.tags.items())
        ]


class NoticeItem(Item):
    """Anything else that happens: a line for a person, empty if there is none, and fields for JSON."""

    def __init__(
        self,
        kind: str,
        notice: str,
        context: GroupContext | None,
        fields: Mapping[str, Any],
        *,
        summary: str = Item.summary,
        count: int = 1,
        peer: tuple[PeerId, str] | None = None,
        essential: bool = False,
    ) -> None:
        self.type, self.summary, self.count, self.essential = kind, summary, count, essential
        self._notice, self._context, self._fields, self._peer = notice, context, fields, peer

    def notice(self) -> str:
        return self._notice

    def json(self) -> Mapping[str, Any]:
        if self._context is None:
            return {**head_of(self.type, self.received), **self._fields}
        return {**self._context.head(self.type, self.received), **self._fields}

    def environment(self) -> dict[str, str]:
        group = self._context.address if self._context else ""
        return {**super().environment(), **(_from(*self._peer) if self._peer else {}), "MCAST_GROUP": group}


def item_of(event: Event, context: GroupContext, received: float) -> Item:
    """The item that shows any event but InterfacesChanged, which the reporter shows."""
    item = _MAKERS[type(event)](event, context, received)
    item.received = received
    return item


Gap = GapOpened | GapStalled | GapFilled | GapAbandoned
_GAP_STATES: dict[type[Gap], tuple[str, str]] = {
    GapOpened: ("opened", ""),
    GapStalled: ("stalled", "waiting for {}: what came after waits, too"),
    GapFilled: ("filled", ""),
    GapAbandoned: ("abandoned", "gave up waiting for {}"),
}
_ALARMS = {
    "equivocation": "ALARM: {} published two different messages with the same sequence number",
    "two-machines": "ALARM: the identity {} runs on two computers: its key may have been copied "
    "(if both are the same person's, each needs a --profile of its own)",
}


def _gap(gap: Gap, context: GroupContext, _: float) -> Item:
    state, template = _GAP_STATES[type(gap)]
    count = gap.last - gap.first + 1
    label = context.labels.label(gap.peer_id, gap.name) if template else ""
    notice = template.format(f"{count} record{'s' if count > 1 else ''} of {label}")
    fields = author_field(gap.peer_id, gap.name) | {"state": state, "first": gap.first, "last": gap.last}
    summary = template.format("{} records")
    peer, lost = (gap.peer_id, gap.name), isinstance(gap, GapAbandoned)
    return NoticeItem("gap", notice, context, fields, summary=summary, count=count, peer=peer, essential=lost)


def _alarm(alarm: Alarm, context: GroupContext, _: float) -> Item:
    label = context.labels.label(alarm.peer_id, "")
    notice = _ALARMS.get(alarm.kind, f"ALARM: {{}}: {alarm.kind}").format(label)
    fields = author_field(alarm.peer_id, "") | {"kind": alarm.kind}
    return NoticeItem("alarm", notice, context, fields, summary="{} ALARMS")


def _slow(slow: SlowMember, context: GroupContext, _: float) -> Item:
    label = context.labels.label(slow.peer_id, slow.name)
    notice = f"{label} is too slow: sending no longer waits for it, so it may miss messages"
    fields = author_field(slow.peer_id, slow.name)
    return NoticeItem("slow", notice, context, fields, summary="{} peers are too slow")


def _sending(event: SendingStopped | SendingResumed, context: GroupContext, _: float) -> Item:
    if isinstance(event, SendingStopped):
        notice = "no peer confirms what is sent: sending is paused until one does"
        return NoticeItem("sending", notice, context, {"state": "stopped"})
    return NoticeItem("sending", "a peer confirms again: sending resumes", context, {"state": "resumed"})


class OfferItem(Item):
    """Files that are offered. `number` is what /accept takes, once a chat has numbered the offer."""

    type = "offer"
    summary = "{} offers of files"
    number = 0

    def __init__(self, offer: TransferOffered, context: GroupContext, received: float) -> None:
        self.offer, self._context, self.received = offer, context, received

    def notice(self) -> str:
        offer = self.offer
        label = self._context.labels.label(offer.peer_id, offer.name)
        take = f"; take it with /accept {self.number}" if self.number else ""
        return f"{label} offers {offer_text(offer)}{take}"

    def json(self) -> Mapping[str, Any]:
        return {**self._context.head("offer", self.received), **offer_fields(self.offer)}


def offer_fields(offer: TransferOffered) -> dict[str, Any]:
    """What an offer is in JSON."""
    return {
        "id": offer.id,
        **author_field(offer.peer_id, offer.name),
        "title": offer.title,
        "files": offer.count,
        "size": offer.size,
        **({"private": True} if offer.to else {}),
        **({"history": True} if offer.history else {}),
    }


def _withdrawn(event: TransferWithdrawn, context: GroupContext, _: float) -> Item:
    fields = {"id": event.id, **author_field(event.peer_id, event.name)}
    return NoticeItem("withdrawn", "", context, fields)


def _overflow(event: Overflow, _: GroupContext, __: float) -> Item:
    notice = f"{event.messages} messages came faster than they could be shown and were dropped"
    fields = {"dropped": event.dropped, "messages": event.messages}
    summary, count = "{} messages were dropped", event.messages
    return NoticeItem("overflow", notice, None, fields, summary=summary, count=count, essential=True)


def _fallback(event: Fallback, context: GroupContext, _: float) -> Item:
    """An event of the interfaces: how the others are reached by them."""
    used = context.group.links.used
    names = [link.name for link in used if link.index in event.interfaces] or [link.name for link in used]
    fields = {"interface": ",".join(names), "state": "fallback" if event.peers else "multicast"}
    if not event.peers:
        return NoticeItem("interface", "multicast gets through again", context, fields)
    some = f"{event.peers} peer{'s' if event.peers > 1 else ''}"
    notice = f"multicast does not get through: {some} reached by unicast; see: mcast doctor"
    return NoticeItem("interface", notice, context, {**fields, "peers": event.peers})


def _version(other: OtherVersion, context: GroupContext, _: float) -> Item:
    host = escape(str(other.source[0])) if isinstance(other.source, tuple) else "?"
    notice = (
        f"another version of mcast is here (protocol {other.version}, at {host}): "
        "the two cannot talk, use the same version on both"
    )
    return NoticeItem("version", notice, context, {"version": other.version, "address": host})


def _room(other: OtherRoom, context: GroupContext, _: float) -> Item:
    host = escape(str(other.source[0])) if isinstance(other.source, tuple) else "?"
    if not context.group.room.public:
        notice = f"somebody at {host} is in the open room {escape(other.name)}, without the key"
        return NoticeItem("room", notice, context, {"other": other.name, "address": host})
    notice = (
        f"another room here is called {escape(other.name)} (at {host}): "
        "it differs from yours in upper and lower case only, so agree on one spelling"
    )
    return NoticeItem("room", notice, context, {"other": other.name, "address": host})


_UNHEARD = {
    "plain": "writes plain text, which a room with a key does not show",
    "old-key": "still uses the old key of this room: give them the new words",
    "new-key": "was here and has another key now: if the key was changed, type the words after mcast key add",
    "other-key": "is in another room, or has another key: to find out, compare what mcast key show prints",
}


def _unheard(event: Unheard, context: GroupContext, _: float) -> Item:
    host = escape(str(event.source[0])) if isinstance(event.source, tuple) else "?"
    notice = f"somebody at {host} {_UNHEARD[event.kind]}"
    return NoticeItem("unheard", notice, context, {"kind": event.kind, "address": host})


_MAKERS: dict[type, Callable[[Any, GroupContext, float], Item]] = {
    Message: MessageItem,
    PrivateMessage: PrivateItem,
    Question: PrivateItem,
    Answer: PrivateItem,
    PlainText: lambda event, context, received: PlainItem(event, "plain"),
    PeerJoined: lambda event, context, received: PeerItem("join", event.peer, context),
    PeerUpdated: lambda event, context, received: PeerItem("update", event.peer, context),
    PeerLeft: lambda event, context, received: PeerItem("leave", event.peer, context, event.reason),
    GapOpened: _gap,
    GapStalled: _gap,
    GapFilled: _gap,
    GapAbandoned: _gap,
    Alarm: _alarm,
    SlowMember: _slow,
    SendingStopped: _sending,
    SendingResumed: _sending,
    Fallback: _fallback,
    OtherVersion: _version,
    OtherRoom: _room,
    Unheard: _unheard,
    Overflow: _overflow,
    TransferOffered: OfferItem,
    TransferWithdrawn: _withdrawn,
}


def _offers_of(peer: PeerView) -> Attributes:
    """The services and tags of a peer; none if its attributes are malformed."""
    attributes = decode_attributes(peer.attributes)
    return attributes if isinstance(attributes, Attributes) else Attributes()


def source_text(source: tuple[str, int]) -> str:
    """`address:port`, or `[address%interface]:port`."""
    host, port = source
    return escape(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def service_field(service: Service) -> dict[str, Any]:
    """A service in JSON."""
    return {"type": service.type, "port": service.port} if service.port else {"type": service.type}


def _from(peer_id: PeerId | None, name: str = "") -> dict[str, str]:
    """The variables that say of whom an event is: empty if of nobody."""
    if peer_id is None:
        return {"MCAST_FROM": "", "MCAST_FROM_ID": "", "MCAST_FROM_NAME": ""}
    number, name = peer_id.origin.hex()[:16], escape(name)
    return {"MCAST_FROM": f"{number} {name}", "MCAST_FROM_ID": number, "MCAST_FROM_NAME": name}


def _text(data: bytes, exact: bool) -> str:
    """The text, escaped, without the line end it may end with."""
    text = decoded(data).removesuffix("\n").removesuffix("\r")
    return escape_exactly(text) if exact else escape(text)
