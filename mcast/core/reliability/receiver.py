"""The receive path: records and heartbeats of others, into their receive windows and to the application."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from operator import attrgetter

from mcast.core.auth.keys import KeyExchange, Waiter
from mcast.core.auth.verifier import Verifier
from mcast.core.context import Context, Datagram, Handlers
from mcast.core.events import CLOCK_OFF, Address, Alarm, PeerId
from mcast.core.flow.feedback import Feedback
from mcast.core.history.fetches import Fetches
from mcast.core.history.replay import Replay
from mcast.core.history.store import Store
from mcast.core.incarnation import began
from mcast.core.membership.failure_detector import FailureDetector
from mcast.core.membership.roster import Roster
from mcast.wire.frames import Age, Heartbeat
from mcast.wire.limits import WINDOW
from mcast.wire.reasons import DropReason
from mcast.wire.records import Record

from .nack import NackScheduler
from .retransmit import Retransmitter
from .sender import TransmitWindow
from .window import ReceiveWindow

FLOWING = 1.0  # seconds after a record or heartbeat in which another word, come another way, may be too early
ROUNDING = 1.0  # seconds
SETTLED = 10.0  # seconds after joining in which the peers of before are heard of
CATCH_UP = 256  # records asked for of a peer that was there without our hearing of it
PUBLISHED = 32  # records a second of our stay that a peer may have published before we first heard of it
TOGETHER = 16  # batches taken before the rest is done for them


class Receiver:
    """Takes records in batches: those of one peer that came together are verified and delivered as one.

    The application is told first. What else there is to do for records that were taken (hold them for others,
    report on them) waits for settle(), which begins every call of the engine but for more records.

    Anti-entropy is told by on_fetched(record, datagram, now, age) of records that it asked for, by
    on_history(author, record, now, age) of those published before we came, by on_moved(now) of any.
    """

    def __init__(
        self,
        context: Context,
        verifier: Verifier,
        keys: KeyExchange,
        roster: Roster,
        detector: FailureDetector,
        nacks: NackScheduler,
        retransmitter: Retransmitter,
        feedback: Feedback,
        store: Store,
        replay: Replay,
        fetches: Fetches,
        sent: TransmitWindow,
    ) -> None:
        self._context, self._verifier, self._keys, self._roster = context, verifier, keys, roster
        self._detector, self._nacks, self._windows = detector, nacks, nacks.windows
        self._retransmitter, self._feedback = retransmitter, feedback
        self._networks = context.networks
        self._store, self._replay, self._fetches, self._sent = store, replay, fetches, sent
        self.handlers: Handlers = {
            Record: self._on_record_frame,
            Age: self._on_age,
            Heartbeat: self._on_heartbeat,
        }
        self.on_fetched: Callable[[Record, Datagram, float, float], DropReason | None]
        self.on_history: Callable[[PeerId, Record, float, float], None]
        self.on_moved: Callable[[float], None]
        self.unsettled: list[tuple[ReceiveWindow, list[Record], float, float]] = []
        self.next_timeout = inf
        keys.on_key = self._on_key

    def on_timeout(self, now: float) -> None:
        """Nothing here has a time."""

    def _on_age(self, datagram: Datagram, frame: Age, now: float) -> None:
        """The next record of the datagram is so old, as its giver says: nobody signed it."""
        datagram.age = frame.age / 1000

    def _on_record_frame(self, datagram: Datagram, record: Record, now: float) -> DropReason | None:
        """A record beside other frames; an AGE before it says how old it is."""
        age, datagram.age = datagram.age, 0.0
        self.receive([record], datagram, now, age)
        return None

    def receive(
        self, records: list[Record], datagram: Datagram, now: float, age: float = 0.0, *, live: bool = False
    ) -> None:
        """Take records that came in one datagram or one after the other, `age` seconds old.

        `live`: not as what was fetched, though it may have been asked for.
        """
        if len(self.unsettled) >= TOGETHER:
            self.settle()
        while records:
            first = records[0]
            peer_id = PeerId(first.origin, first.incarnation)
            window = self._windows.get(peer_id)
            if self._fetches.active and not live and self._fetches.wants(peer_id, first.sequence):
                done, reason = 1, self.on_fetched(first, datagram, now, age)
            elif window is None or (refused := window.buffer.refuse(first.sequence)) is None:
                done, reason = self._take_front(peer_id, window, records, datagram, now, age)
            elif refused is DropReason.DUPLICATE:
                done, reason = 1, self._again(window, first, datagram, now)
            else:
                done, reason = 1, refused
            if reason is not None:
                self._context.drops[reason] += 1
            records = records[done:]

    def _take_front(
        self,
        peer_id: PeerId,
        window: ReceiveWindow | None,
        records: list[Record],
        datagram: Datagram,
        now: float,
        age: float,
    ) -> tuple[int, DropReason | None]:
        """Take what can be taken together: how many records are done with, and why the last was dropped."""
        if window is None:
            return 1, self._take_new(peer_id, records[0], datagram, now, age)
        if self._fetches.active:
            row, in_order = records[:1], False  # each of them may have been asked for
        else:
            row, in_order = window.front(records)
        trusted = self._roster.get(peer_id) is not None
        genuine, reason = self._verifier.check_records(row, trusted, now)
        done = genuine
        if genuine:
            self._networks.heard(peer_id, datagram.networks)
            source = datagram.source
            if age and self._is_old(window, row[0], now, age):
                return 1, self._take_old(window, row[0], now, age)
            if self._fetches.active:
                return 1, self._take_one(window, row[0], source, now, age)
            if in_order:
                self._take_in_order(window, row[:genuine], source, now, age)
            else:
                done = self._take_row(window, row[:genuine], source, now, age)
        if reason is None or done < genuine:
            return done, None
        if reason is DropReason.UNKNOWN_KEY:
            reason = self._keys.hold(row[genuine], datagram, now, age)
        return genuine + 1, reason

    def _take_new(
        self, peer_id: PeerId, record: Record, datagram: Datagram, now: float, age: float
    ) -> DropReason | None:
        """Take a record of a peer without a window."""
        reason = self._vet_first(peer_id, record, now)
        if reason is not None:
            return reason
        reason = self._verifier.check_record(record, peer_id in self._roster, now)
        if reason is DropReason.UNKNOWN_KEY:
            return self._keys.hold(record, datagram, now, age)
        if reason is not None:
            return reason
        return self._take_first(peer_id, record, datagram, now, age)

    def _vet_first(self, peer_id: PeerId, record: Record, now: float) -> DropReason | None:
        """A record of a peer without a window: whether it is not wanted, whoever signed it."""
        if peer_id == self._context.me:
            own = self._sent.get(record.sequence)
            if own is not None and own.payload == record.payload:
                self._retransmitter.heard(peer_id, record.sequence, now)
            return DropReason.OWN
        if self._store.get(peer_id, record.sequence) is not None:
            return DropReason.DUPLICATE  # history, perhaps: one copy more must not make it news
        return None

    def _again(self, window: ReceiveWindow, record: Record, datagram: Datagram, now: float) -> DropReason:
        """A record we have: one copy more, or another record under the same number."""
        self.settle()
        peer_id = window.peer_id
        held = window.buffer.held(record.sequence)
        payload = held.payload if held else self._store.get(peer_id, record.sequence)
        if payload == record.payload:
            self._networks.heard(peer_id, datagram.networks)
            self._retransmitter.heard(peer_id, record.sequence, now)
            return DropReason.DUPLICATE
        if payload is None or payload.endswith(record.signed):
            return DropReason.DUPLICATE
        if self._verifier.check_record(record, peer_id in self._roster, now) is not None:
            return DropReason.BAD_SIGNATURE
        if not window.equivocated:
            window.equivocated = True
            self._context.emit(Alarm("equivocation", peer_id))
        return DropReason.EQUIVOCATION

    def _take_first(
        self, peer_id: PeerId, record: Record, datagram: Datagram, now: float, age: float
    ) -> DropReason | None:
        """The first we hear of a peer's records is a genuine record."""
        peer = self._roster.get(peer_id)
        if self._before_us(age, now) and not (peer is not None and peer.placed):
            return DropReason.NOT_ASKED  # a repair for somebody else
        if not self._detector.freshness.judge(peer_id, record.timestamp + round(age * 1000), now):
            if not self._detector.unproven.add(peer_id, record, datagram, now, age):
                return DropReason.WAITING_FULL
            self._detector.doubt(peer_id, datagram.source, datagram.networks, now)
            return None
        self._networks.heard(peer_id, datagram.networks)
        window = self._open_by_record(peer_id, record, now, age)
        if isinstance(window, DropReason):
            return window
        if self._is_old(window, record, now, age):
            return self._take_old(window, record, now, age)
        refused = window.buffer.refuse(record.sequence)
        if refused is not None:
            return DropReason.NOT_ASKED if refused is DropReason.DUPLICATE else refused
        return self._take_one(window, record, datagram.source, now, age)

    def _take_in_order(
        self, window: ReceiveWindow, row: list[Record], source: Address, now: float, age: float
    ) -> None:
        """Take genuine records that follow each other and what is here."""
        self._newest(window, row[-1], now, age)
        self._context.events += window.accept_row(row, source, now)
        self.unsettled.append((window, row, now, age))

    def _take_row(
        self, window: ReceiveWindow, row: list[Record], source: Address, now: float, age: float
    ) -> int:
        """Take genuine records that a window wants which lacks others: how many are done with, at least one.

        It is not all of them if one comes twice.
        """
        high = window.buffer.high
        taken: list[Record] = []
        done = 0
        for record in row:
            if window.buffer.refuse(record.sequence) is not None:
                break
            if self._over_quota(window, record, now):
                self._context.drop(DropReason.OVER_QUOTA)
            else:
                self._accept(window, record, source, now)
                taken.append(record)
            done += 1
        if taken:
            self.unsettled.append((window, taken, now, age))
            newest = max(taken, key=attrgetter("sequence"))
            if newest.sequence > high:
                self._newest(window, newest, now, age)
        return done

    def _take_one(
        self, window: ReceiveWindow, record: Record, source: Address, now: float, age: float
    ) -> DropReason | None:
        """Take a genuine record that the window wants."""
        if self._over_quota(window, record, now):
            return DropReason.OVER_QUOTA
        if record.sequence > window.buffer.high:
            self._newest(window, record, now, age)
        self._accept(window, record, source, now)
        self.unsettled.append((window, [record], now, age))
        return None

    def _accept(self, window: ReceiveWindow, record: Record, source: Address, now: float) -> None:
        self._context.events += window.accept(record, source, now)
        if window.out_of_step:
            self._nacks.update(window, now)

    # What was published before we came

    def _before_us(self, age: float, now: float) -> bool:
        """Whether what is `age` seconds old was published before we joined. No clock of others counts."""
        return age > now - self._context.started

    def _is_old(self, window: ReceiveWindow, record: Record, now: float, age: float) -> bool:
        """Whether a record was published before we came: what its author says has come since was not."""
        return record.sequence <= window.existing and self._before_us(age, now)

    def _take_old(self, window: ReceiveWindow, record: Record, now: float, age: float) -> DropReason | None:
        """Take a genuine record of before we came: what precedes it does not concern us either."""
        self._pass_over(window, record.sequence, now, age)
        self.hold(window.peer_id, [record], now, age)
        if not self._context.mode.history:
            return DropReason.NOT_ASKED
        self.on_history(window.peer_id, record, now, age)
        return None

    def _pass_over(self, window: ReceiveWindow, sequence: int, now: float, age: float) -> None:
        """Wait for no record of a peer up to `sequence`, which is `age` seconds old."""
        window.trust()  # what tells us so is a genuine record
        self._told_live(window)
        self._context.events += window.begin_after(sequence, now)
        self._nacks.update(window, now)
        self._hand_over(window, now, age)
        self._told_live(window)

    def _told_live(self, window: ReceiveWindow) -> None:
        """What was told of a peer is not missing in what is told of before."""
        if self._context.mode.history:
            self._replay.not_missing(window.peer_id, window.first, window.buffer.next)

    def _hand_over(self, window: ReceiveWindow, now: float, age: float) -> None:
        """What has come of before we came is told with the rest of it."""
        if self._context.mode.history:
            for record in window.begun:
                self.on_history(window.peer_id, record, now, age)
        window.begun.clear()

    def take_known(self, record: Record, source: Address, now: float, age: float) -> DropReason | None:
        """Take a genuine record that somebody held for us. NOT_ASKED: it was published before we came."""
        peer_id, sequence = PeerId(record.origin, record.incarnation), record.sequence
        window = self._windows.get(peer_id) or self._open_known(peer_id, record, now, age)
        if window is None:
            return DropReason.NOT_ASKED
        if self._is_old(window, record, now, age):
            self._pass_over(window, sequence, now, age)
            return DropReason.NOT_ASKED
        if sequence < window.first:
            # What came to its holder a moment later than it was published seems younger than it is.
            moment = self._context.rtt.value
            if self._before_us(age + moment, now) or self._replay.was_told(peer_id, sequence):
                return DropReason.NOT_ASKED
            self._context.events += window.expect_late(sequence)
            self._replay.not_missing(peer_id, sequence, sequence + 1)
        window.trust()  # the record is genuine, so its author has published
        refused = window.buffer.refuse(record.sequence)
        if (
            refused is DropReason.OUT_OF_WINDOW
        ):  # what comes before is asked for first; the author may be gone
            window.learn(sequence, now)
            self._nacks.update(window, now)
        return refused or self._take_one(window, record, source, now, age)

    def _over_quota(self, window: ReceiveWindow, record: Record, now: float) -> bool:
        """Whether there is no room for a record that would have to wait; then it is missing."""
        sequence = record.sequence
        if sequence <= window.buffer.next or not self._windows.crowded(
            window, sequence, len(record.payload), now
        ):
            return False
        window.refused(sequence, now)
        self._nacks.update(window, now)
        return True

    def _newest(self, window: ReceiveWindow, record: Record, now: float, age: float) -> None:
        """No record of its author is newer."""
        if window.departed and not self._detector.has_left(window.peer_id):
            self._nacks.returned(window.peer_id, now)
        self._detector.alive(window.peer_id, now)
        window.echo, window.echo_at = record.timestamp, now
        skew = record.timestamp / 1000 + age - now - self._context.wall_offset
        window.skew = skew if skew > CLOCK_OFF or skew < -CLOCK_OFF else 0.0

    def settle(self) -> None:
        """Do what else there is to do for records that were taken; the application was told before."""
        taken, self.unsettled = self.unsettled, []
        fresh: dict[ReceiveWindow, int] = {}
        for window, row, now, age in taken:
            self.hold(window.peer_id, row, now, age)
            self._hand_over(window, now, age)
            if self._retransmitter.ready or self._retransmitter.next_timeout < inf:
                for record in row:
                    self._retransmitter.heard(window.peer_id, record.sequence, now)
            fresh[window] = fresh.get(window, 0) + len(row)
        for window, count in fresh.items():
            self._feedback.received(window.peer_id, now, count)
            # It may have had to make room since.
            if (window.lacking or window.fragments.bytes) and self._windows.get(window.peer_id) is window:
                self._nacks.update(window, now)

    def hold(self, peer_id: PeerId, records: list[Record], now: float, age: float) -> None:
        """Hold records for others."""
        if self._store.add(peer_id, records, now, age):
            self.on_moved(now)

    def _on_heartbeat(self, datagram: Datagram, frame: Heartbeat, now: float) -> DropReason | None:
        """A peer says which records of it exist."""
        peer_id = PeerId(frame.origin, frame.incarnation)
        if peer_id == self._context.me:
            return DropReason.OWN
        reason = self._keys.check(datagram, frame, now)
        if reason is not None:
            return reason
        if not self._detector.judge(peer_id, frame.timestamp, datagram, now):
            return DropReason.NOT_LIVE
        self._networks.heard(peer_id, datagram.networks)
        self._detector.heard(peer_id, now)
        datagram.verified = peer_id
        grtt = self._context.rtt.told(frame.grtt / 1e6)
        window = self._windows.get(peer_id)
        if window is not None:
            window.echo, window.echo_at, window.heard_at = frame.timestamp, now, now
            window.grtt = grtt
        return self.exist(peer_id, frame.low, frame.high, frame.timestamp, now, grtt)

    def exist(
        self, peer_id: PeerId, low: int, high: int, timestamp: int, now: float, grtt: float = inf
    ) -> DropReason | None:
        """Records `low` to `high` of a live peer exist; if some are missing, `grtt` tells how soon to ask."""
        peer = self._roster.get(peer_id)
        if peer is not None and not peer.placed:
            peer.placed = True
            peer.existing = high
        window = self._windows.get(peer_id)
        if window is None:
            if peer is not None and peer.start > high:
                return None
            opened = self._open_by_word(peer_id, high, timestamp, now)
            if isinstance(opened, DropReason):
                return opened
            window = opened
        window.grtt = min(window.grtt, grtt)
        if grtt < inf or now - window.heard_at > FLOWING:
            window.learn(high, now)
        window.overwritten(low, now)
        self._nacks.update(window, now)
        return None

    # From which record on a peer concerns us

    def first_wanted(
        self,
        peer_id: PeerId,
        timestamp: int,
        high: int,
        now: float,
        *,
        old: float = 0.0,
        confirmed: bool = True,
    ) -> int:
        """The first record that concerns us of a peer just heard of, which had published `high` at its
        `timestamp`, `old` seconds ago.

        All of them if, by its own clock, the peer is no older than our stay. Else the latest ones, as many as
        it may have published while we were here: our first word of it need not be its first to us. Those from
        before we joined are told apart by their age. A peer that is not `confirmed`, as only others told of
        it: who has only come lacks nothing.
        """
        stay = now - self._context.started
        age = timestamp / 1000 - began(peer_id.incarnation)
        if -ROUNDING <= age <= stay - old + ROUNDING:
            return 1
        if not confirmed and stay <= SETTLED:
            return high + 1
        back = int(stay * PUBLISHED)
        back = min(CATCH_UP, back) if age >= 0 else min(WINDOW, max(CATCH_UP, back))
        return max(1, high + 1 - back)

    def _open_by_record(
        self, peer_id: PeerId, record: Record, now: float, age: float
    ) -> ReceiveWindow | DropReason:
        """The first we hear of a peer's records is one of them."""
        peer = self._roster.get(peer_id)
        if peer is not None and peer.placed:
            return self._open(peer_id, peer.start, peer.existing, now)
        start = self.first_wanted(peer_id, record.timestamp, record.sequence, now, old=age)
        start = min(start, record.sequence) if peer is None else peer.start
        return self._open(peer_id, start, record.sequence, now)

    def _open_by_word(
        self, peer_id: PeerId, high: int, timestamp: int, now: float
    ) -> ReceiveWindow | DropReason:
        """The first we hear of a peer's records is that they exist."""
        peer = self._roster.get(peer_id)
        if peer is not None:
            return self._open(peer_id, peer.start, peer.existing, now)
        return self._open(peer_id, self.first_wanted(peer_id, timestamp, high, now), high, now)

    def _open_known(self, peer_id: PeerId, record: Record, now: float, age: float) -> ReceiveWindow | None:
        """A new window for a peer that published while we were here, as a genuine record shows."""
        peer, resumes = self._roster.get(peer_id), self._windows.resumes(peer_id)
        if peer is not None and peer.placed:
            opened = self._open(peer_id, peer.start, peer.existing, now)
        elif resumes is not None:
            opened = self._open(peer_id, resumes, 0, now)
        elif self._before_us(age, now):
            return None
        else:
            # Not from this record on: others may have been overtaken, or held back by who handed it out.
            low = min(self._fetches.lowest(peer_id) or record.sequence, record.sequence)
            start = self.first_wanted(peer_id, record.timestamp, low, now, old=age)
            opened = self._open(peer_id, min(start, low), record.sequence, now)
        return None if isinstance(opened, DropReason) else opened

    def _open(self, peer_id: PeerId, start: int, existing: int, now: float) -> ReceiveWindow | DropReason:
        peer = self._roster.get(peer_id)
        name = peer.name if peer is not None else self._verifier.name_of(peer_id)
        start = max(start, self._replay.reached(peer_id) + 1)  # nothing is told twice
        window = self._windows.open(peer_id, name, start, existing, now)
        if isinstance(window, ReceiveWindow):
            window.grtt = self._context.rtt.value
            if peer is None:
                self._detector.watch_visitor(peer_id, now)
            else:
                told = self._context.rtt.told(peer.announcement.grtt / 1e6)
                window.grtt = min(window.grtt, told)
        return window

    # Records that waited

    def _on_key(self, origin: bytes, now: float) -> None:
        """Records waited for this key."""
        self._retry(self._keys.waiting.take(origin), now, live=False)

    def proven(self, peer_id: PeerId, now: float) -> None:
        """Records waited for their author to prove itself live."""
        self._retry(self._detector.unproven.take(peer_id), now, live=True)

    def _retry(self, waiters: list[Waiter], now: float, *, live: bool) -> None:
        for waiter in waiters:
            self.receive([waiter.record], waiter.datagram, now, waiter.age, live=live)
