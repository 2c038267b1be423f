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
from .sender import TransmitWindow

RECENT = 16_384  # repairs and requests remembered, first in, first out
SHARE = RECENT // 4  # of them that one requester may be the first to ask for
STALE = 30.0  # seconds after which a request is a first one again
READY = 16_384  # repairs waiting for their turn; a flood of NACKs cannot queue more
CHANCES = 4  # rounds of asking that a living author has before other holders step in
REQUESTERS = 1024  # identities with a repair quota of their own
STRANGERS = b""  # the key of the bucket that all unknown identities share
ALL_RATES, ALL_COPIES = 4, 8  # what all requesters get together: times the rate of one, copies of what is new
LOOKED_UP = 40 * 1024  # records a second that are looked up for NACKs; one takes 1 to 3 us
LOOKED_UP_BY_ONE = LOOKED_UP // 2  # of them for one identity
LOOKED_UP_BY_STRANGERS = LOOKED_UP // 8  # and for all strangers together
NACK_LEAST = 128  # records that a NACK counts for at least: checking its signature takes 100 us
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


class Attention:
    """How much is looked up for NACKs.

    The attack: NACKs, which cost little to send and much to read. Who has used up its part is not read, and
    its signature is not checked.
    """

    def __init__(self, now: float) -> None:
        self._all = TokenBucket(LOOKED_UP, 4 * WINDOW, now)
        self._strangers = TokenBucket(LOOKED_UP_BY_STRANGERS, WINDOW, now)
        self._each = TokenBuckets(LOOKED_UP_BY_ONE, 2 * WINDOW, REQUESTERS)

    def _of(self, requester: bytes, now: float) -> TokenBucket:
        return self._strangers if requester == STRANGERS else self._each.of(requester, now)

    def paid(self, requester: bytes, now: float) -> bool:
        """Whether another NACK of `requester` may be read."""
        return self._all.level(now) > 0 and self._of(requester, now).level(now) > 0

    def spend(self, requester: bytes, records: int, now: float) -> None:
        """A NACK of `requester` was genuine, and so many `records` were looked up for it."""
        self._all.spend(max(NACK_LEAST, records), now)
        self._of(requester, now).spend(max(NACK_LEAST, records), now)


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
        sent: TransmitWindow,
        flow: FlowController,
    ) -> None:
        self._context, self._keys, self._roster, self._sent = context, keys, roster, sent
        self._detector, self._nacks, self._store, self._flow = detector, nacks, store, flow
        self.handlers: Handlers = {Nack: self._on_nack}
        rate = context.settings.repair_rate
        self._own_quotas = TokenBuckets(rate, rate, REQUESTERS)
        self._other_quotas = TokenBuckets(rate, rate, REQUESTERS)
        self._all_quotas = TokenBucket(ALL_RATES * rate, ALL_RATES * rate, context.started)
        self._attention = Attention(context.started)
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
        most = self._context.settings.sent_bytes
        self._own_quotas.credit(size, most, now)
        self._all_quotas.credit(ALL_COPIES * size, ALL_COPIES * most)

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
        requester = self._requester(peer_id, datagram, frame)
        if not self._attention.paid(requester.name, now):
            return DropReason.OVER_QUOTA
        reason = self._keys.check(datagram, frame, now)
        if reason is not None:
            return reason
        self._detector.heard_undated(peer_id, datagram.networks, now)
        left, looked_up = WINDOW, 0  # a NACK may name more; looking at all of it would be the attack
        for missing in frame.missing:
            author = PeerId(missing.origin, missing.incarnation)
            ranges = list(_newest(missing, left))
            left -= sum(stop - start for start, stop in ranges)
            self._nacks.overheard(author, ranges, now)
            sequences = self._held(author, ranges)
            looked_up += len(sequences)
            if sequences and not self._serve(author, sequences, requester, now):
                reason = DropReason.OVER_QUOTA
        self._attention.spend(requester.name, looked_up, now)
        self.next_timeout = self._repairs.next
        return reason

    def _held(self, author: PeerId, ranges: Iterable[tuple[int, int]]) -> list[int]:
        """Which of `ranges`, the newest first, we hold of `author`, in this order."""
        if author == self._context.me:
            low, high = self._sent.low, self._sent.high + 1
            held = [(max(low, start), min(high, stop)) for start, stop in ranges]
        else:
            within = self._store.held.of(author).within
            held = [part for start, stop in ranges for part in reversed([*within(start, stop)])]
        return [sequence for start, stop in held for sequence in range(stop - 1, start - 1, -1)]

    def _serve(self, author: PeerId, sequences: list[int], requester: Requester, now: float) -> bool:
        """Gather repairs of `sequences`, which we hold, of an author that was heard where they are asked for.

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
                sequences = repairs.insisted(author, sequences, now, chance, requester.name)
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
                for sequence, size in reversed(granted.items())
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
            if self._all_quotas.level(now) < size or not bucket.take(size, now):
                return granted, False
            self._all_quotas.spend(size, now)
            granted[sequence] = size
        return granted, True


def _newest(missing: Missing, most: int) -> Iterator[tuple[int, int]]:
    """The [start, stop) ranges of the `most` newest records that are named, the newest first."""
    for first, last in reversed(missing.ranges):
        start = max(first, last + 1 - most)
        if start > last:
            return
        yield start, last + 1
        most -= last + 1 - start
