"""Thousands of members in one process: some hear everything, the rest share what all of them would know.

A *witness* is a whole engine that takes in every datagram. A *standee* is a whole engine too: it announces
itself, greets newcomers, answers and probes by its own timers and its own chance, and takes in what is sent
to it alone. But the announcements of the others, which reach all alike, are taken in once for all standees,
by one engine (the first witness): they look at its roster and its keys. Ten thousand rosters of ten
thousand entries would take 100 GB and days.

What is published is published by witnesses, and kept once for all standees, by the first witness, who
therefore publishes nothing. Each standee has its own digest timer, hears every digest, and judges it by what
is kept. It confirms no live record and asks for none.

Which member is nearest to a newcomer is looked up in a table, not computed by each member: the same answer.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from math import inf
from typing import Any, NamedTuple

from mcast import simulation
from mcast.core.context import Datagram
from mcast.core.events import Address, PeerId, PeerLeft
from mcast.core.membership import roster_sync
from mcast.core.membership.presence import LINK_HEADERS, PostponedTable, announced_size
from mcast.core.membership.roster import Peer, Roster
from mcast.core.membership.roster_sync import GIVERS, GREETINGS, SETTLED, is_giver, rank
from mcast.crypto.keys import Identity
from mcast.wire import frames as f
from mcast.wire.attributes import Attributes
from mcast.wire.header import Header, decode_header
from mcast.wire.reasons import DropReason
from mcast.wire.records import Record

ANSWERS = (f.Challenge, f.Roster, f.ProbeReply, f.Vector)


class SharedRoster(Roster):
    """Another engine's roster, to look at: what a standee would enter there is there already or will be."""

    @classmethod
    def share(cls, roster: Roster, other: Roster) -> None:
        """`roster`, which many components hold, becomes a look at `other`."""
        roster._peers, roster._unconfirmed, roster._of = other._peers, other._unconfirmed, other._of
        roster.get = other.get
        roster.__class__ = cls

    def add(self, peer: Peer) -> DropReason | None:
        """No."""
        return DropReason.TABLE_FULL

    def remove(self, peer_id: PeerId) -> None:
        """Not by us."""


class Times(deque[float]):
    """When newcomers were heard, entered once for all standees."""

    def append(self, at: float) -> None:
        """Not by each of them."""


def has_room(member: simulation.Member) -> bool:
    """Whether the member, new itself, notes one more newcomer to greet."""
    return len(member.engine._roster_sync.greetings._waiting) < GREETINGS


class SharedPostponed(PostponedTable):
    """How many wait in another engine, which takes them up for all."""

    def __init__(self, other: PostponedTable) -> None:
        super().__init__(0)
        self._other = other

    def __len__(self) -> int:
        return len(self._other)


class Second(NamedTuple):
    """What was sent in one second of virtual time; bytes with link headers."""

    datagrams: int
    bytes: int
    announcements: int
    answers: int
    digests: int


class Crowd(simulation.Lan):
    """A LAN of `size` members, all of whom join at once."""

    def __init__(self, size: int, witnesses: int, seed: int = 0, **conditions: Any) -> None:
        super().__init__(seed, **conditions)
        self.size = size
        self.kinds: Counter[str] = Counter()
        self._seconds: dict[int, Counter[str]] = {}
        self._thirds: dict[bytes, tuple[int, bytes]] = {}
        self._size = 256.0
        self.standees: list[Standee] = []
        self.times = Times(maxlen=1024)
        self._open: list[Standee] = []
        with self.ranked():
            for number in range(witnesses):
                self.join(f"w{number}")
            for number in range(witnesses, size):
                self._stand(number)

    def _stand(self, number: int) -> None:
        identity = Identity(sha256(b"%d crowd %d" % (self.seed, number)).digest())
        member = Standee(self, number + 1, f"s{number}", identity, (0,), {"attributes": Attributes()})
        member.engine._roster_sync.greetings._heard = self.times
        self.standees.append(member)
        self._open.append(member)
        self._by_address[member.address] = member, 0

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        with self.ranked():
            super().run(seconds)

    @contextmanager
    def ranked(self) -> Iterator[None]:
        """Who is nearest is looked up."""
        vars(roster_sync)["is_giver"] = self._is_giver
        try:
            yield
        finally:
            vars(roster_sync)["is_giver"] = is_giver

    def _is_giver(self, asker: bytes, me: PeerId, others: object) -> bool:
        """As is_giver(), for the roster of the first witness; its third lowest rank is remembered."""
        roster = self.members[0].engine._roster
        known, third = self._thirds.get(asker, (-1, b""))
        if known != len(roster):
            ranks = sorted(rank(asker, peer.peer_id) for peer in roster if peer.confirmed)
            third = ranks[GIVERS - 1] if len(ranks) >= GIVERS else b"\xff" * 32
            self._thirds[asker] = len(roster), third
        return rank(asker, me) <= third

    def transmit(
        self, data: bytes, source: Address, destination: Address = None, lans: Iterable[int] | None = None
    ) -> None:
        """As Lan.transmit; what all hear is told to all standees at once."""
        header = decode_header(data)
        assert isinstance(header, Header)
        frames = self.checks.open(header, data)
        assert isinstance(frames, list)
        self._count(data, frames, destination)
        super().transmit(data, source, destination, lans)
        if destination is None:
            self.at(self.now + self.conditions.delay, lambda: self._overheard(data, frames, source))

    def _count(self, data: bytes, frames: list[f.Frame], destination: Address) -> None:
        second = self._seconds.setdefault(int(self.now), Counter())
        second["datagrams"] += 1
        second["bytes"] += len(data) + LINK_HEADERS
        kind = type(frames[-1])
        announced = destination is None and kind is f.Announcement
        second["announcements"] += announced
        second["digests"] += kind is f.Digest
        second["answers"] += any(isinstance(frame, ANSWERS) for frame in frames) and not announced
        self.kinds[kind.__name__] += 1

    def _overheard(self, data: bytes, frames: list[f.Frame], source: Address) -> None:
        name = next((frame.name for frame in frames if isinstance(frame, f.Key)), "")
        for frame in frames:
            if isinstance(frame, f.Announcement):
                self._size += (announced_size(frame, name) - self._size) / 16
                if frame.flags & f.NEWCOMER:
                    self._meet(PeerId(frame.origin, frame.incarnation), source, len(data))
            elif isinstance(frame, f.Probe | f.RosterRequest):
                for standee in self.standees:
                    if standee.address != source:
                        standee.receive(data, source)
            elif isinstance(frame, Record | f.Digest):
                self._past(frame, source)

    def _past(self, frame: Record | f.Digest, source: Address) -> None:
        """A record that the first witness keeps for all standees, or somebody's sum of what it holds."""
        for standee in self.standees:
            if standee.address == source:
                continue
            standee.count_members()
            anti_entropy = standee.engine._anti_entropy
            if isinstance(frame, Record):
                anti_entropy.record_moved(self.now)
            else:
                anti_entropy._on_digest(self._heard_from(source), frame, self.now)
            standee.step()

    def _heard_from(self, source: Address, size: int = 0) -> Datagram:
        """A datagram that reached all, by the only network."""
        return Datagram(source, b"", size, networks=self.members[0].engine._context.networks.add(0))

    def publish(self, records: int, start: float) -> None:
        """All witnesses but the first publish so many in all, four a second from `start` on."""
        authors = self.members[1:]
        for number in range(records):
            self.at(start + number / 4, partial(_say, authors[number % len(authors)], number))

    def _meet(self, newcomer: PeerId, source: Address, size: int) -> None:
        self.times.extend([self.now])
        heard = self._heard_from(source, size)
        if self.now > SETTLED:
            self._open = self.standees
        for standee in self._open:
            engine = standee.engine
            if engine.peer_id != newcomer:
                engine._roster_sync.greet_newcomer(heard, newcomer, self.now)
                if self.now > SETTLED:
                    standee.count_members()
                    engine._anti_entropy._trickle.reset(self.now, engine._context.members)
                    engine._anti_entropy.rearm()
                if engine._context.queue or engine._roster_sync.greetings.next < inf:
                    standee.step()
        if self.now <= SETTLED:
            self._open = [member for member in self._open if has_room(member)]

    def second(self, at: int) -> Second:
        """What was sent in the second from `at` on."""
        return self.between_seconds(at, at + 1)

    def between_seconds(self, start: int, stop: int) -> Second:
        """What was sent from `start` to `stop`."""
        counts: Counter[str] = sum((self._seconds.get(at, Counter()) for at in range(start, stop)), Counter())
        return Second(*(counts[kind] for kind in Second._fields))

    def complete(self) -> bool:
        """Whether each witness knows all others."""
        return all(len(member.engine._roster) == self.size - 1 for member in self.members)

    def departures(self) -> int:
        """How often a witness took a peer for gone, or somebody in its roster is suspect."""
        left = sum(isinstance(event, PeerLeft) for member in self.members for event in member.events())
        return left + sum(peer.suspect for member in self.members for peer in member.engine._roster)


def _say(author: simulation.Member, number: int) -> None:
    author.send(b"%04d" % number + bytes(96))


class Standee(simulation.Member):
    """One who shares the first witness's roster and keys."""

    def start(self, *, disk: bool = True) -> None:
        """As Member.start, with what is shared."""
        super().start(disk=disk)
        engine, witness = self.engine, self._lan.members[0].engine
        SharedRoster.share(engine._roster, witness._roster)
        engine._verifier._keys = witness._verifier._keys
        networks = witness._context.networks
        engine._context.networks = engine._networks = engine._receiver._networks = networks
        engine._presence.postponed = SharedPostponed(witness._presence.postponed)
        engine._detector.freshness._live = witness._detector.freshness._live
        store, other = engine._store, witness._store
        store._records, store._of, store._sizes = other._records, other._of, other._sizes
        store.held = other.held

    def count_members(self) -> None:
        """Work with the group as it is now."""
        context = self.engine._context
        context.advance(self._lan.now)
        context.members = len(self.engine._roster) + 1

    def receive(self, datagram: bytes, source: Address, direct: bool = False, link: int = 0) -> None:
        """As Member.receive, with the group as it is now."""
        self.count_members()
        super().receive(datagram, source, direct, link)

    def wake(self) -> None:
        """As Member.wake, with the group as it is now."""
        lan = self._lan
        assert isinstance(lan, Crowd)
        self.count_members()
        presence = self.engine._presence
        presence.timer._size = lan._size
        presence._count_members(lan.now)
        super().wake()
