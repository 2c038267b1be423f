"""Who hears whom in the group: each peer answers to the group, and tells by unicast whom it heard.

See PING in docs/protocol.md. Unicast must pass; what cannot be asked by it stays unknown.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from mcast.core.events import PeerId
from mcast.core.membership.pings import ANYBODY
from mcast.errors import SocketError
from mcast.interfaces import Interface
from mcast.multicast import Sender
from mcast.net.interface_table import is_link_local
from mcast.wire.frames import NOTES_PONGS, Path

from .evidence import Evidence, Hears
from .exchange import Address, Exchange, Target

PEERS_MAX = 12
"""Peers that are asked; of a larger group the first that were heard."""
LONGEST = 2.4
"""Seconds for all of it."""
ROUND = 0.25
"""Seconds to wait for answers before a question is repeated."""
TIMES = 3
"""Each answer to the group is asked for so often: two may be lost."""
PAUSE = 0.01
"""Seconds between them, so that small buffers hold them."""
ASKED, BEGIN, END = 32, 62, 63
"""Sequences: from this one on questions to the group, one for each peer; the first and the last question."""


class Speaker(msgspec.Struct):
    """A peer: where it is, how it is asked, and what it has told. `seen` None: it did not tell."""

    name: str
    address: Address
    link: Interface
    sender: Sender
    nonce: bytes
    peer_id: PeerId | None = None
    begun: bool = False
    seen: int | None = None

    @property
    def key(self) -> str:
        """Under which the exchange keeps its token."""
        return f"{self.address[0].partition('%')[0]} {self.sender.interface}"


class Hearing:
    """Asks the peers that a look has found, and the `targets` that others told of."""

    def __init__(
        self,
        exchange: Exchange,
        evidence: Evidence,
        targets: Sequence[Target],
        links: Mapping[str, Interface],
    ) -> None:
        self._exchange = exchange
        self._end = time.perf_counter() + LONGEST
        self._series = os.urandom(8)
        self._came: set[int] = set()
        self._speakers = [*self._found(evidence, targets, links)][:PEERS_MAX]

    def run(self) -> tuple[Hears, ...]:
        """Who hears whom; nothing if fewer than two peers answer, or not in time."""
        self._repeat(self._meet, lambda: all(one.peer_id and self._token(one) for one in self._speakers))
        known: dict[PeerId, Speaker] = {}
        for one in self._speakers:
            if one.peer_id is not None:
                known.setdefault(one.peer_id, one)
        self._speakers = [*known.values()]
        names = [one.name for one in self._speakers]
        for one in self._speakers:
            if names.count(one.name) > 1:
                one.name = f"{one.name} at {one.address[0]}"
        if len(self._speakers) < 2:
            return ()
        self._repeat(self._begin, lambda: all(one.begun for one in self._speakers))
        for _ in range(TIMES):
            self._speak()
        self._collect(ROUND, lambda: False)
        if time.perf_counter() > self._end:
            return ()  # what did not come may be on its way
        self._repeat(self._ask_seen, lambda: all(one.seen is not None for one in self._speakers if one.begun))
        return tuple(self._pairs())

    def _found(
        self, evidence: Evidence, targets: Sequence[Target], links: Mapping[str, Interface]
    ) -> Iterator[Speaker]:
        """One peer at each address: those that others know too, who may hear nothing of us. IPv4 first."""
        port = self._exchange.groups[0].port
        there: dict[tuple[str, str], tuple[str, int]] = {}
        for one in targets:
            there.setdefault((one.address[0].partition("%")[0], one.link.name), (one.name, one.address[1]))
        for heard in evidence.ours:
            there.setdefault((heard.address, heard.interface), (heard.name, port))
        for attempt in evidence.attempts:
            for host in attempt.answered:
                there.setdefault((host, attempt.interface), ("", port))
        senders: dict[tuple[str, int], Sender] = {}
        for (host, interface), (name, number) in sorted(there.items(), key=lambda item: ":" in item[0][0]):
            link, version = links.get(interface), 6 if ":" in host else 4
            if link is None:
                continue
            with contextlib.suppress(SocketError):
                if (interface, version) not in senders:
                    senders[interface, version] = self._exchange.sender(link, version)
                    for group in self._exchange.groups:
                        if group.version == version:
                            self._exchange.hear(Path.GROUP, link, group)
                scoped = f"{host}%{interface}" if version == 6 and is_link_local(host) else host
                sender = senders[interface, version]
                yield Speaker(name or host, (scoped, number), link, sender, os.urandom(8))

    def _token(self, one: Speaker) -> bytes | None:
        return self._exchange.tokens.get(one.key)

    def _repeat(self, ask: Callable[[Speaker], None], done: Callable[[], bool]) -> None:
        """Ask each peer, up to three times until all have answered."""
        for _ in range(TIMES):
            if done() or time.perf_counter() > self._end:
                return
            for one in self._speakers:
                ask(one)
            self._collect(ROUND, done)

    def _ask(
        self,
        one: Speaker,
        sequence: int,
        *,
        nonce: bytes,
        path: Path = Path.UNICAST,
        to: Address | None = None,
    ) -> None:
        with contextlib.suppress(SocketError):
            token = self._token(one) if path is Path.GROUP else None
            peer_id = one.peer_id or ANYBODY
            to = to or one.address
            self._exchange.ask(one.sender, to, peer_id, nonce, sequence, path=path, token=token)

    def _meet(self, one: Speaker) -> None:
        """Who it is, and its token."""
        if one.peer_id is None:
            self._ask(one, 0, nonce=one.nonce)
        if self._token(one) is None:
            self._ask(one, 1, nonce=one.nonce, path=Path.GROUP)

    def _begin(self, one: Speaker) -> None:
        if not one.begun:
            self._ask(one, BEGIN, nonce=self._series)

    def _ask_seen(self, one: Speaker) -> None:
        if one.begun and one.seen is None:
            self._ask(one, END, nonce=self._series)

    def _speak(self) -> None:
        """Each answers to the group once, and hears a question of ours to the group."""
        for number, one in enumerate(self._speakers):
            if self._token(one) is not None:
                self._ask(one, number, nonce=self._series, path=Path.GROUP)
            version = 6 if ":" in one.address[0] else 4
            for group in self._exchange.groups:
                if group.version == version:
                    to = (group.host, group.port)
                    self._ask(one, ASKED + number, nonce=self._series, to=to)
            self._collect(PAUSE, lambda: False)

    def _collect(self, seconds: float, done: Callable[[], bool]) -> None:
        end = min(self._end, time.perf_counter() + seconds)
        while (left := end - time.perf_counter()) > 0 and not done():
            for arrival in self._exchange.wait(left, done):
                pong = arrival.pong
                peer_id = PeerId(pong.origin, pong.incarnation)
                if arrival.path is Path.GROUP:
                    if pong.nonce == self._series:
                        self._came.add(pong.sequence)
                    continue
                for one in self._speakers:
                    if pong.nonce == one.nonce:
                        one.peer_id = peer_id
                    elif pong.nonce == self._series and one.peer_id == peer_id:
                        self._told(one, pong.sequence, pong.seen, pong.health)

    def _told(self, one: Speaker, sequence: int, seen: int, health: int) -> None:
        if sequence == BEGIN:
            one.begun = bool(health & NOTES_PONGS)  # an older version does not know what it would tell
        elif sequence == END:
            one.seen = seen

    def _pairs(self) -> Iterator[Hears]:
        for number, speaker in enumerate(self._speakers):
            speaks = self._token(speaker) is not None
            yield Hears(speaker.name, "", number in self._came if speaks else None)
            for hearer in self._speakers:
                if hearer is not speaker:
                    heard = None if hearer.seen is None or not speaks else bool(hearer.seen >> number & 1)
                    yield Hears(speaker.name, hearer.name, heard)
        for number, hearer in enumerate(self._speakers):
            seen = hearer.seen
            yield Hears("", hearer.name, None if seen is None else bool(seen >> ASKED + number & 1))
