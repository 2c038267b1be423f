"""The socket options that multicast needs, each with the trap that it avoids. Only multicast.py uses them.

Sources: ip(7), ipv6(7), socket(7), udp(7), RFC 3493 (IPv6), RFC 3678 (source filters).
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path

from mcast.errors import UsageError
from mcast.net.address import GroupAddress

LINUX = sys.platform == "linux"
WINDOWS = sys.platform == "win32"

# Linux numbers that Python 3.11 has no names for (ip(7), ipv6(7), socket(7)).
IP_MULTICAST_ALL = 49
IPV6_MULTICAST_ALL = 29
SO_RCVBUFFORCE = 33
SO_MEMINFO = 55
SO_ATTACH_FILTER = 26
SOL_UDP = 17
UDP_SEGMENT = 103
UDP_GRO = 104
_MEMINFO_ALLOC, _MEMINFO_BUFFER, _MEMINFO_DROPS = 0, 1, 8
SO_TIMESTAMPNS = 35
ANCILLARY_ROOM = 128
"""Bytes for the control messages that carry the TTL, the time, the segment size and the interface (IPv6)."""
_IP_RECVTTL = {"linux": 12, "darwin": 24}
# RFC 3678's protocol-independent source joins: (join, leave).
_SOURCE_OPTIONS = {"linux": (46, 47), "darwin": (82, 83), "win32": (45, 46)}

SocketName = tuple[str, int] | tuple[str, int, int, int]

_MREQN = struct.Struct("=4s4si")
_ANY = bytes(4)
STAMP = (socket.SOL_SOCKET, SO_TIMESTAMPNS)
_TIMESPEC = struct.Struct("@ll")
_GRO = (SOL_UDP, UDP_GRO)
_PKTINFO6 = (socket.IPPROTO_IPV6, getattr(socket, "IPV6_PKTINFO", -1))


def prepare_receiving(sock: socket.socket, v6: bool, buffer: int) -> None:
    """Set the options of a receiving socket; call it before bind. `buffer`: receive buffer in bytes."""
    sock.setblocking(False)
    # Two programs can share the port only with this set before bind. BSD and macOS need SO_REUSEPORT. With
    # that, Linux gives a datagram from the network to only one of the sockets (seen on 6.18).
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if not (LINUX or WINDOWS):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    set_receive_buffer(sock, buffer)
    if LINUX:
        # The default of 1 also delivers groups that other programs on this host joined.
        option = (socket.IPPROTO_IPV6, IPV6_MULTICAST_ALL) if v6 else (socket.IPPROTO_IP, IP_MULTICAST_ALL)
        sock.setsockopt(*option, 0)
    if v6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if hasattr(socket, "IPV6_RECVPKTINFO"):  # for read_ancillary()
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    _ask_for_ancillary(sock, v6)
    if WINDOWS:  # there the receiving socket decides whether datagrams of this host are looped back
        level, loop = _by_family(v6, socket.IP_MULTICAST_LOOP, socket.IPV6_MULTICAST_LOOP)
        sock.setsockopt(level, loop, 1)


def set_receive_buffer(sock: socket.socket, buffer: int) -> None:
    """Ask for a receive buffer of so many bytes."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    if LINUX:
        with contextlib.suppress(PermissionError):  # a privileged process may exceed rmem_max
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer)


def _ask_for_ancillary(sock: socket.socket, v6: bool) -> None:
    """Request the TTL or hop limit of each datagram and the time of its arrival as ancillary data, where the
    platform offers it."""
    if LINUX:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    if v6 and hasattr(socket, "IPV6_RECVHOPLIMIT"):
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    elif not v6 and sys.platform in _IP_RECVTTL:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL[sys.platform], 1)


def prepare_sending(sock: socket.socket, v6: bool, interface: int, ttl: int, loop: bool) -> None:
    """Set the options of a socket that sends out of the interface with that index."""
    sock.setblocking(False)
    _ask_for_ancillary(sock, v6)
    # Without an interface the kernel follows the default route, which may be missing or lead into a VPN.
    if v6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, struct.pack("@I", interface))
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, max(1, ttl))
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, int(loop))
    else:
        choice = struct.pack("!I", interface) if WINDOWS else _MREQN.pack(_ANY, _ANY, interface)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, choice)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
        # Unicast answers get the same TTL, so that a forged source cannot aim us at the internet.
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, max(1, ttl))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, int(loop))


def let_groups_share(sock: socket.socket) -> None:
    """Call it after an exclusive bind: other programs may then bind all addresses at this port.

    They need SO_REUSEADDR for that. Linux compares the options of both sockets when the later one binds, so
    a program without the option still cannot bind our address. Does nothing on other systems.
    """
    if LINUX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def _by_family(v6: bool, option4: int, option6: int) -> tuple[int, int]:
    return (socket.IPPROTO_IPV6, option6) if v6 else (socket.IPPROTO_IP, option4)


def bind_address(group: GroupAddress, interface: int) -> SocketName:
    """The address to bind a receiving socket to."""
    if group.version == 4:
        return ("" if WINDOWS else group.host, group.port)
    return ("::" if WINDOWS else group.host, group.port, 0, scope(group.host, interface))


def scope(host: str, interface: int) -> int:
    """The scope id to bind `host` with: the interface for a link-scoped address (RFC 4007), else 0."""
    address = ipaddress.IPv6Address(host)
    link_scoped = address.is_link_local or (address.is_multicast and address.packed[1] & 0x0F <= 2)
    return interface if link_scoped else 0


def membership(
    sock: socket.socket, group: GroupAddress, interface: int, sources: Sequence[str], *, join: bool
) -> None:
    """Join or leave `group` on the interface; only for `sources` if there are any."""
    if sources:
        for source in sources:
            _source_membership(sock, group, interface, source, join=join)
    elif group.version == 6:
        option = socket.IPV6_JOIN_GROUP if join else socket.IPV6_LEAVE_GROUP
        request = socket.inet_pton(socket.AF_INET6, group.host) + struct.pack("@I", interface)
        sock.setsockopt(socket.IPPROTO_IPV6, option, request)
    else:
        option = socket.IP_ADD_MEMBERSHIP if join else socket.IP_DROP_MEMBERSHIP
        host = socket.inet_aton(group.host)
        # Windows takes the index as the address 0.0.0.index, other systems take a struct ip_mreqn.
        request = host + struct.pack("!I", interface) if WINDOWS else _MREQN.pack(host, _ANY, interface)
        sock.setsockopt(socket.IPPROTO_IP, option, request)


def _source_membership(
    sock: socket.socket, group: GroupAddress, interface: int, source: str, *, join: bool
) -> None:
    """MCAST_JOIN_SOURCE_GROUP or MCAST_LEAVE_SOURCE_GROUP with a group_source_req (RFC 3678, 5.1)."""
    if (":" in source) != (group.version == 6):
        raise UsageError(
            f"source {source} and group {group.host} differ in IP version", "use two of one version"
        )
    level, _ = _by_family(group.version == 6, 0, 0)
    option = _SOURCE_OPTIONS.get(sys.platform, _SOURCE_OPTIONS["linux"])[0 if join else 1]
    # The two socket addresses are aligned to 8 bytes, on macOS to 4.
    head = struct.pack("@I", interface) if sys.platform == "darwin" else struct.pack("@I4x", interface)
    sock.setsockopt(level, option, head + _sockaddr(group.host) + _sockaddr(source))


def _sockaddr(host: str) -> bytes:
    """`host` as a struct sockaddr_storage of 128 bytes."""
    v6 = ":" in host
    family = socket.AF_INET6 if v6 else socket.AF_INET
    body = (b"\0" * 6 if v6 else b"\0" * 2) + socket.inet_pton(family, host)
    # BSD puts a length byte before a family of one byte.
    head = struct.pack("=H", family) if LINUX or WINDOWS else struct.pack("=BB", 28 if v6 else 16, family)
    return (head + body).ljust(128, b"\0")


def drops(sock: socket.socket) -> int:
    """Datagrams for the socket that the kernel dropped, see udp_errors(); 0 where it does not tell."""
    if not LINUX:
        return 0
    return _meminfo(sock)[_MEMINFO_DROPS]


def filling(sock: socket.socket) -> float:
    """How full the receive buffer is, 0 to 1; 0 where the system does not tell."""
    if not LINUX:
        return 0.0
    info = _meminfo(sock)
    return min(1.0, info[_MEMINFO_ALLOC] / max(1, info[_MEMINFO_BUFFER]))


def _meminfo(sock: socket.socket) -> tuple[int, ...]:
    info = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 4 * (_MEMINFO_DROPS + 1))
    return struct.unpack(f"@{_MEMINFO_DROPS + 1}I", info)


_BPF = struct.Struct("@HBBI")
_LOAD_WORD, _AND, _JUMP_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_AFTER_UDP_HEAD = 8


def ignore(sock: socket.socket, start: bytes) -> None:
    """Let the kernel discard datagrams that begin with these 3 bytes (SO_ATTACH_FILTER, socket(7)).

    It counts them as dropped. Does nothing where there is no such option.
    """
    if not LINUX:
        return
    code = b"".join(
        _BPF.pack(*instruction)
        for instruction in (
            (_LOAD_WORD, 0, 0, _AFTER_UDP_HEAD),
            (_AND, 0, 0, 0xFFFFFF00),
            (_JUMP_EQUAL, 0, 1, int.from_bytes(start) << 8),
            (_RETURN, 0, 0, 0),
            (_RETURN, 0, 0, 0xFFFFFFFF),
        )
    )
    program = array("B", code)
    address, size = program.buffer_info()
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", size // _BPF.size, address))


def source_towards(address: SocketName) -> str | None:
    """Our address from which the system would send to this one; None if no route leads there."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect(address)  # sends nothing
            return str(sock.getsockname()[0]).partition("%")[0]
    except OSError:
        return None


def _rows(path: str) -> list[list[str]]:
    return [line.split() for line in Path(path).read_text().splitlines()]


def udp_errors() -> tuple[int, int]:
    """Datagrams that the kernel dropped of all programs here: those for which the buffer was full, and those
    with a wrong checksum. (0, 0) where it does not tell.
    """
    counts = {"RcvbufErrors": 0, "InCsumErrors": 0}
    with contextlib.suppress(OSError):
        names, values = (row[1:] for row in _rows("/proc/net/snmp") if row[0] == "Udp:")
        with_names = [*zip(names, values, strict=True)]
        with_names += [(row[0].removeprefix("Udp6"), row[1]) for row in _rows("/proc/net/snmp6")]
        for name, value in with_names:
            if name in counts:
                counts[name] += int(value)
    return counts["RcvbufErrors"], counts["InCsumErrors"]


def plain_source(address: SocketName) -> tuple[str, int]:
    """(host, port) of a socket address, with `%interface` after a link-local IPv6 host."""
    host, port = address[:2]
    if len(address) == 4 and address[3] and "%" not in host:
        with contextlib.suppress(OSError):  # the interface has gone
            host = f"{host}%{socket.if_indextoname(address[3])}"
    return host, port


Ancillary = list[tuple[int, int, bytes]]


def read_ancillary(ancillary: Ancillary) -> tuple[int | None, int, int | None, float | None]:
    """TTL or hop limit, segment size, index of the receiving interface (IPv6 only), and when it arrived (unix
    seconds).

    The TTL, the interface and the time are None if the kernel did not tell them. The segment size is 0 for a
    single datagram; see split_segments().
    """
    ttl, size, interface, arrived = None, 0, None, None
    for level, kind, value in ancillary:
        if (level, kind) == STAMP:
            if len(value) == _TIMESPEC.size:
                seconds, nanoseconds = _TIMESPEC.unpack(value)
                arrived = seconds + nanoseconds * 1e-9
        elif (level, kind) == _GRO:
            size = int.from_bytes(value, sys.byteorder)
        elif (level, kind) == _PKTINFO6:
            if len(value) >= 20:
                interface = int.from_bytes(value[16:20], sys.byteorder)
        elif value and ttl is None:
            ttl = int.from_bytes(value[:4], sys.byteorder) if len(value) >= 4 else value[0]  # BSD: one byte
    return ttl, size, interface, arrived


# Segmentation offload (udp(7), Linux): the kernel takes and returns several datagrams in one call, all of
# one size except that the last may be shorter. A system call and a walk through the network stack cost
# 11 us a datagram, the larger part of what a datagram costs.

SEGMENTS_MAX = 64
"""Datagrams in one call; newer kernels allow 128 (UDP_MAX_SEGMENTS)."""
SEGMENTS_BYTES_MAX = 65_507
_UINT16 = struct.Struct("@H")


def can_segment(sock: socket.socket) -> bool:
    """Whether the kernel cuts one large send into datagrams (UDP_SEGMENT)."""
    try:
        return LINUX and sock.getsockopt(SOL_UDP, UDP_SEGMENT) == 0
    except OSError:
        return False


def segment_size(size: int) -> Ancillary:
    """The control message that asks the kernel for datagrams of `size` bytes."""
    return [(SOL_UDP, UDP_SEGMENT, _UINT16.pack(size))]


def receive_segments(sock: socket.socket) -> None:
    """Let the kernel return several datagrams of one sender and size together, where it can (UDP_GRO)."""
    if LINUX:
        with contextlib.suppress(OSError):
            sock.setsockopt(SOL_UDP, UDP_GRO, 1)


def segment_counts(sizes: Sequence[int]) -> list[int]:
    """How many of the datagrams of these sizes go into each send."""
    counts: list[int] = []
    start = total = 0
    for at, size in enumerate(sizes):
        if at > start and (
            not 0 < size <= sizes[start]  # the kernel would lose an empty one
            or sizes[at - 1] < sizes[start]
            or at - start == SEGMENTS_MAX
            or total + size > SEGMENTS_BYTES_MAX
        ):
            counts.append(at - start)
            start, total = at, 0
        total += size
    if sizes:
        counts.append(len(sizes) - start)
    return counts


def group_segments(datagrams: Sequence[bytes]) -> list[Sequence[bytes]]:
    """Split `datagrams` into slices that each fit one send, without changing their order."""
    slices: list[Sequence[bytes]] = []
    start = 0
    for count in segment_counts([len(datagram) for datagram in datagrams]):
        slices.append(datagrams[start : start + count])
        start += count
    return slices


def split_segments(data: bytes, size: int) -> list[bytes]:
    """The datagrams in `data`, as received with this segment size."""
    if not 0 < size < len(data):
        return [data]
    return [data[at : at + size] for at in range(0, len(data), size)]
