"""Answering who lacks records: the giver's side of anti-entropy. Each requester has a queue of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from math import inf

import msgspec

from mcast.core.auth.verifier import Verifier
from mcast.core.context import Context, Datagram, Handlers
from mcast.core.events import Address, PeerId
from mcast.core.membership.roster_sync import AddressTokens
from mcast.core.token_bucket import TokenBucket
from mcast.wire.codec import encode_frame
from mcast.wire.frames import BY_MULTICAST, SLICED, Challenge, Missing, RangeRequest, Vector, VectorRequest
from mcast.wire.limits import AGE_MAX, DATAGRAM_SLICE, HEADER_SIZE, TAG_SIZE, WINDOW
from mcast.wire.reasons import DropReason

from .store import Store

ASKERS = 64  # queues; who asks when all are taken is not served. Each has echoed a token
EACH = 8192  # records in one queue
POPULAR = 3  # requesters within RECENT seconds from whom on a peer's records go to all
RECENT = 1.0
AGAIN = 0.09  # seconds in which a record does not go to all twice: who lost it asks again 0.1 s later
PEERS = 256  # peers whose requesters are remembered, and TRACES records sent to all: oldest out
TRACES = 8192
PAGE = 64  # records looked at for one datagram
HEEDED, HEEDED_AT_ONCE = 50, 50  # requests a second heeded in all; they are unsigned, so anybody's flood
LISTED = 1.0  # seconds for which a summary is good enough for vectors: making one takes 30 ms
RUNS = 256  # ranges looked at for a vector of the latest records that count as one request; the attack is
# records with holes between, each of which makes a range


class Errand(msgspec.Struct, frozen=True):
    """A record to be sent; `keyed`: the first of its origin in this datagram, so the key goes along."""

    peer_id: PeerId
    sequence: int
    keyed: bool
    sliced: bool


Way = tuple[Address, int, bool]
"""Where records go (None: to all), on which networks, and whether in slices."""


class Page(msgspec.Struct, frozen=True):
    """What leaves to `to`, on `networks` (None: to all there); if `sliced`, in datagrams of that size."""

    to: Address
    networks: int
    sliced: bool
    errands: list[Errand]


class ServingQueues:
    """What was asked for and has not left: `queues`, in turn between those who asked.

    The attack: one who asks for everything again and again. What it is waiting for is not queued twice,
    others have their turn between, and the pace of all answers is bounded.
    """

    def __init__(self) -> None:
        self.queues: dict[Way, dict[tuple[PeerId, int], None]] = {}
        self._requesters: dict[PeerId, dict[Address, float]] = {}
        self._to_all: dict[tuple[PeerId, int], float] = {}

    def ask(
        self, request: Datagram, peer_id: PeerId, sequences: Iterable[int], now: float, flags: int
    ) -> bool:
        """Queue records that we hold, as a request's `flags` say; False when there is no room for all."""
        popular = self._popular(peer_id, request.source, now)
        to_all = flags & BY_MULTICAST or popular
        to = None if to_all else request.source, request.networks, bool(flags & SLICED)
        if to not in self.queues and len(self.queues) >= ASKERS:
            return False
        queue = self.queues.setdefault(to, {})
        for sequence in sequences:
            if to[0] is None and now - self._to_all.get((peer_id, sequence), float("-inf")) <= AGAIN:
                continue
            if len(queue) >= EACH:
                return False
            queue[peer_id, sequence] = None
        if not queue:
            del self.queues[to]
        return True

    def _popular(self, peer_id: PeerId, requester: Address, now: float) -> bool:
        requesters = {a: at for a, at in self._requesters.pop(peer_id, {}).items() if now - at <= RECENT}
        requesters[requester] = now
        if len(requesters) > POPULAR:
            del requesters[next(iter(requesters))]
        self._requesters[peer_id] = requesters
        if len(self._requesters) > PEERS:
            del self._requesters[next(iter(self._requesters))]
        return len(requesters) >= POPULAR

    def page(self, now: float, room: int, cost: Callable[[Errand], int]) -> Page:
        """The records of the next requester that fit `room` bytes, at least one. Only if there are any."""
        way, queue = next(iter(self.queues.items()))
        to, _, sliced = way
        errands: list[Errand] = []
        origins: set[bytes] = set()
        for peer_id, sequence in list(islice(queue, PAGE)):
            errand = Errand(peer_id, sequence, peer_id.origin not in origins, sliced)
            size = cost(errand)
            if errands and size > room:
                break
            room -= size
            errands.append(errand)
            origins.add(peer_id.origin)
            del queue[peer_id, sequence]
            if to is None:
                self._trace(peer_id, sequence, now)
        del self.queues[way]
        if queue:
            self.queues[way] = queue  # at the end of the line
        return Page(*way, errands)

    def _trace(self, peer_id: PeerId, sequence: int, now: float) -> None:
        self._to_all.pop((peer_id, sequence), None)
        self._to_all[peer_id, sequence] = now
        if len(self._to_all) > TRACES:
            del self._to_all[next(iter(self._to_all))]


class RecordServer:
    """Answers VECTOR_REQUEST and RANGE_REQUEST of those who proved that they get what is sent to them."""

    def __init__(self, context: Context, verifier: Verifier, store: Store, tokens: AddressTokens) -> None:
        settings, now = context.settings, context.started
        self._context, self._verifier, self._store, self._tokens = context, verifier, store, tokens
        self.handlers: Handlers = {
            VectorRequest: self._on_vector_request,
            RangeRequest: self._on_range_request,
        }
        self._waiting = ServingQueues()
        self._heeded = TokenBucket(HEEDED, HEEDED_AT_ONCE, now)
        self._pace = TokenBucket(settings.history_pace, settings.burst, now)
        self.queues = self._waiting.queues
        self.next_timeout = inf

    def on_timeout(self, now: float) -> None:
        """What is queued leaves by pages(), not by a timer."""

    def clear(self) -> None:
        """Nobody gets anything."""
        self.queues.clear()

    def when(self, now: float) -> float:
        """When something that is queued may leave."""
        return self._pace.when(1, now) if self.queues else inf

    def _vet(self, datagram: Datagram, flags: int, now: float) -> DropReason | None:
        """Whether a request is to be answered: its sender has our token, and it is not one too many."""
        context, source = self._context, datagram.source
        # A request to all would be answered by all.
        if not (context.keeps_history and datagram.direct) or source is None:
            return DropReason.NOT_ASKED
        if not self._heeded.take(1, now):
            return DropReason.OVER_BUDGET
        if not self._tokens.valid(source, datagram.token):
            to = None if flags & BY_MULTICAST else source
            context.send(Challenge(self._tokens.issue(source)), to=to, networks=datagram.networks)
            return DropReason.NO_TOKEN
        return None

    def _on_vector_request(self, datagram: Datagram, frame: VectorRequest, now: float) -> DropReason | None:
        """Somebody wants to know what we hold, of all or of what was published lately."""
        reason = self._vet(datagram, frame.flags, now)
        if reason is not None:
            return reason
        since = now - frame.age / 1000
        if frame.age == AGE_MAX:
            since = -inf
        else:
            self._heeded.spend(self._store.held.pieces / RUNS, now)
        summary = self._store.summary(datagram.networks, LISTED, since=since)
        pages = [()] if summary.digest == frame.digest and not frame.page else summary.pages
        if frame.page >= len(pages):
            return DropReason.NOT_ASKED
        to = None if frame.flags & BY_MULTICAST else datagram.source
        vector = Vector(summary.digest, frame.page, len(pages), frame.request, pages[frame.page])
        self._context.send(vector, to=to, networks=datagram.networks)
        return None

    def _on_range_request(self, datagram: Datagram, frame: RangeRequest, now: float) -> DropReason | None:
        """Somebody lacks records that we may hold."""
        reason = self._vet(datagram, frame.flags, now)
        if reason is not None:
            return reason
        left = WINDOW
        enough = True
        for missing in frame.missing:
            peer_id = PeerId(missing.origin, missing.incarnation)
            held = self._held(peer_id, missing, datagram.networks, left)
            left -= len(held)
            if held:
                enough &= self._waiting.ask(datagram, peer_id, held, now, frame.flags)
        return None if enough else DropReason.OVER_QUOTA

    def _held(self, peer_id: PeerId, missing: Missing, networks: int, most: int) -> list[int]:
        """The first `most` sequences asked for on a network that we hold."""
        ranges = self._store.ranges(peer_id, networks)
        found: list[int] = []
        for first, last in missing.ranges:
            for start, stop in ranges.within(first, last + 1):
                found.extend(range(start, min(stop, start + most - len(found))))
                if len(found) >= most:
                    return found
        return found

    def pages(self, now: float) -> Iterator[tuple[bytes, Address, int]]:
        """Datagrams of records for those who asked, as far as the pace allows: their frames, and where to, on
        which networks."""
        room = self._context.payload - HEADER_SIZE - TAG_SIZE
        least = DATAGRAM_SLICE - HEADER_SIZE - TAG_SIZE
        while self.queues and self._pace.level(now) > 0:
            page = self._waiting.page(now, room, lambda errand: sum(map(len, self._frames(errand, now))))
            frames = [frame for errand in page.errands for frame in self._frames(errand, now)]
            for plain in _packed(frames, least if page.sliced else room):
                self._pace.spend(len(plain), now)
                self._context.sent["history"] += 1
                yield plain, page.to, page.networks

    def _frames(self, errand: Errand, now: float) -> list[bytes]:
        """The record and its age, before it its author's key if it is the first; none if it is not held."""
        record = self._store.encoded(errand.peer_id, errand.sequence, now, sliced=errand.sliced)
        if not (record and errand.keyed):
            return record
        if errand.peer_id == self._context.me:
            return [encode_frame(self._verifier.own_key), *record]
        known = self._verifier.key(errand.peer_id.origin)
        return record if known is None else [encode_frame(known.frame), *record]


def _packed(frames: list[bytes], room: int) -> Iterator[bytes]:
    """The frames, in order, in as few datagrams as they fit in."""
    plain = b""
    for frame in frames:
        if plain and len(plain) + len(frame) > room:
            yield plain
            plain = b""
        plain += frame
    if plain:
        yield plain
