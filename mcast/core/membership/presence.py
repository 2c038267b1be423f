"""Who is here: announcements and goodbyes, our own and those of others.

Announcements leave at a randomised interval with timer reconsideration, after RTCP (RFC 3550, section 6.3).
Unlike there the random share of the interval is drawn once for each announcement and kept when the timer is
reconsidered, and the first one is drawn as if the peer had announced itself for long: ten thousand that join
at once go on announcing at an even rate, where redrawing has them all speak at the end of the first interval.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, sqrt

import msgspec

from mcast.core.auth.keys import KeyExchange
from mcast.core.auth.verifier import Verifier
from mcast.core.context import Context, Datagram, Handlers
from mcast.core.events import Address, Alarm, PeerId, PeerJoined, PeerLeft, PeerUpdated
from mcast.core.flow.controller import FlowController
from mcast.core.flow.feedback import Feedback
from mcast.core.incarnation import began
from mcast.core.reliability.nack import NackScheduler
from mcast.core.reliability.receiver import Receiver
from mcast.core.reliability.sender import HURRY, Sender
from mcast.core.timers import Rng
from mcast.wire.attributes import Attributes, decode_attributes, encode_attributes
from mcast.wire.frames import HEARS, NEWCOMER, Announcement, Frame, Goodbye, Key, ProbeReply
from mcast.wire.limits import DATAGRAM_SAFE, HEADER_SIZE, TAG_SIZE
from mcast.wire.reasons import DropReason

from .failure_detector import Candidate, FailureDetector
from .roster import Peer, Roster

ANNOUNCEMENT_SIZE = 24 + 16 + 4 + 105 + 4 + 152  # header, tag, and the KEY and ANNOUNCEMENT frames
LINK_HEADERS = 62  # bytes of Ethernet, IPv6 and UDP around a datagram
EARLIEST, LATEST = 0.75, 1.25  # shares of the interval
YOUNG = 30.0  # seconds after joining in which only bytes count: all who join together soon know each other
NEWCOMER_SIZE = (
    DATAGRAM_SAFE - HEADER_SIZE - TAG_SIZE
)  # each of three answers may be as long; passes everywhere
EARLIER = 4  # instances of an identity that are probed when it begins anew on the same computer: the latest
PAUSE = 0.1  # seconds between two looks at whether signatures of strangers may be checked


def announced_size(frame: Announcement, name: str) -> int:
    """Bytes on a link of an announcement beside the KEY with `name`: it leaves in each IP version heard."""
    versions = (frame.flags & HEARS).bit_count()
    return max(1, versions) * (ANNOUNCEMENT_SIZE + len(frame.attributes) + len(name.encode()) + LINK_HEADERS)


class AnnouncementTimer:
    """Decides when this peer announces itself; the group together stays within `rate` bytes a second.

    When it has been here for a while, also within one announcement in `spacing` seconds, as each wakes every
    computer in the group, as long as that makes the interval no longer than `patience`.
    """

    def __init__(
        self,
        rng: Rng,
        shortest: float,
        rate: int,
        now: float,
        spacing: float = 0.0,
        patience: float = 0.0,
    ) -> None:
        self._rng = rng
        self._shortest, self._rate = shortest, rate
        self._spacing, self._patience = spacing, patience
        self._size = 256.0
        self._members = 1
        self.waiting = 0  # strangers whose announcements are not verified yet; they count while we are young
        self._began = self._last = now
        self._share = 0.0
        self._spoke = self._settled = False
        self.next = now

    @property
    def interval(self) -> float:
        """The mean time until our next announcement."""
        return self.settled if self._settled else self._needed

    @property
    def settled(self) -> float:
        """The mean time between two announcements of a peer that has been here for a while."""
        return max(self._needed, min(self._patience, self._members * self._spacing))

    @property
    def _needed(self) -> float:
        members = self._members + (0 if self._settled else self.waiting)
        return max(self._shortest, members * self._size / self._rate)

    def _draw(self) -> float:
        """The share of the interval after which to announce next."""
        u = self._rng.random()
        if self._spoke:
            return EARLIEST + (LATEST - EARLIEST) * u
        # What is left of an interval at any moment: renewal theory's residual of the uniform distribution.
        return u if u < EARLIEST else LATEST - sqrt(2 * (LATEST - EARLIEST) * (1 - u))

    def due(self, now: float) -> bool:
        """Whether to announce now. A timer that has run out is reconsidered with the group as it is now."""
        if now < self.next:
            return False
        self._settled = now - self._began >= YOUNG
        planned = self._last + self._share * self.interval
        if self.next > self._last and planned > now:
            self.next = planned
            return False
        self._share = self._draw()
        self._spoke = True
        self._last = now
        self.next = now + self._share * self.interval
        return True

    def begin(self, when: float) -> None:
        """Announce for the first time at `when`, however large the group."""
        self._last = self.next = when

    def soon(self, now: float, delay: float = 0.0) -> None:
        """Something in the announcement changed: say it within `delay`, at most once a second."""
        self._last = self.next = min(self.next, max(now + delay, self._last + 1.0))

    def sized(self, size: int) -> None:
        """One announcement of `size` bytes, link headers included, was sent or heard."""
        self._size += (size - self._size) / 16

    def members(self, count: int, now: float) -> None:
        """The group has `count` members. Fewer than before brings the timer forward (RFC 3550, 6.3.4)."""
        before = self.interval
        self._members = max(1, count)
        ratio = self.interval / before
        if ratio < 1.0 and self.next > now:
            self.next = now + ratio * (self.next - now)
            self._last = now - ratio * (now - self._last)


class Postponed(msgspec.Struct, frozen=True):
    """The announcement of a stranger with its key, and the datagram that brought it, at time `at`."""

    key: Key
    announcement: Announcement
    datagram: Datagram
    at: float


class PostponedTable:
    """Announcements of strangers that came faster than signatures may be checked: they wait for their turn.

    When ten thousand join at once all are known half a minute later, not when each has announced itself
    again. The latest of each peer, `limit` of them. The attack: made-up newcomers by the thousand. First in,
    first out, so that a real one among them has the same chance as before; they use no budget but what is
    left of the strangers'.
    """

    def __init__(self, limit: int) -> None:
        self._entries: dict[PeerId, Postponed] = {}
        self._limit = limit
        self.next = inf

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Postponed) -> None:
        """`entry` could not be checked."""
        if not self._entries:
            self.next = entry.at + PAUSE
        frame = entry.announcement
        self._entries[PeerId(frame.origin, frame.incarnation)] = entry
        if len(self._entries) > self._limit:
            del self._entries[next(iter(self._entries))]

    def take(self, now: float) -> Postponed | None:
        """The one that has waited longest; None when there is none, or it is not time."""
        if not self._entries or now < self.next:
            return None
        entry = self._entries.pop(next(iter(self._entries)))
        if not self._entries:
            self.next = inf
        return entry

    def rest(self, now: float) -> None:
        """Nothing more may be checked now."""
        self.next = now + PAUSE if self._entries else inf


class Presence:
    """Announces this peer, and keeps the roster by what others announce.

    `on_announced(datagram, frame, newcomer, now)` is called for each announcement that was taken,
    `on_first(now)` before our own first one.
    """

    def __init__(
        self,
        context: Context,
        verifier: Verifier,
        keys: KeyExchange,
        roster: Roster,
        detector: FailureDetector,
        nacks: NackScheduler,
        receiver: Receiver,
        sender: Sender,
        feedback: Feedback,
        flow: FlowController,
        attributes: Attributes,
        machine: bytes,
    ) -> None:
        settings = context.settings
        self._context, self._verifier, self._keys, self._roster = context, verifier, keys, roster
        self._detector, self._nacks, self._receiver = detector, nacks, receiver
        self._sender, self._feedback, self._flow = sender, feedback, flow
        self.handlers: Handlers = {Announcement: self._on_announcement, Goodbye: self._on_goodbye}
        self.on_announced: Callable[[Datagram, Announcement, bool, float], None]
        self.on_first: Callable[[float], None]
        detector.on_proven = self._on_proven
        detector.on_expired = lambda peer_id, now: self._remove(peer_id, "expired", now)
        detector.interval = self._interval
        keys.on_new_key = self._on_new_key
        self.timer = AnnouncementTimer(
            context.rng,
            settings.announce_interval,
            settings.announce_rate,
            context.started,
            settings.announce_spacing,
            settings.announce_patience,
        )
        self.postponed = PostponedTable(max(1, settings.peers // 2))
        self.announced = 0  # our announcements so far
        self.hosts: frozenset[str] = frozenset()  # our own addresses
        self._attributes, self._machine = encode_attributes(attributes), machine
        self._flags = self._port = 0
        self.next_timeout = inf
        self.rearm()

    def rearm(self) -> None:
        """Something has changed on which our timer depends."""
        speaks = self._context.may_send and not self._context.mode.visitor
        self.next_timeout = min(self.timer.next if speaks else inf, self.postponed.next)

    def on_timeout(self, now: float) -> None:
        """Announce ourselves; check strangers' announcements that had to wait."""
        self._announce(now)
        self._take_up(now)
        self.rearm()

    # Our own

    def begin(self, when: float) -> None:
        """Who was quiet has heard somebody: announce for the first time at `when`."""
        self.timer.begin(when)
        self.rearm()

    def update(self, now: float, attributes: Attributes | None, flags: int | None, port: int | None) -> None:
        """Announce other attributes, flags or unicast port from now on; None: as before.

        Raises ValueError when the attributes do not fit.
        """
        before = self._attributes, self._flags, self._port
        encoded = self._attributes if attributes is None else encode_attributes(attributes)
        flags = self._flags if flags is None else flags
        port = self._port if port is None else port
        if (encoded, flags, port) != before:
            self._attributes, self._flags, self._port = encoded, flags, port
            self.changed(now)

    def changed(self, now: float) -> None:
        """Our announcement says something else from now on: announce it soon."""
        if self.announced:
            self.timer.soon(now)
            self.rearm()

    def announcement(self, now: float, *, newcomer: bool = False) -> Announcement:
        """Ours as of now."""
        context, window = self._context, self._sender.window
        return context.sign(
            Announcement(
                *context.me,
                counter=context.next_counter(),
                timestamp=context.unix_ms(now),
                low=window.low,
                high=window.high,
                interval=min(2**32 - 1, round(self.timer.settled * 1000)),
                grtt=round(context.rtt.value * 1e6),
                limit=max(DATAGRAM_SAFE, context.path_size),
                port=self._port,
                flags=self._flags | (NEWCOMER if newcomer else 0),
                machine=self._machine,
                attributes=self._attributes,
            )
        )

    def introduction(self, now: float) -> list[Frame]:
        """Our key and announcement, for who does not know us."""
        return [self._verifier.own_key, self.announcement(now)]

    def _announce(self, now: float) -> None:
        context = self._context
        self.timer.waiting = len(self.postponed)
        if context.mode.visitor or not context.may_send or not self.timer.due(now):
            return
        newcomer = self.announced == 0
        if newcomer:
            self.on_first(now)
        frame = self.announcement(now, newcomer=newcomer)
        self.announced += 1
        context.send(self._verifier.own_key, frame, size=NEWCOMER_SIZE if newcomer else 0)
        self.timer.sized(announced_size(frame, context.name))

    # Those of others

    def _on_announcement(self, datagram: Datagram, frame: Announcement, now: float) -> DropReason | None:
        """A peer says that it is here."""
        return self._take(datagram, frame, now, prompt=True)

    def is_ours(self, source: Address) -> bool:
        """Whether an address is one of this computer."""
        return isinstance(source, tuple) and source[0] in self.hosts

    def _take(
        self, datagram: Datagram, frame: Announcement, now: float, *, prompt: bool
    ) -> DropReason | None:
        """Take an announcement; not `prompt`: it came a while ago, too long to greet the newcomer."""
        peer_id = PeerId(frame.origin, frame.incarnation)
        reason = self.vet(peer_id, frame, now)
        if reason is not None:
            return reason
        self.timer.sized(announced_size(frame, self._verifier.name(frame.origin)))
        source, networks = datagram.source, datagram.networks
        if not self._detector.freshness.judge(peer_id, frame.timestamp, now):
            self._detector.admit_later(frame, source, source, networks, now)
            return DropReason.NOT_LIVE
        local = self.is_ours(source)
        self._context.networks.announced(peer_id, datagram.session, networks, local=local)
        peer = self._roster.get(peer_id)
        if peer is None:
            reason = self.enter(frame, source, now, confirmed=True)
            if reason is not None:
                return reason
        else:
            self._refresh(peer, frame, source, now)
        self.on_announced(datagram, frame, prompt and bool(frame.flags & NEWCOMER), now)
        window = self._nacks.windows.get(peer_id)
        if window is not None:
            window.grtt = self._context.rtt.told(frame.grtt / 1e6)
        return self._receiver.exist(peer_id, frame.low, frame.high, frame.timestamp, now)

    def vet(self, peer_id: PeerId, frame: Announcement, now: float) -> DropReason | None:
        """Whether an announcement is genuine, fresh, and not of us or of a peer that said goodbye."""
        if peer_id == self._context.me:
            return DropReason.OWN
        if self._detector.has_left(peer_id):
            return DropReason.DEPARTED
        return self._verifier.check(frame, peer_id in self._roster, now)

    def enter(
        self, frame: Announcement, source: Address, now: float, *, confirmed: bool
    ) -> DropReason | None:
        """A peer that was not in the roster; `confirmed`: it was heard itself."""
        peer_id = PeerId(frame.origin, frame.incarnation)
        peer = Peer(peer_id, "", frame, source, now, confirmed)
        self._rename(peer)
        reason = self._roster.add(peer)
        if reason is not None:
            return reason
        start = self._receiver.first_wanted(peer_id, frame.timestamp, frame.high, now, confirmed=confirmed)
        peer.start = self._nacks.windows.resumes(peer_id) or start
        self._nacks.returned(peer_id, now)
        self._count_members(now)
        self._detector.watch(peer, now)
        self._fit(None, frame.limit)
        self._context.emit(PeerJoined(peer.view()))
        self._compare_machines(peer)
        self._doubt_earlier(peer, now)
        self._detector.measure(peer.address, now)
        return None

    def _count_members(self, now: float) -> None:
        self.timer.members(self._context.members, now)
        self.rearm()

    def _refresh(
        self, peer: Peer, frame: Announcement, source: Address, now: float, *, direct: bool = True
    ) -> None:
        """A peer in the roster was heard itself, `direct` or because somebody handed its announcement on."""
        changed = peer.announcement.attributes != frame.attributes or not peer.confirmed
        before = peer.announcement.limit
        if frame is not peer.announcement:
            peer.announcement, peer.said = frame, now
        self._fit(before, frame.limit)
        if changed:
            self._rename(peer)
        if direct:
            peer.heard_at(source)
            if not peer.confirmed:
                self._roster.confirm(peer)
                self._detector.measure(source, now)
        self._detector.heard(peer.peer_id, now)
        if changed:
            self._context.emit(PeerUpdated(peer.view()))

    def retold(self, peer: Peer, frame: Announcement, address: Address, now: float) -> None:
        """An announcement that we missed, of a peer not heard itself: its clock tells when that was said."""
        said = peer.said + (frame.timestamp - peer.announcement.timestamp) / 1000
        last = peer.heard
        self._refresh(peer, frame, address, now, direct=False)
        peer.said = min(now, said)
        peer.heard = max(last, peer.said)

    def _on_proven(
        self, reply: ProbeReply, candidate: Candidate | None, source: Address, now: float
    ) -> DropReason | None:
        """A peer has answered a probe of ours."""
        peer_id = PeerId(reply.origin, reply.incarnation)
        peer = self._roster.get(peer_id)
        if peer is None and candidate is not None:
            self.enter(candidate.frame, candidate.source, now, confirmed=True)
        elif peer is not None:
            self._refresh(peer, peer.announcement, source, now)
        self._receiver.proven(peer_id, now)
        self._detector.heard(peer_id, now)
        return self._receiver.exist(peer_id, reply.low, reply.high, reply.timestamp, now)

    def _on_new_key(self, origin: bytes) -> None:
        """A new KEY of `origin`: what its peers are called may have changed."""
        for peer_id in self._roster.of(origin):
            peer = self._roster.get(peer_id)
            if peer is not None and self._rename(peer):
                self._context.emit(PeerUpdated(peer.view()))
        for window in self._nacks.windows.of(origin):
            window.name = window.name or self._verifier.name_of(window.peer_id)

    def _rename(self, peer: Peer) -> bool:
        """Call the peer what it calls itself, else what goes with its key; whether that is new."""
        attributes = decode_attributes(peer.announcement.attributes)
        own = "" if isinstance(attributes, DropReason) else attributes.name
        name = own or self._verifier.name_of(peer.peer_id) or self._verifier.name(peer.peer_id.origin)
        changed, peer.name = name != peer.name, name
        window = self._nacks.windows.get(peer.peer_id)
        if window is not None:
            window.name = name
        return changed

    def _compare_machines(self, peer: Peer) -> None:
        """One origin live on two computers: its key was copied."""
        machine = peer.announcement.machine
        others = (self._roster.get(peer_id) for peer_id in self._roster.of(peer.peer_id.origin))
        machines = {other.announcement.machine for other in others if other is not None and other.confirmed}
        if peer.peer_id.origin == self._context.me.origin:
            machines.add(self._machine)
        if peer.confirmed and any(machine) and any(any(other) and other != machine for other in machines):
            self._context.emit(Alarm("two-machines", peer.peer_id))

    def _doubt_earlier(self, peer: Peer, now: float) -> None:
        """Who starts anew on a computer may have crashed there before.

        The attack: an identity of many peers, each of which would be probed for each that joins.
        """
        origin, machine = peer.peer_id.origin, peer.announcement.machine
        if not any(machine):
            return
        if origin == self._context.me.origin and machine == self._machine and peer.peer_id < self._context.me:
            self._detector.succeeded(peer, now)
        for peer_id in self._roster.of(origin)[-1 - EARLIER : -1] if peer.confirmed else ():
            earlier = self._roster.get(peer_id)
            if earlier is not None and earlier.announcement.machine == machine and peer_id < peer.peer_id:
                self._detector.succeeded(earlier, now)

    def _fit(self, before: int | None, now: int | None) -> None:
        """A peer takes datagrams of `now` bytes instead of `before`; None: it is not here."""
        payload = self._context.payload
        if now is not None and now <= payload:
            self._sender.fit(now)
        elif before == payload:
            limits = (peer.announcement.limit for peer in self._roster)
            self._sender.fit(min(limits, default=self._context.settings.payload))

    def _interval(self, peer: Peer) -> float:
        """How often a peer announces itself: as it says, within bounds: a lie would keep a dead one here."""
        own = self.timer.settled
        return max(own, min(peer.announcement.interval / 1000, 2 * own))

    def _on_goodbye(self, datagram: Datagram, frame: Goodbye, now: float) -> DropReason | None:
        """A peer leaves."""
        peer_id = PeerId(frame.origin, frame.incarnation)
        if peer_id == self._context.me:
            return DropReason.OWN
        known = peer_id in self._roster
        reason = self._verifier.check(frame, known, now)
        if reason is not None:
            return reason
        since = began(peer_id.incarnation) * 1000
        detector = self._detector
        fresh = not detector.has_left(peer_id) and detector.freshness.judge(peer_id, since, now)
        detector.departed(peer_id)
        if fresh:
            self._context.networks.heard(peer_id, datagram.networks)
        if fresh or known or self._nacks.windows.get(peer_id) is not None:
            self._receiver.exist(peer_id, 1, frame.high, self._context.unix_ms(now), now, HURRY)
        self._remove(peer_id, "goodbye", now)
        return None

    def _remove(self, peer_id: PeerId, reason: str, now: float) -> None:
        """A peer is gone."""
        self._detector.forget(peer_id)
        self._nacks.depart(peer_id, now, reason == "goodbye")
        self._flow.election.left(peer_id)
        self._feedback.left(peer_id)
        peer = self._roster.get(peer_id)
        if peer is not None:
            windows = self._nacks.windows
            if peer.placed and windows.get(peer_id) is None and windows.resumes(peer_id) is None:
                windows.remember(peer_id, peer.start, peer.start)
            self._roster.remove(peer_id)
            self._fit(peer.announcement.limit, None)
            self._count_members(now)
            self._context.emit(PeerLeft(peer.view(), reason))

    # Those that wait

    def postpone(self, frames: list[Frame], datagram: Datagram, now: float) -> None:
        """A datagram was over the budget: if it is the announcement of a stranger, with its key, keep it."""
        key, frame = (frames[0], frames[-1]) if len(frames) == 2 else (None, None)
        if isinstance(key, Key) and isinstance(frame, Announcement):
            peer_id = PeerId(frame.origin, frame.incarnation)
            if peer_id not in self._roster and not self._detector.has_left(peer_id):
                self.postponed.add(Postponed(key, frame, datagram, now))
                self.rearm()

    def _take_up(self, now: float) -> None:
        """Check as many of them as the budget has signatures to spare.

        They are judged by the time at which they came, as what they say was true then.
        """
        while self._verifier.spare(now):
            entry = self.postponed.take(now)
            if entry is None:
                return
            self._context.drop(self._keys.on_key_frame(entry.datagram, entry.key, entry.at))
            self._context.drop(self._take(entry.datagram, entry.announcement, entry.at, prompt=False))
        self.postponed.rest(now)
