"""What arrives about what is held: digests, vectors, requests for records, and pages of them."""

from __future__ import annotations

from mcast.wire.frames import (
    BY_MULTICAST,
    Challenge,
    Digest,
    Holding,
    Missing,
    RangeRequest,
    Vector,
    VectorRequest,
)
from mcast.wire.limits import WINDOW
from mcast.wire.reasons import DropReason
from mcast.wire.records import Record

from .backoff import ROUNDS, backoff
from .events import Address
from .history import catalogue, keeps
from .holdings import filled
from .inbound_records import on_record, take_known, wanted_from
from .peer_id import PeerId
from .ranges import RangeSet
from .state import State
from .upkeep import keep

LISTED = 1.0  # seconds for which what was listed is good enough for vectors: listing takes 30 ms


def on_digest(state: State, frame: Digest, source: Address, now: float) -> DropReason | None:
    """Somebody sums up what it holds."""
    if not keeps(state) or source is None:
        return DropReason.NOT_ASKED
    if not state.past.news.counts(now):
        return None  # records are on their way: what is held differs for the moment
    if frame.digest == catalogue(state).digest:
        state.past.trickle.consistent()
        return None
    if state.past.digests.new(frame.digest, now):
        state.past.trickle.reset(now, state.members)
    if frame.records and not state.past.syncing.settled(source, frame.digest, now):
        wait = backoff(state.generator, ROUNDS * state.grtt.value, state.members)
        state.past.syncing.told(source, frame.digest, now + wait)
    return None


def on_vector_request(state: State, frame: VectorRequest, source: Address, now: float) -> DropReason | None:
    """Somebody wants to know in full."""
    reason = _vet(state, frame.flags, source, now)
    if reason is not None:
        return reason
    held = catalogue(state, LISTED)
    if frame.page >= len(held.pages):
        return DropReason.NOT_ASKED
    to = None if frame.flags & BY_MULTICAST else source
    page = held.pages[frame.page]
    state.queue(Vector(held.digest, frame.page, len(held.pages), page), to=to)
    return None


def _vet(state: State, flags: int, source: Address, now: float) -> DropReason | None:
    """Whether a request is to be answered: its sender gets what is sent to it, and it is not one too many."""
    # A request to all would be answered by all.
    if not (keeps(state) and state.direct) or source is None:
        return DropReason.NOT_ASKED
    if not state.past.answers.take(1, now):
        return DropReason.OVER_BUDGET
    if not state.tokens.valid(source, state.echoed):
        state.queue(Challenge(state.tokens.issue(source)), to=None if flags & BY_MULTICAST else source)
        return DropReason.NO_TOKEN
    return None


def on_vector(state: State, frame: Vector, source: Address, now: float) -> DropReason | None:
    """Somebody says in full what it holds."""
    if not state.past.syncing.expects(source, frame.digest, frame.page, now):
        return DropReason.NOT_ASKED
    lacking: dict[PeerId, RangeSet] = {}
    for holding in frame.holdings:
        run = PeerId(holding.origin, holding.incarnation)
        ranges = lacking.get(run, RangeSet())
        for start, stop in _lacking(state, run, holding):
            ranges.add(start, stop)
        if ranges:
            lacking[run] = ranges
    state.past.syncing.page(frame, lacking, now)
    return None


def _lacking(state: State, run: PeerId, holding: Holding) -> list[tuple[int, int]]:
    """What of it we lack and would keep."""
    if run == state.me or wanted_from(state, run) > holding.high:
        return []
    most = int(state.settings.retained_records * state.settings.retained_share)
    high = max(holding.high, state.retention.held.of(run).high)
    floor = max(state.retention.held.floor(run), high + 1 - most, wanted_from(state, run))
    return [
        piece for start, stop in filled(holding) for piece in _without(state, run, max(start, floor), stop)
    ]


def _without(state: State, run: PeerId, start: int, stop: int) -> list[tuple[int, int]]:
    """[start, stop) without what we hold of `run`."""
    pieces = []
    for first, end in state.retention.held.of(run).within(start, stop):
        if first > start:
            pieces.append((start, first))
        start = end
    if start < stop:
        pieces.append((start, stop))
    return pieces


def on_range_request(state: State, frame: RangeRequest, source: Address, now: float) -> DropReason | None:
    """Somebody lacks records that we may hold."""
    reason = _vet(state, frame.flags, source, now)
    if reason is not None:
        return reason
    left = WINDOW
    to_all = bool(frame.flags & BY_MULTICAST)
    enough = True
    for missing in frame.missing:
        run = PeerId(missing.origin, missing.incarnation)
        held = _held(state, run, missing, left)
        left -= len(held)
        enough &= not held or state.past.serving.ask(source, run, held, now, to_all=to_all)
    return None if enough else DropReason.OVER_QUOTA


def _held(state: State, run: PeerId, missing: Missing, most: int) -> list[int]:
    """The first `most` sequences asked for that we hold."""
    own = RangeSet()
    if run == state.me:
        own.add(state.publisher.sent.young, state.publisher.sent.high + 1)
    ranges = own if run == state.me else state.retention.held.of(run)
    found: list[int] = []
    for first, last in missing.ranges:
        for start, stop in ranges.within(first, last + 1):
            found.extend(range(start, min(stop, start + most - len(found))))
            if len(found) >= most:
                return found
    return found


def on_any_record(state: State, record: Record, source: Address, now: float) -> DropReason | None:
    """A record, live, repaired, or of the past."""
    syncing = state.past.syncing
    age, state.age = state.age, 0.0
    asked = syncing and syncing.wants(PeerId(record.origin, record.incarnation), record.sequence)
    take = _on_past_record if asked else on_record
    return take(state, record, source, now, age)


def _on_past_record(
    state: State, record: Record, source: Address, now: float, age: float
) -> DropReason | None:
    """A record of a page: of a run that may be long gone."""
    run = PeerId(record.origin, record.incarnation)
    if state.retention.get(run, record.sequence) is not None:
        state.past.syncing.got(run, record.sequence, now)
        return DropReason.DUPLICATE
    reason = state.authority.check_record(record, True, now)
    if reason is not None:
        return reason
    reason = take_known(state, record, source, now, age)
    too_old = state.retention.outlived(age)
    state.past.syncing.got(run, record.sequence, now, refused=too_old)
    if reason is None:
        return None
    if too_old:
        return DropReason.TOO_OLD
    if not state.retention.full:  # it is genuine, and others hold it: also if the inbox has no use for it
        keep(state, run, [record], now, age)
    if reason is not DropReason.NOT_ASKED:
        return reason
    if state.manner.history:
        state.past.recall.add(run, record, now)
    return None
