"""What arrives about who holds what: NACKs, reports, requests for reports."""

from __future__ import annotations

from collections.abc import Iterator

from mcast.wire.frames import BY_MULTICAST, Acker, Heard, Missing, Nack, Report, ReportRequest
from mcast.wire.limits import WINDOW
from mcast.wire.reasons import DropReason

from . import steering
from .ages import kept_of
from .backoff import backoff, rounds
from .events import Address
from .inbound_records import heard, want_key
from .path import Sample
from .peer_id import PeerId
from .quota import Bucket
from .state import State

ECHO_LIMIT = 10.0  # seconds: an older echo tells of a corrected clock, not of the network
CHANCES = 4  # rounds of asking that a living author has before other holders step in
NACK_LEAST = 64  # sequences that a NACK is charged for at least
REPORT_SIZE = 207  # bytes of a datagram with a REPORT on one run
STRANGERS = b""  # the key of the bucket that all unknown identities share


def on_nack(state: State, frame: Nack, source: Address, now: float) -> DropReason | None:
    """Somebody lacks records: ours may wait, and we may have theirs."""
    run = PeerId(frame.origin, frame.incarnation)
    if run == state.me:
        return DropReason.OWN
    known = run in state.roster
    reason = state.authority.check(frame, known, now)
    if reason is DropReason.UNKNOWN_KEY:
        want_key(state, frame.origin, now)
    if reason is not None:
        return reason
    _heard(state, run, now)
    requester = run.origin if known else STRANGERS
    bucket = state.nack_quotas.of(requester, now)
    if bucket.level(now) <= 0:
        return DropReason.OVER_QUOTA
    left = WINDOW  # a NACK may name more; looking at all of it would be the attack
    for missing in frame.missing:
        target = PeerId(missing.origin, missing.incarnation)
        ranges = list(_within(missing, left))
        sequences = [sequence for start, stop in ranges for sequence in range(start, stop)]
        left -= len(sequences)
        state.reception.overheard(target, ranges, now)
        if not _serve(state, frame, target, sequences, requester, now):
            reason = DropReason.OVER_QUOTA
    bucket.spend(max(NACK_LEAST, WINDOW - left), now)
    return reason


def _heard(state: State, run: PeerId, now: float) -> None:
    """What `run` signed names no time: it may be a recording of a run that is gone, unless it is live."""
    if run in state.liveness:
        heard(state, run, now)


def _within(missing: Missing, most: int) -> Iterator[tuple[int, int]]:
    """The [start, stop) ranges, as far as they name at most `most` sequences."""
    for first, last in missing.ranges:
        stop = min(last + 1, first + most)
        if stop > first:
            yield first, stop
        most -= stop - first


def _serve(
    state: State, nack: Nack, target: PeerId, sequences: list[int], requester: bytes, now: float
) -> bool:
    """Gather the repairs we can make; False when the requester's quota did not suffice for all."""
    mine = target == state.me
    if mine:
        bucket = state.own_quotas.of(requester, now)
        delay = state.aggregation
    else:
        bucket = state.other_quotas.of(requester, now)
        longest = rounds(state.members) * state.grtt.value
        delay = backoff(state.generator, longest, state.members)
        inbox = state.reception.get(target)
        if target in state.roster and inbox is not None:
            # The author repairs at once; we step in when somebody has to ask again.
            chance = CHANCES * inbox.hold(state.settings.grtt_min)
            held = [sequence for sequence in sequences if state.retention.get(target, sequence) is not None]
            sequences = state.repairs.insisted(target, held, now, chance, requester)
            delay += chance
    fresh = state.repairs.fresh(target, sequences, now, state.aggregation)
    granted, enough = _grant(state, target, fresh, bucket, now)
    if granted:
        state.repairs.gather(target, granted, now + delay)
    return enough


def _grant(
    state: State, target: PeerId, sequences: list[int], bucket: Bucket, now: float
) -> tuple[list[int], bool]:
    granted: list[int] = []
    for sequence in sequences:
        kept = kept_of(state, target, sequence)
        if kept is None:
            continue
        if not bucket.take(len(kept.payload), now):
            return granted, False
        granted.append(sequence)
    return granted, True


def on_report(state: State, frame: Report, source: Address, now: float) -> DropReason | None:
    """Somebody says what it holds."""
    run = PeerId(frame.origin, frame.incarnation)
    if run == state.me:
        return DropReason.OWN
    reason = state.authority.check(frame, run in state.roster, now)
    if reason is DropReason.UNKNOWN_KEY:
        want_key(state, frame.origin, now)
    if reason is not None:
        return reason
    if run not in state.tombstones:  # it says its last report again with its last goodbyes
        _heard(state, run, now)
    for entry in frame.heard:
        about = PeerId(entry.origin, entry.incarnation)
        if about == state.me:
            reported(state, run, entry, now)
        else:
            inbox = state.reception.get(about)
            if inbox is None or entry.contiguous >= inbox.stream.contiguous:
                state.reporter.overheard(about)
    return None


def reported(state: State, run: PeerId, entry: Heard, now: float) -> None:
    """`run` says what it holds of our records."""
    if entry.highest > state.publisher.sent.high:
        return  # of what never was: a report to be believed in nothing
    state.confirmations.take(run, entry)
    if run in state.tombstones:
        return  # it has heard what it says, but nobody waits for it any more
    age, held = (state.clock.unix_ms(now) - entry.echo) / 1000, entry.delay / 1e6
    trip = age - held if 0 <= age - held < ECHO_LIMIT else None
    steering.reported(state, run, Sample(entry, trip, now - age), now)


def on_report_request(state: State, frame: ReportRequest, source: Address, now: float) -> DropReason | None:
    """A run wants to know whether we have its records.

    The attack: requests are unsigned and their source may be a victim's address. So all members answer only
    one that stands behind a fresh signed HEARTBEAT of the run. Another is answered to the group by one random
    member, or two, and only if it is as long as an answer. Few are heeded, and the answers of the group
    together never exceed the rate of reports.
    """
    run = PeerId(frame.origin, frame.incarnation)
    if state.reception.get(run) is None:
        return DropReason.UNKNOWN_ORIGIN
    if not state.report_requests.take(1, now):
        return DropReason.OVER_BUDGET
    spread = max(frame.spread / 1000, state.members / state.settings.report_rate)
    if state.vouched != run and state.datagram_size < REPORT_SIZE:
        return DropReason.OVER_BUDGET
    if frame.flags & BY_MULTICAST or state.vouched != run:
        state.reporter.asked(run, now, spread, state.members)
        return None
    peer = state.roster.get(run)
    known = peer is not None and peer.confirmed and peer.source == source
    accepted = state.reporter.requested(run, source, now, spread, known=known)
    return None if accepted else DropReason.OVER_BUDGET


def on_acker(state: State, frame: Acker, source: Address, now: float) -> DropReason | None:
    """A run says who is to report on its records."""
    run = PeerId(frame.origin, frame.incarnation)
    if run == state.me:
        return DropReason.OWN
    me = PeerId(frame.to_origin, frame.to_incarnation) == state.me
    if not me:
        # Whether it is genuine matters to nobody else; who was elected before is only asked less.
        reason = state.authority.check(frame, run in state.roster, now) if state.reporter.has(run) else None
        if reason is None:
            state.reporter.dismissed(run)
        return reason
    reason = state.authority.check(frame, run in state.roster, now)
    if reason is DropReason.UNKNOWN_KEY:
        want_key(state, frame.origin, now)
    if reason is None and state.reception.get(run) is not None:
        state.reporter.elected(run, now)
    return reason
