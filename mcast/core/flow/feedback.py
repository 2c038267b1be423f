"""Receiver reports, after RTCP (RFC 3550): what we hold of others, and what others confirmed of ours."""

from __future__ import annotations

from math import inf

import msgspec

from mcast.core.auth.keys import KeyExchange
from mcast.core.auth.verifier import Verifier
from mcast.core.context import Context, Datagram, Handlers
from mcast.core.events import Address, PeerId
from mcast.core.membership.failure_detector import FailureDetector
from mcast.core.membership.roster import Roster
from mcast.core.networks import ALL
from mcast.core.rangeset import RangeSet
from mcast.core.reliability.nack import NackScheduler
from mcast.core.reliability.sender import TransmitWindow
from mcast.core.timers import backoff
from mcast.core.token_bucket import TokenBucket
from mcast.wire.frames import BY_MULTICAST, Acker, Heard, Heartbeat, Report, ReportRequest
from mcast.wire.reasons import DropReason

from .controller import FlowController, report_gap

EARLIEST, LATEST = 0.02, 0.2  # seconds after a lone record in which one member reports
REQUESTS = 64  # report requests answered later; the attack is a flood of them, the newest are refused
PAGE = 13  # peers a report, so that it fits a datagram beside our key
RECORDS = 2048  # of one peer after which everyone reports: the author must not outrun who stands still
ELECTED = 64  # peers that may have elected us at a time, oldest out; the attack is a flood of them
REPORT_SIZE = 207  # bytes of a datagram with a REPORT on one peer
HEEDED, HEEDED_AT_ONCE = 2, 5  # requests for reports heeded a second; unsigned, so anybody's flood
SPREAD_MAX = 65_535  # milliseconds, what the field holds
STRETCHES = 64  # stretches of our records that one peer confirmed; it has lost what is between
DEPARTED = (
    1024  # peers that left before they had confirmed all; the attack is a flood of goodbyes: oldest out
)


class Confirmed(msgspec.Struct):
    """What a peer has confirmed of our records, and when it last reported on them."""

    records: RangeSet
    at: float


class Feedback:
    """When to report what we hold, if nobody asks for it; and who confirmed what.

    After new records one member, by chance the first, reports at once; the others keep quiet about what
    it covered. Everyone reports at most once a second, less in a large group, but sooner after many records
    and losses. Who was elected by a sender (ACKER) reports on it every `report_interval` while records come.
    A visitor never reports: it only looks in, and nobody may take it for somebody who has heard.

    `unread` is the bytes that our application has yet to take: the advertised backlog.
    """

    def __init__(
        self,
        context: Context,
        verifier: Verifier,
        keys: KeyExchange,
        roster: Roster,
        detector: FailureDetector,
        nacks: NackScheduler,
        window: TransmitWindow,
        flow: FlowController,
    ) -> None:
        self._context, self._verifier, self._keys, self._roster = context, verifier, keys, roster
        self._detector, self._nacks, self._window, self._flow = detector, nacks, window, flow
        self._reports = not context.mode.visitor
        self.handlers: Handlers = {Report: self._on_report}
        if self._reports:
            self.handlers = {
                Report: self._on_report,
                ReportRequest: self._on_report_request,
                Acker: self._on_acker,
            }
        self._rate, self._interval = context.settings.report_rate, context.settings.report_interval
        self._heeded = TokenBucket(HEEDED, HEEDED_AT_ONCE, context.started)
        self._elected: dict[PeerId, float] = {}  # by whom, and when the last report for it left
        self._elected_due: dict[PeerId, float] = {}
        self._early: dict[PeerId, None] = {}
        self._fresh: dict[PeerId, int] = {}
        self._early_at = self._regular_at = inf
        self._last = -inf
        self._requests: dict[tuple[PeerId, Address], float] = {}
        self._stranger = -inf  # when the one stranger is answered
        self._confirmed: dict[PeerId, Confirmed] = {}
        self._departed: dict[PeerId, int] = {}  # the last of our records when they left
        self.unread = 0
        # By peer, the last record that the application has made use of; None: all that it was told of counts.
        self._read: dict[PeerId, int] | None = None
        self.next_timeout = inf

    def _arm(self) -> None:
        when = min(self._early_at, self._regular_at)
        if self._requests or self._elected_due:
            when = min(when, *self._requests.values(), *self._elected_due.values())
        self.next_timeout = when

    def on_timeout(self, now: float) -> None:
        """Report what is due to the group, and to those who asked."""
        self.report(self._due(now), now)
        requests = [request for request, when in self._requests.items() if when <= now]
        for request in requests:
            del self._requests[request]
            self._send([request[0]], request[1], ALL, now)
        self._arm()

    def _due(self, now: float) -> list[PeerId]:
        """The peers to report on to the group now."""
        peer_ids: dict[PeerId, object] = {}
        for peer_id in [peer_id for peer_id, when in self._elected_due.items() if when <= now]:
            del self._elected_due[peer_id]
            self._elected[peer_id] = now
            peer_ids[peer_id] = None
        if now >= self._early_at:
            peer_ids.update(self._early)
            self._early.clear()
            self._early_at = inf
        if now >= self._regular_at:
            peer_ids.update(self._fresh)
            self._fresh.clear()
            self._regular_at = inf
            self._last = now
        return list(peer_ids)

    def last_due(self, now: float) -> list[PeerId]:
        """Every peer that is still to be reported on, as we leave."""
        self._early_at = self._regular_at = now
        self._elected_due.update(dict.fromkeys(self._elected_due, now))
        return self._due(now)

    def report(self, peer_ids: list[PeerId], now: float, *, with_key: bool = False) -> None:
        """Tell the group what we hold of these peers; `with_key` those, too, who do not know us."""
        for networks, some in self._context.networks.grouped(peer_ids).items():
            for at in range(0, len(some), PAGE):
                self._send(some[at : at + PAGE], None, networks, now, with_key)

    def _send(
        self, peer_ids: list[PeerId], to: Address, networks: int, now: float, with_key: bool = False
    ) -> None:
        context = self._context
        entries = tuple(entry for peer_id in peer_ids if (entry := self._heard(peer_id, now)) is not None)
        if entries:
            report = context.sign(Report(*context.me, context.next_counter(), entries))
            frames = (self._verifier.own_key, report) if with_key else (report,)
            context.send(*frames, to=to, networks=networks)

    def _heard(self, peer_id: PeerId, now: float) -> Heard | None:
        window = self._nacks.windows.get(peer_id)
        if window is None:
            return None
        contiguous = window.buffer.contiguous
        if self._read is not None:
            contiguous = min(contiguous, self._read.get(peer_id, 0))
        return Heard(
            *peer_id,
            contiguous=contiguous,
            highest=window.buffer.high,
            echo=window.echo,
            delay=min(2**32 - 1, round((now - window.echo_at) * 1e6)),
            backlog=min(2**32 - 1, self.unread),
            loss=window.loss(now),
            first=min(window.intact, contiguous + 1),
        )

    def confirm_by_hand(self) -> None:
        """From now on confirm nothing but what read() names."""
        self._read = {}

    def read(self, peer_id: PeerId, sequence: int, now: float) -> None:
        """The application has made use of what `peer_id` published up to record `sequence`.

        The attack: messages of made-up peers by the thousand. The least recent go, and are not confirmed.
        """
        if self._read is None or self._read.get(peer_id, 0) >= sequence:
            return
        self._read.pop(peer_id, None)
        self._read[peer_id] = sequence
        if len(self._read) > self._context.settings.peers:
            del self._read[next(iter(self._read))]
        self.received(peer_id, now, 0)

    def received(self, peer_id: PeerId, now: float, records: int = 1) -> None:
        """New records of `peer_id` arrived."""
        if not self._reports:
            return
        if peer_id in self._elected:
            self._elected_due.setdefault(peer_id, max(now, self._elected[peer_id] + self._interval))
            self._arm()
            return
        context = self._context
        self._early[peer_id] = None
        before = self._fresh.get(peer_id, 0)
        self._fresh[peer_id] = before + records
        if before < RECORDS <= before + records:
            self.hasten(peer_id, now)
        if self._early_at == inf:
            self._early_at = now + EARLIEST + backoff(context.rng, LATEST - EARLIEST, context.members)
        if self._regular_at == inf:
            interval = max(1.0, context.members / self._rate)
            spread = interval * (0.5 + context.rng.random())
            self._regular_at = max(now, self._last) + spread
        self.next_timeout = min(self.next_timeout, self._early_at, self._regular_at)

    def hasten(self, peer_id: PeerId, now: float) -> None:
        """We lack records of `peer_id`, or got many: it should hear of that soon."""
        if peer_id in self._fresh and self._regular_at < inf:
            soonest = max(now, self._last + report_gap(self._context.members, self._rate))
            self._regular_at = min(self._regular_at, soonest)
            self._arm()

    def left(self, peer_id: PeerId) -> None:
        """`peer_id` is gone. If it was here, what we had sent by then still lacks its confirmation."""
        self.forget(peer_id)
        confirmed = self._confirmed.get(peer_id)
        if confirmed is not None or self._known(peer_id):
            self._departed[peer_id] = self._window.high
            if len(self._departed) > DEPARTED:
                del self._departed[next(iter(self._departed))]

    def forget(self, peer_id: PeerId) -> None:
        """`peer_id` is gone or elected somebody else."""
        self._elected.pop(peer_id, None)
        self._elected_due.pop(peer_id, None)
        self._arm()

    def _on_acker(self, datagram: Datagram, frame: Acker, now: float) -> DropReason | None:
        """A sender says who is to report on its records."""
        peer_id = PeerId(frame.origin, frame.incarnation)
        me = self._context.me
        if peer_id == me:
            return DropReason.OWN
        elected = PeerId(frame.to_origin, frame.to_incarnation) == me
        if not elected and peer_id not in self._elected:
            # Whether it is genuine matters to nobody else; who was elected before is only asked less.
            return None
        reason = (
            self._keys.check(datagram, frame, now)
            if elected
            else self._verifier.check(frame, self._known(peer_id), now)
        )
        if reason is not None:
            return reason
        if not elected:
            self.forget(peer_id)
        elif self._nacks.windows.get(peer_id) is not None:
            self._elected[peer_id] = self._elected.pop(peer_id, -inf)
            self._elected_due[peer_id] = now
            if len(self._elected) > ELECTED:
                self.forget(next(iter(self._elected)))
            self._arm()
        return None

    def _known(self, peer_id: PeerId) -> bool:
        return self._roster.get(peer_id) is not None

    def _on_report_request(self, datagram: Datagram, frame: ReportRequest, now: float) -> DropReason | None:
        """A peer wants to know whether we have its records.

        The attack: requests are unsigned and their source may be a victim's address. So all members answer
        only one that stands behind a fresh signed HEARTBEAT of the peer. Another is answered to the group by
        one random member, or two, and only if it is as long as an answer. Few are heeded, and the answers of
        the group together never exceed the rate of reports.
        """
        context = self._context
        peer_id = PeerId(frame.origin, frame.incarnation)
        if self._nacks.windows.get(peer_id) is None:
            return DropReason.UNKNOWN_ORIGIN
        if not self._heeded.take(1, now):
            return DropReason.OVER_BUDGET
        spread = max(frame.spread / 1000, context.members / self._rate)
        verified = datagram.verified == peer_id
        if not verified and datagram.size < REPORT_SIZE:
            return DropReason.OVER_BUDGET
        if frame.flags & BY_MULTICAST or not verified:
            self._early[peer_id] = None
            if self._early_at == inf:
                self._early_at = now + EARLIEST + backoff(context.rng, spread, context.members)
            self._arm()
            return None
        peer = self._roster.get(peer_id)
        known = peer is not None and peer.confirmed and peer.source == datagram.source
        if len(self._requests) >= REQUESTS or not (known or self._stranger <= now):
            return DropReason.OVER_BUDGET
        # Unless it is known that the peer is there, one at a time: it may be the address of a victim.
        when = self._requests.setdefault((peer_id, datagram.source), now + spread * context.rng.random())
        if not known:
            self._stranger = when
        self._arm()
        return None

    def _on_report(self, datagram: Datagram, frame: Report, now: float) -> DropReason | None:
        """Somebody says what it holds."""
        me = self._context.me
        peer_id = PeerId(frame.origin, frame.incarnation)
        if peer_id == me:
            return DropReason.OWN
        reason = self._keys.check(datagram, frame, now)
        if reason is not None:
            return reason
        gone = self._detector.has_left(peer_id)
        if not gone:  # it says its last report again with its last goodbyes
            self._detector.heard_undated(peer_id, datagram.networks, now)
        for entry in frame.heard:
            about = PeerId(entry.origin, entry.incarnation)
            if about == me:
                if (
                    entry.highest <= self._window.high
                ):  # a report on what never was is to be believed in nothing
                    self._confirm(peer_id, entry, now)
                    if not gone:
                        self._flow.reported(peer_id, entry, now)
                continue
            window = self._nacks.windows.get(about)
            if window is None or entry.contiguous >= window.buffer.contiguous:
                self._early.pop(about, None)  # no need to be the first any more
                if not self._early:
                    self._early_at = inf
        self._arm()
        return None

    def _confirm(self, peer_id: PeerId, entry: Heard, now: float) -> None:
        known = self._confirmed.get(peer_id)
        if known is None:
            known = self._confirmed[peer_id] = Confirmed(RangeSet(STRETCHES), now)
            if len(self._confirmed) > self._context.settings.peers:
                del self._confirmed[next(iter(self._confirmed))]
        known.records.add(entry.first, entry.contiguous + 1)
        known.at = now

    def request(self, heartbeat: Heartbeat, now: float) -> float:
        """Ask everybody to confirm what we sent; answers come by unicast, at most 20 a second in all.

        Seconds in which they come.
        """
        context = self._context
        spread = min(SPREAD_MAX, 20 + round(1000 * context.members / self._rate))
        context.send(heartbeat, ReportRequest(*context.me, self._window.high, spread))
        return spread / 1000

    def _has_confirmed(self, peer_id: PeerId, first: int, last: int) -> bool:
        confirmed = self._confirmed.get(peer_id)
        return confirmed is not None and confirmed.records.covers(first, last + 1)

    def has_reported(self, peer_id: PeerId) -> bool:
        """Whether a peer has reported on our records, lately enough to be remembered."""
        return peer_id in self._confirmed

    def confirmed_by(self, first: int, last: int) -> list[PeerId]:
        """Who confirmed these records."""
        return [peer_id for peer_id in self._confirmed if self._has_confirmed(peer_id, first, last)]

    def unconfirmed(self, first: int, last: int, now: float) -> list[PeerId]:
        """Who was here since the last of these records was sent and has not confirmed them all.

        That is the roster, those who only report, and those who left since.
        """
        here = dict.fromkeys(peer.peer_id for peer in self._roster)
        here |= dict.fromkeys(peer_id for peer_id, high in self._departed.items() if high >= last)
        lately = now - self._context.settings.visitor_seconds
        for peer_id, confirmed in self._confirmed.items():
            if confirmed.at >= lately and peer_id not in self._departed:
                here[peer_id] = None
        return [peer_id for peer_id in here if not self._has_confirmed(peer_id, first, last)]
