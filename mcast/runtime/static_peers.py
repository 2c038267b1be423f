"""The peers that the user named, `HOST[:PORT]`: parsed, resolved beside the loop, and looked up again.

A resolver may take its time, and nothing can stop it. So each look-up has a daemon thread of its own, which
no end of a loop or program waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
import threading
from collections.abc import Sequence

import msgspec

from mcast.errors import SocketError, UsageError
from mcast.net.address import parse_port

PATIENCE = 3.0
"""Seconds that joining waits for names to be resolved."""
LOOK_AGAIN = 30.0
"""Seconds until names that could not be resolved are looked up again."""
ADDRESSES = 4
"""Addresses of one name that are asked."""
LONGEST = 253
"""Characters of a host name: RFC 1035, 2.3.4."""

LATER = "it is looked up again"

Place = tuple[str, int] | tuple[str, int, int, int]
"""Address and port as sockets have them; IPv6 with flow and scope."""
_HOST = re.compile(r"[\w.:-]+(%[\w.:-]+)?")
_UNKNOWN = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


class PeerName(msgspec.Struct, frozen=True):
    """A host, by name or address, and a port."""

    host: str
    port: int

    @property
    def version(self) -> int | None:
        """The IP version of an address; None for a name."""
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(self.host).version
        return None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_peer(text: str, port: int, versions: Sequence[int] = (4, 6)) -> PeerName:
    """`HOST`, `HOST:PORT` or `[ADDRESS]:PORT`; `port` unless one is given. UsageError for what is none."""
    host, own = _split(text.strip())
    name = PeerName(host, parse_port(own) if own else port)
    if not 0 < len(host) <= LONGEST or not _HOST.fullmatch(host):
        raise UsageError(f"{text!r} is no peer", "write HOST or HOST:PORT, [ADDRESS]:PORT for IPv6")
    if name.version is not None:
        _check(name, versions)
    elif ":" in host or host.replace(".", "").isdigit():
        raise UsageError(f"{text!r} is no address", "write HOST or HOST:PORT, [ADDRESS]:PORT for IPv6")
    return name


def _split(text: str) -> tuple[str, str]:
    """Host and port, "" for none; a port that fails to parse where a colon or bracket stands alone."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, "" if text.endswith("]") else rest[1:] if rest[:1] == ":" and rest[1:] else "?"
    host, colon, port = text.partition(":")
    return (host, port or colon) if text.count(":") == 1 else (text, "")


def _check(name: PeerName, versions: Sequence[int]) -> None:
    address = ipaddress.ip_address(name.host)
    if address.is_multicast or address.is_unspecified or address == ipaddress.ip_address("255.255.255.255"):
        raise UsageError(f"{name.host} is not one computer's address", "name one with --peer HOST")
    if address.version not in versions:
        raise UsageError(f"{name.host} is no IPv{versions[0]} address", "name another, or drop -4 or -6")
    if address.version == 6 and address.is_link_local and "%" not in name.host:
        raise UsageError(f"{name.host} is on every link", f"say on which: {name.host}%INTERFACE")


class NamedPeers:
    """Where the named peers are, as far as is known. `problems`: what was not found at the last look."""

    def __init__(self, names: Sequence[PeerName], versions: Sequence[int]) -> None:
        self.problems: tuple[SocketError, ...] = ()
        self._names = tuple(dict.fromkeys(names))
        self._versions = versions
        self._places: dict[PeerName, list[Place]] = {}

    def __bool__(self) -> bool:
        return bool(self._names)

    @property
    def places(self) -> list[Place]:
        """The addresses to ask, in the order in which the peers were named."""
        return [place for name in self._names for place in self._places.get(name, ())]

    async def look(self, *, first: bool = False) -> bool:
        """Resolve all names; whether anything changed. UsageError for an unknown one at the `first` look."""
        before = self.places
        found = await asyncio.gather(*(self._resolve(name) for name in self._names))
        problems = []
        for name, result in zip(self._names, found, strict=True):
            if isinstance(result, list):
                self._places[name] = result
            elif first and result.errno in _UNKNOWN:
                raise UsageError(f"no computer is called {name.host}", "check the name, or give its address")
            else:
                problems.append(result)
        self.problems = tuple(problems)
        return self.places != before

    async def _resolve(self, name: PeerName) -> list[Place] | SocketError:
        try:
            async with asyncio.timeout(PATIENCE):
                places = await _look_up(name)
        except TimeoutError:
            return SocketError(f"cannot find {name.host} yet: no answer", LATER)
        except (OSError, UnicodeError) as error:
            number = error.errno if isinstance(error, OSError) else socket.EAI_NONAME
            return SocketError(f"cannot find {name.host} yet: {error}", LATER, number)
        fitting = [place for place in places if (6 if ":" in place[0] else 4) in self._versions]
        return list(dict.fromkeys(fitting))[:ADDRESSES] or SocketError(
            f"{name.host} has no address of the group's IP version", LATER, socket.EAI_NONAME
        )


async def _look_up(name: PeerName) -> list[Place]:
    if name.version is not None:
        return _ask(name, socket.AI_NUMERICHOST)
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[Place]] = loop.create_future()

    def settle(places: list[Place], error: Exception | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(places)
        else:
            future.set_exception(error)

    def work() -> None:
        places, problem = list[Place](), None
        try:
            places = _ask(name, 0)
        except (OSError, UnicodeError) as error:
            problem = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, places, problem)

    threading.Thread(target=work, name="mcast resolver", daemon=True).start()
    return await future


def _ask(name: PeerName, flags: int) -> list[Place]:
    found = socket.getaddrinfo(name.host, name.port, type=socket.SOCK_DGRAM, flags=flags)
    return [_bare(address) for family, *_, address in found if family in (socket.AF_INET, socket.AF_INET6)]


def _bare(address: tuple[object, ...]) -> Place:
    """As the sources of datagrams are written: without a zone in the text, the scope as a number."""
    host, port = str(address[0]).partition("%")[0], int(str(address[1]))
    return (host, port) if len(address) < 4 else (host, port, 0, int(str(address[3])))
