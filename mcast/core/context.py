"""What the components of one engine share: settings, time, randomness, and the ways to send and to tell."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import msgspec

from mcast.crypto.keys import Identity
from mcast.crypto.rooms import Room
from mcast.crypto.signed import sign_frame
from mcast.settings import Settings
from mcast.wire import limits
from mcast.wire.frames import Frame, Signed
from mcast.wire.reasons import DropReason

from .events import Address, Event, PeerId
from .networks import ALL, Networks
from .timers import GroupRoundTrip, Rng

S = TypeVar("S", bound=Signed)


class Mode(msgspec.Struct, frozen=True):
    """How this peer takes part: see Engine."""

    visitor: bool = False
    passive: bool = False
    quiet: bool = False
    history: bool = False
    last: int | None = None
    since: float | None = None


class Datagram(msgspec.Struct):
    """What is true of the datagram that is being handled.

    `source` is where it came from, `session` the 8 bytes that name its sender's process, `size` its bytes.
    `direct`: it was sent to us, not to the group. `networks`: the bit of the network it came by. The rest is
    set by frames that stand before others: the address validation token of an ECHO, the peer whose HEARTBEAT
    was verified, and the age (s) that an AGE gives to the record after it. `answered`: one of them asked for
    something. Its size allows one answer; the attack is a datagram full of short requests.
    """

    source: Address
    session: bytes
    size: int = 0
    direct: bool = False
    networks: int = ALL
    token: bytes | None = None
    verified: PeerId | None = None
    age: float = 0.0
    answered: bool = False


Handler = Callable[[Datagram, Any, float], DropReason | None]
Handlers = Mapping[type, Handler]


class Component(Protocol):
    """A part of the engine that owns its tables, the handlers of its frames and its timer.

    `next_timeout` is when on_timeout() has something to do, inf if never. It is an attribute that the
    component keeps right, not a method: the engine looks at those of all components after each datagram.
    """

    handlers: Handlers
    next_timeout: float

    def on_timeout(self, now: float) -> None:
        """Do what is due."""
        ...


class Queued(msgspec.Struct, frozen=True):
    """Frames that leave in one datagram, padded to `size` bytes; `to` None is the group, on `networks`.

    `record`: the way that records go, so that they arrive in this order. `listed`: sealed for the directory
    of rooms, not for our room.
    """

    frames: tuple[Frame, ...]
    to: Address
    size: int
    record: bool
    networks: int
    listed: bool = False


class Context:
    """See the module. `members` is the size of the group: the peers and we. `wall_offset` is what our wall
    clock (unix seconds) is ahead of the time that is handed in."""

    def __init__(
        self,
        settings: Settings,
        room: Room,
        identity: Identity,
        me: PeerId,
        name: str,
        rng: Rng,
        mode: Mode,
        now: float,
        wall: float,
    ) -> None:
        self.settings, self.room, self.me, self.name = settings, room, me, name
        self.rng, self.mode, self.identity = rng, mode, identity
        self.started = self.now = now
        self.wall_offset = wall - now
        self._counter = 0
        self.members = 1
        self.networks = Networks(2 * settings.peers + settings.history_records)
        self.rtt = GroupRoundTrip(settings.grtt_initial, settings.grtt_min, settings.grtt_max)
        self.payload = settings.payload  # bytes of the largest datagram that every peer takes
        self.path_size = settings.payload  # bytes of the largest datagrams that reach us, as far as we know
        self.may_send = not (mode.passive or mode.quiet)
        self.closing = False
        self.events: list[Event] = []
        self.queue: deque[Queued] = deque()
        self.drops: Counter[DropReason] = Counter()
        self.sent: Counter[str] = Counter()

    @property
    def keeps_history(self) -> bool:
        """Whether we hand out what we hold and fetch what we lack: visitors and passive members do not."""
        return self.may_send and not self.mode.visitor and not self.closing

    def advance(self, now: float) -> float:
        """The time to work with: never before what was seen."""
        if now > self.now:
            self.now = now
        return self.now

    def set_wall(self, now: float, wall: float) -> None:
        """The computer's wall clock says `wall` (unix seconds)."""
        self.wall_offset = wall - now

    def unix_ms(self, now: float) -> int:
        """Unix milliseconds, within what the wire can carry."""
        return min(limits.TIMESTAMP_MAX, max(0, round((now + self.wall_offset) * 1000)))

    def emit(self, event: Event) -> None:
        """Tell the application."""
        self.events.append(event)

    def drop(self, reason: DropReason | None, count: int = 1) -> None:
        """Count what was dropped; None is nothing."""
        if reason is not None:
            self.drops[reason] += count

    def send(
        self,
        *frames: Frame,
        to: Address = None,
        size: int = 0,
        record: bool = False,
        networks: int = ALL,
        listed: bool = False,
    ) -> None:
        """Send `frames` in one datagram, as Queued has it; those who never send drop them here."""
        if self.may_send:
            self.queue.append(Queued(frames, to, size, record, networks, listed))
            self.sent[type(frames[-1]).__name__.lower()] += 1

    def sign(self, frame: S) -> S:
        """`frame` with our signature."""
        return sign_frame(self.identity, self.room.id, frame)

    def next_counter(self) -> int:
        """The next counter of our signed frames."""
        self._counter += 1
        return self._counter

    @staticmethod
    def room_left(*frames_size: int) -> int:
        """Bytes for frames in a datagram that passes everywhere, besides those of `frames_size` bytes.

        Only records are sent in larger ones: if they do not arrive, they are asked for again.
        """
        return limits.DATAGRAM_SAFE - limits.HEADER_SIZE - limits.TAG_SIZE - sum(frames_size)
