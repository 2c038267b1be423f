"""UDP multicast sockets, done right. Their options are in net/socket_options.py.

    from mcast import interfaces, multicast

    group = multicast.parse_group("230.0.0.1", default_port=3000)
    link = interfaces.default()[0]
    with multicast.Receiver(group) as receiver, multicast.Sender(link.index, link.address(4)) as sender:
        receiver.join(link.index)
        sender.send(b"hello", group)
        print(receiver.receive(timeout=1.0))

A receiver has one socket for each interface that it joined; docs/decisions/0003-one-socket-per-interface.md
gives the reasons.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Self, TypeVar

import msgspec

from .errors import NoInterface, SocketError, UsageError
from .net.address import GroupAddress, parse_group
from .net.errnos import PASSING_ON_READ, explain, explain_bind, explained
from .net.socket_options import (
    ANCILLARY_ROOM,
    LINUX,
    WINDOWS,
    Ancillary,
    bind_address,
    can_segment,
    drops,
    filling,
    group_segments,
    ignore,
    let_groups_share,
    membership,
    plain_source,
    prepare_receiving,
    prepare_sending,
    read_ancillary,
    receive_segments,
    scope,
    segment_size,
    set_receive_buffer,
    split_segments,
)

T = TypeVar("T")
Reading = Callable[[socket.socket, int, int], list[T]]
"""Reads a socket of the interface with that index: so many datagrams, or a few more, without blocking."""

__all__ = ["Datagram", "GroupAddress", "Receiver", "Sender", "explain", "parse_group"]

RECEIVE_BUFFER = 8 << 20
"""Bytes requested; Linux grants at most net.core.rmem_max and reports twice what it grants."""
LARGEST_DATAGRAM = 65_507
DRAIN_LIMIT = 256
"""Datagrams read from one socket before the others get their turn."""


class Datagram(NamedTuple):
    """One received UDP payload.

    `source` is (address, port), with `%interface` after a link-local address. `interface` is the index of
    the interface that received it. `ttl` is the TTL or hop limit, None if the platform does not tell it
    (Windows). `arrived` is when the kernel got it, in unix seconds; None except on Linux.
    """

    data: bytes
    source: tuple[str, int]
    interface: int
    ttl: int | None
    arrived: float | None = None


# The kernel cannot cut a send into datagrams. EINVAL, EMSGSIZE: one is larger than the MTU; EIO: the
# interface computes no checksums (Linux, udp_send_skb).
_CANNOT_SEGMENT = {errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.EOPNOTSUPP, errno.ENOPROTOOPT}


class Burst(msgspec.Struct, frozen=True):
    """Datagrams of one size, but the last may be smaller: what one call may take. Each is two of `parts`."""

    size: int
    parts: list[bytes | memoryview]


class Whole:
    """Reads datagrams as they are."""

    def __init__(self) -> None:
        self._space = bytearray(LARGEST_DATAGRAM + 1)

    def __call__(self, sock: socket.socket, interface: int, limit: int) -> list[Datagram]:
        """Read up to `limit` datagrams. Raises SocketError if the socket is dead."""
        datagrams: list[Datagram] = []
        space = self._space
        view = memoryview(space)
        ancillary: Ancillary = []
        try:
            for _ in range(limit):
                if WINDOWS:  # it has no recvmsg
                    length, source = sock.recvfrom_into(space)
                else:
                    length, ancillary, _, source = sock.recvmsg_into([space], ANCILLARY_ROOM)
                ttl, size, interface_told, arrived = read_ancillary(ancillary)
                # Linux also gives an IPv6 socket that is bound to no interface what arrives on other
                # interfaces where any program has joined.
                if interface_told not in (None, interface):
                    continue
                if len(source) == 4:
                    source = plain_source(source)
                data = bytes(view[:length])
                if size:
                    pieces = split_segments(data, size)
                    datagrams += [Datagram(one, source, interface, ttl, arrived) for one in pieces]
                else:
                    datagrams.append(Datagram(data, source, interface, ttl, arrived))
                if len(datagrams) >= limit:
                    break
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            if error.errno not in PASSING_ON_READ:
                raise explain(error, "cannot receive") from error
        return datagrams


class Receiver:
    """Receives one group on the interfaces it joined. Not thread-safe; its sockets do not block.

    group: the group. buffer: receive buffer of each socket in bytes. pieces: let the kernel return several
    datagrams of one sender together where it can. That is faster, but drain() may then return more than its
    limit, and receive() loses datagrams.
    """

    def __init__(self, group: GroupAddress, *, buffer: int = RECEIVE_BUFFER, pieces: bool = False) -> None:
        self.group = group
        self._pieces = pieces
        self._buffer = buffer
        self._sockets: dict[int, socket.socket] = {}
        self._sources: dict[int, tuple[str, ...]] = {}
        self._ignored = b""
        self._whole = Whole()
        self._drops_of_closed = 0
        self._last = 0

    def join(self, interface: int, sources: Sequence[str] = ()) -> None:
        """Join the group on the interface with that index.

        sources: receive only from these addresses; empty means from everybody. Joining again with the same
        sources does nothing. Raises SocketError (PortTaken, PermissionRefused), or UsageError for a
        source-specific group without a source; the interface is not joined then.
        """
        sources = tuple(sources)
        if self.group.needs_source and not sources:
            raise UsageError(
                f"{self.group.host} is a source-specific group", "name the sender with --source ADDRESS"
            )
        if interface in self._sockets:
            if self._sources[interface] == sources:
                return
            self.leave(interface)
        self._sockets[interface] = self._open(interface, sources)
        self._sources[interface] = sources

    def join_all(self, interfaces: Iterable[int], sources: Sequence[str] = ()) -> None:
        """join() every interface, or none of them: on an error, the joins of this call are undone."""
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
        """Leave on that interface and discard its unread datagrams. Does nothing if it is not joined."""
        sock = self._sockets.pop(interface, None)
        self._sources.pop(interface, None)
        if sock is not None:
            self._drops_of_closed += drops(sock)
            sock.close()

    def rejoin(self, interface: int) -> None:
        """Leave and join with the same socket, so that the kernel reports the membership to switches again.

        A snooping switch without a querier forgets its members (RFC 4541, 2.1.1). Unread datagrams stay.
        Raises SocketError if the interface has gone.
        """
        sock, sources = self._sockets[interface], self._sources[interface]
        with explained(f"cannot rejoin {self.group.host}"):
            with contextlib.suppress(OSError):
                membership(sock, self.group, interface, sources, join=False)
            membership(sock, self.group, interface, sources, join=True)

    def ignore(self, start: bytes) -> None:
        """Let the kernel discard datagrams that begin with these 3 bytes, where it can: nobody reads them.

        Then `kernel_drops` counts them. Datagrams of one sender that came in one piece share the fate of the
        first.
        """
        self._ignored = start
        for sock in self._sockets.values():
            ignore(sock, start)

    @property
    def joined(self) -> tuple[int, ...]:
        """Indices of the joined interfaces, in the order in which they were joined."""
        return tuple(self._sockets)

    def fileno(self, interface: int) -> int:
        """The file descriptor of that interface's socket, for selectors and event loops."""
        return self._sockets[interface].fileno()

    @property
    def granted_buffer(self) -> int:
        """Smallest receive buffer that the system granted one of the sockets, in bytes; 0 before a join."""
        sizes = [s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for s in self._sockets.values()]
        return min(sizes, default=0) // (2 if LINUX else 1)

    @property
    def filling(self) -> float:
        """How full the fullest receive buffer is, 0 to 1; 0 where the system does not tell."""
        return max(map(filling, self._sockets.values()), default=0.0)

    @property
    def kernel_drops(self) -> int | None:
        """Datagrams that the kernel dropped because they were not read in time; None if it does not tell."""
        if not LINUX:
            return None
        return self._drops_of_closed + sum(map(drops, self._sockets.values()))

    def drain(self, interface: int, limit: int = DRAIN_LIMIT) -> list[Datagram]:
        """Read up to `limit` waiting datagrams of that interface, without blocking.

        Raises SocketError if the socket is dead. A transient error (an ICMP error of an earlier send, a
        signal) only ends the list.
        """
        return self.read(interface, limit, self._whole)

    def read(self, interface: int, limit: int, how: Reading[T]) -> list[T]:
        """drain(), as `how` reads."""
        sock = self._sockets.get(interface)
        return [] if sock is None else how(sock, interface, limit)

    def receive(self, timeout: float) -> Datagram | None:
        """The next datagram of any joined interface, or None after `timeout` seconds.

        Raises NoInterface if no interface is joined, SocketError as drain() does.
        """
        deadline = time.monotonic() + timeout
        while self._sockets:
            wait = max(0.0, deadline - time.monotonic())
            _wait(self._sockets.values(), selectors.EVENT_READ, wait)
            if datagram := self._next_in_turn():
                return datagram
            if wait == 0.0:
                return None
        raise NoInterface(f"no interface has joined {self.group}", "join an interface first")

    def _next_in_turn(self) -> Datagram | None:
        """A waiting datagram, of the next interface in turn: a flood on one does not starve the others."""
        order = list(self._sockets)
        start = order.index(self._last) + 1 if self._last in order else 0
        for interface in order[start:] + order[:start]:
            if datagrams := self.drain(interface, 1):
                self._last = interface
                return datagrams[0]
        return None

    def close(self) -> None:
        """Leave on all interfaces. May be called twice."""
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
                    receive_segments(sock)
                if self._ignored:
                    ignore(sock, self._ignored)
                self._bind(sock, interface)
                membership(sock, self.group, interface, sources, join=True)
            except BaseException:
                sock.close()
                raise
        return sock

    def _bind(self, sock: socket.socket, interface: int) -> None:
        try:
            sock.bind(bind_address(self.group, interface))
        except OSError as error:
            raise explain_bind(error, f"cannot receive {self.group}", self.group.port) from error


class Sender:
    """Sends to groups and to single addresses out of one interface.

    It has a port of its own and also receives what is sent there; see drain().

    interface: index of the interface. address: the interface's address to send from; its IP version is the
    sender's. port: UDP port to hold alone at that address; 0 means any free one. ttl: how many networks a
    datagram may cross, 1 means the local one only. loop: whether programs on this computer hear it too.
    broadcast: whether it may also send to 255.255.255.255. buffer: receive buffer in bytes, for who receives
    much; the kernel then returns several datagrams together where it can.
    Raises UsageError for an impossible ttl, PortTaken if another program holds the port, or another
    SocketError.
    """

    def __init__(
        self,
        interface: int,
        address: str,
        *,
        port: int = 0,
        ttl: int = 1,
        loop: bool = True,
        broadcast: bool = False,
        buffer: int = 0,
    ) -> None:
        if not 0 <= ttl <= 255:
            raise UsageError(f"{ttl} is not a TTL", "use 0 to 255")
        v6 = ":" in address
        with explained(f"cannot send from {address}"):
            self._socket = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
            try:
                prepare_sending(self._socket, v6, interface, ttl, loop)
                if buffer:
                    set_receive_buffer(self._socket, buffer)
                    receive_segments(self._socket)
                if broadcast:
                    self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                self._socket.bind((address, port, 0, scope(address, interface)) if v6 else (address, port))
                if port:
                    let_groups_share(self._socket)
            except BaseException:
                self._socket.close()
                raise
        self.interface = interface
        self.address = address
        self.version = 6 if v6 else 4
        self._whole = Whole()
        self._segments = can_segment(self._socket)

    @property
    def source(self) -> tuple[str, int]:
        """(address, port) that receivers see, with `%interface` after a link-local address."""
        return plain_source(self._socket.getsockname())

    def send(self, data: bytes, group: GroupAddress, *, timeout: float = 1.0) -> None:
        """Send one datagram to a group.

        timeout: seconds to wait for room in the socket's buffer. Raises SocketError: EMSGSIZE if `data` is
        larger than the interface carries, EPERM behind a firewall, and so on; see explain().
        """
        self.send_to(data, (group.host, group.port), timeout=timeout)

    def send_to(self, data: bytes, address: tuple[str, int], *, timeout: float = 1.0) -> None:
        """Send one datagram to (address, port), as in Datagram.source. Timeout and errors as in send()."""
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
        """Send datagrams to one address. Consecutive ones of one size share a call where the kernel allows.

        timeout: as in send(), for each call. Returns the errors instead of raising them: after one the next
        datagram is still sent.
        """
        errors: list[SocketError] = []
        for some in group_segments(datagrams) if self._segments else ([one] for one in datagrams):
            if len(some) > 1 and self._send_segments(some, address, timeout, errors):
                continue
            for datagram in some:
                try:
                    self.send_to(datagram, address, timeout=timeout)
                except SocketError as error:
                    errors.append(error)
        return errors

    def send_bursts(self, bursts: Sequence[Burst], address: tuple[str, int]) -> int:
        """Send datagrams without waiting for room in the socket's buffer.

        Returns how many were handed over; those after them found no room. What the system refuses for another
        reason counts as sent: it is lost like any other.
        """
        target = address if self.version == 4 else self._scoped(address)
        done = 0
        for burst in bursts:
            parts = burst.parts
            while parts:
                count = len(parts) // 2 if self._segments else 1
                try:
                    if count > 1:
                        self._socket.sendmsg(parts, segment_size(burst.size), 0, target)
                    else:
                        self._socket.sendto(b"".join(parts[:2]), target)
                except BlockingIOError:
                    return done
                except OSError as error:
                    if count > 1 and error.errno in _CANNOT_SEGMENT:
                        self._segments = False
                        continue
                done += count
                parts = parts[2 * count :]
        return done

    def _send_segments(
        self, datagrams: Sequence[bytes], address: tuple[str, int], timeout: float, errors: list[SocketError]
    ) -> bool:
        """Send them in one call. False if that is impossible here: they have to be sent one by one."""
        if not self._segments:
            return False
        target = address if self.version == 4 else self._scoped(address)
        ancillary = segment_size(len(datagrams[0]))
        try:
            try:
                self._socket.sendmsg(datagrams, ancillary, 0, target)
            except BlockingIOError:
                _wait([self._socket], selectors.EVENT_WRITE, timeout)
                self._socket.sendmsg(datagrams, ancillary, 0, target)
        except OSError as error:
            if error.errno in _CANNOT_SEGMENT:
                self._segments = False
                return False
            errors.append(explain(error, f"cannot send to {address[0]} port {address[1]}"))
        return True

    def _scoped(self, address: tuple[str, int]) -> tuple[str, int, int, int]:
        return address[0].partition("%")[0], address[1], 0, self.interface

    def fileno(self) -> int:
        """The file descriptor, for selectors and event loops."""
        return self._socket.fileno()

    @property
    def filling(self) -> float:
        """How full the receive buffer is; see Receiver.filling."""
        return filling(self._socket)

    def drain(self, limit: int = DRAIN_LIMIT) -> list[Datagram]:
        """Read up to `limit` datagrams sent to this sender's own address and port; see Receiver.drain()."""
        return self.read(limit, self._whole)

    def read(self, limit: int, how: Reading[T]) -> list[T]:
        """drain(), as `how` reads."""
        return how(self._socket, self.interface, limit)

    def close(self) -> None:
        """Close the socket. May be called twice."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _wait(sockets: Iterable[socket.socket], event: int, timeout: float) -> None:
    """Wait until one of the sockets is ready, at most `timeout` seconds."""
    with selectors.DefaultSelector() as selector:
        for sock in sockets:
            selector.register(sock, event)
        selector.select(timeout)
