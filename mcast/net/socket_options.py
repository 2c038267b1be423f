"""Every socket option that multicast needs, once, with the trap it avoids. Used by multicast.py alone.

Sources: ip(7), ipv6(7), socket(7), RFC 3493 (IPv6), RFC 3678 (source filters).
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import sys
from collections.abc import Sequence

from mcast.errors import UsageError
from mcast.net.address import GroupAddress

LINUX = sys.platform == "linux"
WINDOWS = sys.platform == "win32"

# Linux numbers that Python 3.11 has no names for (ip(7), ipv6(7), socket(7)).
IP_MULTICAST_ALL = 49
IPV6_MULTICAST_ALL = 29
SO_RCVBUFFORCE = 33
SO_MEMINFO = 55
SOL_UDP = 17
UDP_SEGMENT = 103
UDP_GRO = 104
_MEMINFO_DROPS = 8
_IP_RECVTTL = {"linux": 12, "darwin": 24}
# RFC 3678's protocol-independent source joins: (join, leave).
_SOURCE_OPTIONS = {"linux": (46, 47), "darwin": (82, 83), "win32": (45, 46)}

_MREQN = struct.Struct("=4s4si")
_ANY = bytes(4)
_GRO = (SOL_UDP, UDP_GRO)
_PKTINFO6 = (socket.IPPROTO_IPV6, getattr(socket, "IPV6_PKTINFO", -1))


def prepare_receiving(sock: socket.socket, v6: bool, buffer: int) -> None:
    sock.setblocking(False)
    # Before bind, or two programs cannot share the port; BSD and macOS want SO_REUSEPORT for multicast.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if not (LINUX or WINDOWS):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    if LINUX:
        with contextlib.suppress(PermissionError):  # goes beyond rmem_max where we may
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer)
        # With 1, the default, whatever another program on this host joined arrives here too.
        option = (socket.IPPROTO_IPV6, IPV6_MULTICAST_ALL) if v6 else (socket.IPPROTO_IP, IP_MULTICAST_ALL)
        sock.setsockopt(*option, 0)
    if v6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if hasattr(socket, "IPV6_RECVPKTINFO"):  # for came_in_on()
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    _ask_for_ttl(sock, v6)
    if WINDOWS:  # there it is the receiving socket that decides about our own host's datagrams
        level, loop = _by_family(v6, socket.IP_MULTICAST_LOOP, socket.IPV6_MULTICAST_LOOP)
        sock.setsockopt(level, loop, 1)


def _ask_for_ttl(sock: socket.socket, v6: bool) -> None:
    """Have the TTL or hop limit of every datagram told beside it, where the platform can."""
    if v6 and hasattr(socket, "IPV6_RECVHOPLIMIT"):
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    elif not v6 and sys.platform in _IP_RECVTTL:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL[sys.platform], 1)


def prepare_sending(sock: socket.socket, v6: bool, interface: int, ttl: int, loop: bool) -> None:
    sock.setblocking(False)
    _ask_for_ttl(sock, v6)
    # By index: a socket without it needs a default route (ENETUNREACH) or takes the one into the VPN.
    if v6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, struct.pack("@I", interface))
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, max(1, ttl))
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, int(loop))
    else:
        choice = struct.pack("!I", interface) if WINDOWS else _MREQN.pack(_ANY, _ANY, interface)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, choice)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
        # Answers go no further than questions: whoever lies about where he is cannot aim us at the internet.
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, max(1, ttl))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, int(loop))


def let_groups_share(sock: socket.socket) -> None:
    """After an exclusive bind: a program that binds every address at this port, with SO_REUSEADDR, may.

    Linux compares the options of both sockets when the later one binds, so one that is bound like this still
    keeps everybody off who binds this address without the option. Elsewhere the socket stays as it is.
    """
    if LINUX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def _by_family(v6: bool, option4: int, option6: int) -> tuple[int, int]:
    return (socket.IPPROTO_IPV6, option6) if v6 else (socket.IPPROTO_IP, option4)


def bind_address(group: GroupAddress, interface: int) -> tuple[str, int] | tuple[str, int, int, int]:
    if group.version == 4:
        return ("" if WINDOWS else group.host, group.port)
    return ("::" if WINDOWS else group.host, group.port, 0, scope(group.host, interface))


def scope(host: str, interface: int) -> int:
    """The scope id that binding needs: link-scoped addresses (RFC 4007), groups among them."""
    address = ipaddress.IPv6Address(host)
    link_scoped = address.is_link_local or (address.is_multicast and address.packed[1] & 0x0F <= 2)
    return interface if link_scoped else 0


def membership(
    sock: socket.socket, group: GroupAddress, interface: int, sources: Sequence[str], *, join: bool
) -> None:
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
        # Windows takes 0.0.0.index for an address, the others struct ip_mreqn.
        request = host + struct.pack("!I", interface) if WINDOWS else _MREQN.pack(host, _ANY, interface)
        sock.setsockopt(socket.IPPROTO_IP, option, request)


def _source_membership(
    sock: socket.socket, group: GroupAddress, interface: int, source: str, *, join: bool
) -> None:
    """MCAST_JOIN_SOURCE_GROUP and its twin: struct group_source_req of RFC 3678, section 5.1."""
    if (":" in source) != (group.version == 6):
        raise UsageError(
            f"source {source} and group {group.host} differ in IP version", "use two of one kind"
        )
    level, _ = _by_family(group.version == 6, 0, 0)
    option = _SOURCE_OPTIONS.get(sys.platform, _SOURCE_OPTIONS["linux"])[0 if join else 1]
    # The two socket addresses are aligned to 8, but on macOS, which packs to 4.
    head = struct.pack("@I", interface) if sys.platform == "darwin" else struct.pack("@I4x", interface)
    sock.setsockopt(level, option, head + _sockaddr(group.host) + _sockaddr(source))


def _sockaddr(host: str) -> bytes:
    """The host as a struct sockaddr_storage of 128 bytes."""
    v6 = ":" in host
    family = socket.AF_INET6 if v6 else socket.AF_INET
    body = (b"\0" * 6 if v6 else b"\0" * 2) + socket.inet_pton(family, host)
    # BSD has a length byte before a one-byte family.
    head = struct.pack("=H", family) if LINUX or WINDOWS else struct.pack("=BB", 28 if v6 else 16, family)
    return (head + body).ljust(128, b"\0")


def drops(sock: socket.socket) -> int:
    if not LINUX:
        return 0
    info = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 4 * (_MEMINFO_DROPS + 1))
    return int(struct.unpack(f"@{_MEMINFO_DROPS + 1}I", info)[_MEMINFO_DROPS])


def plain_source(address: tuple[str, int] | tuple[str, int, int, int]) -> tuple[str, int]:
    host, port = address[:2]
    if len(address) == 4 and address[3] and "%" not in host:
        with contextlib.suppress(OSError):
            host = f"{host}%{socket.if_indextoname(address[3])}"
    return host, port


Ancillary = list[tuple[int, int, bytes]]

_UINT16 = struct.Struct("@H")


def can_cut(sock: socket.socket) -> bool:
    """Whether the kernel cuts one large send into datagrams of one size (udp(7), UDP_SEGMENT)."""
    try:
        return LINUX and sock.getsockopt(SOL_UDP, UDP_SEGMENT) == 0
    except OSError:
        return False


def cut_at(size: int) -> Ancillary:
    """The control message that asks for datagrams of `size` bytes."""
    return [(SOL_UDP, UDP_SEGMENT, _UINT16.pack(size))]


def take_pieces(sock: socket.socket) -> None:
    """Have the kernel hand over several datagrams of one sender and size at once, where it can (UDP_GRO)."""
    if LINUX:
        with contextlib.suppress(OSError):
            sock.setsockopt(SOL_UDP, UDP_GRO, 1)


def came_in_on(ancillary: Ancillary, joined: int) -> bool:
    """Whether a datagram belongs to the socket that joined on the interface `joined`.

    Linux gives an IPv6 socket that is bound to no interface what came in on any, if anybody joined there.
    """
    for level, kind, value in ancillary:
        if (level, kind) == _PKTINFO6 and len(value) >= 20:
            return struct.unpack_from("@I", value, 16) == (joined,)
    return True


def told(ancillary: Ancillary) -> tuple[int | None, int]:
    """Of what was received: its TTL or hop limit, None if not told, and the size of each datagram but the
    last, 0 if it is one."""
    ttl, size = None, 0
    for level, kind, value in ancillary:
        if (level, kind) == _GRO:
            size = int.from_bytes(value, sys.byteorder)
        elif (level, kind) != _PKTINFO6 and value and ttl is None:
            ttl = int.from_bytes(value[:4], sys.byteorder) if len(value) >= 4 else value[0]  # BSD: one byte
    return ttl, size
