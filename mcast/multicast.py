"""UDP multicast sockets, done right. The options they need are in sockopt.py, used here alone.

    from mcast import interfaces, multicast

    group = multicast.parse_group("230.0.0.1", default_port=3000)
    link = interfaces.default()[0]
    with multicast.Receiver(group) as receiver, multicast.Sender(link.index, link.address(4)) as sender:
        receiver.join(link.index)
        sender.send(b"hello", group)
        print(receiver.receive(timeout=1.0))

A receiver keeps one socket for each interface it joined (docs/decisions/0003-one-socket-per-interface.md):
the interface of a datagram is then known on every platform, leaving is closing, the limit of 20 memberships a
socket (Linux, igmp_max_memberships) is out of reach, and a link-scoped IPv6 group, which Linux binds to one
interface only, needs no second way.

Sources: ip(7), ipv6(7), udp(7), socket(7), RFC 3678 (source filters), RFC 4607 (SSM).
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

from .errors import NoInterface, SocketError, UsageError
from .net.address import GroupAddress, parse_group
from .net.errnos import explain, explained
from .net.segmentation import cut, pieces
from .net.socket_options import (
    LINUX,
    WINDOWS,
    Ancillary,
    bind_address,
    came_in_on,
    can_cut,
    cut_at,
    drops,
    let_groups_share,
    membership,
    plain_source,
    prepare_receiving,
    prepare_sending,
    scope,
    take_pieces,
    told,
)

__all__ = ["Datagram", "GroupAddress", "Receiver", "Sender", "explain", "parse_group"]

RECEIVE_BUFFER = 8 << 20
"""Bytes asked for; Linux grants at most net.core.rmem_max (twice that is reported)."""
LARGEST_DATAGRAM = 65_507
SocketAddress = tuple[str, int] | tuple[str, int, int, int]
ANCILLARY_ROOM = 128
"""Bytes for the control messages that carry the TTL and, for IPv6, the interface."""
DRAIN_LIMIT = 256
"""Datagrams taken from one socket before the others get their turn."""


class Datagram(NamedTuple):
    """One received UDP payload.

    `source` is (address, port), a link-local address with its %interface; `interface` is the index of the
    interface it came in on; `ttl` is its TTL or hop limit, None where the platform does not tell (Windows).
    """

    data: bytes
    source: tuple[str, int]
    interface: int
    ttl: int | None


# Reports of earlier sends that surface on a read: ICMP port unreachable (Linux, Windows' WSAECONNRESET).
_PASSING_ON_READ = {
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ENOBUFS,
}


# Of a send that the kernel is to cut. EINVAL, EMSGSIZE: a datagram is larger than the MTU, on this way; EIO:
# the interface computes no checksums (udp_send_skb of Linux).
_CANNOT_CUT = {errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.EOPNOTSUPP, errno.ENOPROTOOPT}


class Receiver:
    """Receives one group on the interfaces it joined. Not thread-safe; sockets are non-blocking.

    With `pieces` the kernel hands over datagrams of one sender and size together where it can: faster, but
    drain() may then return more than its limit, and receive() is not to be used.
    """

    def __init__(self, group: GroupAddress, *, buffer: int = RECEIVE_BUFFER, pieces: bool = False) -> None:
        self.group = group
        self._pieces = pieces
        self._buffer = buffer
        self._sockets: dict[int, socket.socket] = {}
        self._sources: dict[int, tuple[str, ...]] = {}
        self._space = bytearray(LARGEST_DATAGRAM + 1)
        self._drops_of_closed = 0
        self._last = 0

    def join(self, interface: int, sources: Sequence[str] = ()) -> None:
        """Join the group on the interface of that index; only datagrams of `sources` if any are given.

        Joining twice with the same sources changes nothing. Raises SocketError (PortTaken,
        PermissionRefused), UsageError for a source-specific group without a source; nothing is joined then.
        """
        sources = tuple(sources)
        if self.group.needs_source and not sources:
            raise UsageError(f"{self.group.host} is source-specific", "name the sender with --source ADDRESS")
        if interface in self._sockets:
            if self._sources[interface] == sources:
                return
            self.leave(interface)
        self._sockets[interface] = self._open(interface, sources)
        self._sources[interface] = sources

    def join_all(self, interfaces: Iterable[int], sources: Sequence[str] = ()) -> None:
        """Join on every interface, or on none: an error undoes the joins this call made, then is raised."""
        made: list[int] = []
        try:
            for interface in interfaces:
                if interface not in self._sockets:
                    self.join(interface, sources)
                    made.append(interface)
        except BaseException:
            for interface in made:
                self.leave(interface)
            raise

    def leave(self, interface: int) -> None:
        """Leave on that interface; unread datagrams of it are gone. Unknown interfaces are ignored."""
        sock = self._sockets.pop(interface, None)
        self._sources.pop(interface, None)
        if sock is not None:
            self._drops_of_closed += drops(sock)
            sock.close()

    def rejoin(self, interface: int) -> None:
        """Leave and join on that interface's socket: makes the kernel report the membership to switches anew.

        A switch that snoops while no querier asks forgets its members (RFC 4541, 2.1.1).
        Unread datagrams stay. Raises SocketError when the interface is gone.
        """
        sock, sources = self._sockets[interface], self._sources[interface]
        with explained(f"cannot rejoin {self.group.host}"):
            with contextlib.suppress(OSError):
                membership(sock, self.group, interface, sources, join=False)
            membership(sock, self.group, interface, sources, join=True)

    @property
    def joined(self) -> tuple[int, ...]:
        """Indices of the interfaces joined, in the order of joining."""
        return tuple(self._sockets)

    def fileno(self, interface: int) -> int:
        """The descriptor to watch for that interface, for selectors and event loops."""
        return self._sockets[interface].fileno()

    @property
    def granted_buffer(self) -> int:
        """Bytes of receive buffer the system really gave the smallest of the sockets; 0 before a join."""
        sizes = [s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for s in self._sockets.values()]
        return min(sizes, default=0) // (2 if LINUX else 1)

    @property
    def kernel_drops(self) -> int | None:
        """Datagrams the kernel threw away because nobody read in time; None where it does not tell."""
        if not LINUX:
            return None
        return self._drops_of_closed + sum(map(drops, self._sockets.values()))

    def drain(self, interface: int, limit: int = DRAIN_LIMIT) -> list[Datagram]:
        """Up to `limit` datagrams that wait on that interface, without blocking.

        Raises SocketError when the socket is dead; passing faults (ICMP errors of earlier sends, a
        signal) only end the list.
        """
        sock = self._sockets.get(interface)
        return [] if sock is None else _drain(sock, self._space, interface, limit)

    def receive(self, timeout: float) -> Datagram | None:
        """The next datagram of any joined interface, or None after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while self._sockets:
            wait = max(0.0, deadline - time.monotonic())
            _wait(self._sockets.values(), selectors.EVENT_READ, wait)
            if datagram := self._next_in_turn():
                return datagram
            if wait == 0.0:
                return None
        raise NoInterface(f"nothing is joined to {self.group}", "join an interface first")

    def _next_in_turn(self) -> Datagram | None:
        """One that waits, of another interface than the last if possible: a flood on one starves none."""
        order = list(self._sockets)
        start = order.index(self._last) + 1 if self._last in order else 0
        for interface in order[start:] + order[:start]:
            if datagrams := self.drain(interface, 1):
                self._last = interface
                return datagrams[0]
        return None

    def close(self) -> None:
        """Leave everywhere. Closing twice is fine."""
        for interface in self.joined:
            self.leave(interface)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, interface: int, sources: tuple[str, ...]) -> socket.socket:
        v6 = self.group.version == 6
        with explained(f"cannot receive {self.group}"):
            sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
            try:
                prepare_receiving(sock, v6, self._buffer)
                if self._pieces:
                    take_pieces(sock)
                sock.bind(bind_address(self.group, interface))
                membership(sock, self.group, interface, sources, join=True)
            except BaseException:
                sock.close()
                raise
        return sock


class Sender:
    """Sends to groups and to single addresses out of one interface, from a port of its own, on which it
    also receives what is sent to that port.

    `interface` is an index, `address` the interface's own address to send from (its family is the sender's),
    `port` the one to have alone on this computer at that address (0: any that is free; PortTaken where
    another has it), `ttl` how many networks a datagram may cross (1: this one only). With `loop` other
    programs on this computer hear it too. Raises UsageError for an impossible ttl, SocketError when the
    socket cannot be made.
    """

    def __init__(
        self, interface: int, address: str, *, port: int = 0, ttl: int = 1, loop: bool = True
    ) -> None:
        if not 0 <= ttl <= 255:
            raise UsageError(f"{ttl} is not a TTL", "use 0 to 255")
        v6 = ":" in address
        with explained(f"cannot send from {address}"):
            self._socket = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
            try:
                prepare_sending(self._socket, v6, interface, ttl, loop)
                self._socket.bind((address, port, 0, scope(address, interface)) if v6 else (address, port))
                if port:
                    let_groups_share(self._socket)
            except BaseException:
                self._socket.close()
                raise
        self.interface = interface
        self.address = address
        self.version = 6 if v6 else 4
        self._space = bytearray(LARGEST_DATAGRAM + 1)
        self._cuts = can_cut(self._socket)

    @property
    def source(self) -> tuple[str, int]:
        """(address, port) by which receivers see this sender; link-local addresses with their %interface."""
        return plain_source(self._socket.getsockname())

    def send(self, data: bytes, group: GroupAddress, *, timeout: float = 1.0) -> None:
        """Send one datagram, waiting at most `timeout` seconds for room in the socket's buffer.

        Raises SocketError: EMSGSIZE when `data` is larger than the interface carries, EPERM behind a
        firewall, and so on; see explain().
        """
        self.send_to(data, (group.host, group.port), timeout=timeout)

    def send_to(self, data: bytes, address: tuple[str, int], *, timeout: float = 1.0) -> None:
        """Send one datagram to (address, port), the form of a Datagram's `source`. Errors as in send()."""
        target = address if self.version == 4 else self._scoped(address)
        try:
            try:
                self._socket.sendto(data, target)
            except BlockingIOError:
                _wait([self._socket], selectors.EVENT_WRITE, timeout)
                self._socket.sendto(data, target)
        except OSError as error:
            raise explain(error, f"cannot send to {address[0]} port {address[1]}") from error

    def send_all(
        self, datagrams: Sequence[bytes], address: tuple[str, int], *, timeout: float = 1.0
    ) -> list[SocketError]:
        """Send datagrams to one address; those of one size in a row take one call, where the kernel can cut.

        Errors as in send(), as a list: one datagram does not keep back the next.
        """
        errors: list[SocketError] = []
        for piece in pieces(datagrams) if self._cuts else ([datagram] for datagram in datagrams):
            if len(piece) == 1 or not self._send_piece(piece, address, timeout, errors):
                for datagram in piece:
                    try:
                        self.send_to(datagram, address, timeout=timeout)
                    except SocketError as error:
                        errors.append(error)
        return errors

    def _send_piece(
        self, piece: Sequence[bytes], address: tuple[str, int], timeout: float, errors: list[SocketError]
    ) -> bool:
        """Whether the piece was dealt with; False: it must go in single datagrams."""
        if not self._cuts:
            return False
        target = address if self.version == 4 else self._scoped(address)
        ancillary = cut_at(len(piece[0]))
        try:
            try:
                self._socket.sendmsg(piece, ancillary, 0, target)
            except BlockingIOError:
                _wait([self._socket], selectors.EVENT_WRITE, timeout)
                self._socket.sendmsg(piece, ancillary, 0, target)
        except OSError as error:
            if error.errno in _CANNOT_CUT:
                self._cuts = False  # not on this way: the interface may lack what it takes
                return False
            errors.append(explain(error, f"cannot send to {address[0]} port {address[1]}"))
        return True

    def _scoped(self, address: tuple[str, int]) -> tuple[str, int, int, int]:
        return address[0].partition("%")[0], address[1], 0, self.interface

    def fileno(self) -> int:
        """The descriptor to watch, for selectors and event loops."""
        return self._socket.fileno()

    def drain(self, limit: int = DRAIN_LIMIT) -> list[Datagram]:
        """Up to `limit` datagrams that were sent to this sender's own address and port, without blocking."""
        return _drain(self._socket, self._space, self.interface, limit)

    def close(self) -> None:
        """Closing twice is fine."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _drain(sock: socket.socket, space: bytearray, interface: int, limit: int) -> list[Datagram]:
    datagrams: list[Datagram] = []
    skipped = 0
    try:
        while len(datagrams) + skipped < limit:
            data, source, ancillary = _read(sock, space)
            if len(source) == 4:  # IPv6
                if not came_in_on(ancillary, interface):
                    skipped += 1
                    continue
                source = plain_source(source)
            ttl, size = told(ancillary)
            if size:
                datagrams += [Datagram(one, source, interface, ttl) for one in cut(data, size)]
            else:
                datagrams.append(Datagram(data, source, interface, ttl))
    except (BlockingIOError, InterruptedError):
        pass
    except OSError as error:
        if error.errno not in _PASSING_ON_READ:
            raise explain(error, "cannot receive") from error
    return datagrams


def _read(sock: socket.socket, space: bytearray) -> tuple[bytes, SocketAddress, Ancillary]:
    if WINDOWS:  # no recvmsg there
        size, source = sock.recvfrom_into(space)
        ancillary: Ancillary = []
    else:
        size, ancillary, _, source = sock.recvmsg_into([space], ANCILLARY_ROOM)
    return bytes(memoryview(space)[:size]), source, ancillary


def _wait(sockets: Iterable[socket.socket], event: int, timeout: float) -> None:
    """Until one of the sockets is ready, or `timeout` seconds."""
    with selectors.DefaultSelector() as selector:
        for sock in sockets:
            selector.register(sock, event)
        selector.select(timeout)
