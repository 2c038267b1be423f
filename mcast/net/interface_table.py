"""The table of network interfaces, as the operating system describes it now.

netifaces tells addresses and default routes, psutil tells flags and MTU. `_ask` collects their answers.
`assemble` makes the table and is pure, so that tests can use answers recorded on other systems.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import netifaces
import psutil

from mcast.errors import SocketError
from mcast.net.errnos import explained

T = TypeVar("T")
_IF_INET6 = "/proc/net/if_inet6"
# Without files or memory the system cannot answer. That does not mean that interfaces have gone.
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
Table = tuple["Interface", ...]


class Interface(msgspec.Struct, frozen=True):
    """One network interface as it is now.

    `ipv4` and `ipv6` are canonical texts without `%zone`, in the system's order, but link-local IPv6
    addresses come first. `mtu` is in bytes. `up` means administratively up and with a carrier: a pulled cable
    is down. `tunnel` is a point-to-point link or one with the name of a tunnel. `default_route` tells that a
    default route of either IP version leaves here, `rank` its place among them (0 is the best). `enslaved`
    marks a port of a bridge or bond: its master has the addresses. `networks` are the networks of those
    addresses whose prefix is known, as `10.9.0.0/16`.
    """

    name: str
    index: int
    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()
    mtu: int = 1500
    up: bool = True
    multicast: bool = True
    loopback: bool = False
    tunnel: bool = False
    default_route: bool = False
    rank: int = 0
    enslaved: bool = False
    networks: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses, IPv4 first."""
        return self.ipv4 + self.ipv6

    @property
    def link_local(self) -> str | None:
        """The first IPv6 link-local address (fe80::/10) without zone. Its scope id is `index`."""
        return next(filter(is_link_local, self.ipv6), None)

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions (4, 6) in which multicast can be sent from here."""
        # Linux's lo has no ff00::/8 route: IPv6 multicast on it fails with ENETUNREACH, IPv4 works.
        six = self.ipv6 and (self.multicast or not self.loopback)
        return ((4,) if self.ipv4 else ()) + ((6,) if six else ())

    def address(self, version: int) -> str | None:
        """The address to send from: the first IPv4 one, or the first IPv6 one, link-local if there is any."""
        return next(iter(self.ipv4 if version == 4 else self.ipv6), None)


class Answers(msgspec.Struct, frozen=True):
    """What the operating system answered. On Windows netifaces uses GUIDs and psutil uses names.

    `stats`: psutil's name to (running, MTU, comma-separated flags; Windows leaves them empty). `names`:
    psutil's name to addresses. `addresses`: netifaces' name to addresses. Both may have a `%zone`.
    `defaults`: netifaces' names of the interfaces with a default route, the best first. `indexes`: netifaces'
    name to index. `tentative`: IPv6 addresses that cannot be used yet. `enslaved`: ports of a bridge.
    `masks`: canonical address to netmask, where psutil tells it.
    """

    stats: Mapping[str, tuple[bool, int, str]]
    names: Mapping[str, Sequence[str]]
    addresses: Mapping[str, Sequence[str]]
    defaults: Sequence[str] = ()
    indexes: Mapping[str, int] = {}
    tentative: Collection[str] = ()
    enslaved: Collection[str] = ()
    masks: Mapping[str, str] = {}


def read() -> Table:
    """All interfaces, by index. One that vanishes meanwhile is left out or has no address.

    Raises SocketError if the process or the system has no files or memory left.
    """
    with explained("cannot read the interfaces"):
        return assemble(_ask())


def assemble(answers: Answers) -> Table:
    """Make the table. Its names are psutil's, which are the ones that users see and type."""
    table = (_interface(name, answers) for name in answers.stats)
    return tuple(sorted(table, key=lambda interface: (interface.index, interface.name)))


def fingerprint() -> object:
    """A value that changes whenever the result of read() does. Cheaper than read()."""
    return (
        _or_empty(psutil.net_if_stats),
        _or_empty(psutil.net_if_addrs),
        _default_routes(),
        _lines(_IF_INET6),
    )


def canonical(address: str) -> str | None:
    """`address` without zone, as ipaddress writes it; None if it is not an address."""
    try:
        return str(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return None


def is_link_local(address: str) -> bool:
    """Whether `address` (canonical text) is in fe80::/10 or 169.254.0.0/16."""
    return ipaddress.ip_address(address).is_link_local


# Names of tunnels without the point-to-point flag (Windows, or a TAP device named after a VPN).
_TUNNELS = (
    *("wg", "tun", "utun", "ppp", "pptp", "l2tp", "ipsec", "vti", "gre", "ip6tnl", "ip6gre", "6to4"),
    *("tailscale", "nordlynx", "proton", "cloudflarewarp", "cscotun", "openvpn", "wireguard"),
    *("teredo", "isatap"),
    *(f"{name}{digit}" for name in ("gpd", "sit", "gif", "stf") for digit in range(10)),
)


def is_tunnel_name(name: str) -> bool:
    """Whether `name` is the name of a tunnel: wg0, tun0, utun3, ppp0, tailscale0 …"""
    return name.lower().startswith(_TUNNELS)


def _interface(name: str, answers: Answers) -> Interface:
    up, mtu, flag_text = answers.stats[name]
    flags = flag_text.split(",") if flag_text else []
    own = _own_names(name, answers)
    index = next((answers.indexes[one] for one in own if one in answers.indexes), 0)
    # An interface without an index has just vanished.
    texts = (
        _usable((text for one in own for text in answers.addresses.get(one, ())), answers) if index else []
    )
    six = [text for text in texts if ":" in text]
    ranks = [rank for rank, holder in enumerate(answers.defaults) if holder in own]
    return Interface(
        name=name,
        index=index,
        ipv4=tuple(text for text in texts if ":" not in text),
        ipv6=tuple(sorted(six, key=is_link_local, reverse=True)),
        mtu=mtu,
        up=up,
        multicast="multicast" in flags or not flags,
        loopback="loopback" in flags or any(ipaddress.ip_address(text).is_loopback for text in texts),
        tunnel="pointopoint" in flags or is_tunnel_name(name),
        default_route=bool(ranks),
        rank=min(ranks, default=0),
        enslaved=name in answers.enslaved or "slave" in flags,
        networks=tuple(network for text in texts for network in _networks(text, answers.masks.get(text))),
    )


def _networks(address: str, mask: str | None) -> Iterator[str]:
    """The network of an address if its mask is known. On a point-to-point link it has one address."""
    if mask is None:
        return
    bits = int(ipaddress.ip_address(mask)).bit_count()
    yield str(ipaddress.ip_network(f"{address}/{bits}", strict=False))


def _own_names(name: str, answers: Answers) -> list[str]:
    """The names netifaces has for psutil's `name`: itself, its IPv4 aliases (eth0:1), or a Windows GUID."""
    own = [one for one in answers.addresses if one == name or _alias_of(one, answers) == name]
    if own or name in answers.indexes:
        return own or [name]
    here = {canonical(text) for text in answers.names.get(name, ())} - {None}
    return [one for one, texts in answers.addresses.items() if here & {canonical(text) for text in texts}]


def _alias_of(name: str, answers: Answers) -> str | None:
    """getifaddrs(3) names a labelled IPv4 address by its label: eth0:1 is an address of eth0."""
    return None if name in answers.stats else name.partition(":")[0]


def _usable(texts: Iterable[str], answers: Answers) -> list[str]:
    """Canonical addresses, each once, without those still in duplicate address detection."""
    clean = dict.fromkeys(text for text in map(canonical, texts) if text)
    return [text for text in clean if text not in answers.tentative]


def _ask() -> Answers:
    stats = _or_empty(psutil.net_if_stats)
    entries = {
        name: [entry for entry in entries if entry.family in (socket.AF_INET, socket.AF_INET6)]
        for name, entries in _or_empty(psutil.net_if_addrs).items()
    }
    names = {name: [entry.address for entry in found] for name, found in entries.items()}
    # allifaddresses() leaks 5 kB a call, interfaces() 0.3 kB on POSIX: see docs/decisions/0001.
    with_address = [name for name, addresses in names.items() if addresses]
    sources = netifaces.interfaces() if sys.platform == "win32" else with_address
    addresses = {source: _addresses(source) for source in sources}
    return Answers(
        stats={name: (stat.isup, stat.mtu, stat.flags) for name, stat in stats.items()},
        names=names,
        addresses=addresses,
        defaults=_default_routes(),
        indexes=_indexes(addresses),
        tentative=_tentative(_lines(_IF_INET6)),
        enslaved=[name for name in stats if os.path.exists(f"/sys/class/net/{name}/brport")],
        masks=_masks((entry.address, entry.netmask) for found in entries.values() for entry in found),
    )


def _masks(entries: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """Canonical address to netmask, without those that are none."""
    known = {canonical(address): canonical(mask) for address, mask in entries if mask}
    return {address: mask for address, mask in known.items() if address and mask}


def _or_empty(ask: Callable[[], dict[str, T]]) -> dict[str, T]:
    """psutil's answer, or nothing if a sandbox forbids it or an interface vanishes meanwhile."""
    try:
        return ask()
    except OSError as error:
        _refuse_exhausted(error)
        return {}


def _refuse_exhausted(error: OSError) -> None:
    if error.errno in _EXHAUSTED:
        raise error


def _addresses(source: str) -> list[str]:
    try:
        families = netifaces.ifaddresses(source)
    except ValueError:  # it has vanished or has no address
        return []
    except OSError as error:
        _refuse_exhausted(error)
        return []
    entries = (*families.get(netifaces.AF_INET, ()), *families.get(netifaces.AF_INET6, ()))
    return [entry["addr"] for entry in entries if "addr" in entry]


def _default_routes() -> tuple[str, ...]:
    """netifaces' names of the interfaces with a default route, the preferred route first."""
    try:
        found: Any = netifaces.gateways()  # its type hint says no more than "some dict"
    except OSError as error:
        _refuse_exhausted(error)
        return ()
    entries = [*found.get(netifaces.AF_INET, ()), *found.get(netifaces.AF_INET6, ())]
    names = [name for _, name, best in sorted(entries, key=lambda entry: not entry[2])]
    return tuple(dict.fromkeys((*names, *_gatewayless(_lines("/proc/net/route")))))


def _gatewayless(lines: Iterable[str]) -> list[str]:
    """Default routes that netifaces leaves out: without gateway, or multipath (Linux, /proc/net/route)."""
    rows = [line.split() for line in lines]
    return [row[0] for row in rows if len(row) > 7 and row[1] == row[7] == "00000000"]


def _tentative(lines: Iterable[str]) -> set[str]:
    """Addresses in /proc/net/if_inet6 (Linux) that cannot be bound: IFA_F_TENTATIVE, IFA_F_DADFAILED."""
    rows = [line.split() for line in lines]
    hexes = [row[0] for row in rows if int(row[4], 16) & 0x48 and not int(row[4], 16) & 0x04]
    return {str(ipaddress.IPv6Address(int(text, 16))) for text in hexes}


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readlines()
    except OSError as error:  # not Linux, or no IPv6
        _refuse_exhausted(error)
        return []


def _indexes(addresses: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """netifaces' name to interface index."""
    if sys.platform == "win32":
        return {guid: index for guid in addresses if (index := _windows_index(guid))}
    try:
        return {name: index for index, name in socket.if_nameindex()}
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EACCES, errno.EPERM):
            raise
        problem = "cannot read the interfaces: this sandbox forbids AF_NETLINK sockets"
        remedy = "allow them (systemd: add AF_NETLINK to RestrictAddressFamilies)"
        raise SocketError(problem, remedy, error.errno) from None


if sys.platform == "win32":
    import ctypes
    import uuid

    def _windows_index(guid: str) -> int:
        """The index of the interface with that GUID (ConvertInterfaceGuidToLuid), or 0."""
        helper = ctypes.windll.iphlpapi
        luid, index = ctypes.c_uint64(), ctypes.c_uint32()
        try:
            raw = ctypes.create_string_buffer(uuid.UUID(guid).bytes_le, 16)
        except ValueError:
            return 0
        if helper.ConvertInterfaceGuidToLuid(raw, ctypes.byref(luid)):
            return 0
        helper.ConvertInterfaceLuidToIndex(ctypes.byref(luid), ctypes.byref(index))
        return index.value
