"""Addresses as the roster hands them on: 16 bytes and a port."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from .events import Address

_NONE = bytes(16)


def pack(address: Address) -> tuple[bytes, int]:
    """IPv4 mapped into IPv6, and the port; zeros for what is no socket address."""
    if not isinstance(address, tuple) or len(address) < 2:
        return _NONE, 0
    try:
        ip = ip_address(str(address[0]).partition("%")[0])
    except ValueError:
        return _NONE, 0
    port = address[1] if isinstance(address[1], int) and 0 <= address[1] <= 65535 else 0
    return (ip.packed if ip.version == 6 else b"\0" * 10 + b"\xff\xff" + ip.packed), port


def unpack(packed: bytes, port: int, giver: Address) -> Address:
    """The address to reach it at, None if unknown. A link-local one is on the link of whoever told us."""
    if packed == _NONE or not port:
        return None
    ip = IPv6Address(packed)
    mapped: IPv4Address | None = ip.ipv4_mapped
    if mapped is not None:
        return (str(mapped), port)
    scope = giver[3] if isinstance(giver, tuple) and len(giver) == 4 and ip.is_link_local else 0
    return (str(ip), port, 0, scope)
