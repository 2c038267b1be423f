"""A trial of all ways to one peer and back: the cells of a matrix, measured in some seconds with 200 kB."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator

import msgspec

from mcast.core.events import PeerId
from mcast.errors import SocketError
from mcast.interfaces import Interface
from mcast.multicast import Sender
from mcast.net.address import GroupAddress
from mcast.net.detours import detour_host
from mcast.wire.frames import OVERFLOWED, SEND_REFUSED, Path, Pong

from . import local
from .addresses import is_near, through_gateway
from .evidence import SIZES, SMALL, Cell, Peer
from .exchange import SMALLEST, Address, Exchange, Exhausted, Target

NAMES = {path: path.name.lower() for path in Path}
GROUPS = (Path.GROUP, Path.SCOPED, Path.LOCAL, Path.BROADCAST)
TWICE = 2
"""Each datagram is sent so often: one may be lost."""
PAUSE = 0.02
"""Seconds between datagrams of one series, so that small buffers hold them."""
SETTLE = 0.8
"""Seconds for the last answers of a series, and for a switch to learn of new members."""
COUNTED = 1000
"""The sequence of questions that are not counted: only the first 64 are."""


class Try(msgspec.Struct):
    """A cell that is tried: by which socket, and whether an answer came."""

    path: Path
    size: int
    sender: Sender
    to: Address
    answered: bool = False


class Trial:
    """Measures the ways to `target` and back in one IP version, on its interface."""

    def __init__(self, exchange: Exchange, target: Target, version: int) -> None:
        self._exchange, self._target, self._version = exchange, target, version
        self._link = target.link
        self._address: Address | None = target.address if target.version == version else None
        self._control = exchange.sender(target.link, version)
        self._token: bytes | None = None
        self._port = exchange.groups[0].port
        self.pong: Pong | None = None
        self.at = 0.0
        self.replies_lost: bool | None = None

    def run(self) -> Iterator[Cell]:
        """The cells."""
        self._listen()
        if self._address is None:
            self._look_up()
        if self._address is not None:
            self._token = self._exchange.token(self._here(), self._control)
        if self._token is not None:
            self._open_detours()
        outward = self._outward()
        yield from outward
        yield from self._inward(outward)

    def _here(self) -> Target:
        address = self._address or self._target.address
        return msgspec.structs.replace(self._target, address=address)

    def _host(self, path: Path) -> str | None:
        return detour_host(path, self._version, self._exchange.groups)

    def _listen(self) -> None:
        for path in GROUPS:
            if (host := self._host(path)) is not None:
                with contextlib.suppress(SocketError):
                    self._exchange.hear(path, self._link, GroupAddress(host, self._port))

    def _look_up(self) -> None:
        """Its address of this IP version is that from which it answers a question to the group."""
        host = self._host(Path.GROUP)
        if host is not None:
            with contextlib.suppress(SocketError):
                group = GroupAddress(host, self._port)
                self._address = _look_up(self._exchange, self._control, group, self._target.peer_id)

    def _open_detours(self) -> None:
        """Whoever answers by another group joins it: a switch needs a moment to learn of that."""
        nonce, token = os.urandom(8), self._token
        for _ in range(TWICE):
            with contextlib.suppress(SocketError):
                self._exchange.ask(
                    self._control,
                    self._here().address,
                    self._target.peer_id,
                    nonce,
                    COUNTED,
                    path=Path.SCOPED,
                    token=token,
                )
            self._pass(SETTLE / 2)

    def _pass(self, seconds: float) -> None:
        """Let time pass, and drop what comes."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self._exchange.wait(left)

    # To the peer

    def _outward(self) -> list[Cell]:
        """Each question leaves by a socket of its own: a stateful firewall has not seen it before."""
        tries = [*self._tries()]
        nonce = os.urandom(8)
        for _ in range(TWICE):
            for number, one in enumerate(tries):
                with contextlib.suppress(SocketError):
                    peer_id = self._target.peer_id
                    self._exchange.ask(one.sender, one.to, peer_id, nonce, number, size=one.size)
                self._collect(nonce, tries, PAUSE)
        self._collect(nonce, tries, SETTLE)
        seen = self._ask_seen(nonce)
        cells = []
        for number, one in enumerate(tries):
            arrived = bool(seen >> number & 1) if seen is not None else None
            passed = True if one.answered else arrived
            if passed is None and one.path in (Path.UNICAST, Path.GROUP):
                passed = False
            cells.append(Cell(self._version, True, NAMES[one.path], one.size, passed))
            if one.path is Path.GROUP and one.size == SMALL and arrived:
                self.replies_lost = not one.answered
        return cells

    def _tries(self) -> Iterator[Try]:
        for path in (*GROUPS, Path.UNICAST):
            to = self._to(path)
            if to is None:
                continue
            for size in SIZES:
                with contextlib.suppress(SocketError):
                    sender = self._exchange.sender(self._link, self._version)
                    yield Try(path, size, sender, to)

    def _to(self, path: Path) -> Address | None:
        """Where to send by this way; None if the peer does not hear it."""
        if path is Path.UNICAST:
            return self._address
        host = self._host(path) if path is Path.GROUP or self._token is not None else None
        return None if host is None else (host, self._port)

    def _collect(self, nonce: bytes, tries: list[Try], seconds: float) -> None:
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            for arrival in self._exchange.wait(left):
                pong = arrival.pong
                if pong.nonce == nonce and arrival.path is None and pong.sequence < len(tries):
                    tries[pong.sequence].answered = True
                    self._note(pong)

    def _note(self, pong: Pong) -> None:
        self.pong, self.at = pong, time.time()

    def _ask_seen(self, nonce: bytes) -> int | None:
        """Which of our questions arrived, as the peer says; None if it does not answer."""
        if self._address is None:
            return None
        for _ in range(2 * TWICE):
            with contextlib.suppress(SocketError):
                self._exchange.ask(self._control, self._address, self._target.peer_id, nonce, COUNTED)
            end = time.perf_counter() + 0.4
            while (left := end - time.perf_counter()) > 0:
                for arrival in self._exchange.wait(left):
                    if arrival.pong.nonce == nonce and arrival.pong.sequence == COUNTED:
                        self._note(arrival.pong)
                        return arrival.pong.seen
        return None

    # From the peer

    def _inward(self, outward: list[Cell]) -> Iterator[Cell]:
        arrived = {cell.size: cell.passed for cell in outward if cell.path == "unicast"}
        wanted = [(path, size) for path in GROUPS if self._host(path) is not None for size in SIZES]
        came: set[int] = set()
        nonce = os.urandom(8)
        for _ in range(TWICE if self._token is not None and self._address is not None else 0):
            for number, (path, size) in enumerate(wanted):
                with contextlib.suppress(SocketError):
                    self._exchange.ask(
                        self._control,
                        self._here().address,
                        self._target.peer_id,
                        nonce,
                        number,
                        path=path,
                        size=max(size, SMALLEST),
                        token=self._token,
                    )
                self._gather(nonce, wanted, came, PAUSE)
        self._gather(nonce, wanted, came, SETTLE)
        for number, (path, size) in enumerate(wanted):
            passed = True if number in came else False if arrived.get(size) and self._token else None
            yield Cell(self._version, False, NAMES[path], size, passed)
        for cell in outward:
            if cell.path == "unicast":
                yield msgspec.structs.replace(cell, outward=False)

    def _gather(self, nonce: bytes, wanted: list[tuple[Path, int]], came: set[int], seconds: float) -> None:
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            for arrival in self._exchange.wait(left):
                number = arrival.pong.sequence
                if arrival.pong.nonce == nonce and number < len(wanted) and arrival.path is wanted[number][0]:
                    came.add(number)


def elsewhere(
    exchange: Exchange, target: Target, links: Iterable[Interface], versions: tuple[int, ...]
) -> Iterator[Peer]:
    """The ways to the same peer by further interfaces, where it answers a question to the group.

    Call it after measure(). A link that the exchange has not enough time or bytes for is left out.
    """
    cost = exchange.sent_bytes
    for link in links:
        if exchange.sent_bytes + cost > exchange.most:
            return
        with contextlib.suppress(Exhausted):
            there = _on_link(exchange, target, link, versions)
            if there is not None:
                found = measure(exchange, there, versions)
                yield msgspec.structs.replace(found, name=f"{found.name} by {link.name}")


def _on_link(exchange: Exchange, target: Target, link: Interface, versions: tuple[int, ...]) -> Target | None:
    """The same peer as it answers by another interface."""
    for group in exchange.groups:
        if group.version in versions and group.version in link.versions:
            with contextlib.suppress(SocketError):
                sender = exchange.sender(link, group.version)
                address = _look_up(exchange, sender, group, target.peer_id)
                if address is not None:
                    return Target(target.peer_id, address, link, target.name)
    return None


def _look_up(exchange: Exchange, sender: Sender, group: GroupAddress, peer_id: PeerId) -> Address | None:
    """The address from which a peer answers a question to the group."""
    nonce = os.urandom(8)
    for _ in range(TWICE):
        exchange.ask(sender, (group.host, group.port), peer_id, nonce, COUNTED)
        end = time.perf_counter() + 0.4
        while (left := end - time.perf_counter()) > 0:
            for arrival in exchange.wait(left):
                if arrival.pong.nonce == nonce and arrival.path is None:
                    return arrival.source
    return None


def measure(exchange: Exchange, target: Target, versions: tuple[int, ...]) -> Peer:
    """All ways to a peer and back, in each of these IP versions, its own first."""
    link = target.link
    order = sorted(set(link.versions) & set(versions), key=lambda version: version != target.version)
    cells: list[Cell] = []
    pong: Pong | None = None
    skew = replies_lost = None
    for version in order:
        with contextlib.suppress(SocketError):
            trial = Trial(exchange, target, version)
            cells += trial.run()
            if trial.replies_lost is not None and (version == target.version or replies_lost is None):
                replies_lost = trial.replies_lost
            if trial.pong is not None:
                pong, skew = trial.pong, trial.pong.timestamp / 1000 - trial.at
    host = target.address[0].partition("%")[0]
    health = pong.health if pong is not None else 0
    return Peer(
        name=target.name or host,
        address=host,
        interface=link.name,
        tunnel=link.tunnel,
        near=":" in host or is_near(link.networks, host),
        neighbour=local.neighbour_known(host),
        reached=pong is not None,
        heard=host in exchange.heard,
        foreign=host in exchange.others,
        refused=bool(health & SEND_REFUSED),
        overflowed=bool(health & OVERFLOWED),
        replies_lost=replies_lost,
        skew=skew,
        cells=tuple(cells),
    )


def unreached(exchange: Exchange, address: str, link: Interface | None) -> Peer:
    """What is known of a peer that answers nothing; `link` leads there."""
    host = address.partition("%")[0]
    near = link is not None and (":" in host or is_near(link.networks, host))
    gateway = not near and link is not None and not link.tunnel and through_gateway(host) is not False
    return Peer(
        name=host,
        address=host,
        interface=link.name if link is not None else "",
        tunnel=link is not None and link.tunnel,
        gateway=gateway,
        near=near,
        neighbour=local.neighbour_known(host),
        heard=host in exchange.heard,
        foreign=host in exchange.others,
    )
