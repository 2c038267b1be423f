"""Records held so that they can be sent again, and what digests and summary vectors say of them.

docs/protocol.md, History.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from hashlib import sha256
from itertools import islice
from math import inf

import msgspec

from mcast.core.context import Context
from mcast.core.events import PeerId
from mcast.core.membership.roster import Roster
from mcast.core.rangeset import RangeSet, collapse
from mcast.core.reliability.sender import HeldRecord, TransmitWindow
from mcast.wire import limits
from mcast.wire.codec import encode_frame, encode_kept, encode_sliced
from mcast.wire.frames import Age, Holding
from mcast.wire.lists import HOLDINGS
from mcast.wire.reasons import DropReason
from mcast.wire.records import Record

FLOORS = 4096  # peers whose oldest records we let go are remembered; first in, first out
HOLES = 400  # bytes that the holes of one entry take on the wire, at most
PAGE = limits.DATAGRAM_SAFE - 200  # bytes of entries in a VECTOR frame: the same everywhere
SWEEP = 10.0  # seconds after which what is too old has gone; a look at all takes a millisecond
NEW = 0.1  # seconds: a younger record is handed on as new; repairs in a flood need no AGE
AWAY = 60.0  # seconds after the network was lost in which a peer of before must be heard again
NOTHING = RangeSet()

Name = tuple[PeerId, int]  # of a record: its author and sequence
Ranges = list[tuple[int, int]]  # [start, stop)


class SavedRecord(msgspec.Struct, frozen=True):
    """A record as a disk can keep it; `published` is in unix seconds.

    `frames` are the KEY of its author and the RECORD, encoded: all that is needed to check its signature.
    """

    peer_id: PeerId
    sequence: int
    published: float
    frames: bytes


class HeldRanges:
    """The sequences held of each peer; and where we let go of what was older, so that it is not asked for."""

    def __init__(self) -> None:
        self._ranges: dict[PeerId, RangeSet] = {}
        self._floors: dict[PeerId, int] = {}
        self.changes = 0

    def __len__(self) -> int:
        """How many peers something is held of."""
        return len(self._ranges)

    def __iter__(self) -> Iterator[tuple[PeerId, RangeSet]]:
        return iter(self._ranges.items())

    @property
    def pieces(self) -> int:
        """How many ranges there are of all peers."""
        return sum(len(ranges) for ranges in self._ranges.values())

    def of(self, peer_id: PeerId) -> RangeSet:
        """The sequences held of `peer_id`."""
        return self._ranges.get(peer_id, NOTHING)

    def floor(self, peer_id: PeerId) -> int:
        """The first record of `peer_id` that may still be wanted."""
        return self._floors.get(peer_id, 1)

    def add(self, peer_id: PeerId, sequences: Collection[int]) -> None:
        """These, at least one, are held, too."""
        ranges = self._ranges.get(peer_id)
        if ranges is None:
            ranges = self._ranges[peer_id] = RangeSet()
        for start, stop in collapse(sorted(sequences)):
            ranges.add(start, stop)
        self.changes += 1

    def remove(self, peer_id: PeerId, sequences: Iterable[int], *, wanted: bool = False) -> None:
        """These, at least one, are no more; unless they may still be `wanted`, nor is anything before."""
        ranges = self._ranges[peer_id]
        gone = collapse(sorted(sequences))
        for start, stop in gone:
            ranges.cut(start, stop)
        if not ranges:
            del self._ranges[peer_id]
        self.changes += 1
        if wanted:
            return
        self._floors[peer_id] = max(self._floors.pop(peer_id, 1), gone[-1][1])
        if len(self._floors) > FLOORS:
            del self._floors[next(iter(self._floors))]

    def clear(self) -> None:
        """Nothing is held, and everything may come again."""
        self._ranges.clear()
        self._floors.clear()
        self.changes += 1


class Summary:
    """Everything held at one moment: its digest and the pages of its summary vector."""

    def __init__(self, held: Iterable[tuple[PeerId, Iterable[tuple[int, int]]]]) -> None:
        self._entries: list[tuple[Holding, bytes]] = []
        self.records = 0
        for peer_id, ranges in sorted(held, key=lambda entry: entry[0]):
            ranges = list(ranges)
            self.records += sum(stop - start for start, stop in ranges)
            for holding in _holdings(peer_id, ranges):
                self._entries.append((holding, HOLDINGS.write((holding,))[1:]))
        self.digest = sha256(b"".join(data for _, data in self._entries)).digest()[: limits.DIGEST_SIZE]
        self.pages = list(self._paged())

    def __len__(self) -> int:
        return len(self._entries)

    def _paged(self) -> Iterator[tuple[Holding, ...]]:
        """At least one page, though it lists nothing."""
        page: list[Holding] = []
        size = 0
        for holding, data in self._entries:
            if page and (size + len(data) > PAGE or len(page) == limits.ENTRIES_MAX):
                yield tuple(page)
                page, size = [], 0
            page.append(holding)
            size += len(data)
        yield tuple(page)


def _holdings(peer_id: PeerId, ranges: list[tuple[int, int]]) -> Iterator[Holding]:
    """The entries of one peer of which something is held; holes that fit no window or page part them."""
    low = high = 0
    holes: list[tuple[int, int]] = []
    pairs = 0
    for start, stop in ranges:
        if low:
            hole = (high + 1, start - 1)
            first = holes[0][0] if holes else hole[0]
            pairs += (hole[0] - (holes[-1][1] if holes else hole[0])) // 255 + (hole[1] - hole[0]) // 255 + 2
            if hole[1] - first < limits.WINDOW and 2 * pairs <= HOLES:
                holes.append(hole)
                high = stop - 1
                continue
            yield Holding(peer_id.origin, peer_id.incarnation, low, high, tuple(holes))
        low, high, holes, pairs = start, stop - 1, [], 0
    yield Holding(peer_id.origin, peer_id.incarnation, low, high, tuple(holes))


def _since(ranges: Ranges, at: Callable[[int], float], since: float) -> Ranges:
    """What of `ranges` of one peer was published at `since` or later: `at` tells when, which rises."""
    young: Ranges = []
    for start, stop in reversed(ranges):
        cut = start + bisect_left(range(start, stop), since, key=at)
        if cut < stop:
            young.insert(0, (cut, stop))
        if cut > start:
            break
    return young


def filled(holding: Holding) -> Iterator[tuple[int, int]]:
    """The [start, stop) ranges that a holding says are held."""
    at = holding.low
    for first, last in holding.holes:
        if first > at:
            yield at, first
        at = last + 1
    if at <= holding.high:
        yield at, holding.high + 1


class Store:
    """Verified records of other peers, so that any holder can repair them; first come, first out.

    The attack: one origin (or a flood of them) pushing out everybody else's. An origin that exceeds its
    share loses its own oldest first; age and totals bound the rest.

    In an open room, what was heard on a network stays there. After the network was lost, nothing from before
    is handed out (`withheld_until`) until a peer of before is heard again: a pulled cable that is put back
    leads to the same peers, another network with the same addresses does not.

    In a keyed room, what was held by a program that ran before can be restored. Any network may have it, as
    only those who have the key can read it.
    """

    def __init__(self, context: Context, sent: TransmitWindow, roster: Roster) -> None:
        settings = context.settings
        self._context, self._sent, self._roster = context, sent, roster
        # Ordered: the oldest of a dict is found by a walk over all that were taken out before.
        self._records: OrderedDict[Name, HeldRecord] = OrderedDict()
        self._of: dict[bytes, OrderedDict[Name, None]] = {}
        self._sizes: dict[bytes, int] = {}
        self.held = HeldRanges()
        self._restored: dict[PeerId, RangeSet] = {}  # of what is held
        self.bytes = self._added = 0
        self._limit, self._most = settings.history_records, settings.history_bytes
        public = context.room.public
        seconds = settings.history_seconds if public else settings.keyed_history_seconds
        self._seconds = min(seconds, limits.AGE_MAX / 1000)
        self.share = int(self._limit * settings.history_share)
        self._share_bytes = int(self._most * settings.history_share)
        self.next_sweep = inf  # when to call expire(), inf while nothing is held
        self._summaries: dict[int, tuple[tuple[int, int, int, int, bool], Summary, float]] = {}
        self.withheld = False  # whether what was heard before the network was lost is kept back
        self.withheld_until = inf
        self._peers_before: frozenset[PeerId] = frozenset()
        self._sent_before = 0

    def __len__(self) -> int:
        return len(self._records)

    def get(self, peer_id: PeerId, sequence: int) -> bytes | None:
        """The payload of a record of another peer, verbatim."""
        held = self._records.get((peer_id, sequence))
        return None if held is None else held.payload

    def holds(self, origin: bytes) -> bool:
        """Whether anything of `origin` is held."""
        return origin in self._of

    def too_old(self, age: float) -> bool:
        """Whether a record that is said to be so old (s) is not worth holding."""
        return age >= self._seconds

    @property
    def full(self) -> bool:
        """Whether one more would push out another: what is old must not do that."""
        return len(self._records) >= self._limit or self.bytes + limits.DATAGRAM_MAX > self._most

    def add(self, peer_id: PeerId, records: Iterable[Record], now: float, age: float) -> bool:
        """Hold verified records of one peer, said to be `age` seconds old; False: that is too old."""
        if age >= self._seconds:
            self._context.drop(DropReason.TOO_OLD, sum(1 for _ in records))
            return False
        origin, held = peer_id.origin, self._records
        mine = self._of.setdefault(origin, OrderedDict())
        at, size = now - age, 0
        fresh = []
        for record in records:
            name = (peer_id, record.sequence)
            if name not in held:
                held[name] = HeldRecord(record.payload, at)
                mine[name] = None
                fresh.append(record.sequence)
                size += len(record.payload)
        if fresh:
            self._added += len(fresh)
            self.held.add(peer_id, fresh)
            self.next_sweep = min(self.next_sweep, at + self._seconds + SWEEP)
        self.bytes += size
        total = self._sizes[origin] = self._sizes.get(origin, 0) + size
        if len(mine) > self.share or total > self._share_bytes:
            while len(mine) > self.share or self._sizes.get(origin, 0) > self._share_bytes:
                self._drop_oldest(mine)
        while len(held) > self._limit or self.bytes > self._most:
            self._drop_oldest(held)
        return True

    def _drop_oldest(self, names: Iterable[Name]) -> None:
        """Drop the lowest record of the peer whose record came first.

        Not that record itself: what comes before one that was dropped is not fetched again.
        """
        peer_id, _ = next(iter(names))
        low = self.held.of(peer_id).low
        self._remove((peer_id, low))
        self.held.remove(peer_id, [low])

    def _remove(self, name: Name) -> None:
        size = len(self._records.pop(name).payload)
        origin = name[0].origin
        mine = self._of[origin]
        del mine[name]
        self.bytes -= size
        self._sizes[origin] -= size
        restored = self._restored.get(name[0])
        if restored is not None and restored.remove(name[1]) and not restored:
            del self._restored[name[0]]
        if not mine:
            del self._of[origin], self._sizes[origin]

    def restore(self, record: Record, now: float, age: float) -> None:
        """Hold a record, said to be `age` seconds old, that a program held which ran before this one."""
        peer_id, sequence = PeerId(record.origin, record.incarnation), record.sequence
        if age < self._seconds and not self.full and peer_id != self._context.me:
            self.add(peer_id, [record], now, age)
            if (peer_id, sequence) in self._records:  # not so if its author has had its share
                self._restored.setdefault(peer_id, RangeSet()).add(sequence, sequence + 1)

    def added(self, since: tuple[int, int]) -> tuple[tuple[int, int], list[tuple[Name, HeldRecord]]]:
        """What was published since a mark that the call before gave, (0, 0) for all; and the next mark.

        Our own records are among them; restored ones are not.
        """
        others, own = since
        new = [
            (name, held)
            for name, held in islice(reversed(self._records.items()), self._added - others)
            if name[1] not in self._restored.get(name[0], NOTHING)
        ]
        new += [
            ((self._context.me, sequence), held)
            for sequence in range(max(own + 1, self._sent.low), self._sent.high + 1)
            if (held := self._sent.get(sequence)) is not None
        ]
        return (self._added, self._sent.high), new

    def expire(self, now: float) -> None:
        """Drop what is too old. It may be had again from who says it is younger: nobody signed an age."""
        if now < self.next_sweep:
            return
        for name in [name for name, held in self._records.items() if held.at < now - self._seconds]:
            self._remove(name)
            self.held.remove(name[0], [name[1]], wanted=True)
        oldest = min((held.at for held in self._records.values()), default=inf)
        self.next_sweep = max(now, oldest + self._seconds) + SWEEP

    def drop_lost(self) -> None:
        """Drop what was heard on networks that are forgotten."""
        of = self._context.networks.of
        self._summaries.clear()
        for peer_id in [peer_id for peer_id, _ in self.held if not of(peer_id)]:
            sequences = [at for start, stop in self.held.of(peer_id) for at in range(start, stop)]
            for sequence in sequences:
                self._remove((peer_id, sequence))
            self.held.remove(peer_id, sequences, wanted=True)

    def lookup(self, peer_id: PeerId, sequence: int) -> HeldRecord | None:
        """A record, also one of ours, that may be handed out here and now."""
        if peer_id == self._context.me:
            return self._sent.get(sequence) if not self.withheld or sequence > self._sent_before else None
        return None if self.withheld else self._records.get((peer_id, sequence))

    def encoded(self, peer_id: PeerId, sequence: int, now: float, *, sliced: bool = False) -> list[bytes]:
        """Its RECORD frame, or its slices, each behind how old it is unless it is new; [] if it is not held.

        Nobody signs an age, but without it a record would be new to each who gets it and live for ever. Who
        lies about it makes what it hands out live shorter at those who take it, who may have it again from
        another; or longer, as anybody can who keeps a copy.
        """
        held = self.lookup(peer_id, sequence)
        if held is None:
            return []
        age = now - held.at
        before = b"" if age < NEW else encode_frame(Age(min(limits.AGE_MAX, int(age * 1000))))
        if sliced and len(held.payload) > limits.SLICE_SIZE:
            return list(encode_sliced(held.payload, before))
        return [before + encode_kept(held.payload)]

    def ranges(self, peer_id: PeerId, networks: int) -> RangeSet:
        """The sequences of `peer_id`, also of ours, that are named to others on a network."""
        if peer_id != self._context.me:
            everywhere = self._restored.get(peer_id, NOTHING)
            return self.held.of(peer_id) if self._context.networks.has(peer_id, networks) else everywhere
        self._sent.expire(self._context.now - self._seconds)
        own = RangeSet()
        own.add(self._sent.young, self._sent.high + 1)
        return own

    def summary(self, networks: int, old: float = 0.0, *, since: float = -inf) -> Summary:
        """Everything that may be handed out on a network now, or could `old` seconds ago.

        `since`: but for what was published before.
        """
        now, known = self._context.now, self._summaries.get(networks)
        self._sent.expire(now - self._seconds)
        if since > -inf:
            return Summary(self._holdings(networks, since))
        changes = self._context.networks.changes
        key = (self._sent.young, self._sent.high, self.held.changes, changes, self.withheld)
        if known is not None and (
            known[0] == key or (known[0][-1] == self.withheld and now - known[2] < old)
        ):
            return known[1]
        summary = Summary(self._holdings(networks, since))
        self._summaries[networks] = key, summary, now  # of the networks there are, which are bounded
        return summary

    def _holdings(self, networks: int, since: float) -> Iterator[tuple[PeerId, Ranges]]:
        for peer_id, ranges in self._named(networks):
            young = ranges if since == -inf else _since(ranges, self._published(peer_id), since)
            if young:
                yield peer_id, young

    def _named(self, networks: int) -> Iterator[tuple[PeerId, Ranges]]:
        sent, withheld = self._sent, self.withheld
        low = max(sent.young, self._sent_before + 1) if withheld else sent.young
        if low <= sent.high:
            yield self._context.me, [(low, sent.high + 1)]
        if not withheld:
            masks = self._context.networks.masks
            for peer_id, ranges in self.held:
                if masks.get(peer_id, 0) & networks == networks:
                    yield peer_id, list(ranges)
                elif peer_id in self._restored:
                    yield peer_id, list(self._restored[peer_id])

    def _published(self, peer_id: PeerId) -> Callable[[int], float]:
        """When each of the records that are held of `peer_id` was published."""
        if peer_id == self._context.me:
            return lambda sequence: self._sent.at(sequence)
        return lambda sequence: self._records[peer_id, sequence].at

    def withhold(self, now: float) -> None:
        """No network remains of those on which we heard what we hold."""
        if not self.withheld:
            self.withheld, self.withheld_until = True, now + AWAY
            self._peers_before = frozenset(peer.peer_id for peer in self._roster)
        self._sent_before = self._sent.high

    def peer_heard(self, peer_id: PeerId) -> None:
        """A fresh word of a peer: one of before, though it may have expired since, tells where we are."""
        if peer_id in self._peers_before:
            self.withheld, self.withheld_until = False, inf

    def forget(self) -> None:
        """Nobody of before was heard in time: we are elsewhere, and nothing said there is handed out here."""
        self.withheld, self.withheld_until, self.next_sweep = False, inf, inf
        self._records.clear()
        self._of.clear()
        self._sizes.clear()
        self.held.clear()
        self.bytes = 0
        self._sent.forget(self._sent_before)
        self._summaries.clear()
