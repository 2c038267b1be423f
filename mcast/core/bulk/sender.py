"""The serving side of a transfer: who wants what, by which way each is served, and how each gets on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from itertools import chain, islice
from math import inf

import msgspec

from mcast.core.events import Address, PeerId
from mcast.core.flow.congestion import Path
from mcast.core.timers import Rng
from mcast.core.token_bucket import TokenBucket
from mcast.settings import Settings
from mcast.wire.bulk import (
    BY_UNICAST,
    CHANGED,
    ECHO_UNICAST,
    EXHAUSTED,
    FAN,
    NO_ECHO,
    REFUSED,
    TOKEN_SIZE,
    WANTS_UNICAST,
    BulkReport,
    BulkStatus,
    Missing,
)

from .channel import SMOOTHED, Batch, Channel, Reporter, make_sample
from .layout import Layout
from .wants import GROUP_BYTES, Wants

RECEIVERS = 256
"""Receivers of one transfer. Beyond that, the newest of the computer with most of them is refused. The
attack: members that accept under many names, all from the few addresses of one computer."""
UNICAST_RECEIVERS = 64
"""Of them, those that are served by unicast: each has a table of its own. Others stay with multicast."""
UNICAST_EACH = 8
"""Of these, those at one computer. The attack: members under many names, each of which wants a copy."""
UNICAST_TABLES = 16 << 20
"""Bytes of these tables together: a transfer of many gigabytes has fewer such receivers."""
REPORTS, REPORTS_DEPTH = 100.0, 50.0
"""Reports of one receiver a second that are read, and at once. The attack: a storm of NACKs."""
ALL_REPORTS = 600.0
"""The same of all receivers together."""
CUTS, HOLDING = 3, 5.0
"""So many cuts of the rate in a row for one receiver, within so many seconds: it may hold the others."""
PROVEN = 8
"""Reports after which a receiver counts for the rate only if it has shown that it gets our words. The attack:
one that only reports."""
MEASURED = 1.0
"""Seconds for which it counts without a round trip, if the others have some. The attack: one that reports a
queue, and then echoes nothing any more."""
TRIAL, FASTER = 1.0, 2.0
"""Seconds for which it is left out, and how many times faster the others must be to leave it out."""
SPARED = 30.0
"""Seconds after which that is tried again."""
ASKING = 8
"""Times the transfer that one receiver may ask for in all. Loss of 80 % takes four."""
SILENT = 3.0
"""Seconds without a report after which a receiver does not count."""
FORGOTTEN = 60.0
"""Seconds after which it is forgotten."""
INTERVAL = 0.05
"""Seconds between reports of one receiver; the one that the rate follows reports more often."""
ACKER_INTERVAL = 0.02
SPACING = 0.01
"""Seconds between reports of all receivers together, however many they are."""
STATUS = 0.25
"""Seconds between two words to a receiver to whom there is nothing new to say."""
GATHER = 0.05
"""Seconds after the first report in which others may come, so that they get the beginning too."""
READY = 0.002
"""Seconds for which it is remembered to whom may be sent: many batches leave in a row."""
STOPPED = 0.3
"""Silence of all receivers after which nothing is sent for them."""
LOOK = 1.0
"""Seconds over which the loss of multicast is smoothed, and before which no receiver is judged by it."""
WORSE = 0.25
"""A share of loss so much above that of the others: multicast serves a receiver badly."""
NEAR = 0.1
"""Seconds that a round trip hardly exceeds."""
SAMPLE = 128
"""Datagrams over which the loss of multicast is smoothed at least."""
UNREACHED = 10.0
"""Seconds of reports that count nothing new, though more was sent: nothing seems to reach a receiver."""
ENTRIES = 4096
"""Entries of a report that are looked at, once what is lost is taken out of them. The attack: to ask for all,
again and again in one report, when files by the thousand have changed."""
FORGET = 1024
"""Blocks that are lost at once for which all that waits to be sent is forgotten: to look through it for them
takes long, and receivers ask for the others again within a moment."""
NOTHING_FOR = 1.0
"""Seconds without anything to send after which who still lacks something is told to ask somebody else."""


class Way(StrEnum):
    """How receivers are served."""

    AUTO = "auto"
    MULTICAST = "multicast"
    UNICAST = "unicast"


class Client(msgspec.Struct):
    """A receiver that we serve. `base` is the multicast serial when it came, `sampled` when enough had been
    sent after that to judge what it gets. `got` and `sent` count items, as of its latest report; each has the
    time of the report that showed more of them. `listed`: blocks that are lost in its latest
    reports, which go through what it lacks once, up to before the group `listed_to`; it had `listed_with`."""

    peer_id: PeerId
    reporter: Reporter
    token: bytes
    budget: TokenBucket
    began: float
    heard: float
    have: int = 0
    asked: int = 0
    reports: int = 0
    channel: Channel | None = None
    flags: int = 0
    told: float = -inf
    told_word: tuple[int, int] = (0, 0)
    due: bool = True
    refused: bool = False
    over: bool = False
    slow: bool = False
    spared: float = -inf
    base: int = -1
    sampled: float = inf
    got: int = 0
    got_at: float = 0.0
    sent: int = 0
    sent_at: float = -inf
    listed: int = 0
    listed_to: int = 0
    listed_with: int = 0

    @property
    def unreached(self) -> bool:
        """Whether its reports show that nothing has reached it for a while, though more was sent."""
        return self.sent_at - self.got_at >= UNREACHED


class Trial(msgspec.Struct, frozen=True):
    """A receiver is left out until then: do the others take much more than `before` bytes a second?"""

    peer_id: PeerId
    before: float
    until: float


class BulkSender:
    """Serves one transfer: all of it, or what `held(group)` says of it.

    `clients` are its receivers. `changed`: it is not what it was. `lost`: these of its blocks
    are not, if there are any. Their nodes are sent all the same: what came of them is checked with these.
    """

    def __init__(
        self,
        layout: Layout,
        settings: Settings,
        rng: Rng,
        held: Callable[[int], int],
        now: float,
        *,
        complete: Callable[[], bool],
        way: Way = Way.AUTO,
    ) -> None:
        self.layout, self._settings, self._rng, self._has = layout, settings, rng, held
        self.lost: Wants | None = None
        self._complete, self._way = complete, way
        self.clients: dict[PeerId, Client] = {}
        self.changed = False
        self._group = Channel(layout, settings, self._held, None, now)
        table = GROUP_BYTES * sum(layout.groups(level) for level in range(len(layout.counts)))
        self._unicast_most = max(1, min(UNICAST_RECEIVERS, UNICAST_TABLES // max(1, table)))
        self._start_at = inf
        self._cuts: list[tuple[float, PeerId]] = []
        self._trial: Trial | None = None
        self._budget = TokenBucket(ALL_REPORTS, ALL_REPORTS / 2, now)
        self._ready: list[tuple[Channel, Address]] = []
        self._ready_at = -inf
        self._blocks = self._met = 0

    def _held(self, group: int) -> int:
        """The mask of the blocks of a group that we have, and that are what they were."""
        mask = self._has(group)
        return mask if self.lost is None else mask & ~self.lost.get(group)

    @property
    def rate(self) -> float:
        """Bytes a second that leave."""
        own = [client.channel for client in self.clients.values() if client.channel is not None]
        return sum(channel.meter.value for channel in [self._group, *own])

    def lose(self, start: int, stop: int) -> None:
        """The blocks [start, stop) are not any more what they were: nobody gets them from us."""
        if self.lost is None:
            self.lost = Wants(self.layout, 0)
        self.lost.add_items(start, stop)
        if stop - start >= FORGET:
            for channel in [self._group, *(one.channel for one in self.clients.values())]:
                if channel is not None:
                    channel.clear()

    # Reports

    def on_report(
        self, peer_id: PeerId, source: Address, report: BulkReport, now: float, age: float = 0.0
    ) -> None:
        """A receiver says what it lacks. The report has waited for us for `age` seconds."""
        client = self._client(peer_id, source, now)
        if client is None or not (client.budget.take(1, now) and self._budget.take(1, now)):
            return
        elapsed, client.heard, client.due = now - client.heard, now, True
        self._ready_at = -inf
        client.reports += 1
        self._note_arrivals(client, report, elapsed, now)
        if client.refused:
            return
        reporter = client.reporter
        if report.token == client.token and reporter.address == source:
            reporter.validated = True
        client.have = max(client.have, min(report.have, self.layout.blocks))
        self._measure(client, report, elapsed, now, age)
        self._conclude(now)
        self._choose_way(client, report, now)
        channel = client.channel or self._group
        if self.changed:
            return
        missing = self._ours(report.missing)
        client.over = client.over or self._is_over(client, report, missing)
        if channel is self._group and self._deaf(client, now):
            missing = tuple(one for one in missing if one[0] == self.layout.top)
        asked = channel.want(reporter, missing, now)
        if self._complete() and self.lost is None:  # what is not here is asked for again and again
            client.asked += asked
        client.refused = self._asks_too_much(client)
        if self._start_at == inf:
            self._start_at = now + GATHER
        self._judge(client, channel, now)

    def _asks_too_much(self, client: Client) -> bool:
        """Whether a receiver has asked for the transfer too often. While not all of it is here, all receivers
        together may have been sent it as often."""
        most = ASKING * max(64, sum(self.layout.counts))
        return client.asked > most or (not self._complete() and self._blocks > most * self._met)

    def _client(self, peer_id: PeerId, source: Address, now: float) -> Client | None:
        client = self.clients.get(peer_id)
        if client is None:
            if len(self.clients) >= RECEIVERS and not self._make_room(_host(source)):
                return None
            self._met += 1
            token = self._rng.getrandbits(8 * TOKEN_SIZE).to_bytes(TOKEN_SIZE, "big")
            budget = TokenBucket(REPORTS, REPORTS_DEPTH, now)
            client = self.clients[peer_id] = Client(
                peer_id, Reporter(source, Path(0, NEAR, now)), token, budget, now, now, got_at=now
            )
        elif client.reporter.address != source:
            client.token = self._rng.getrandbits(8 * TOKEN_SIZE).to_bytes(TOKEN_SIZE, "big")
            client.channel = None
            client.reporter = Reporter(source, client.reporter.path)
        return client

    def _make_room(self, newcomer: Address) -> bool:
        """Forget the newest receiver of the computer that has most of them, unless it is the newcomer's."""
        hosts = {peer_id: _host(one.reporter.address) for peer_id, one in self.clients.items()}
        counts = Counter(hosts.values())
        host, most = counts.most_common(1)[0]
        if counts[newcomer] + 1 >= most:
            return False
        del self.clients[[peer_id for peer_id, at in hosts.items() if at == host][-1]]
        return True

    def _measure(self, client: Client, report: BulkReport, elapsed: float, now: float, age: float) -> None:
        """What the report says of the path: loss, round trip, queue. `elapsed`: seconds since the last one.

        The loss of multicast is that of a second: a computer that had no time for a moment is not worse off.
        """
        reporter = client.reporter
        channel = client.channel or self._group
        believed = self._believed(client, channel, report)
        serials, counts = (believed[0][0], believed[1][0]), (believed[0][1], believed[1][1])
        expected = serials[0] - reporter.multicast, serials[1] - reporter.unicast
        came = counts[0] - reporter.counts[0], counts[1] - reporter.counts[1]
        if reporter.multicast and expected[0] > 0:
            weight = min(1.0, elapsed / LOOK, expected[0] / SAMPLE)
            reporter.group_loss = _smooth(reporter.group_loss, expected[0], came[0], weight)
        if reporter.multicast + reporter.unicast and sum(expected) > 0:
            weight = min(1.0, sum(expected) / SMOOTHED)
            reporter.loss = _smooth(reporter.loss, sum(expected), sum(came), weight)
        reporter.multicast, reporter.unicast = serials
        reporter.hears = reporter.hears or report.multicast[1] > 0
        # What came belongs to a serial: without a new one it is counted with the next.
        before = reporter.counts
        reporter.counts = (
            counts[0] if expected[0] > 0 else before[0],
            counts[1] if expected[1] > 0 else before[1],
        )
        by_unicast = bool(report.flags & ECHO_UNICAST)
        to = reporter.address if by_unicast else None
        serial = serials[by_unicast]
        echoed = 0 < serial == (report.multicast, report.unicast)[by_unicast][0] and report.delay != NO_ECHO
        sent = channel.sent_time(to, serial) if echoed else None
        trip = None if sent is None else max(0.0, now - age - sent - report.delay / 1e6)
        total = sum(counts)
        if trip is not None:
            reporter.trip += (trip - reporter.trip) / 4 if trip < reporter.trip else trip - reporter.trip
        at = -inf if sent is None else sent
        sample = make_sample(sum(serials), total, report.backlog << 10, reporter.loss, trip, at)
        reporter.path.take(sample, self.layout.block_size, now)

    def _note_arrivals(self, client: Client, report: BulkReport, elapsed: float, now: float) -> None:
        """Note when more was sent, and when it arrived. A receiver with a backlog may just not have read it,
        and while one is silent nothing is sent. One that does not get our words counts nothing, but it may
        have more. What is sent after a pause needs its time to arrive."""
        serials = (client.channel or self._group).serials
        sent = serials.get(None, 0) + serials.get(client.reporter.address, 0)
        got = report.multicast[1] + report.unicast[1]
        done = report.have >= self.layout.blocks
        more = got != client.got or report.have > client.have
        resumed = sent != client.sent and now - client.sent_at >= SILENT
        if more or report.backlog or done or elapsed >= SILENT or resumed:
            client.got, client.got_at = got, now
        if sent != client.sent:
            client.sent, client.sent_at = sent, now

    def _ours(self, missing: Missing) -> Missing:
        """What a receiver lacks, without what is lost."""
        if self.lost is None:
            return missing
        left = []
        for level, entries in missing:
            if level == 0:
                entries = tuple(islice(chain.from_iterable(map(self.lost.outside, entries)), ENTRIES))
            if entries:
                left.append((level, entries))
        return tuple(left)

    def _is_over(self, client: Client, report: BulkReport, ours: Missing) -> bool:
        """Whether a receiver has all but what is lost: it lists all that it lacks, and we have none of it.

        It goes through what it lacks with several reports if one has no room for all.
        """
        entries = dict(report.missing).get(0, ())
        if self.lost is None or not entries or 0 in dict(ours):
            client.listed = 0
            return False
        if entries[0].group < client.listed_to or report.have != client.listed_with:
            client.listed, client.listed_with = 0, report.have
        blocks, groups = self.layout.blocks, self.layout.groups(0)
        for group, mask, run in [(one.group, one.mask, one.run) for one in entries if one.group < groups]:
            whole = min(FAN * (group + run), blocks) - FAN * group
            client.listed += whole if run else (mask & self.layout.full(0, group)).bit_count()
        client.listed_to = entries[-1].group + 1
        return report.have + client.listed >= blocks

    def _believed(
        self, client: Client, channel: Channel, report: BulkReport
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """The highest serial that a receiver saw and how many came, each way. Where the serial never left, or
        goes back, it is what the receiver said before: what came belongs to a serial.

        The attack: a copy of an item with such a serial, from our address. It must not make us send again
        what is under way, nor is the receiver to blame for it. Or the receiver has a new address, for which
        the serials begin again.
        """
        reporter = client.reporter
        most = self._group.serials.get(None, 0), channel.serials.get(reporter.address, 0)
        multicast, unicast = (reporter.multicast, reporter.counts[0]), (reporter.unicast, reporter.counts[1])
        return (
            report.multicast if multicast[0] <= report.multicast[0] <= most[0] else multicast,
            report.unicast if unicast[0] <= report.unicast[0] <= most[1] else unicast,
        )

    # Ways

    def _choose_way(self, client: Client, report: BulkReport, now: float) -> None:
        """Whether a receiver gets a channel of its own."""
        if client.channel is not None or self._way is Way.MULTICAST or not client.reporter.validated:
            return
        wanted = self._way is Way.UNICAST or report.flags & WANTS_UNICAST or client.slow
        wanted = wanted or self._badly_served(client, now)
        address = client.reporter.address
        served = Counter(_host(one.reporter.address) for one in self.clients.values() if one.channel)
        if wanted and served.total() < self._unicast_most and served[_host(address)] < UNICAST_EACH:
            client.channel = Channel(self.layout, self._settings, self._held, address, now)
            client.channel.serials[address] = self._group.serials.get(address, 0)
            # What was measured by multicast says nothing of unicast.
            client.reporter.loss = 0.0
            client.reporter.path = Path(sum(client.reporter.counts), client.reporter.trip, now)
            client.due = True

    def _badly_served(self, client: Client, now: float) -> bool:
        """Whether a receiver gets much less by multicast than the others, or nothing at all."""
        reporter, sent = client.reporter, self._group.serials.get(None, 0)
        if client.base < 0:
            client.base = sent
        if sent - client.base < SAMPLE:
            return False
        client.sampled = min(client.sampled, now)
        if now - client.sampled < LOOK:
            return False
        if not reporter.hears:
            return True
        return self._loses_more(client, now)

    def _loses_more(self, client: Client, now: float) -> bool:
        """Whether a receiver loses much more of what goes to the group than the others."""
        others = sorted(
            one.reporter.group_loss
            for one in self._active(now)
            if one is not client and one.channel is None and one.reporter.counts[0]
        )
        return bool(others) and client.reporter.group_loss > others[len(others) // 2] + WORSE

    def _deaf(self, client: Client, now: float) -> bool:
        """Whether multicast seems not to reach a receiver at all: then it is not sent again for it, unless it
        is the only one. Only the highest node is: who lacks that cannot tell what came."""
        unheard = client.sampled < inf and not client.reporter.hears
        return (unheard or self._tried(client)) and len(self._by_multicast(now)) > 1

    def _tried(self, client: Client) -> bool:
        """Whether that one is left out for the moment."""
        return self._trial is not None and self._trial.peer_id == client.peer_id

    def _active(self, now: float) -> list[Client]:
        """Receivers that report and lack something."""
        blocks = self.layout.blocks
        return [
            one
            for one in self.clients.values()
            if now - one.heard < SILENT and one.have < blocks and not one.refused
        ]

    def _by_multicast(self, now: float) -> list[Client]:
        return [one for one in self._active(now) if one.channel is None]

    def _judge(self, client: Client, channel: Channel, now: float) -> None:
        """The rate follows the one that is worst off."""
        if channel is not self._group:
            channel.judge(client.reporter.path, now)
        elif client is self._acker(now):
            before = channel.rate.value
            channel.judge(client.reporter.path, now)
            if channel.rate.value < before:
                self._blame(client, before, now)

    def _blame(self, client: Client, before: float, now: float) -> None:
        """The multicast rate, `before` until now, was cut for a receiver. One that alone holds it down is
        left out for a moment, to see how fast the others are."""
        self._cuts = [(at, one) for at, one in self._cuts if now - at < HOLDING] + [(now, client.peer_id)]
        alone = [one for _, one in self._cuts[-CUTS:]] == CUTS * [client.peer_id]
        others = len(self._by_multicast(now)) > 1
        if alone and others and self._way is Way.AUTO and now >= client.spared:
            self._trial = Trial(client.peer_id, before, now + TRIAL)
            self._group.leave_out(client.reporter.address)
            self._group.rate.probe(now)

    def _conclude(self, now: float) -> None:
        """The trial is over: who is much slower than the others gets it by unicast, at its own rate.

        It still gets what is sent to the group: who keeps up with that is not slow.
        """
        trial = self._trial
        if trial is None or now < trial.until:
            return
        self._trial, self._cuts = None, []
        client = self.clients.get(trial.peer_id)
        if client is not None:
            client.spared = now + SPARED
            rate = self._group.rate
            path = client.reporter.path
            late = path.queue > self._settings.queue_delay or path.backlog > rate.unread
            client.slow = rate.value >= FASTER * trial.before and (late or self._loses_more(client, now))

    def _acker(self, now: float) -> Client | None:
        severity = self._group.rate.severity
        here = [one for one in self._by_multicast(now) if not self._tried(one)]
        counted = [one for one in here if not one.slow and (one.reporter.validated or one.reports < PROVEN)]
        fresh = [one for one in counted if now - one.reporter.path.measured < MEASURED]
        paths = [(severity(one.reporter.path), one.peer_id) for one in fresh or counted or here]
        return self.clients[max(paths)[1]] if paths else None

    # Out

    def take(self, now: float) -> Batch | None:
        """The next items to send now."""
        while True:
            fresh = now - self._ready_at > READY
            if fresh:
                self._ready, self._ready_at = self._sendable(now), now
            for channel, only in self._ready:
                batch = channel.take(only, lambda: self._seen(channel, now), now)  # noqa: B023 - called at once
                if batch is not None:
                    self._blocks += batch.blocks
                    return batch
            self._ready_at = -inf
            if fresh:
                return None

    def _seen(self, channel: Channel, now: float) -> dict[Address, int]:
        here = self._by_multicast(now) if channel is self._group else []
        return {one.reporter.address: one.reporter.multicast for one in here}

    def _sendable(self, now: float) -> list[tuple[Channel, Address]]:
        """The channels whose receivers listen; and the one receiver that everything is for, if it is one."""
        channels: list[tuple[Channel, Address]] = []
        if now < self._start_at or self.changed:
            return channels
        if not self._group.idle:
            here = self._by_multicast(now)
            if not here:
                self._group.clear()
            elif now - max(one.heard for one in here) < STOPPED:
                alone = len(here) == 1 and here[0].reporter.validated and self._way is Way.AUTO
                channels.append((self._group, here[0].reporter.address if alone else None))
        channels += [
            (client.channel, None)
            for client in self.clients.values()
            if client.channel is not None and not client.channel.idle and now - client.heard < STOPPED
        ]
        return channels

    def when(self, now: float) -> float:
        """When take() or statuses() has something, if no report comes before."""
        if any(client.due for client in self.clients.values()):
            return now
        if now < self._start_at < inf:
            return self._start_at
        return min((channel.when(now) for channel, _ in self._sendable(now)), default=inf)

    def statuses(self, now: float) -> list[tuple[Client, BulkStatus]]:
        """What is to be said to receivers now."""
        acker = self._acker(now)
        out = []
        number = len(self.clients)
        for client in self.clients.values():
            if not client.due:
                continue
            client.due = False
            interval = max(INTERVAL, SPACING * number)
            channel = client.channel or self._group
            if client is acker or client.channel is not None:
                interval = ACKER_INTERVAL / 2 if channel.rate.doubling else ACKER_INTERVAL
            flags = self._flags(client, channel, now)
            word = flags, round(1000 * interval)
            urgent = channel.idle or not client.reporter.validated or word != client.told_word
            if not urgent and now - client.told < STATUS:
                continue
            client.told, client.told_word = now, word
            serials = channel.serials
            address = client.reporter.address
            out.append(
                (client, BulkStatus(client.token, *word, serials.get(None, 0), serials.get(address, 0)))
            )
        return out

    def _flags(self, client: Client, channel: Channel, now: float) -> int:
        flags = BY_UNICAST if client.channel is not None else 0
        if client.refused:
            return flags | REFUSED
        if self.changed:
            return flags | CHANGED | EXHAUSTED
        nothing = channel.idle and now - max(channel.sent_at, client.began) > NOTHING_FOR
        if nothing and not self._complete() and client.have < self.layout.blocks:
            flags |= EXHAUSTED
        return flags | CHANGED | EXHAUSTED if client.over else flags

    def left(self, peer_id: PeerId) -> None:
        """A receiver is done or gone."""
        self.clients.pop(peer_id, None)

    def forget(self, now: float) -> None:
        """Forget receivers of which nothing was heard for long."""
        for peer_id in [one.peer_id for one in self.clients.values() if now - one.heard > FORGOTTEN]:
            del self.clients[peer_id]


def _host(address: Address) -> Address:
    """The computer that an address is at."""
    return address[0] if isinstance(address, tuple) else address


def _smooth(loss: float, expected: int, came: int, weight: float) -> float:
    """The smoothed loss after `came` of `expected` datagrams."""
    share = min(1.0, max(0.0, 1 - came / expected))
    return loss + (share - loss) * weight
