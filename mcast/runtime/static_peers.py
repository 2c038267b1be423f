"""Static peers, which the user names as `HOST[:PORT]`: resolve their names, meet them, look again later."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Sequence

import msgspec

from mcast.core.engine import Engine
from mcast.errors import SocketError, UsageError
from mcast.net.address import parse_port
from mcast.net.socket_options import SocketName, source_towards
from mcast.runtime.driver import Driver

RESOLVE_PATIENCE = 3.0
"""Seconds that joining waits for names to be resolved."""
ANSWER_PATIENCE = 0.3
"""Seconds that joining waits for the first static peer to answer, and for others on its computer."""
SILENT_AFTER = 5.0
"""Seconds after which a static peer should have answered: it was asked five times."""
RETRY_INTERVAL = 30.0
"""Seconds between attempts to resolve names that could not be resolved."""
ADDRESSES_MAX = 4
"""Addresses of one name that are used."""
HOST_MAX = 253
"""Characters of a host name (RFC 1035, 2.3.4)."""
CHECK_NAME = "check the name"
RETRIED = f"{CHECK_NAME}; mcast keeps trying"

Problems = tuple[SocketError, ...]
_HOST = re.compile(r"[\w.:-]+(%[\w.:-]+)?")
_UNKNOWN = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


class PeerName(msgspec.Struct, frozen=True):
    """A host (name or address) and a port."""

    host: str
    port: int

    @property
    def version(self) -> int | None:
        """The IP version of an address, None for a name."""
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(self.host).version
        return None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_peer(text: str, port: int, versions: Sequence[int] = (4, 6)) -> PeerName:
    """Parse `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`. Raises UsageError.

    port: used if `text` has none. versions: IP versions that an address may have.
    """
    host, own = _split(text.strip())
    name = PeerName(host, parse_port(own) if own else port)
    numeric = ":" in host or host.replace(".", "").isdigit()
    if not 0 < len(host) <= HOST_MAX or not _HOST.fullmatch(host) or (numeric and name.version is None):
        raise UsageError(f"{text!r} is not a peer", "write HOST or HOST:PORT, [ADDRESS]:PORT for IPv6")
    if name.version is not None:
        _check(name, versions)
    return name


def _split(text: str) -> tuple[str, str]:
    """Host and port. The port is "" if there is none, and something invalid after a misplaced bracket."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, "" if text.endswith("]") else rest[1:] if rest[:1] == ":" and rest[1:] else "?"
    host, colon, port = text.partition(":")
    return (host, port or colon) if text.count(":") == 1 else (text, "")


def _check(name: PeerName, versions: Sequence[int]) -> None:
    address = ipaddress.ip_address(name.host)
    if address.is_multicast or address.is_unspecified or address == ipaddress.ip_address("255.255.255.255"):
        raise UsageError(f"{name.host} is not the address of one computer", "name one with --peer HOST")
    if address.version not in versions:
        raise UsageError(f"{name.host} is not an IPv{versions[0]} address", "name another, or drop -4 or -6")
    if address.version == 6 and address.is_link_local and "%" not in name.host:
        raise UsageError(f"{name.host} exists on every link", f"add the interface: {name.host}%INTERFACE")


class StaticPeers:
    """The static peers of one member. False if there are none; then all methods do nothing.

    `addresses` are socket addresses, in the order of the names. `problems` are those of the last resolve().
    """

    def __init__(self, names: Sequence[PeerName], versions: Sequence[int]) -> None:
        self.problems: Problems = ()
        self._names = tuple(dict.fromkeys(names))
        self._versions = versions
        self._resolved: dict[PeerName, list[SocketName]] = {}
        self._look = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def __bool__(self) -> bool:
        return bool(self._names)

    @property
    def addresses(self) -> list[SocketName]:
        return [address for name in self._names for address in self._resolved.get(name, ())]

    async def resolve(self, *, first: bool = False) -> bool:
        """Resolve all names. Returns whether the addresses changed; a name that fails keeps its last ones.

        first: raise UsageError for a name that does not exist.
        """
        before = self.addresses
        results = await asyncio.gather(*(self._resolve(name) for name in self._names))
        problems = []
        for name, result in zip(self._names, results, strict=True):
            if isinstance(result, list):
                self._resolved[name] = result
            elif first and result.errno in _UNKNOWN:
                raise UsageError(f"no computer is called {name.host}", "check the name, or give its address")
            else:
                problems.append(result)
        self.problems = tuple(problems)
        return self.addresses != before

    async def meet(self, driver: Driver, engine: Engine) -> Problems:
        """Send to the peers and wait a moment for an answer, so that they get the first messages too."""
        if not self:
            return ()
        problems = (*self.problems, *self._contact(driver))
        limit = driver.now + ANSWER_PATIENCE
        while self.addresses and not engine.acquainted(now := driver.now) and now < limit:
            await driver.progress(limit - now)
        return problems

    def start(self, driver: Driver, engine: Engine, on_problems: Callable[[Problems], None]) -> None:
        """Resolve the names again when needed, until stop(). `on_problems` is told of new problems, and of
        peers that do not answer."""
        if self:
            create = asyncio.get_running_loop().create_task
            self._tasks.append(create(self._follow(driver, on_problems)))
            self._tasks.append(create(self._await_answers(driver, engine, on_problems)))

    def look(self) -> None:
        """Resolve the names again now: the interfaces have changed."""
        self._look.set()

    def stop(self) -> None:
        """End what start() began. May be called twice."""
        for task in self._tasks:
            task.cancel()

    def _contact(self, driver: Driver) -> Problems:
        beyond = driver.meet(self.addresses)
        if not beyond:
            return ()
        return (SocketError(f"{beyond} addresses of peers are too many", "name fewer; the limit is 64"),)

    async def _follow(self, driver: Driver, on_problems: Callable[[Problems], None]) -> None:
        told = {str(problem) for problem in self.problems}
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_INTERVAL if self.problems else None):
                    await self._look.wait()
            self._look.clear()
            problems = self._contact(driver) if await self.resolve() else ()
            news = tuple(one for one in (*self.problems, *problems) if str(one) not in told)
            told.update(map(str, news))
            if news:
                on_problems(news)

    async def _await_answers(
        self, driver: Driver, engine: Engine, on_problems: Callable[[Problems], None]
    ) -> None:
        await asyncio.sleep(SILENT_AFTER)
        silent = [
            (name, addresses)
            for name, addresses in self._resolved.items()
            if not any(engine.has_met(address) or address[0] in driver.hosts for address in addresses)
        ]
        if silent:
            on_problems(tuple(_silence(name, addresses, driver) for name, addresses in silent))

    async def _resolve(self, name: PeerName) -> list[SocketName] | SocketError:
        try:
            async with asyncio.timeout(RESOLVE_PATIENCE):
                addresses = await _look_up(name)
        except TimeoutError:
            return SocketError(f"cannot resolve {name.host} (no answer)", RETRIED)
        except (OSError, UnicodeError) as error:
            number = error.errno if isinstance(error, OSError) else socket.EAI_NONAME
            why = getattr(error, "strerror", None) or "it is not a name"
            return SocketError(f"cannot resolve {name.host} ({why})", RETRIED, number)
        fitting = [one for one in addresses if (6 if ":" in one[0] else 4) in self._versions]
        return list(dict.fromkeys(fitting))[:ADDRESSES_MAX] or SocketError(
            f"{name.host} has no address of the group's IP version", RETRIED, socket.EAI_NONAME
        )


def _silence(name: PeerName, addresses: Sequence[SocketName], driver: Driver) -> SocketError:
    """Why nobody answers there, as far as it is known."""
    if not any(map(source_towards, addresses)):
        return SocketError(
            f"cannot reach {name}: no route leads there", "check the address; mcast keeps trying"
        )
    if all(driver.transport.beyond_ttl(address[0]) for address in addresses):
        what = f"cannot reach {name}: a router is on the way and the TTL is 1"
        return SocketError(what, "use --ttl 2 or more on both sides")
    what = f"nobody in this room answers at {name}"
    return SocketError(what, f"start mcast there; see mcast doctor --with {name.host}; mcast keeps trying")


async def _look_up(name: PeerName) -> list[SocketName]:
    """Ask the resolver in a daemon thread: if it hangs, neither the loop nor the program waits for it."""
    if name.version is not None:
        return _ask(name, socket.AI_NUMERICHOST)
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[SocketName]] = loop.create_future()

    def settle(addresses: list[SocketName], error: Exception | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(addresses)
        else:
            future.set_exception(error)

    def work() -> None:
        addresses, problem = list[SocketName](), None
        try:
            addresses = _ask(name, 0)
        except (OSError, UnicodeError) as error:
            problem = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, addresses, problem)

    threading.Thread(target=work, name="mcast resolver", daemon=True).start()
    return await future


def _ask(name: PeerName, flags: int) -> list[SocketName]:
    found = socket.getaddrinfo(name.host, name.port, type=socket.SOCK_DGRAM, flags=flags)
    return [_name(address) for family, *_, address in found if family in (socket.AF_INET, socket.AF_INET6)]


def _name(address: tuple[object, ...]) -> SocketName:
    """In the form of Transport.heard(): without a zone in the text, the scope as a number."""
    host, port = str(address[0]).partition("%")[0], int(str(address[1]))
    return (host, port) if len(address) < 4 else (host, port, 0, int(str(address[3])))
