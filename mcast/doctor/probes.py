"""A look at the network: join the group on every interface, ask who is here, and see what comes back.

Blocking, with sockets of its own, so that it knows by which one each datagram left and came.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import sys
import time
from collections.abc import Iterator, Sequence

import msgspec

from mcast.core.membership.roster_sync import REQUEST_SIZE
from mcast.crypto.rooms import Room
from mcast.crypto.seal import Opener, Sealer
from mcast.errors import PortTaken, SocketError
from mcast.interfaces import Choice
from mcast.multicast import Datagram, Receiver, Sender
from mcast.net.address import GroupAddress
from mcast.net.port_holders import holders
from mcast.wire.attributes import Attributes, decode_attributes
from mcast.wire.codec import decode_frames, encode_frames
from mcast.wire.frames import Announcement, Frame, Key, RosterRequest
from mcast.wire.header import Header, decode_header
from mcast.wire.reasons import DropReason

from . import local
from .evidence import Attempt, Counters, Evidence, Heard, Port
from .exchange import OVERHEAD

ASKS = (0.0, 0.4, 1.0)
"""Seconds after the start at which we ask who is here: one question may be lost."""
SETTLED = 1.3
"""Seconds after which the look ends if all that can be seen was seen."""
LONGEST = 6.5
"""Seconds after which it ends anyhow: peers of a small group announce themselves every 5 s."""
MOST = 40_000
"""Bytes that a look sends: on a computer with very many interfaces it asks less often."""
HEARD_MAX = 64
"""Senders that are kept; the attack is a flood of made-up ones. The first stay: nobody can push them out."""


class Way:
    """A socket to ask with and one to hear the group with, on one interface in one IP version."""

    def __init__(self, choice: Choice, group: GroupAddress, ttl: int = 1) -> None:
        self.link, self.group = choice.interface, group
        self.joined = self.sent = ""
        self.looped: bool | None = None
        self.answered: dict[str, None] = {}
        self.port_taken: PortTaken | None = None
        self.questions: list[bytes] = []
        self.receiver = Receiver(group)
        self.sender: Sender | None = None
        try:
            self.receiver.join(self.link.index)
            self.sender = Sender(self.link.index, self.link.address(group.version) or "", ttl=ttl)
        except PortTaken as error:
            self.port_taken, self.joined = error, local.error_name(error)
        except SocketError as error:
            self.joined = local.error_name(error)

    def ask(self, question: bytes) -> None:
        """Send a question to the group."""
        if self.sender is None:
            return
        try:
            self.sender.send(question, self.group)
        except SocketError as error:
            self.sent = local.error_name(error)
        else:
            self.sent = ""
            self.questions.append(question)
            self.looped = bool(self.looped)

    def close(self) -> None:
        """Close both sockets."""
        self.receiver.close()
        if self.sender is not None:
            self.sender.close()

    def attempt(self) -> Attempt:
        """What came of it."""
        answered = tuple(self.answered)
        return Attempt(self.link.name, self.group.version, self.joined, self.sent, self.looped, answered)


class Look:
    """One look at `groups`, the addresses of one group, in `room`, over the interfaces that are chosen."""

    def __init__(
        self,
        groups: Sequence[GroupAddress],
        room: Room,
        choices: Sequence[Choice],
        requested: Sequence[str] = (),
    ) -> None:
        self.groups, self.choices, self._requested = groups, choices, tuple(requested)
        self.room = room
        self._sealer, self._opener = Sealer(room, os.urandom(8)), Opener(room)
        self._own = {address for choice in choices for address in choice.interface.addresses}
        self.sent_bytes = 0
        self._heard: dict[tuple[str, str], Heard] = {}
        self.ways: list[Way] = []

    def again(self) -> Look:
        """Another look of the same kind."""
        return Look(self.groups, self.room, self.choices, self._requested)

    def run(self, longest: float = LONGEST) -> Evidence:
        """Look for at most `longest` seconds."""
        before = local.counters()
        try:
            self.ways = [*self._open()]
            self._listen(longest)
        finally:
            for way in self.ways:
                way.close()
        return self._evidence(before)

    def _open(self) -> Iterator[Way]:
        for choice in self.choices:
            for group in self.groups:
                if choice.used and group.version in choice.versions:
                    yield Way(choice, group)

    def _listen(self, longest: float) -> None:
        started, asks = time.monotonic(), list(ASKS)
        with selectors.DefaultSelector() as selector:
            for way in self.ways:
                if way.sender is not None:
                    selector.register(way.receiver.fileno(way.link.index), selectors.EVENT_READ, (way, True))
                    selector.register(way.sender.fileno(), selectors.EVENT_READ, (way, False))
            while (passed := time.monotonic() - started) < longest:
                if asks and passed >= asks[0]:
                    del asks[0]
                    for way in self.ways:
                        question = self._question()
                        size = len(question) + OVERHEAD[way.group.version]
                        if self.sent_bytes + size <= MOST:
                            self.sent_bytes += size
                            way.ask(question)
                if not selector.get_map() or (passed >= min(SETTLED, longest) and self._complete()):
                    return
                pause = min(asks[0] if asks else longest, longest) - passed
                for key, _ in selector.select(max(0.01, min(pause, 0.3))):
                    way, in_group = key.data
                    with contextlib.suppress(SocketError):
                        for datagram in (
                            way.receiver.drain(way.link.index) if in_group else way.sender.drain()
                        ):
                            self._take(way, datagram, in_group)

    def _question(self) -> bytes:
        return self._sealer.seal(encode_frames([RosterRequest(0)], REQUEST_SIZE))

    def _complete(self) -> bool:
        """Whether every way works and somebody is there who answers."""
        tried = [way for way in self.ways if not way.joined]
        works = all(way.looped and not way.sent for way in tried)
        return (
            works
            and any(way.answered for way in tried)
            and any(h.room == "ours" for h in self._heard.values())
        )

    def _take(self, way: Way, datagram: Datagram, in_group: bool) -> None:
        address = datagram.source[0].partition("%")[0]
        if address in self._own:
            if in_group and datagram.data in way.questions:
                way.looped = True
            return
        header = decode_header(datagram.data)
        if not in_group:
            if self._frames(header, datagram.data) is not None:
                way.answered[address] = None
            return
        known = self._heard.get((address, way.link.name))
        if known is None and len(self._heard) >= HEARD_MAX:
            return
        heard = self._judge(header, datagram.data, Heard(address, way.link.name))
        if heard is not None and (known is None or (heard.room == "ours" and known.skew is None)):
            self._heard[address, way.link.name] = heard

    def _judge(self, header: Header | DropReason, data: bytes, heard: Heard) -> Heard | None:
        """What a datagram tells of its sender; None if it is none of ours."""
        if header is DropReason.VERSION:
            return msgspec.structs.replace(heard, room="version")
        if isinstance(header, DropReason):
            return None
        if header.key_id != self.room.key_id:
            return msgspec.structs.replace(heard, room="other")
        frames = self._frames(header, data)
        if frames is None:
            return None
        name = next((frame.name for frame in frames if isinstance(frame, Key)), "")
        for frame in frames:
            if isinstance(frame, Announcement):
                said = decode_attributes(frame.attributes)
                name = (said.name if isinstance(said, Attributes) else "") or name
                skew = frame.timestamp / 1000 - time.time()
                return msgspec.structs.replace(heard, name=name, skew=skew)
        return heard

    def _frames(self, header: Header | DropReason, data: bytes) -> list[Frame] | None:
        """The frames of a datagram of our room, None if it is none."""
        if isinstance(header, DropReason) or header.key_id != self.room.key_id:
            return None
        plain = self._opener.open(header, data)
        frames = plain if isinstance(plain, DropReason) else decode_frames(plain)
        return None if isinstance(frames, DropReason) else frames

    def _evidence(self, before: Counters) -> Evidence:
        links = local.links_of(self.choices)
        taken = next((way.port_taken for way in self.ways if way.port_taken is not None), None)
        number = self.groups[0].port
        return Evidence(
            system=sys.platform,
            group=self.groups[0].host,
            port=Port(number, taken is not None, holders(number) if taken else (), local.dropped_at(number)),
            links=links,
            requested=self._requested,
            attempts=tuple(way.attempt() for way in self.ways),
            routes={group.version: local.route_to(group, links) for group in self.groups},
            heard=tuple(self._heard.values()),
            before=before,
            after=local.counters(),
            place=local.place(),
            firewall=local.firewall(),
            privileged=local.is_root(),
        )
