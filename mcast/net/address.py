"""Group addresses: `230.0.0.1`, `230.0.0.1:3000`, `[ff12::6d63]:3000`."""

from __future__ import annotations

import ipaddress

import msgspec

from mcast.errors import InvalidGroup, InvalidPort, UsageError

RANGES = "224.0.0.0-239.255.255.255 or ff00::/8"
_SSM = (ipaddress.ip_network("232.0.0.0/8"), ipaddress.ip_network("ff30::/12"))


class GroupAddress(msgspec.Struct, frozen=True):
    """A multicast group: `host` (a group address in canonical text) and UDP `port`."""

    host: str
    port: int

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.host else 4

    @property
    def needs_source(self) -> bool:
        """Whether a join must name its sources: 232/8 and ff3x::/32 (RFC 4607, section 1)."""
        address = ipaddress.ip_address(self.host)
        return any(address.version == net.version and address in net for net in _SSM)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.version == 6 else f"{self.host}:{self.port}"


def parse_port(text: str | int) -> int:
    """A UDP port. Raises InvalidPort unless it is from 1 to 65535."""
    digits = str(text)
    port = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 0
    if not 0 < port < 65536:
        raise InvalidPort(f"{str(text)!r} is not a port", "use a number from 1 to 65535")
    return port


def parse_group(text: str, port: int | None = None, *, default_port: int) -> GroupAddress:
    """Parse `ADDRESS[:PORT]` or `[ADDRESS]:PORT`.

    port: a port given separately; UsageError if `text` has another one. default_port: used if neither has a
    port. Raises InvalidGroup outside 224.0.0.0/4 (RFC 5771) and ff00::/8 (RFC 4291, 2.7), or InvalidPort.
    """
    host, own_port = _split(text.strip())
    if own_port is not None and port is not None and own_port != port:
        raise UsageError(f"the group says port {own_port}, --port says {port}", "give the port once")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise InvalidGroup(f"{text!r} is not a group address", f"use one in {RANGES}") from None
    if "%" in host:
        zone = host.partition("%")[2]
        raise InvalidGroup(
            f"{text!r} is not a group address", f"leave out %{zone}, and name the interface with -i"
        )
    if not address.is_multicast:
        raise InvalidGroup(f"{host} is not a multicast group", f"use an address in {RANGES}")
    return GroupAddress(str(address), own_port or port or default_port)


def _split(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise InvalidGroup(f"{text!r} is not a group address", "write [ADDRESS]:PORT")
        return host, parse_port(rest[1:]) if rest else None
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, parse_port(port)
    return text, None
