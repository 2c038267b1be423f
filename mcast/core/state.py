"""All parts of one engine, side by side. Parts do not know each other; the functions around them do."""

from __future__ import annotations

from collections import Counter, deque
from typing import TypeVar

import msgspec

from mcast.crypto.keys import Identity
from mcast.crypto.rooms import Room
from mcast.crypto.signed import sign_frame
from mcast.settings import Settings
from mcast.wire import limits
from mcast.wire.attributes import Attributes, encode_attributes
from mcast.wire.frames import NEWCOMER, Announcement, Frame, Heartbeat, Key, Signed
from mcast.wire.reasons import DropReason
from mcast.wire.records import Record

from .admission import Admission
from .answers import KeyAnswers
from .authority import Authority, issued
from .candidates import Candidates
from .checks import Checks
from .clock import Clock
from .events import Address, Event
from .flow import Flow
from .generator import Generator
from .grtt import GroupRoundTrip
from .handover import Collector, Greetings, Tokens
from .inbox import Inbox
from .liveness import Liveness, Tombstones
from .meeting import Meetings
from .past import Past
from .peer_id import PeerId
from .postponed import Postponed
from .presence import Announcer
from .publisher import Flush, Publisher
from .quota import Bucket, Quotas
from .reception import Reception
from .repair import Repairs
from .reporting import Confirmations, Reporter
from .retention import Retention, Sent
from .roster import Roster
from .timers import Timers
from .waiting import Waiting

S = TypeVar("S", bound=Signed)

REQUESTERS = 1024  # identities with a repair quota of their own
NACKED = 20 * 1024  # sequences a second that one identity may name in NACKs; looking them up costs time
REPORTS, REPORTS_AT_ONCE = 2, 5  # requests for reports heeded a second; unsigned, so anybody's flood
PASSIVE_TIMEOUT = 5.0  # seconds: who cannot ask must not wait for ever
DOUBTS, DOUBTS_AT_ONCE = 5, 20  # probes a second of runs that may be recordings
HURRY = 0.02  # seconds: the group round-trip time that who is leaving tells, so that NACKs come in time
PROBES = 100  # probes answered a second; the attack is a flood of them
WHOS = 100  # WHO frames answered a second; the same attack


class Sending(msgspec.Struct, frozen=True):
    """Frames that leave in one datagram, padded to `size` bytes; `destination` None is the group.

    `record`: the way that records go, so that they arrive in this order.
    """

    frames: tuple[Frame, ...]
    destination: Address
    size: int = 0
    record: bool = False


class Gone(msgspec.Struct, frozen=True):
    """A flush that is leaving, `size` bytes of datagrams, at time `at`."""

    flush: Flush
    size: int
    at: float


class Manner(msgspec.Struct, frozen=True):
    """How this run behaves: see Engine."""

    visitor: bool
    passive: bool
    quiet: bool
    history: bool
    last: int | None = None
    since: float | None = None


class State:
    """What an engine consists of."""

    def __init__(
        self,
        settings: Settings,
        room: Room,
        identity: Identity,
        me: PeerId,
        session: bytes,
        name: str,
        generator: Generator,
        clock: Clock,
        manner: Manner,
        attributes: Attributes,
        machine: bytes,
        checks: Checks | None,
    ) -> None:
        now = clock.started
        checks = checks or Checks(room)
        self.settings, self.room, self.me, self.name = settings, room, me, name
        self.generator, self.clock, self.manner = generator, clock, manner
        self.machine, self.flags = machine, 0
        self.port, self.hosts = 0, frozenset[str]()
        self.attributes = encode_attributes(attributes)
        self._identity = identity
        self._counter = 0
        # Traffic
        self.events: list[Event] = []
        self.control: deque[Sending] = deque()
        self.taken: list[tuple[Inbox, list[Record], float, float]] = []  # told; the rest is to be done
        self.gone: Gone | None = None  # to be written down
        self.drops: Counter[DropReason] = Counter()
        self.sent_frames: Counter[str] = Counter()
        self.payload = settings.payload
        self.flow = Flow(settings, now)
        self.unread = 0
        # Of the datagram that is being taken apart
        self.echoed: bytes | None = None
        self.datagram_size = 0
        self.direct = False
        self.vouched: PeerId | None = None
        self.age = 0.0  # of its next record, as its giver says
        # Trust
        self.admission = Admission(checks, session)
        self.authority = Authority(checks, settings.verifications, 2 * settings.peers, now)
        self.unkeyed: Waiting[bytes] = Waiting()
        self.keys = KeyAnswers()
        # Members
        self.roster = Roster(settings.peers, settings.runs_per_origin)
        self.liveness = Liveness(generator, settings.live_window, 2 * settings.peers)
        self.unproven: Waiting[PeerId] = Waiting()
        self.candidates = Candidates()
        self.tombstones = Tombstones()
        self.silence: Timers[PeerId] = Timers()
        self.announcer = Announcer(
            generator,
            settings.announce_interval,
            settings.announce_rate,
            now,
            settings.announce_spacing,
            settings.announce_patience,
        )
        self.postponed = Postponed(settings.peers // 2)
        self.announced = 0
        self.tokens = Tokens(generator, now)
        self.greetings = Greetings(generator, now)
        self.collector = Collector(settings.peers)
        self.doubts = Bucket(DOUBTS, DOUBTS_AT_ONCE, now)
        self.probe_answers = Bucket(PROBES, PROBES, now)
        # Unicast
        self.meetings = Meetings(generator)
        self.who_answers = Bucket(WHOS, WHOS, now)
        # Records
        self.grtt = GroupRoundTrip(settings.grtt_initial, settings.grtt_min, settings.grtt_max)
        self.measured_at = float("-inf")
        self.measurements = 0
        self.measure_at: float | None = None
        sent = Sent(settings.sent_records, settings.sent_bytes)
        self.publisher = Publisher(identity, room, me, settings.payload, settings.flush_interval, sent)
        self.reception = Reception(
            generator,
            settings.window,
            settings.reorder_grace,
            settings.held_bytes,
            settings.peers,
            settings.grtt_min,
            PASSIVE_TIMEOUT if manner.passive and settings.gap_timeout is None else settings.gap_timeout,
        )
        self.retention = Retention(
            settings.retained_records,
            settings.retained_bytes,
            settings.retained_seconds,
            settings.retained_share,
        )
        self.repairs = Repairs()
        self.own_quotas = Quotas(settings.repair_rate, settings.repair_rate, REQUESTERS)
        self.other_quotas = Quotas(settings.repair_rate, settings.repair_rate, REQUESTERS)
        self.nack_quotas = Quotas(NACKED, 2 * limits.WINDOW, REQUESTERS)
        self.reporter = Reporter(generator, settings.report_rate, settings.report_interval)
        self.report_requests = Bucket(REPORTS, REPORTS_AT_ONCE, now)
        self.confirmations = Confirmations(settings.peers)
        self.key_frame = self.sign(Key(identity.public_key, issued(me.incarnation), name))
        self.past = Past(generator, settings, manner.last, manner.since, now)
        # Life
        self.heard_any = False
        self.may_send = not (manner.passive or manner.quiet)
        self.closing = False
        self.departed = False
        self.closed = False

    @property
    def members(self) -> int:
        """Peers and we."""
        return len(self.roster) + 1

    def has_heard(self) -> None:
        """Somebody was heard: who was quiet until then may send, unless passive."""
        self.heard_any = True
        self.may_send = not self.manner.passive

    @property
    def aggregation(self) -> float:
        """Seconds that an origin gathers requests before it repairs; who is leaving has no time for it."""
        return self.settings.grtt_min if self.closing else max(self.settings.grtt_min, self.grtt.value)

    def told_grtt(self, micros: int) -> float:
        """A group round-trip time that another run told, in microseconds, within our limits."""
        return min(self.settings.grtt_max, max(self.settings.grtt_min, micros / 1e6))

    def sign(self, frame: S) -> S:
        """`frame` with our signature."""
        return sign_frame(self._identity, self.room.id, frame)

    def counter(self) -> int:
        """The next counter of our signed frames."""
        self._counter += 1
        return self._counter

    def fit(self, payload: int) -> None:
        """Send datagrams of at most `payload` bytes, and never more than our own limit."""
        self.payload = min(payload, self.settings.payload)
        self.publisher.outbox.resize(limits.max_body(self.payload))

    def queue(self, *frames: Frame, to: Address = None, size: int = 0, record: bool = False) -> None:
        """Send `frames` in one datagram, as Sending has it; those who never send drop them here."""
        if self.may_send:
            self.control.append(Sending(frames, to, size, record))
            self.sent_frames[type(frames[-1]).__name__.lower()] += 1

    def announcement(self, now: float, *, newcomer: bool = False) -> Announcement:
        """Ours as of now."""
        sent = self.publisher.sent
        return self.sign(
            Announcement(
                *self.me,
                counter=self.counter(),
                timestamp=self.clock.unix_ms(now),
                low=sent.low,
                high=sent.high,
                interval=min(2**32 - 1, round(self.announcer.settled * 1000)),
                grtt=round(self.grtt.value * 1e6),
                limit=self.settings.payload,
                port=self.port,
                flags=self.flags | (NEWCOMER if newcomer else 0),
                machine=self.machine,
                attributes=self.attributes,
            )
        )

    def heartbeat(self, now: float) -> Heartbeat:
        """Which records we hold."""
        sent = self.publisher.sent
        grtt = min(self.grtt.value, HURRY) if self.closing else self.grtt.value
        return self.sign(
            Heartbeat(
                *self.me,
                counter=self.counter(),
                timestamp=self.clock.unix_ms(now),
                low=sent.low,
                high=sent.high,
                grtt=round(grtt * 1e6),
            )
        )

    def room_left(self, *frames_size: int) -> int:
        """Bytes for frames in a datagram besides those of `frames_size` bytes."""
        return self.payload - limits.HEADER_SIZE - limits.TAG_SIZE - sum(frames_size)
