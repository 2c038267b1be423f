"""What this computer tells about itself without asking for any right. Much of it only on Linux (proc(5))."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from mcast.interfaces import Choice
from mcast.net.address import GroupAddress
from mcast.net.links import interfaces_with_querier

from .evidence import Counters, Link, Route

PROC = Path("/proc")
_CLOUDS = {"amazon ec2": "Amazon", "google": "Google", "microsoft corporation": "Microsoft Azure"}


def links_of(choices: Iterable[Choice]) -> tuple[Link, ...]:
    """The interfaces as evidence."""
    asked = interfaces_with_querier()
    return tuple(
        Link(
            name=choice.interface.name,
            used=choice.used,
            reason=choice.reason,
            up=choice.interface.up,
            loopback=choice.interface.loopback,
            tunnel=choice.interface.tunnel,
            mtu=choice.interface.mtu,
            addresses=choice.interface.addresses,
            networks=choice.interface.networks,
            querier=choice.interface.name in asked,
        )
        for choice in choices
    )


def route_to(group: GroupAddress, links: Iterable[Link]) -> Route:
    """Where the system sends to the group when no interface is named. Nothing is sent."""
    family = socket.AF_INET6 if group.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((group.host, group.port))
            source = str(sock.getsockname()[0]).partition("%")[0]
    except OSError as error:
        return Route(error=error_name(error))
    return Route(interface=next((link.name for link in links if source in link.addresses), ""))


def error_name(error: OSError) -> str:
    """EPERM, ENETUNREACH …"""
    return errno.errorcode.get(error.errno or 0, "unknown")


def counters() -> Counters:
    """The kernel's counters of now; zeros where it does not tell."""
    udp = _table("net/snmp", "Udp")
    return Counters(
        received=udp.get("InDatagrams", 0),
        overflowed=udp.get("RcvbufErrors", 0),
        reverse_path=_table("net/netstat", "TcpExt").get("IPReversePathFilter", 0),
    )


def _table(path: str, name: str) -> dict[str, int]:
    """The counters of one protocol: a line of names, a line of values."""
    with contextlib.suppress(OSError, ValueError):
        lines = (PROC / path).read_text(encoding="ascii").splitlines()
        rows = [line.split()[1:] for line in lines if line.startswith(f"{name}:")]
        return {key: int(value) for key, value in zip(*rows, strict=True)}
    return {}


def dropped_at(port: int) -> int:
    """Datagrams that the sockets of this port lost because they were not read, of all programs here."""
    lost = 0
    for table in ("net/udp", "net/udp6"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            rows = (PROC / table).read_text(encoding="ascii").splitlines()[1:]
            for row in map(str.split, rows):
                if int(row[1].rpartition(":")[2], 16) == port:
                    lost += int(row[-1])
    return lost


def neighbour_known(address: str) -> bool | None:
    """Whether the hardware address of an IPv4 neighbour is known; None if the system does not tell.

    False: it was asked for and nobody answered.
    """
    with contextlib.suppress(OSError, ValueError):
        rows = [line.split() for line in (PROC / "net" / "arp").read_text(encoding="ascii").splitlines()[1:]]
        for row in rows:
            if len(row) >= 4 and row[0] == address:
                return bool(int(row[2], 16) & 0x2)
    return None


def place() -> str:
    """Where this computer is if multicast hardly gets out of there: "docker", "wsl", a cloud."""
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return "docker"
    if "microsoft" in _text("/proc/sys/kernel/osrelease").lower():
        return "wsl"
    return _CLOUDS.get(_text("/sys/class/dmi/id/sys_vendor").strip().lower(), "")


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def firewall() -> str:
    """The program that manages the firewall here: ufw, firewalld, nftables, windows, macos."""
    if sys.platform in ("darwin", "win32"):
        return {"darwin": "macos", "win32": "windows"}[sys.platform]
    if "enabled=yes" in _text("/etc/ufw/ufw.conf").lower():
        return "ufw"
    if shutil.which("firewall-cmd") or Path("/run/firewalld").exists():
        return "firewalld"
    return "ufw" if shutil.which("ufw") else "nftables"


def is_root() -> bool:
    """Whether this program may look everywhere."""
    return hasattr(os, "geteuid") and os.geteuid() == 0
