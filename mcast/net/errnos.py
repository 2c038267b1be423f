"""What the system's error numbers mean for multicast, and what to do about each (errno(3), ip(7))."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Iterator

import msgspec

from mcast.errors import PermissionRefused, PortTaken, SocketError


class _Meaning(msgspec.Struct, frozen=True):
    meaning: str
    remedy: str
    kind: type[SocketError] = SocketError


_FIREWALL = "a firewall or sandbox refuses it: allow UDP to this group (on macOS: Privacy, Local Network)"
_WHO_HOLDS = {
    "linux": "ss -lunp",
    "darwin": "lsof -nP -iUDP",
    "win32": "netstat -anop UDP",
}.get(sys.platform, "netstat -an")

_MEANINGS: dict[int, _Meaning] = {
    errno.EADDRINUSE: _Meaning(
        "another program holds this port and does not share it (no SO_REUSEADDR)",
        f"stop it ({_WHO_HOLDS} shows it) or take another port with --port",
        PortTaken,
    ),
    errno.EACCES: _Meaning("permission denied", _FIREWALL, PermissionRefused),
    errno.EPERM: _Meaning("not permitted", _FIREWALL, PermissionRefused),
    errno.EADDRNOTAVAIL: _Meaning("the address has gone from this computer", "check: mcast interfaces"),
    errno.ENODEV: _Meaning("the interface has gone", "check: mcast interfaces"),
    errno.ENXIO: _Meaning("the interface has gone", "check: mcast interfaces"),
    errno.ENETDOWN: _Meaning("the interface is down", "bring it up, or choose another with -i"),
    errno.ENETUNREACH: _Meaning(
        "no route for multicast there", "choose an interface that has one with -i; see: mcast interfaces"
    ),
    errno.EHOSTUNREACH: _Meaning(
        "the network refuses it", "on macOS allow this program under Privacy, Local Network"
    ),
    errno.EMSGSIZE: _Meaning("larger than the interface carries in one datagram", "send less at once"),
    errno.ENOBUFS: _Meaning("the system is out of network buffers", "try again, or send more slowly"),
    errno.EAGAIN: _Meaning("the interface takes nothing more", "try again, or send more slowly"),
    errno.ENOMEM: _Meaning("the system is out of memory for sockets", "close other programs"),
    errno.EMFILE: _Meaning("too many open files", "raise the limit: ulimit -n"),
    errno.EAFNOSUPPORT: _Meaning("this computer has that IP version switched off", "use the other one"),
    errno.EINVAL: _Meaning("the interface or a blackhole route does not allow it", "choose another with -i"),
}


def explain(error: OSError, doing: str) -> SocketError:
    """The error in words: what was tried, what it means and what to do about it."""
    number = error.errno or 0
    meaning = _MEANINGS.get(number)
    if meaning is None:
        return SocketError(f"{doing}: {error.strerror or error}", errno=number)
    return meaning.kind(f"{doing}: {meaning.meaning}", meaning.remedy, number)


@contextlib.contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turns an OSError of the block into a SocketError with its meaning and remedy."""
    try:
        yield
    except SocketError:
        raise
    except OSError as error:
        raise explain(error, doing) from error
