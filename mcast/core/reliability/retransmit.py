"""Retransmission: answering NACKs, with our own records at once, with those of others when it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import NamedTuple

from mcast.core.auth.keys import KeyExchange
from mcast.core.context import Context, Datagram, Handlers
from mcast.core.events import PeerId
from mcast.core.flow.controller import FlowController
from mcast.core.history.store import Store
from mcast.core.membership.failure_detector import FailureDetector
from mcast.core.membership.roster import Roster
from mcast.core.networks import ALL
from mcast.core.timers import Timers, backoff, rounds
from mcast.core.token_bucket import TokenBucket, TokenBuckets
from mcast.wire.frames import SLICED, Missing, Nack
from mcast.wire.limits import DATAGRAM_MAX, HEADER_SIZE, RECORD_ENVELOPE, TAG_SIZE, WINDOW
from mcast.wire.reasons import DropReason

from .nack import NackScheduler

RECENT = 16_384  # repairs and requests remembered, first in, first out
SHARE = RECENT // 4  # of them that one requester may be the first to ask for
STALE = 30.0  # seconds after which a request is a first one again
READY = 16_384  # repairs waiting for their turn; a flood of NACKs cannot queue more
CHANCES = 4  # rounds of asking that a living author has before other holders step in
NACK_LEAST = 64  # sequences that a NACK is charged for at least
REQUESTERS = 1024  # identities with a repair quota of their own
NACKED = 20 * 1024  # sequences a second that one identity may name in NACKs; looking them up costs time
STRANGERS = b""  # the key of the bucket that all unknown identities share
OVERHEAD = HEADER_SIZE + TAG_SIZE


class Asked:
    """When records were first asked for.

    The attack: one who asks for all there is pushes out what others asked for. So a requester has a
    share, and pushes out its own.
    """

    def __init__(self) -> None:
        self._first: dict[tuple[PeerId, int], tuple[float, bytes]] = {}
        self._of: dict[bytes, dict[tuple[PeerId, int], None]] = {}

    def __len__(self) -> int:
        return len(self._first)

    def when(self, peer_id: PeerId, sequence: int) -> float | None:
        """When it was first asked for."""
        entry = self._first.get((peer_id, sequence))
        return None if entry is None else entry[0]

    def add(self, peer_id: PeerId, sequence: int, now: float, requester: bytes) -> None:
        """`requester` asks for it, as the first one."""
        key = (peer_id, sequence)
        self._forget(key)
        self._first[key] = now, requester
        own = self._of.setdefault(requester, {})
        own[key] = None
        if len(own) > SHARE:
            self._forget(next(iter(own)))
        elif len(self._first) > RECENT:
            self._forget(next(iter(self._first)))

    def _forget(self, key: tuple[PeerId, int]) -> None:
        entry = self._first.pop(key, None)
        if entry is None:
            return
        own = self._of[entry[1]]
        del own[key]
        if not own:
            del self._of[entry[1]]


class Repairs:
    """Which records are going to be sent again, and when.

    Requests for one author are gathered until its timer runs out; then they are `ready`, in their order, each
    with whether it is to be sliced. A verified copy heard from anybody cancels ours.
    """

    def __init__(self) -> None:
        self._gathering: dict[PeerId, dict[int, bool]] = {}
        self._timers: Timers[PeerId] = Timers()
        self.ready: dict[tuple[PeerId, int], bool] = {}
        self._recent: dict[tuple[PeerId, int], float] = {}
        self._asked = Asked()

    def fresh(self, peer_id: PeerId, sequences: Iterable[int], now: float, grtt: float) -> list[int]:
        """Those of `sequences` that are neither under way nor were repaired within the last `grtt`."""
        gathering = self._gathering.get(peer_id, {})
        return [
            sequence
            for sequence in sequences
            if sequence not in gathering
            and (peer_id, sequence) not in self.ready
            and now - self._recent.get((peer_id, sequence), float("-inf")) >= grtt
        ]

    def insisted(
        self, peer_id: PeerId, sequences: Iterable[int], now: float, chance: float, requester: bytes
    ) -> list[int]:
        """Those of `sequences`, which we hold, whose author had its `chance` (s) since the first request."""
        again = []
        for sequence in sequences:
            first = self._asked.when(peer_id, sequence)
            if first is None or now - first > STALE:
                self._asked.add(peer_id, sequence, now, requester)
            elif now - first >= chance:
                again.append(sequence)
        return again

    def gather(self, peer_id: PeerId, sequences: Mapping[int, bool], when: float) -> None:
        """Repair `sequences` of `peer_id`, those in slices that are True, at `when`, or earlier if its timer
        runs already."""
        self._gathering.setdefault(peer_id, {}).update(sequences)
        if peer_id not in self._timers:
            self._timers.set(peer_id, when)

    def repaired(self, peer_id: PeerId, sequence: int) -> bool:
        """Whether it was sent again before."""
        return (peer_id, sequence) in self._recent

    def slice(self, peer_id: PeerId, sequences: Iterable[int]) -> None:
        """These were sent again before, in vain: what is under way of them goes in slices."""
        gathering = self._gathering.get(peer_id, {})
        for sequence in sequences:
            if not self.repaired(peer_id, sequence):
                continue
            if sequence in gathering:
                gathering[sequence] = True
            elif (peer_id, sequence) in self.ready:
                self.ready[peer_id, sequence] = True

    def heard(self, peer_id: PeerId, sequence: int, now: float) -> None:
        """A verified copy of the record was heard: nobody needs ours."""
        self.ready.pop((peer_id, sequence), None)
        gathering = self._gathering.get(peer_id)
        if gathering is None or sequence not in gathering:
            return
        _remember(self._recent, (peer_id, sequence), now)
        del gathering[sequence]
        if not gathering:
            del self._gathering[peer_id]
            self._timers.cancel(peer_id)

    @property
    def next(self) -> float:
        """The next time at which repairs become due."""
        return self._timers.next

    def tick(self, now: float) -> None:
        """Move what is due to the queue."""
        for peer_id in self._timers.due(now):
            for sequence, sliced in self._gathering.pop(peer_id).items():
                if len(self.ready) < READY:
                    self.ready[peer_id, sequence] = sliced

    def take(self, now: float) -> tuple[PeerId, int, bool]:
        """The next record to send again, and whether in slices; call only when there is one."""
        peer_id, sequence = next(iter(self.ready))
        sliced = self.ready.pop((peer_id, sequence))
        _remember(self._recent, (peer_id, sequence), now)
        return peer_id, sequence, sliced


def _remember(table: dict[tuple[PeerId, int], float], key: tuple[PeerId, int], now: float) -> None:
    table.pop(key, None)
    table[key] = now
    if len(table) > RECENT:
        del table[next(iter(table))]


class Requester(NamedTuple):
    """Who asks: its name for budgets, its networks, the largest datagrams it gets, if it wants slices."""

    name: bytes
    networks: int
    limit: int
    sliced: bool


class Retransmitter:
    """Handles NACK: ours may wait for what is asked for, and we may have what somebody lacks."""

    def __init__(
        self,
        context: Context,
        keys: KeyExchange,
        roster: Roster,
        detector: FailureDetector,
        nacks: NackScheduler,
        store: Store,
        flow: FlowController,
    ) -> None:
        self._context, self._keys, self._roster = context, keys, roster
        self._detector, self._nacks, self._store, self._flow = detector, nacks, store, flow
        self.handlers: Handlers = {Nack: self._on_nack}
        rate = context.settings.repair_rate
        self._own_quotas = TokenBuckets(rate, rate, REQUESTERS)
        self._other_quotas = TokenBuckets(rate, rate, REQUESTERS)
        self._nack_quotas = TokenBuckets(NACKED, 2 * WINDOW, REQUESTERS)
        self._repairs = Repairs()
        self.ready = self._repairs.ready
        self.next_timeout = inf

    def on_timeout(self, now: float) -> None:
        """Move what is due to the queue."""
        self._repairs.tick(now)
        self.next_timeout = self._repairs.next

    def heard(self, peer_id: PeerId, sequence: int, now: float) -> None:
        """A verified copy of a record was heard: nobody needs ours."""
        self._repairs.heard(peer_id, sequence, now)
        self.next_timeout = self._repairs.next

    def credit(self, size: int, now: float) -> None:
        """We have published `size` bytes: so much more may be asked for."""
        self._own_quotas.credit(size, self._context.settings.sent_bytes, now)

    def take(self, now: float, *, more_waits: bool) -> list[tuple[bytes, int]]:
        """The frames of the repairs that are due, a datagram each, and their networks, as the rate allows.

        `more_waits`: new records wait, too; repairs leave some of the rate to them.
        """
        context, flow, plains = self._context, self._flow, []
        while self.ready and not (more_waits and flow.turn) and flow.level(now) > 0:
            peer_id, sequence, sliced = self._repairs.take(now)
            encoded = self._store.encoded(peer_id, sequence, now, sliced=sliced)
            context.sent["repair"] += bool(encoded)
            for plain in encoded:
                flow.repaired(len(plain) + OVERHEAD, now)
                plains.append((plain, ALL if peer_id == context.me else context.networks.of(peer_id)))
        return plains

    def _on_nack(self, datagram: Datagram, frame: Nack, now: float) -> DropReason | None:
        """Somebody lacks records."""
        peer_id = PeerId(frame.origin, frame.incarnation)
        if peer_id == self._context.me:
            return DropReason.OWN
        reason = self._keys.check(datagram, frame, now)
        if reason is not None:
            return reason
        self._detector.heard_undated(peer_id, datagram.networks, now)
        requester = self._requester(peer_id, datagram, frame)
        bucket = self._nack_quotas.of(requester.name, now)
        if bucket.level(now) <= 0:
            return DropReason.OVER_QUOTA
        left = WINDOW  # a NACK may name more; looking at all of it would be the attack
        for missing in frame.missing:
            author = PeerId(missing.origin, missing.incarnation)
            ranges = list(_within(missing, left))
            sequences = [sequence for start, stop in ranges for sequence in range(start, stop)]
            left -= len(sequences)
            self._nacks.overheard(author, ranges, now)
            if not self._serve(author, sequences, requester, now):
                reason = DropReason.OVER_QUOTA
        bucket.spend(max(NACK_LEAST, WINDOW - left), now)
        self.next_timeout = self._repairs.next
        return reason

    def _serve(self, author: PeerId, sequences: list[int], requester: Requester, now: float) -> bool:
        """Gather the repairs we can make of an author that was heard where they are asked for.

        In slices go those that the requester cannot get otherwise, as it announced, and those that it asks
        for in vain. False when its quota did not suffice for all.
        """
        context, repairs = self._context, self._repairs
        if author == context.me:
            bucket = self._own_quotas.of(requester.name, now)
            delay = self._aggregation
        else:
            bucket = self._other_quotas.of(requester.name, now)
            delay = backoff(context.rng, rounds(context.members) * context.rtt.value, context.members)
            window = self._nacks.windows.get(author)
            if window is not None and author in self._roster:
                # The author repairs at once; we step in when somebody has to ask again.
                chance = CHANCES * window.hold(context.settings.grtt_min)
                held = [sequence for sequence in sequences if self._store.get(author, sequence) is not None]
                sequences = repairs.insisted(author, held, now, chance, requester.name)
                delay += chance
        if author != context.me and not context.networks.has(author, requester.networks):
            return True
        if requester.sliced:
            repairs.slice(author, sequences)
        fresh = repairs.fresh(author, sequences, now, self._aggregation)
        granted, enough = self._grant(author, fresh, bucket, now)
        if granted:
            limit, vain = requester.limit - RECORD_ENVELOPE, requester.sliced
            ways = {
                sequence: size > limit or (vain and repairs.repaired(author, sequence))
                for sequence, size in granted.items()
            }
            repairs.gather(author, ways, now + delay)
        return enough

    def _requester(self, peer_id: PeerId, datagram: Datagram, frame: Nack) -> Requester:
        peer, sliced = self._roster.get(peer_id), bool(frame.flags & SLICED)
        if peer is None:
            return Requester(STRANGERS, datagram.networks, DATAGRAM_MAX, sliced)
        return Requester(peer_id.origin, datagram.networks, peer.announcement.limit, sliced)

    @property
    def _aggregation(self) -> float:
        """Seconds that an author gathers requests before it repairs; who is leaving has no time for it."""
        least = self._context.settings.grtt_min
        return least if self._context.closing else max(least, self._context.rtt.value)

    def _grant(
        self, author: PeerId, sequences: list[int], bucket: TokenBucket, now: float
    ) -> tuple[dict[int, int], bool]:
        granted: dict[int, int] = {}
        for sequence in sequences:
            held = self._store.lookup(author, sequence)
            if held is None:
                continue
            size = len(held.payload)
            if not bucket.take(size, now):
                return granted, False
            granted[sequence] = size
        return granted, True


def _within(missing: Missing, most: int) -> Iterator[tuple[int, int]]:
    """The [start, stop) ranges, as far as they name at most `most` sequences."""
    for first, last in missing.ranges:
        stop = min(last + 1, first + most)
        if stop > first:
            yield first, stop
        most -= stop - first
