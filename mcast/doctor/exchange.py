"""Questions to one peer by one way or another, and what comes back: PING and PONG of docs/protocol.md.

Blocking, with sockets of its own. Each question leaves by the socket that is named, so that it is known which
way an answer belongs to.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import time
from collections.abc import Callable, Sequence
from functools import partial
from math import inf

import msgspec

from mcast.core.events import PeerId
from mcast.core.membership.pings import ANSWER_SIZE
from mcast.core.membership.unicast import PADDED
from mcast.crypto.rooms import Room
from mcast.crypto.seal import Opener, Sealer
from mcast.errors import PermissionRefused, SocketError
from mcast.interfaces import Interface
from mcast.multicast import Datagram, Receiver, Sender
from mcast.net.address import GroupAddress
from mcast.net.detours import BROADCAST, BroadcastReceiver
from mcast.wire.codec import decode_frames, encode_frames
from mcast.wire.frames import Challenge, Echo, Frame, Here, Path, Ping, Pong, Who
from mcast.wire.header import Header, decode_header
from mcast.wire.limits import DATAGRAM_MAX, FRAME_HEADER_SIZE, HEADER_SIZE, TAG_SIZE, TOKEN_SIZE
from mcast.wire.reasons import DropReason

SMALLEST = ANSWER_SIZE + FRAME_HEADER_SIZE + TOKEN_SIZE
"""Bytes of the smallest question: its answer must fit, and a token."""
LARGEST = DATAGRAM_MAX
OVERHEAD = {4: 42, 6: 62}
"""Bytes of the headers of Ethernet, IP and UDP."""
HOSTS_MAX = 64
"""Hosts that are remembered; the attack is a flood of made-up ones: the first stay."""
Address = tuple[str, int]


class Target(msgspec.Struct, frozen=True):
    """A peer and its address on one of our interfaces, with `%interface` if that is link-local."""

    peer_id: PeerId
    address: Address
    link: Interface
    name: str = ""

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.address[0] else 4


class Arrival(msgspec.Struct, frozen=True):
    """A PONG: when it came, in seconds, by which of the ways that are heard (None: to the asking socket),
    from where, and with which TTL. Each router on the way takes 1 from it.

    The peer may lie about what it tells of itself: `held` and the hops are no more than hints.
    """

    pong: Pong
    at: float
    path: Path | None
    source: Address
    ttl: int | None

    @property
    def held(self) -> float:
        """Seconds that the peer held the question, as it says."""
        return self.pong.held / 1e6

    @property
    def hops_back(self) -> int | None:
        """How many routers the answer crossed; None if that is not known."""
        return _hops(self.pong.ttl, self.ttl or 0)

    def hops_there(self, ttl: int) -> int | None:
        """How many routers the question crossed, which was sent with this TTL; None if that is not known."""
        return _hops(ttl, self.pong.came)


def _hops(sent: int, came: int) -> int | None:
    return sent - came if 0 < came <= sent else None


class Exhausted(Exception):
    """An exchange may take no more time or send no more bytes. What was measured up to here is incomplete."""


class Exchange:
    """Asks peers in `room`, whose addresses are `groups`. Use it as a context manager.

    `most`: bytes to send, with the headers down to Ethernet. `until`: when it ends, as perf_counter() tells.
    What would be more raises Exhausted. `refusal`: why the system did not let a question leave, the first
    time. `on_refused` is told then.
    """

    def __init__(
        self,
        room: Room,
        groups: Sequence[GroupAddress],
        *,
        ttl: int = 1,
        most: float = inf,
        until: float = inf,
    ) -> None:
        self.groups = tuple(groups)
        self.sent_bytes = 0
        self.most, self.until = most, until
        self.refusal: PermissionRefused | None = None
        self.on_refused: Callable[[PermissionRefused], object] = lambda _: None
        self.others: set[str] = set()
        self.heard: set[str] = set()
        self._room, self.ttl = room, ttl
        self._sealer, self._opener = Sealer(room, os.urandom(8)), Opener(room)
        self._selector = selectors.DefaultSelector()
        self._open: list[Sender | Receiver | BroadcastReceiver] = []
        self._arrivals: list[Arrival] = []
        self._asking = b""
        self._here: dict[bytes, tuple[Here, Address]] = {}
        self.tokens: dict[str, bytes] = {}

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for one in self._open:
            one.close()

    def sender(self, link: Interface, version: int, *, ttl: int | None = None) -> Sender:
        """A new socket with a port of its own, on an interface. Raises SocketError."""
        reach = self.ttl if ttl is None else ttl
        sender = Sender(link.index, link.address(version) or "", ttl=reach, broadcast=True)
        self._open.append(sender)
        self._selector.register(sender.fileno(), selectors.EVENT_READ, (sender.drain, None))
        return sender

    def hear(self, path: Path, link: Interface, group: GroupAddress) -> None:
        """Hear what comes by this way on an interface. Raises SocketError."""
        if group.host == BROADCAST:
            heard = BroadcastReceiver(link, group.port)
            self._open.append(heard)
            self._selector.register(heard.fileno(), selectors.EVENT_READ, (heard.drain, path))
            return
        receiver = Receiver(group)
        receiver.join(link.index)
        self._open.append(receiver)
        drain = partial(receiver.drain, link.index)
        self._selector.register(receiver.fileno(link.index), selectors.EVENT_READ, (drain, path))

    def ask(
        self,
        sender: Sender,
        to: Address,
        peer_id: PeerId,
        nonce: bytes,
        sequence: int,
        *,
        path: Path = Path.UNICAST,
        size: int = SMALLEST,
        token: bytes | None = None,
    ) -> float:
        """Send one PING to an address or a group; when it left. Raises SocketError."""
        frames: list[Frame] = [] if token is None else [Echo(token)]
        frames.append(Ping(*peer_id, nonce, sequence, path))
        return self._send(sender, to, frames, size)

    def _send(self, sender: Sender, to: Address, frames: Sequence[Frame], size: int) -> float:
        data = self._sealer.seal(encode_frames(frames, size - HEADER_SIZE - TAG_SIZE))
        cost = len(data) + OVERHEAD[6 if ":" in to[0] else 4]
        if self.sent_bytes + cost > self.most:
            raise Exhausted
        self.sent_bytes += cost
        at = time.perf_counter()
        try:
            sender.send_to(data, to)
        except PermissionRefused as error:
            if self.refusal is None:
                self.refusal = error
                self.on_refused(error)
            raise
        return at

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> list[Arrival]:
        """What comes within so many seconds, or until something holds."""
        end = time.perf_counter() + seconds
        while True:
            left = min(end, self.until) - time.perf_counter()
            ready = self._selector.select(max(0.0, left)) if self._selector.get_map() else []
            for key, _ in ready:
                drain, path = key.data
                with contextlib.suppress(SocketError):
                    for datagram in drain():
                        self._take(datagram, path)
            if left <= 0 and self.until < end:
                raise Exhausted
            if left <= 0 or until() or self._arrivals:
                arrivals, self._arrivals = self._arrivals, []
                return arrivals

    def _take(self, datagram: Datagram, path: Path | None) -> None:
        waited = 0.0 if datagram.arrived is None else max(0.0, time.time() - datagram.arrived)
        at = time.perf_counter() - waited
        host = datagram.source[0].partition("%")[0]
        frames = self._frames(datagram.data, host)
        if path is Path.GROUP and frames and len(self.heard) < HOSTS_MAX:
            self.heard.add(host)
        for frame in frames:
            if isinstance(frame, Pong):
                self._arrivals.append(Arrival(frame, at, path, datagram.source, datagram.ttl))
            elif path is None and isinstance(frame, Challenge) and len(self.tokens) < HOSTS_MAX:
                self.tokens[f"{host} {datagram.interface}"] = frame.token
            elif path is None and isinstance(frame, Here) and frame.nonce == self._asking:
                self._here[frame.nonce] = (frame, datagram.source)

    def _frames(self, data: bytes, host: str) -> list[Frame]:
        header = decode_header(data)
        foreign = isinstance(header, Header) and header.key_id != self._room.key_id
        if (foreign or header is DropReason.VERSION) and len(self.others) < HOSTS_MAX:
            self.others.add(host)
        if foreign or not isinstance(header, Header):
            return []
        plain = self._opener.open(header, data)
        frames = plain if isinstance(plain, DropReason) else decode_frames(plain)
        return [] if isinstance(frames, DropReason) else frames

    def find(self, address: Address, sender: Sender, seconds: float) -> PeerId | None:
        """Who holds the group's port at an address, asked by unicast; None if nobody answers."""
        nonce = self._asking = os.urandom(8)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end and nonce not in self._here:
            with contextlib.suppress(SocketError):
                self._send(sender, address, [Who(nonce)], PADDED + HEADER_SIZE + TAG_SIZE)
            self.wait(0.3, lambda: nonce in self._here)
        if nonce not in self._here:
            return None
        first = self._here[nonce][0].present[0]
        return PeerId(first.origin, first.incarnation)

    def token(self, target: Target, sender: Sender) -> bytes | None:
        """The token that the peer gave to this socket's address, asked for if need be."""
        key = f"{target.address[0].partition('%')[0]} {sender.interface}"
        self.tokens.pop(key, None)
        for _ in range(4):
            with contextlib.suppress(SocketError):
                self.ask(sender, target.address, target.peer_id, os.urandom(8), 0, path=Path.GROUP)
            self.wait(0.3, lambda: key in self.tokens)
            if key in self.tokens:
                return self.tokens[key]
        return None
