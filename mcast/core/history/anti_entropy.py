"""Anti-entropy: all members come to hold the same records. They compare digests, and fetch what they lack.

A digest is said by a Trickle timer (RFC 6206): often while something is new, rarely when all agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from math import inf
from operator import or_

from mcast.core.auth.verifier import Verifier
from mcast.core.context import Context, Datagram, Handlers
from mcast.core.events import Address, PeerId
from mcast.core.membership.roster import Roster
from mcast.core.networks import ALL
from mcast.core.rangeset import RangeSet
from mcast.core.reliability.receiver import Receiver
from mcast.core.timers import ROUNDS, Rng, backoff
from mcast.crypto.keys import origin_of
from mcast.wire.codec import decode_frames, encode_frame, encode_kept
from mcast.wire.frames import HEARS, Digest, Holding, Key, Vector
from mcast.wire.limits import DIGEST_SIZE, FRAME_HEADER_SIZE
from mcast.wire.reasons import DropReason
from mcast.wire.records import Record

from .fetches import Fetches
from .replay import Replay
from .serving import RecordServer
from .store import SavedRecord, Store, filled

QUIET = 1.0  # seconds without a record after which all members should hold the same
PATIENCE = 10.0  # seconds after which they are compared although records keep coming
DIGESTS = 1024  # digests remembered
UNKNOWN = bytes(DIGEST_SIZE)  # the digest of a teller that has not said any


class Trickle:
    """When to say what we hold; intervals in seconds, from `shortest` to `longest`.

    `next` is when to call due(). `consistent` are the networks on which somebody said the same in this
    interval: RFC 6206's k is 1. Within an interval the moment is exponentially spread, as in RFC 5401, so
    that of ten thousand few speak.
    """

    def __init__(self, rng: Rng, shortest: float, longest: float) -> None:
        self._rng = rng
        self._shortest, self._longest = shortest, longest
        self._interval = longest
        self.consistent = 0
        self._spoken = False
        self._end = 0.0
        self.next = inf

    def reset(self, now: float, members: int) -> None:
        """Something is new: begin with the shortest interval, unless that is so already."""
        if self.next == inf or self._interval > self._shortest:
            self._interval = self._shortest
            self._begin(now, members)

    def due(self, now: float, members: int) -> bool:
        """Whether to speak now, where nobody said the same."""
        if now < self.next:
            return False
        if self._spoken:
            self._interval = min(2 * self._interval, self._longest)
            self._begin(now, members)
            return False
        self._spoken = True
        self.next = self._end
        return True

    def _begin(self, now: float, members: int) -> None:
        half = self._interval / 2
        self.next = now + half + backoff(self._rng, half, members)
        self._spoken = False
        self._end = now + self._interval
        self.consistent = 0


class HeardDigests:
    """Digests heard lately, each with its time, so that two who will never agree do not talk all the time.

    The attack: new digests without end; they cost one short interval each, and push out each other.
    """

    def __init__(self, limit: int, memory: float) -> None:
        self._heard: dict[bytes, float] = {}
        self._limit, self._memory = limit, memory

    def new(self, digest: bytes, now: float) -> bool:
        """Whether it was not heard within `memory` seconds."""
        last = self._heard.pop(digest, -inf)
        self._heard[digest] = now
        if len(self._heard) > self._limit:
            del self._heard[next(iter(self._heard))]
        return now - last > self._memory


class Lull:
    """Whether records are still coming in: while they are, what members hold differs for the moment.

    QUIET seconds without one, or PATIENCE seconds since the last time it was quiet, and a digest counts.
    """

    def __init__(self) -> None:
        self._last = self._counted = -inf
        self.next = inf  # when due() will tell that it has become quiet

    def moved(self, now: float) -> None:
        """A record came or left."""
        self._last, self.next = now, now + QUIET

    def counts(self, now: float) -> bool:
        """Whether a digest means something now."""
        if now - self._last < QUIET and now - self._counted < PATIENCE:
            return False
        self._counted = now
        return True

    def due(self, now: float) -> bool:
        """Whether it has become quiet. Once."""
        if now < self.next:
            return False
        self.next = inf
        return True


class AntiEntropy:
    """Says what we hold, fetches what we lack, and hands what was said before we came to the application."""

    def __init__(
        self,
        context: Context,
        verifier: Verifier,
        roster: Roster,
        receiver: Receiver,
        store: Store,
        server: RecordServer,
        fetches: Fetches,
        replay: Replay,
    ) -> None:
        settings = context.settings
        self._context, self._verifier, self._roster, self._receiver = context, verifier, roster, receiver
        self._store, self._server, self._fetches, self._replay = store, server, fetches, replay
        self.handlers: Handlers = {Digest: self._on_digest, Vector: self._on_vector}
        receiver.on_fetched = self._on_fetched
        receiver.on_history = self._on_history
        receiver.on_moved = self.record_moved
        self._trickle = Trickle(context.rng, settings.digest_shortest, settings.digest_longest)
        self._heard = HeardDigests(DIGESTS, 2 * settings.digest_longest)
        self._lull = Lull()
        self._keeps = False
        self._rest = self.next_timeout = inf  # but for the lull, and with it
        self.rearm()

    def rearm(self) -> None:
        """Something has changed on which our timer depends."""
        networks, replay = self._context.networks, self._replay.when(self._more_to_come())
        self._rest = min(self._store.withheld_until, self._store.next_sweep, networks.next, replay)
        self._keeps = self._context.keeps_history
        if self._keeps:
            self._rest = min(self._rest, self._trickle.next, self._fetches.next)
        self.next_timeout = min(self._rest, self._lull.next) if self._keeps else self._rest

    def on_timeout(self, now: float) -> None:
        """Do what is due."""
        context = self._context
        if self._store.withheld_until <= now:
            self._forget()
        if context.networks.next <= now:
            context.networks.expire(now)
            self._store.drop_lost()
            self._fetches.unsettle()
        self._tell(now)
        self._store.expire(now)
        if context.keeps_history:
            if self._lull.due(now):
                self._trickle.reset(now, context.members)
            if self._trickle.due(now, context.members):
                self._say_digests(now)
            question = self._fetches.tick(now, context.room_left(FRAME_HEADER_SIZE + 8))
            if question is not None:
                context.send(*question.frames, to=question.to)
        self.rearm()

    def _say_digests(self, now: float) -> None:
        """Say what we hold of each network where nobody said the same."""
        networks = dict.fromkeys(self._context.networks.bits.values()) or (ALL,)
        unsaid = [bit for bit in networks if not bit & self._trickle.consistent]
        if not unsaid or not self._lull.counts(now):
            return
        for bit in unsaid:
            summary = self._store.summary(bit)
            if summary.records:
                self._context.send(Digest(summary.digest, len(summary), summary.records), networks=bit)

    def record_moved(self, now: float) -> None:
        """A record came or left."""
        self._lull.moved(now)
        self._rest = min(self._rest, self._store.next_sweep)
        self.next_timeout = min(self._rest, self._lull.next) if self._keeps else self._rest

    def peer_announced(self, datagram: Datagram, flags: int, newcomer: bool, now: float) -> None:
        """A peer announced itself, with these `flags`."""
        context = self._context
        self._fetches.met(datagram, flags & HEARS)
        if newcomer:
            self._trickle.reset(now, context.members)
        if context.mode.history and self._fetches.untried:
            # Its challenge may have been lost.
            self._fetch_from(datagram, UNKNOWN, now)
        self.rearm()

    def _fetch_from(self, datagram: Datagram, digest: bytes, now: float) -> None:
        context = self._context
        wait = backoff(context.rng, ROUNDS * context.rtt.value, context.members)
        self._fetches.told(datagram.source, digest, now + wait, datagram.networks)

    def challenged(self, source: Address, token: bytes, now: float) -> bool:
        """A CHALLENGE came from `source`; whether it is from whom we fetch."""
        taken = self._fetches.challenged(source, token, now)
        if taken:
            self.rearm()
        return taken

    def offered(self, source: Address, now: float) -> None:
        """Who hands out the roster to us hands out what was said before, too."""
        if self._context.mode.history:
            self._fetches.told(source, UNKNOWN, now)
            self.rearm()

    def _on_digest(self, datagram: Datagram, frame: Digest, now: float) -> DropReason | None:
        """Somebody sums up what it holds."""
        context, source = self._context, datagram.source
        if not context.keeps_history or source is None:
            return DropReason.NOT_ASKED
        if not self._lull.counts(now):
            return None  # records are on their way: what is held differs for the moment
        if frame.digest == self._store.summary(datagram.networks).digest:
            if self._reaches_all(datagram):
                self._trickle.consistent |= datagram.networks
            return None
        if self._heard.new(frame.digest, now):
            self._trickle.reset(now, context.members)
        if frame.records and not self._fetches.settled(datagram, frame.digest, now):
            self._fetch_from(datagram, frame.digest, now)
        self.rearm()
        return None

    def _reaches_all(self, datagram: Datagram) -> bool:
        """Whether a digest reaches all peers on its network, so that nobody needs ours.

        Who hears one IP version only may not be heard by all, if somebody else hears both. The attack: a peer
        that claims another version than all others hear. Where nobody hears all of them, each digest counts.
        """
        on = self._context.networks.of
        versions = {
            peer.announcement.flags & HEARS
            for peer in self._roster
            if peer.confirmed and on(peer.peer_id) & datagram.networks
        }
        every = reduce(or_, versions, 0)
        return every not in versions or self._fetches.hears(datagram.source) in (None, every)

    def _on_vector(self, datagram: Datagram, frame: Vector, now: float) -> DropReason | None:
        """Somebody says in full what it holds."""
        if not self._fetches.expects(datagram.source, frame):
            return DropReason.NOT_ASKED
        lacking: dict[PeerId, RangeSet] = {}
        for holding in frame.holdings:
            peer_id = PeerId(holding.origin, holding.incarnation)
            ranges = lacking.get(peer_id, RangeSet())
            for start, stop in self._lacking(peer_id, holding, datagram.networks):
                ranges.add(start, stop)
            if ranges:
                lacking[peer_id] = ranges
        self._fetches.page(frame, lacking, datagram.networks, now)
        self.rearm()
        return None

    def _lacking(self, peer_id: PeerId, holding: Holding, networks: int) -> list[tuple[int, int]]:
        """What of it we lack and would keep.

        Of a peer that we heard, but not on this network, also a record that we hold: it proves that the
        others have it here, too.
        """
        # What is old must not push out what is held; but the application may want the latest of it.
        full = self._store.full and not (self._fetches.recent or self._replay.bounded)
        if full or peer_id == self._context.me:
            return []
        held = self._store.held
        high = max(holding.high, held.of(peer_id).high)
        floor = max(held.floor(peer_id), high + 1 - self._store.share)
        pieces = []
        proven = self._context.networks.has(peer_id, networks)
        for start, stop in filled(holding):
            start = max(start, floor)
            for first, end in held.of(peer_id).within(start, stop):
                if not proven:
                    proven = True
                    pieces.append((first, first + 1))
                if first > start:
                    pieces.append((start, first))
                start = end
            if start < stop:
                pieces.append((start, stop))
        return pieces

    def _on_fetched(self, record: Record, datagram: Datagram, now: float, age: float) -> DropReason | None:
        """A record that was asked for: its author may be long gone."""
        reason = self._take(record, datagram, now, age)
        self.rearm()
        return reason

    def _take(self, record: Record, datagram: Datagram, now: float, age: float) -> DropReason | None:
        store, peer_id = self._store, PeerId(record.origin, record.incarnation)
        networks = self._context.networks
        held = store.get(peer_id, record.sequence)
        if held is not None:
            if held == record.payload:
                networks.heard(peer_id, datagram.networks)
            self._fetches.got(peer_id, record.sequence, now)
            return DropReason.DUPLICATE
        reason = self._verifier.check_record(record, True, now)
        if reason is not None:
            return reason
        networks.heard(peer_id, datagram.networks)
        reason = self._receiver.take_known(record, datagram.source, now, age)
        too_old = store.too_old(age)
        self._fetches.got(peer_id, record.sequence, now, refused=too_old)
        if reason is None:
            return None
        if too_old:
            return DropReason.TOO_OLD
        if not store.full:  # it is genuine, and others hold it: also if its window has no use for it
            self._receiver.hold(peer_id, [record], now, age)
        if reason is not DropReason.NOT_ASKED:
            return reason
        if self._context.mode.history:
            self._replay.add(peer_id, record, now, age)
        return None

    def _on_history(self, peer_id: PeerId, record: Record, now: float, age: float) -> None:
        """A record of before came by the live path."""
        self._replay.add(peer_id, record, now, age)
        self.rearm()

    def _more_to_come(self) -> bool:
        """Whether more of before may be on its way: also while we have only come and asked nobody yet."""
        return self._fetches.active or (self._context.keeps_history and self._fetches.untried)

    def _tell(self, now: float) -> None:
        """Tell the application what was fetched, when there is no more to come or it took long."""
        fetching = self._more_to_come()
        if now >= self._replay.when(fetching):
            context = self._context
            context.events += self._replay.tell(self._name, now, context.wall_offset, fetching)

    def _name(self, peer_id: PeerId) -> str:
        """What a peer calls itself; if that is not known, what its identity was called last."""
        peer = self._roster.get(peer_id)
        if peer is not None:
            return peer.name
        return self._verifier.name_of(peer_id) or self._verifier.name(peer_id.origin)

    def saved(self, since: tuple[int, int]) -> tuple[tuple[int, int], list[SavedRecord]]:
        """What has been held since an earlier call, as Store.added(), in a form that a disk can keep."""
        offset, me = self._context.wall_offset, self._context.me
        mark, added = self._store.added(since)
        records = []
        for (peer_id, sequence), held in added:
            known = self._verifier.key(peer_id.origin)
            key = self._verifier.own_key if peer_id == me else None if known is None else known.frame
            if key is not None:
                frames = encode_frame(key) + encode_kept(held.payload)
                records.append(SavedRecord(peer_id, sequence, held.at + offset, frames))
        return mark, records

    def restore(self, records: Iterable[SavedRecord], now: float) -> None:
        """Hold what saved() gave to a program that ran before, but nothing from the future."""
        context, store = self._context, self._store
        for saved in records:
            age = now + context.wall_offset - saved.published
            frames = decode_frames(saved.frames)
            if age < 0 or isinstance(frames, DropReason):
                continue
            match frames:
                case [Key() as key, Record() as record] if origin_of(key.public_key) == record.origin:
                    self._verifier.learn(key, True, now, store.holds)
                    if self._verifier.key(record.origin) is not None:
                        context.networks.key_heard(record.origin, ALL)
                        store.restore(record, now, age)
        self.record_moved(now)
        self.rearm()

    def lost_network(self, now: float, interface: int | None) -> None:
        """An interface has left its network; None: no network remains. Only open rooms mind."""
        if not self._context.room.public:
            return
        if interface is None:
            self._store.withhold(now)
        else:
            self._context.networks.lost(interface, now)
        self._server.clear()
        self.rearm()

    def _forget(self) -> None:
        """We are elsewhere: nothing that was said there is handed out here, our own words included."""
        self._store.forget()
        self._server.clear()
        self._fetches.unsettle()
