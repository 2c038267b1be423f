"""What happened in a group, ready to be shown as text, as JSON, to a program: a class for each kind.

`type` is the word of `--on` and of the JSON, `said` what a chat shows of a message, `news` the line that a
person is told of anything else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from mcast.aio import Group, message_id
from mcast.core.peer_id import PeerId
from mcast.events import (
    Alarm,
    Event,
    GapAbandoned,
    GapFilled,
    GapOpened,
    InterfacesChanged,
    Message,
    Overflow,
    PeerJoined,
    PeerLeft,
    PeerUpdated,
    PeerView,
    PlainText,
    SendingResumed,
    SendingStopped,
    SlowMember,
)
from mcast.net.plain_text import Line
from mcast.wire.attributes import Attributes, Service, decode_attributes

from .people import People
from .render import clock, escape, escape_bytes, payload, rfc3339

FUTURE = 60.0
"""Seconds that a peer's clock may be ahead of ours before the time it claims is not believed."""


class Said(msgspec.Struct, frozen=True):
    """What a chat shows of a message: unix seconds, sender and text, both escaped; `mark` tells its kind."""

    seconds: float
    sender: str
    text: str
    mark: str = ""


class Item(Protocol):
    """Something that happened."""

    @property
    def type(self) -> str:
        """message join update leave gap interface alarm overflow slow sending"""

    @property
    def data(self) -> bytes:
        """What a program run for it gets on its standard input."""

    @property
    def foreign(self) -> bool:
        """Whether it is plain text in a room of the protocol: from anybody, and not what was asked for."""

    def said(self) -> Said | None:
        """What a chat shows, None when it is no message."""

    def news(self) -> str:
        """What a person is told when it is no message, empty for nothing."""

    def event(self) -> Mapping[str, Any]:
        """The JSON object."""

    def variables(self) -> dict[str, str]:
        """The environment of a program run for it."""


class Base:
    """What most kinds have in common."""

    type = ""
    data = b""
    foreign = False

    def said(self) -> Said | None:
        """See Item."""
        return None

    def news(self) -> str:
        """See Item."""
        return ""

    def event(self) -> Mapping[str, Any]:
        """See Item."""
        return {"v": 1, "type": self.type, "ts": rfc3339(time.time())}

    def variables(self) -> dict[str, str]:
        """See Item."""
        return {"MCAST_FROM": "", "MCAST_ID": ""}


class PlainItem(Base):
    """A datagram of plain text."""

    type = "message"

    def __init__(self, line: Line | PlainText, mark: str = "") -> None:
        self._line, self._mark = line, mark
        self.foreign = bool(mark)
        self.data = line.data

    @property
    def speaker(self) -> str:
        """The sender's address."""
        return escape(self._line.source[0])

    @property
    def place(self) -> str:
        """The group and port it came in."""
        return str(self._line.group)

    def said(self) -> Said:
        """See Item."""
        line = self._line
        return Said(line.received, source_text(line.source), _text(line.data, line.text), self._mark)

    def event(self) -> Mapping[str, Any]:
        """See Item."""
        line = self._line
        return {
            "v": 1,
            "type": "message",
            "ts": rfc3339(line.received),
            "group": str(line.group),
            "interface": line.interface,
            "source": source_text(line.source),
            **payload(line.data, line.text),
            "plain": True,
        }

    def variables(self) -> dict[str, str]:
        """See Item."""
        line = self._line
        return {"MCAST_FROM": source_text(line.source), "MCAST_ID": "", "MCAST_GROUP": str(line.group)}


class Scene:
    """The group an item happened in: names for runs, interfaces and addresses."""

    def __init__(self, group: Group, room: str) -> None:
        self.group = group
        self.people = People()
        self.room = room
        self.place = str(group.groups[0])

    def head(self, kind: str, received: float) -> dict[str, Any]:
        """How every JSON object of this group begins."""
        head: dict[str, Any] = {"v": 1, "type": kind, "ts": rfc3339(received), "group": self.place}
        if self.room:
            head["room"] = self.room
        return head

    def origin(self, run: PeerId, name: str) -> dict[str, Any]:
        """The `from` field."""
        return {"from": {"id": run.origin.hex()[:16], "name": name}}

    def way(self, source: object) -> dict[str, str]:
        """The `source` and `interface` fields, as far as they are known."""
        if not isinstance(source, tuple) or len(source) < 2:
            return {}
        host, port = source[:2]
        local = host.startswith("fe80:")
        interface = self.group.interface_of(source) or (self._only_link() if local else None)
        scoped = local and interface
        text = source_text((f"{host}%{interface}" if scoped else host, port))
        return {"source": text, "interface": interface} if interface else {"source": text}

    def _only_link(self) -> str | None:
        """Where a link-local address must be that others told us of: on our interface, if there is one."""
        used = self.group.links.used
        return used[0].name if len(used) == 1 else None


class MessageItem(Base):
    """A message of a peer."""

    type = "message"

    def __init__(self, message: Message, scene: Scene, received: float) -> None:
        self._message, self._scene, self._received = message, scene, received
        self.data = message.data

    def said(self) -> Said:
        """See Item."""
        message = self._message
        sent = message.sent / 1000
        seconds = sent if sent < self._received + FUTURE else self._received
        mark = "history" if message.history else "late" if message.late else ""
        label = self._scene.people.label(message.peer_id, message.name)
        return Said(seconds, label, _text(message.data, message.text), mark)

    def event(self) -> Mapping[str, Any]:
        """See Item."""
        message, scene = self._message, self._scene
        return {
            **scene.head("message", self._received),
            "sent": rfc3339(message.sent / 1000),
            "id": self._id,
            **scene.origin(message.peer_id, message.name),
            **scene.way(message.source),
            "seq": message.sequence,
            **payload(message.data, message.text),
            **({"history": True} if message.history else {}),
            **({"late": True} if message.late else {}),
        }

    def variables(self) -> dict[str, str]:
        """See Item."""
        message = self._message
        return {
            "MCAST_FROM": f"{message.origin.hex()[:16]} {escape(message.name)}",
            "MCAST_ID": self._id,
            "MCAST_GROUP": self._scene.place,
        }

    @property
    def _id(self) -> str:
        return message_id(self._message.peer_id, self._message.sequence, self._message.index)


class PeerItem(Base):
    """A peer came, changed or went."""

    def __init__(self, kind: str, peer: PeerView, scene: Scene, reason: str = "") -> None:
        self.type = kind
        self.peer = peer
        scene.people.joined(peer.peer_id)
        self.label = scene.people.label(peer.peer_id, peer.name)
        self._scene, self._reason = scene, reason
        self._received = time.time()
        if kind == "leave":
            scene.people.left(peer.peer_id)

    def news(self) -> str:
        """See Item."""
        words = {"join": "joined", "leave": "left" if self._reason == "goodbye" else "is gone"}
        return f"{self.label} {words[self.type]}" if self.type in words else ""

    def event(self) -> Mapping[str, Any]:
        """See Item."""
        peer, scene = self.peer, self._scene
        offers = offers_of(peer)
        return {
            **scene.head(self.type, self._received),
            **scene.origin(peer.peer_id, peer.name),
            **scene.way(peer.source),
            "tags": offers.tags,
            "services": [_service(service) for service in offers.services],
            **({} if peer.confirmed else {"unconfirmed": True}),
            **({"reason": self._reason} if self._reason else {}),
        }

    def variables(self) -> dict[str, str]:
        """See Item."""
        name = f"{self.peer.peer_id.origin.hex()[:16]} {escape(self.peer.name)}"
        return {"MCAST_FROM": name, "MCAST_ID": "", "MCAST_GROUP": self._scene.place}

    def rows(self, mark: str) -> list[str]:
        """Tab-separated lines, one a service: mark name id service address port interface age tags."""
        peer = self.peer
        offers, way = offers_of(peer), self._scene.way(peer.source)
        address = way.get("source", "-").rpartition(":")[0].strip("[]") or "-"
        age = f"{max(0.0, self._scene.group.now - peer.heard):.0f}s"
        tags = " ".join(f"{key}={value}" for key, value in sorted(offers.tags.items())) or "-"
        services = [(service.type, str(service.port or "-")) for service in offers.services] or [("-", "-")]
        who = (mark, peer.name or "-", peer.peer_id.origin.hex()[:16])
        where = (way.get("interface", "-"), age, tags)
        return ["\t".join(map(escape, (*who, kind, address, port, *where))) for kind, port in services]


class GapItem(Base):
    """Messages are missing, came after all, or are given up."""

    type = "gap"

    def __init__(self, event: GapOpened | GapFilled | GapAbandoned, scene: Scene) -> None:
        self._gap, self._scene = event, scene
        self._state = _GAP_STATES[type(event)]
        self._received = time.time()
        self._name = event.name

    def news(self) -> str:
        """See Item."""
        if self._state != "abandoned":
            return ""
        gap = self._gap
        count = gap.last - gap.first + 1
        who = self._scene.people.label(gap.peer_id, self._name)
        return f"missing, no longer waited for: {count} record{'s' if count > 1 else ''} of {who}"

    def event(self) -> Mapping[str, Any]:
        """See Item."""
        gap = self._gap
        return {
            **self._scene.head("gap", self._received),
            **self._scene.origin(gap.peer_id, self._name),
            "state": self._state,
            "first": gap.first,
            "last": gap.last,
        }


_GAP_STATES: dict[type, str] = {GapOpened: "opened", GapFilled: "filled", GapAbandoned: "abandoned"}


class AlarmItem(Base):
    """Somebody cheats."""

    type = "alarm"

    def __init__(self, alarm: Alarm, scene: Scene) -> None:
        self._alarm, self._scene = alarm, scene

    def news(self) -> str:
        """See Item."""
        who = self._scene.people.label(self._alarm.peer_id, "")
        return {
            "equivocation": f"ALARM: {who} published two different messages under one number",
            "two-machines": f"ALARM: the identity {who} runs on two computers; its key may have been copied",
        }.get(self._alarm.kind, f"ALARM: {who}: {self._alarm.kind}")

    def event(self) -> Mapping[str, Any]:
        """See Item."""
        return {
            **self._scene.head("alarm", time.time()),
            **self._scene.origin(self._alarm.peer_id, ""),
            "kind": self._alarm.kind,
        }


class SlowItem(Base):
    """One member cannot keep up, and we no longer wait for it."""

    type = "slow"

    def __init__(self, slow: SlowMember, scene: Scene) -> None:
        self._slow, self._scene = slow, scene

    def news(self) -> str:
        """See Item."""
        who = self._scene.people.label(self._slow.peer_id, self._slow.name)
        return f"{who} cannot keep up and is no longer waited for; it may miss what is sent"

    def event(self) -> Mapping[str, Any]:
        """See Item."""
        return {
            **self._scene.head("slow", time.time()),
            **self._scene.origin(self._slow.peer_id, self._slow.name),
        }


class SendingItem(Base):
    """Nobody confirms what is sent, or somebody does again."""

    type = "sending"

    def __init__(self, stopped: bool, scene: Scene) -> None:
        self._stopped, self._scene = stopped, scene

    def news(self) -> str:
        """See Item."""
        if self._stopped:
            return "nobody confirms what is sent: waiting until somebody does"
        return "what is sent is confirmed again"

    def event(self) -> Mapping[str, Any]:
        """See Item."""
        return {
            **self._scene.head("sending", time.time()),
            "state": "stopped" if self._stopped else "resumed",
        }


class OverflowItem(Base):
    """We were too slow to show everything."""

    type = "overflow"

    def __init__(self, overflow: Overflow) -> None:
        self._overflow = overflow

    def news(self) -> str:
        """See Item."""
        return f"{self._overflow.messages} messages came faster than they could be shown and are lost here"

    def event(self) -> Mapping[str, Any]:
        """See Item."""
        return {**super().event(), "dropped": self._overflow.dropped, "messages": self._overflow.messages}


def items_of(event: Event, scene: Scene, received: float) -> Item | InterfacesChanged:
    """The item that shows `event`; a change of interfaces goes to the reporter as it is."""
    if isinstance(event, InterfacesChanged):
        return event
    return _MAKERS[type(event)](event, scene, received)


_MAKERS: dict[type, Callable[[Any, Scene, float], Item]] = {
    Message: MessageItem,
    PlainText: lambda event, scene, received: PlainItem(event, "plain"),
    PeerJoined: lambda event, scene, received: PeerItem("join", event.peer, scene),
    PeerUpdated: lambda event, scene, received: PeerItem("update", event.peer, scene),
    PeerLeft: lambda event, scene, received: PeerItem("leave", event.peer, scene, event.reason),
    GapOpened: lambda event, scene, received: GapItem(event, scene),
    GapFilled: lambda event, scene, received: GapItem(event, scene),
    GapAbandoned: lambda event, scene, received: GapItem(event, scene),
    Alarm: lambda event, scene, received: AlarmItem(event, scene),
    SlowMember: lambda event, scene, received: SlowItem(event, scene),
    SendingStopped: lambda event, scene, received: SendingItem(True, scene),
    SendingResumed: lambda event, scene, received: SendingItem(False, scene),
    Overflow: lambda event, scene, received: OverflowItem(event),
}


def offers_of(peer: PeerView) -> Attributes:
    """What the peer offers; nothing if it is malformed."""
    attributes = decode_attributes(peer.attributes)
    return attributes if isinstance(attributes, Attributes) else Attributes()


def _service(service: Service) -> dict[str, Any]:
    return {"type": service.type, **({"port": service.port} if service.port else {})}


def source_text(source: tuple[str, int]) -> str:
    """`address:port`, `[address%interface]:port`."""
    host, port = source
    return escape(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def chat_text(said: Said) -> str:
    """Time, sender and text, as a chat in a pipe shows them."""
    mark = f" ({said.mark})" if said.mark else ""
    return f"{clock(said.seconds)} {said.sender}{mark}: {said.text}"


def text_of(item: Item) -> str:
    """The text of a message alone, escaped."""
    said = item.said()
    return said.text if said else ""


def foreign_text(item: Item) -> str:
    """Sender and text of a plain datagram in a room of the protocol."""
    said = item.said()
    return f"{said.sender} ({said.mark}): {said.text}" if said else ""


def verbose_text(item: Item) -> str:
    """Time, sender and text of a message, separated by tabs."""
    said = item.said()
    return f"{clock(said.seconds)}\t{said.sender}\t{said.text}" if said else ""


def _text(data: bytes, text: str | None) -> str:
    """The text, escaped, without the newline it may end with; bytes that are not UTF-8 as `\\xNN`."""
    return escape(text.removesuffix("\n").removesuffix("\r")) if text is not None else escape_bytes(data)
