"""What the system's error numbers mean for multicast and what to do about each (errno(3), ip(7))."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Iterator

import msgspec

from mcast.errors import PermissionRefused, PortTaken, SocketError
from mcast.net.port_holders import holders

PASSING_ON_READ = {
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ENOBUFS,
}
"""Errors of earlier sends that a read reports: ICMP port unreachable (Linux, WSAECONNRESET on Windows)."""


class _Meaning(msgspec.Struct, frozen=True):
    meaning: str
    remedy: str
    kind: type[SocketError] = SocketError


_FIREWALL = (
    "allow UDP to this group in the firewall or sandbox (macOS: System Settings, Privacy, Local Network)"
)
_WHO_HOLDS = {
    "linux": "ss -lunp",
    "darwin": "lsof -nP -iUDP",
    "win32": "netstat -anop UDP",
}.get(sys.platform, "netstat -an")

_MEANINGS: dict[int, _Meaning] = {
    errno.EADDRINUSE: _Meaning(
        "another program holds this port and does not share it",
        f"stop it ({_WHO_HOLDS} shows it), let it set SO_REUSEADDR, or choose another port with --port",
        PortTaken,
    ),
    errno.EACCES: _Meaning("permission denied", _FIREWALL, PermissionRefused),
    errno.EPERM: _Meaning("not permitted", _FIREWALL, PermissionRefused),
    errno.EADDRNOTAVAIL: _Meaning("the address has gone from this computer", "check: mcast interfaces"),
    errno.ENODEV: _Meaning("the interface has gone", "check: mcast interfaces"),
    errno.ENXIO: _Meaning("the interface has gone", "check: mcast interfaces"),
    errno.ENETDOWN: _Meaning("the interface is down", "bring it up, or choose another with -i"),
    errno.ENETUNREACH: _Meaning(
        "no route for multicast there", "choose another interface with -i; see: mcast interfaces"
    ),
    errno.EHOSTUNREACH: _Meaning(
        "the network refuses it", "macOS: allow this program in System Settings, Privacy, Local Network"
    ),
    errno.EMSGSIZE: _Meaning("larger than the interface carries in one datagram", "send less at once"),
    errno.ENOBUFS: _Meaning("the system is out of network buffers", "try again, or send more slowly"),
    errno.EAGAIN: _Meaning("the interface accepts no more data", "try again, or send more slowly"),
    errno.ENOMEM: _Meaning("the system is out of memory for sockets", "close other programs"),
    errno.EMFILE: _Meaning("too many open files", "raise the limit: ulimit -n"),
    errno.EAFNOSUPPORT: _Meaning("this IP version is switched off here", "use the other one"),
    errno.EINVAL: _Meaning("the interface or a blackhole route does not allow it", "choose another with -i"),
}


def explain_bind(error: OSError, doing: str, port: int) -> SocketError:
    """As explain(); if the port is taken, it names who holds it."""
    explained = explain(error, doing)
    if isinstance(explained, PortTaken) and (names := holders(port)):
        meaning = f"{doing}: {', '.join(names)} holds this port and does not share it"
        remedy = "stop it, let it set SO_REUSEADDR (not SO_REUSEPORT), or choose another port with --port"
        return PortTaken(meaning, remedy, explained.errno)
    return explained


def explain(error: OSError, doing: str) -> SocketError:
    """A SocketError that says what failed (`doing`), what the error means and what to do about it."""
    number = error.errno or 0
    meaning = _MEANINGS.get(number)
    if meaning is None:
        return SocketError(f"{doing}: {error.strerror or error}", errno=number)
    return meaning.kind(f"{doing}: {meaning.meaning}", meaning.remedy, number)


@contextlib.contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn an OSError of the block into a SocketError by explain()."""
    try:
        yield
    except SocketError:
        raise
    except OSError as error:
        raise explain(error, doing) from error
