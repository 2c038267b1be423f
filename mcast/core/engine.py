"""The protocol engine of one peer in one room: bytes and time in, bytes, events and deadlines out.

It touches no socket, reads no clock and draws no randomness of its own; whoever drives it does:

    engine.receive(datagram, source, now)      for each datagram that arrived
    engine.tick(now)                           when `deadline()` has passed (and at any other time)
    for outgoing in engine.datagrams(now): send outgoing.data to outgoing.destination, or to the group if None
        (then by outgoing.interfaces, or by all if None)
    for event in engine.events(): tell the application
    arm the one timer for engine.deadline()    on the clock of `now`; None: nothing is due

Every call takes `now`, seconds on a monotonic clock. An address is a tuple as sockets have it, `(host, port,
…)`; `destination` None is the group, anything else an address that was handed in as `source` or told by a
peer. `receive` never raises, whatever the bytes; drops are counted by reason.

The engine dispatches frames to its components and loops over their timers. Each component owns its tables,
the handlers of its frames and its timer (see context.Component).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import get_args

import msgspec

from mcast.crypto.keys import Identity
from mcast.crypto.rooms import Room, keyed_room
from mcast.crypto.seal import Sealer
from mcast.errors import UsageError
from mcast.settings import Settings
from mcast.wire.attributes import Attributes
from mcast.wire.codec import encode_frames
from mcast.wire.contents import ContentKind
from mcast.wire.frames import (
    ANSWERS,
    Announcement,
    Directed,
    DirectedAck,
    Frame,
    Goodbye,
    Key,
    KeyRequest,
    Nack,
    Report,
    Request,
)
from mcast.wire.reasons import DropReason
from mcast.wire.records import Record

from .auth.ingress import Checks, Ingress
from .auth.keys import KeyExchange
from .auth.verifier import Verifier
from .context import Component, Context, Datagram, Handler, Mode
from .directed.receiver import DirectedReceiver
from .directed.routes import Routes
from .directed.sender import PATIENCE, DirectedSender
from .events import Address, Detour, Event, OtherRoom, OtherVersion, PeerId, PeerView, RoomView, Unheard
from .flow.controller import FlowController
from .flow.feedback import PAGE, Feedback
from .history.anti_entropy import AntiEntropy
from .history.fetches import Fetches
from .history.replay import Replay
from .history.serving import RecordServer
from .history.store import SavedRecord, Store
from .membership.directory import Directory
from .membership.failure_detector import FailureDetector
from .membership.fallback import Fallback
from .membership.pings import Pings
from .membership.presence import Presence
from .membership.roster import Roster
from .membership.roster_sync import AddressTokens, RosterSync
from .membership.unicast import Unicast
from .networks import ALL
from .reliability.nack import NackScheduler
from .reliability.receiver import Receiver
from .reliability.retransmit import Retransmitter
from .reliability.sender import Outbox, Sender, TransmitWindow
from .reliability.slices import PathSize
from .timers import Rng

QUIET_SPREAD = 0.1  # seconds: many may listen quietly and all hear the same first word
# What still counts while leaving: requests for our last records, reports on them, keys, and messages whose
# acknowledgement was lost.
LAST_FRAMES = (Nack, Key, KeyRequest, Report, Directed, DirectedAck)
REQUESTS = get_args(Request)
GOODBYES = (0.0, 0.03, 0.06)  # seconds after closing at which the goodbye is said
LINGER = 0.3  # seconds after the last record in which we still answer NACKs: perhaps we alone have it. The
# same after a message to us alone was acknowledged: if that was lost, its sender asks again.
KEY_ID, SESSION, VERSION_AT = slice(4, 8), slice(8, 16), 2  # of a datagram
LOOK = 1.0  # seconds between two looks at who uses another key
NOTHING_OFFERED = Attributes()
PARTICIPANT = Mode()


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """Names a message that was sent: `sequence` of its record (the last of several), `index` in it."""

    peer_id: PeerId
    sequence: int
    index: int


class Outgoing(msgspec.Struct, frozen=True):
    """A datagram to send; `destination` None is the group. `record`: it goes the way of records, not of
    presence. `interfaces`: the numbers of those by which it may leave to the group, None if by all; it
    belongs to `networks`."""

    data: bytes
    destination: Address
    record: bool = False
    networks: int = ALL
    interfaces: tuple[int, ...] | None = None


class Engine:
    """One peer: see the module's docstring.

    `mode.visitor`: in no roster, without join and goodbye (send, ask, browse). `passive`: never sends.
    `quiet`: sends nothing until it has heard a valid datagram. `history`: also tell of messages published
    before joining, fetched from whoever has them: the `last` ones of them, of the last `since` seconds.
    `rng` is drawn on for nonces too: hand in `random.SystemRandom()` outside of simulations.
    """

    def __init__(
        self,
        settings: Settings,
        room: Room,
        identity: Identity,
        *,
        incarnation: int,
        session: bytes,
        name: str,
        rng: Rng,
        now: float,
        wall: float,
        mode: Mode = PARTICIPANT,
        attributes: Attributes = NOTHING_OFFERED,
        machine: bytes = bytes(8),
        checks: Checks | None = None,
    ) -> None:
        self.peer_id = me = PeerId(identity.origin, incarnation)
        self.ticking = -inf
        self.closed = False
        self._context = context = Context(settings, room, identity, me, name, rng, mode, now, wall)
        self._sealer = Sealer(room, session)
        checks = checks or Checks(room)
        self._ingress = Ingress(checks, session)
        # Each component is given those it needs; what needs one built later is wired by that one.
        verifier = self._verifier = Verifier(context, checks)
        roster = self._roster = Roster(context, settings.peers, settings.peers_per_identity)
        flow = self._flow = FlowController(context, roster, verifier)
        window = TransmitWindow(settings.sent_records, settings.sent_bytes)
        store = self._store = Store(context, window, roster)
        keys = self._keys = KeyExchange(context, verifier, roster, store.holds)
        nacks = self._nacks = NackScheduler(context, roster, verifier.own_key)
        sender = self._sender = Sender(context, window, flow, verifier.own_key)
        detector = self._detector = FailureDetector(context, verifier, roster, nacks, store, window)
        feedback = self._feedback = Feedback(context, verifier, keys, roster, detector, nacks, window, flow)
        retransmitter = self._retransmitter = Retransmitter(
            context, keys, roster, detector, nacks, store, window, flow
        )
        replay = Replay(mode.last, mode.since, now)
        fetches = Fetches(context, verifier, store, replay)
        receiver = self._receiver = Receiver(
            context,
            verifier,
            keys,
            roster,
            detector,
            nacks,
            retransmitter,
            feedback,
            store,
            replay,
            fetches,
            window,
        )
        presence = self._presence = Presence(
            context,
            verifier,
            keys,
            roster,
            detector,
            nacks,
            receiver,
            sender,
            feedback,
            flow,
            attributes,
            machine,
        )
        tokens = AddressTokens(rng)
        self._roster_sync = RosterSync(context, verifier, roster, detector, presence, tokens)
        unicast = self._unicast = Unicast(context, roster, presence, tokens)
        self._pings = Pings(context, tokens)
        self.questions: Sequence[object] = self._pings.questions
        self._fallback = Fallback(context, roster, detector, feedback, sender, unicast)
        server = self._server = RecordServer(context, verifier, store, tokens)
        self._anti_entropy = AntiEntropy(context, verifier, roster, receiver, store, server, fetches, replay)
        self._directory = Directory(context, roster, session)
        routes = Routes(roster)
        self._directed_sender = DirectedSender(context, verifier, keys, routes)
        self._directed_receiver = DirectedReceiver(
            context, verifier, keys, roster, detector, routes, self._directed_sender
        )
        self._networks = context.networks
        path_size = PathSize(context, receiver, nacks, store)
        self._connect(path_size)
        self._heard_any = self._version_told = False
        self._lookalikes = dict(room.lookalikes)  # each is told once: anybody can forge a key id
        self._retired: list[bytes] = []  # ids of keys of this room that were replaced
        self._untold = {"old-key", "new-key", "other-key"}
        self._look_at = now
        self._departed = self._says_goodbye = False
        self._goodbyes: list[float] = []
        self._last_reported: list[PeerId] = []  # whom our last report is about, as many as one datagram holds

    def _connect(self, path_size: PathSize) -> None:
        """Tell components what others tell them, and put them in order."""
        self._networks.keep = lambda peer_id: peer_id in self._roster or bool(self._store.held.of(peer_id))
        self._presence.on_first = self._roster_sync.collector.asked
        self._presence.on_announced = self._on_announced
        self._roster_sync.on_challenge = [self._unicast.challenged, self._anti_entropy.challenged]
        self._roster_sync.on_giver = self._anti_entropy.offered
        self._nacks.on_asked = self._on_asked
        self._sender.on_sent = self._on_sent
        path_size.on_changed = self._presence.changed
        # In the order in which what is due at one time is done.
        self._timed: tuple[Component, ...] = (
            self._presence,
            self._detector,
            self._nacks,
            self._retransmitter,
            self._sender,
            self._feedback,
            self._keys,
            self._roster_sync,
            self._unicast,
            self._fallback,
            self._anti_entropy,
            self._directed_receiver,
            self._directed_sender,
            self._directory,
            path_size,
        )
        self._handlers: dict[type, Handler] = {}
        for component in (*self._timed, self._receiver, self._server, self._pings):
            self._handlers.update(component.handlers)

    # What one component tells several others

    def _on_announced(self, datagram: Datagram, frame: Announcement, newcomer: bool, now: float) -> None:
        self._roster_sync.answered(datagram)
        if newcomer:
            self._roster_sync.greet_newcomer(datagram, PeerId(frame.origin, frame.incarnation), now)
        self._anti_entropy.peer_announced(datagram, frame.flags, newcomer, now)

    def _on_asked(self, peer_ids: Sequence[PeerId], now: float) -> None:
        self._detector.measure_again(peer_ids[0], now)
        for peer_id in peer_ids:
            self._feedback.hasten(peer_id, now)

    def _on_sent(self, size: int, at: float) -> None:
        self._anti_entropy.record_moved(at)
        self._fallback.sent(at)
        self._retransmitter.credit(size, at)

    # In

    def receive(
        self, datagram: bytes, source: Address, now: float, direct: bool = False, link: int = 0
    ) -> bool:
        """Take in one datagram from `source`. `direct`: it was sent to us, not to the group. `link`: twice
        the number of the interface that it came by, and 1 more for IPv6. The number of this computer alone
        (loopback) is -1.

        False: it was not for us, and there is nothing to do for it.
        """
        return self.receive_all((datagram,), source, now, direct, link)

    def receive_all(
        self, datagrams: Iterable[bytes], source: Address, now: float, direct: bool = False, link: int = 0
    ) -> bool:
        """Take in datagrams of one source in the order of their arrival, as receive() does with each."""
        if self.closed:
            return False
        context = self._context
        if now > context.now:
            context.now = now
        else:
            now = context.now
        # What a static peer sends to us alone came by a network of its own.
        bits = context.networks.bits
        networks = (direct and bits.get(source)) or bits.get(link >> 1) or context.networks.add(link >> 1)
        news = False
        batch: list[Record] = []
        batch_session = b""
        for data in datagrams:
            frames, session = self._ingress.open(data), data[SESSION]
            first = frames[0] if type(frames) is list and len(frames) == 1 else None
            record = first if type(first) is Record and not context.closing else None
            if batch and (record is None or session != batch_session):
                self._receive_batch(batch, Datagram(source, batch_session, 0, direct, networks), now)
                batch = []
            if isinstance(record, Record):
                news, batch_session = True, session
                batch.append(record)
            elif isinstance(frames, DropReason):
                news |= self._dropped(frames, data, source, networks, direct)
            else:
                news = True
                self._dispatch(frames, Datagram(source, session, len(data), direct, networks), now)
        if batch:
            self._receive_batch(batch, Datagram(source, batch_session, 0, direct, networks), now)
        return news

    def _dropped(self, reason: DropReason, data: bytes, source: Address, networks: int, direct: bool) -> bool:
        """A datagram was not opened; whether there is an event to tell of."""
        context = self._context
        if reason is DropReason.UNKNOWN_ROOM and data[KEY_ID] == self._directory.key_id:
            refused = self._directory.receive(data, source, context.now)
            context.drops[refused or reason] += refused is not None
            return refused is None
        context.drops[reason] += 1
        if reason is DropReason.REPEATED:
            if not direct:
                self._fallback.heard(data[SESSION], source, networks, context.now)
            peer_id = context.networks.repeated(data[SESSION], networks)
            peer = None if peer_id is None else self._roster.get(peer_id)
            if peer is not None:
                peer.also_at(source)
        if reason is DropReason.VERSION and not self._version_told:
            self._version_told = True
            context.emit(OtherVersion(data[VERSION_AT], source))
            return True
        if reason is DropReason.UNKNOWN_ROOM and data[KEY_ID] in self._lookalikes:
            context.emit(OtherRoom(self._lookalikes.pop(data[KEY_ID]), source))
            return True
        if reason is DropReason.UNKNOWN_ROOM and context.now >= self._look_at and not context.room.public:
            return self._other_key(data[KEY_ID], source)
        return False

    def _other_key(self, key_id: bytes, source: Address) -> bool:
        """Tell who may be without our key of the room; whether there is an event. Looks once a second: the
        roster may be long, and others flood."""
        context = self._context
        self._look_at = context.now + LOOK
        if key_id in self._retired:
            kind = "old-key"
        elif any(peer.source == source for peer in self._roster):
            kind = "new-key"
        elif not len(self._roster) and not self._presence.is_ours(source):  # we may be in other rooms, too
            kind = "other-key"
        else:
            return False
        if kind not in self._untold:
            return False
        self._untold.remove(kind)
        context.emit(Unheard(kind, source))
        return True

    def _receive_batch(self, records: list[Record], datagram: Datagram, now: float) -> None:
        """Records, each alone in its datagram, that came one after the other from one session."""
        if self._sender.unsettled:
            self._sender.settle()
        if not self._heard_any:
            self._first_word(now)
        if not datagram.direct:
            self._fallback.heard(datagram.session, datagram.source, datagram.networks, now)
        self._receiver.receive(records, datagram, now)

    def _dispatch(self, frames: list[Frame], datagram: Datagram, now: float) -> None:
        """Do with each frame of a datagram what is done with its type."""
        context = self._context
        self._settle()
        if not self._heard_any:
            self._first_word(now)
        if not datagram.direct:
            self._fallback.heard(datagram.session, datagram.source, datagram.networks, now)
        for frame in frames:
            handler = self._handlers.get(type(frame))
            if type(frame) in REQUESTS:
                handler = None if datagram.answered else handler
                datagram.answered = True
            reason = DropReason.NOT_ASKED if handler is None else handler(datagram, frame, now)
            if reason is not None:
                context.drops[reason] += 1
            if reason is DropReason.OVER_BUDGET:
                self._presence.postpone(frames, datagram, now)
        if datagram.direct and datagram.verified is not None:  # nobody sends a HEARTBEAT but to the group
            self._fallback.copied(datagram.verified, datagram.source, now)

    def _first_word(self, now: float) -> None:
        self._may_speak()
        if self._context.mode.quiet:
            self._presence.begin(now + QUIET_SPREAD * self._context.rng.random())

    def _may_speak(self) -> None:
        """Who was quiet until it heard somebody may send now, unless passive."""
        self._heard_any = True
        self._context.may_send = not self._context.mode.passive
        self._presence.rearm()
        self._anti_entropy.rearm()

    def _settle(self) -> None:
        """Do what was left to do so that no message waited for it, sent or told."""
        if self._sender.unsettled:
            self._sender.settle()
        if self._receiver.unsettled:
            self._receiver.settle()

    # Out

    def send(self, data: bytes, now: float) -> Receipt:
        """Queue one message for everybody.

        Raises MessageTooLarge above 64 KiB, UsageError if passive or closed; nothing has changed then.
        """
        return Receipt(self.peer_id, *self._outbox().add(data))

    def send_for(self, guest: str, data: bytes, now: float) -> Receipt:
        """Queue one message of a guest, whose name has 1 to 64 bytes of UTF-8. Errors as send()."""
        return Receipt(self.peer_id, *self._outbox().add_guest(guest.encode(), data))

    def send_notice(self, data: bytes, now: float) -> Receipt:
        """Queue one notice to the programs of all others. Errors as send()."""
        return Receipt(self.peer_id, *self._outbox().add_notice(data))

    def send_all(self, messages: Sequence[bytes], now: float) -> Receipt:
        """Queue messages, at least one, of at most 64 KiB each; the last one's receipt. Errors as send()."""
        return Receipt(self.peer_id, *self._outbox().add_all(messages))

    def _outbox(self) -> Outbox:
        self._check_speaks()
        return self._sender.outbox

    def _check_speaks(self) -> None:
        if self._context.mode.passive:
            raise UsageError("a passive member cannot send", "join without passive")
        if self._context.closing:
            raise UsageError("this member has left", "join again")

    def send_to(
        self,
        to: PeerId,
        kind: ContentKind,
        data: bytes,
        now: float,
        *,
        about: int = 0,
        patience: float = PATIENCE,
    ) -> int:
        """Queue one message for one peer, sealed for it alone; its number. `about`: as wire.contents says.

        It is given up after `patience` seconds without acknowledgement. Raises UsageError if passive or
        closed, McastError when thousands are under way; nothing has changed then.
        """
        self._check_speaks()
        return self._directed_sender.send(to, kind, data, self._context.advance(now), about, patience)

    def give_up(self, number: int) -> None:
        """Message `number` of send_to() need not be delivered any more."""
        self._directed_sender.give_up(number)

    @property
    def directed_waiting(self) -> int:
        """How many messages of send_to() are under way."""
        return self._directed_sender.waiting

    def delivered(self, number: int) -> bool | None:
        """Whether message `number` of send_to() is acknowledged; None while it is under way."""
        return self._directed_sender.delivered.get(number)

    def datagrams(self, now: float) -> list[Outgoing]:
        """What is to be sent now."""
        context, sender, retransmitter = self._context, self._sender, self._retransmitter
        outbox, ready, queues = sender.outbox, retransmitter.ready, self._server.queues
        control = context.queue or self.questions
        if not (control or outbox.size or ready or queues or context.closing):
            return []
        if sender.unsettled or self._receiver.unsettled:
            self._settle()
        if now > context.now:
            context.now = now
        else:
            now = context.now
        seal = self._sealer.seal
        out = self._control() if control else []
        if context.may_send:
            if ready:
                repairs = retransmitter.take(now, more_waits=bool(outbox.size))
                out += [self._outgoing(plain, None, True, networks) for plain, networks in repairs]
            if outbox.size or ready:
                flushed = sender.take(now)
                out += [Outgoing(seal(plain), None, True) for plain in flushed]
                repairs_wait = ready and (sender.window.high or flushed)
                if repairs_wait or (outbox.size and self.may_flush(now)):
                    sender.settle()
                    self._flow.press(now)
            if queues:
                sender.settle()
                pages = self._server.pages(now)
                out += [self._outgoing(plain, to, False, networks) for plain, to, networks in pages]
        if context.closing and not outbox.size:
            sender.settle()
            self._say_goodbyes(now)
            out += self._control()
        return self._spread(out, now)

    def _control(self) -> list[Outgoing]:
        """All that is queued, never held back: each kind has its own bound."""
        if self.questions:
            self.answer_pings(0.0, 0, 0)
        queue, out = self._context.queue, []
        while queue:
            queued = queue.popleft()
            plain = encode_frames(queued.frames, queued.size)
            out.append(self._outgoing(plain, queued.to, queued.record, queued.networks, queued.listed))
        return out

    def _outgoing(
        self, plain: bytes, to: Address, record: bool, networks: int, listed: bool = False
    ) -> Outgoing:
        by_link = to is None or isinstance(to, Detour)
        interfaces = self._networks.interfaces(networks) if by_link else None
        seal = self._directory.seal if listed else self._sealer.seal
        return Outgoing(seal(plain), to, record, networks, interfaces)

    def _spread(self, out: list[Outgoing], now: float) -> list[Outgoing]:
        """What is to leave, with a copy for each unicast peer of what goes to the group and belongs there."""
        reach = self._unicast.reach(now)
        if reach:
            group = [outgoing for outgoing in out if outgoing.destination is None]
            out += [
                Outgoing(one.data, address, one.record)
                for address in reach
                for one in group
                if one.networks == ALL or one.networks & self._networks.at(address)
            ]
        return [outgoing for outgoing in out if outgoing.interfaces != ()]

    def events(self) -> list[Event]:
        """What happened since the last call; each event is returned once."""
        context = self._context
        events, context.events = context.events, []
        return events

    def may_flush(self, now: float) -> bool:
        """Whether what is queued may leave at this moment: datagrams() would give it."""
        when = self._sender.outbox.when()
        return when is not None and when <= now

    def writable(self, now: float) -> bool:
        """Whether another message would leave soon."""
        return self._sender.outbox.size < self._flow.backlog

    # Time

    def deadline(self) -> float | None:
        """When to call `tick` and `datagrams` next, absolute; None: not until something arrives.

        `ticking` is from when on tick() has work.
        """
        if self.closed:
            return None
        sender, context = self._sender, self._context
        if sender.unsettled:
            sender.settle()
        if self._receiver.unsettled:
            self._receiver.settle()
        self.ticking = when = min([component.next_timeout for component in self._timed])
        if context.may_send:
            if context.queue:
                when = min(when, context.now)
            elif sender.outbox.size or self._retransmitter.ready or self._server.queues:
                when = min(when, self._can_leave(context.now))
        if context.closing and not sender.outbox.size:
            when = min(when, self._goodbyes[0] if self._goodbyes else self._lingers_until)
        return None if when == inf else when

    def _can_leave(self, now: float) -> float:
        """When records can leave next."""
        flush, ready = self._sender.outbox.when(), self._retransmitter.ready
        flow, when = self._flow, self._server.when(now)
        if ready and not (self._sender.outbox.size and flow.turn):
            when = min(when, flow.when(now))
        return when if flush is None else min(when, max(flush, flow.new_when(now)))

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._settle()
        now = self._context.advance(now)
        for component in self._timed:
            if component.next_timeout <= now:
                component.on_timeout(now)

    # Keys

    def rekey(self, key: bytes) -> None:
        """Seal with another key of the room from now on. What is sealed with the one before is opened, too,
        until retire_keys(). Raises UsageError in an open room."""
        context = self._context
        if context.room.public:
            raise UsageError("an open room has no key", "join with one")
        self._settle()
        self.retire_keys()  # two changes in a row do not give the first key more time
        context.room = room = keyed_room(key, context.room.id)
        self._sealer = Sealer(room, self._sealer.session, self._sealer.counter)
        self.accept_key(key)

    def accept_key(self, key: bytes) -> None:
        """Also open what is sealed with this key of the room, until retire_keys()."""
        self._ingress.accept(Checks(keyed_room(key, self._context.room.id)))

    def retire_keys(self) -> None:
        """Open only what is sealed with the key that we seal with."""
        self._retired += self._ingress.retire(self._context.room)

    # What outlives a program

    def saved_records(self, since: tuple[int, int] = (0, 0)) -> tuple[tuple[int, int], list[SavedRecord]]:
        """The records that can be handed to others, and a mark: with it, the next call gives what is new.

        Nothing in an open room: what was said there stays on the network where it was said.
        """
        if self._context.room.public:
            return since, []
        self._settle()
        return self._anti_entropy.saved(since)

    def restore(self, records: Iterable[SavedRecord], now: float) -> None:
        """Hand out what saved_records() gave to a program that ran before; nothing in an open room."""
        if not self._context.room.public:
            self._anti_entropy.restore(records, self._context.advance(now))

    # Leaving

    @property
    def closing(self) -> bool:
        """Whether close() was called."""
        return self._context.closing

    def close(self, now: float) -> None:
        """Leave: what is queued is sent, then a goodbye; the last records can still be asked for.

        That takes 0.3 s after the last record: drive the engine until `closed`. Further calls do nothing.
        """
        context = self._context
        if context.closing:
            return
        self._settle()
        now = context.advance(now)
        # Confirm what was heard: this is the last chance. With our key: there is no time to ask for it.
        due = self._feedback.last_due(now)
        self._feedback.report(due, now, with_key=True)
        self._last_reported = due[:PAGE]
        self._directed_receiver.acknowledge()
        context.closing = True
        self._handlers = {kind: self._handlers[kind] for kind in LAST_FRAMES}
        directed = self._directed_receiver, self._directed_sender
        self._timed = (self._retransmitter, self._sender, self._keys, *directed)
        self._says_goodbye = self._presence.announced > 0 and not context.mode.visitor
        if context.may_send and (self._says_goodbye or due):
            self._goodbyes = [now + delay for delay in GOODBYES]
        if not (self._sender.outbox.size and context.may_send):
            self._check_closed(now)

    def _say_goodbyes(self, now: float) -> None:
        """Say the goodbyes that are due; all that was queued has left.

        With each but the first the last report goes again: whoever waits for it has nobody left to ask.
        """
        context, sender = self._context, self._sender
        while self._goodbyes and self._goodbyes[0] <= now:
            del self._goodbyes[0]
            if self._departed:
                self._feedback.report(self._last_reported, now, with_key=True)
            self._departed = True
            if not self._says_goodbye:
                continue
            self._timed = tuple(one for one in self._timed if one is not self._sender)
            frame = context.sign(Goodbye(*context.me, context.next_counter(), sender.window.high))
            # With the key when who hears it may have heard nothing else.
            lately = now - sender.flushed_at < LINGER
            context.send(*((self._verifier.own_key, frame) if lately else (frame,)))
        self._check_closed(now)

    def _check_closed(self, now: float) -> None:
        self.closed = not self._goodbyes and now >= self._lingers_until

    @property
    def _lingers_until(self) -> float:
        return max(self._sender.flushed_at, self._directed_receiver.lately) + LINGER

    # What the application asks and says

    def unread(self, size: int) -> None:
        """The application has yet to take `size` bytes of what it was told; peers hear that and slow down."""
        self._feedback.unread = size

    def confirm_by_hand(self) -> None:
        """From now on confirm to authors nothing but what read() names."""
        self._feedback.confirm_by_hand()

    def read(self, peer_id: PeerId, sequence: int, now: float) -> None:
        """The application has made use of what `peer_id` published up to record `sequence`."""
        self._feedback.read(peer_id, sequence, now)

    def heard_by(self, sequence: int, first: int = 0) -> list[PeerId]:
        """The peers that confirmed our record `sequence`, and all from `first` on if it is given."""
        return self._feedback.confirmed_by(first or sequence, sequence)

    def unheard_by(self, sequence: int, first: int = 0) -> list[PeerId]:
        """The peers that were here since it was sent, also if they have left, and did not confirm that."""
        return self._feedback.unconfirmed(first or sequence, sequence, self._context.now)

    def ask_reports(self, now: float) -> float:
        """Ask everybody to confirm what we sent; answers come by unicast, at most 20 a second in all.

        Seconds in which they come.
        """
        now = self._context.advance(now)
        self._settle()
        return self._feedback.request(self._sender.heartbeat(now), now)

    def ask_roster(self, now: float) -> None:
        """Ask who is here, as a visitor does; three peers answer."""
        self._roster_sync.ask(self._context.advance(now))

    @property
    def collecting(self) -> bool:
        """Whether more of the roster is on its way to us."""
        return self._roster_sync.collector.next < inf

    def meet(self, addresses: Iterable[Address], now: float) -> int:
        """Meet whoever is at `addresses` by unicast, and nobody else; how many were beyond the 64 allowed.

        Who does that speaks, also before it has heard anybody.
        """
        self._may_speak()
        return self._unicast.name(addresses, self._context.advance(now))

    def acquainted(self, now: float) -> bool:
        """Whether a unicast peer has answered, and those that it led to."""
        return self._unicast.acquainted(self._context.advance(now))

    def has_met(self, address: Address) -> bool:
        """Whether anybody has answered at an address that was handed to meet()."""
        return self._unicast.has_met(address)

    def update(
        self,
        now: float,
        *,
        attributes: Attributes | None = None,
        flags: int | None = None,
        port: int | None = None,
        hosts: Iterable[str] | None = None,
    ) -> None:
        """Announce other attributes, flags or unicast port from now on; `hosts` are our own addresses.

        With the flag ANSWERS questions are taken. Raises ValueError when the attributes do not fit.
        """
        if flags is not None:
            self._directed_receiver.answers = bool(flags & ANSWERS)
        if hosts is not None:
            self._presence.hosts = frozenset(hosts)
        self._presence.update(self._context.advance(now), attributes, flags, port)

    def answer_pings(self, held: float, came: int, ttl: int) -> None:
        """Answer the PINGs that `questions` holds, which arrived `held` seconds ago.

        `came`: the TTL with which they arrived, 0 if that is not known; `ttl`: the one that we send with.
        Without this call, datagrams() answers them as if they had just come.
        """
        self._pings.answer(held, came, ttl)

    def update_health(self, flags: int) -> None:
        """What to tell of this computer in answers to a PING: the flags of `health`."""
        self._pings.health = flags

    def ask_rooms(self, now: float, *, again: bool = False) -> None:
        """Ask which open rooms there are in the group; rooms() has those that answered.

        `again`: keep those that have answered before.
        """
        self._directory.ask(self._context.advance(now), again=again)

    def rooms(self) -> list[RoomView]:
        """The open rooms that have answered. A room with a key never does."""
        return list(self._directory.rooms.values())

    def describe(self, topic: str) -> None:
        """What to tell of our room, if it is open, to those who ask for rooms."""
        self._directory.topic = topic

    def lost_network(self, now: float, interface: int | None = None) -> None:
        """An interface has left its network; None: no network remains of those we were on.

        What was heard there stays there, in an open room. Unless a peer of before is heard again within a
        minute, it is forgotten.
        """
        self._settle()
        self._anti_entropy.lost_network(self._context.advance(now), interface)

    def set_wall(self, now: float, wall: float) -> None:
        """The computer's clock was corrected."""
        self._context.set_wall(self._context.advance(now), wall)

    def peers(self) -> list[PeerView]:
        """Who is here."""
        return [peer.view() for peer in self._roster]

    def peer(self, peer_id: PeerId) -> PeerView:
        """What is known of a peer, here or not."""
        peer = self._roster.get(peer_id)
        if peer is not None:
            return peer.view()
        return PeerView(peer_id, self._verifier.name_of(peer_id) or self._verifier.name(peer_id.origin))

    def public_key(self, origin: bytes) -> bytes | None:
        """The public key (32 bytes) of an identity, also of ours; None if it is not known."""
        if origin == self.peer_id.origin:
            return self._context.identity.public_key
        known = self._verifier.key(origin)
        return None if known is None else known.public_key

    @property
    def echoes(self) -> int:
        """How many of our own datagrams came back to us."""
        return self._ingress.echoes

    @property
    def fallback(self) -> int:
        """How many peers get copies by unicast because multicast does not get through."""
        return self._fallback.active

    def interfaces_of(self, peer_id: PeerId) -> tuple[int, ...]:
        """The numbers of the interfaces by which a peer was heard; -1 is this computer alone."""
        interfaces = self._networks.interfaces(self._networks.of(peer_id))
        return (-1,) if interfaces is None else interfaces

    def stats(self) -> dict[str, int]:
        """Counters: `sent-<frame>`, `dropped-<reason>`, and sizes of what is held."""
        context, store = self._context, self._store
        self._settle()
        return {
            **{f"sent-{name}": count for name, count in sorted(context.sent.items())},
            **{f"dropped-{reason}": count for reason, count in sorted(context.drops.items()) if count},
            "peers": len(self._roster),
            "unicast-peers": len(self._unicast.reach(context.now)),
            "receive-windows": len(self._nacks.windows),
            "held-records": len(store),
            "held-bytes": store.bytes,
            "grtt-us": round(context.rtt.value * 1e6),
            "rate": round(self._flow.rate.value),
        }
