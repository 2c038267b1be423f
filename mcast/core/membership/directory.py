"""Which open rooms there are in the group: asked for and told in a directory that everybody can read.

A room with a key is never named there. Nothing is said until somebody asks, and each room answers once.
"""

from __future__ import annotations

from collections import Counter
from math import inf

from mcast.core.auth.ingress import Checks
from mcast.core.context import Context, Handlers
from mcast.core.events import Address, RoomView
from mcast.core.timers import backoff
from mcast.crypto.seal import Sealer
from mcast.wire.frames import LISTENER, RoomEntry, RoomQuery, Topic
from mcast.wire.header import decode_header
from mcast.wire.limits import HEADER_SIZE, NAME_MAX, TAG_SIZE
from mcast.wire.reasons import DropReason

from .roster import Roster

QUERY_SIZE = 160  # bytes of frames of a query: as many as the longest answer has
SPREAD = 0.2  # seconds over which the members of a room spread their answers
AGAIN = 0.25  # seconds in which a room does not answer twice; the attack is a flood of queries
PATIENCE = 2.0  # seconds in which answers are taken
ROOMS, EACH = 200, 20  # rooms taken in all and of one host, the first of them: anybody can make up names


class Directory:
    """Asks for the open rooms of the group, and answers for ours. `topic` is told along with it."""

    def __init__(self, context: Context, roster: Roster, session: bytes) -> None:
        self._context, self._roster, self._session = context, roster, session
        self.handlers: Handlers = {}  # nothing of it is valid in a room
        room = context.room.directory
        self._checks = None if room is None else Checks(room)
        self._sealer = None if room is None else Sealer(room, session)
        self.key_id = b"" if room is None else room.key_id
        self.topic = ""
        self.rooms: dict[str, RoomView] = {}
        self._hosts: Counter[object] = Counter()
        self._asking_until = self._answered = -inf
        self.next_timeout = inf

    def ask(self, now: float, *, again: bool = False) -> None:
        """Ask for rooms. Those that are known are forgotten first, unless this is to ask `again`."""
        if not again:
            self.rooms.clear()
            self._hosts.clear()
        if self._checks is not None:
            self._asking_until = now + PATIENCE
            self._context.send(RoomQuery(), size=QUERY_SIZE, listed=True)

    def seal(self, plain: bytes) -> bytes:
        """The datagram for the directory that carries these frames."""
        assert self._sealer is not None, "nothing is queued without a directory"  # noqa: S101 - for mypy
        return self._sealer.seal(plain)

    def receive(self, data: bytes, source: Address, now: float) -> DropReason | None:
        """Take in a datagram of the directory."""
        header = decode_header(data)
        if isinstance(header, DropReason) or self._checks is None:
            return DropReason.UNKNOWN_ROOM
        if header.session == self._session:
            return DropReason.OWN
        frames = self._checks.open(header, data)
        match frames:
            case DropReason():
                return frames
            case [RoomQuery()]:
                return self._on_query(len(data), now)
            case [RoomEntry() as room]:
                return self._on_room(room, "", source, now)
            case [RoomEntry() as room, Topic() as topic]:
                return self._on_room(room, topic.name, source, now)
        return DropReason.NOT_ASKED

    def _on_query(self, size: int, now: float) -> DropReason | None:
        """Somebody asks: answer soon, unless another member does."""
        context = self._context
        if not context.room.public or context.mode.visitor or len(context.room.name.encode()) > NAME_MAX:
            return DropReason.NOT_ASKED
        if size < QUERY_SIZE + HEADER_SIZE + TAG_SIZE or now - self._answered < AGAIN:
            return DropReason.OVER_BUDGET
        if self.next_timeout == inf and self._people():
            self.next_timeout = now + backoff(context.rng, SPREAD, context.members)
        return None

    def _on_room(self, room: RoomEntry, topic: str, source: Address, now: float) -> DropReason | None:
        """Somebody tells of a room."""
        context = self._context
        if context.room.public and room.name == context.room.name:
            self._answered, self.next_timeout = now, inf
        if now > self._asking_until:
            return DropReason.NOT_ASKED
        host = source[0] if isinstance(source, tuple) else source
        if room.name not in self.rooms:
            if len(self.rooms) >= ROOMS or self._hosts[host] >= EACH:
                return DropReason.OVER_QUOTA
            self._hosts[host] += 1
        self.rooms[room.name] = RoomView(room.name, topic, room.members)
        return None

    def on_timeout(self, now: float) -> None:
        """Answer."""
        self._answered, self.next_timeout = now, inf
        entry = RoomEntry(self._people(), self._context.room.name)
        topic = self.topic.encode(errors="replace")[:NAME_MAX].decode(errors="ignore")
        self._context.send(entry, *((Topic(topic),) if topic else ()), listed=True)

    def _people(self) -> int:
        """How many are in our room, without programs that only listen."""
        others = sum(not peer.announcement.flags & LISTENER for peer in self._roster)
        return others + (not self._context.mode.quiet)
