"""The protocol engine of one run in one room: bytes and time in, bytes, events and deadlines out.

It touches no socket, reads no clock and draws no randomness of its own; whoever drives it does, in one pump:

    engine.receive(datagram, source, now)      for each datagram that arrived
    engine.tick(now)                           when `deadline()` has passed (and at any other time)
    for outgoing in engine.datagrams(now): send outgoing.data to outgoing.destination, or to the group if None
    for event in engine.events(): tell the application
    arm the one timer for engine.deadline()    on the clock of `now`; None: nothing is due

Every call takes `now`, seconds on a monotonic clock. An address is a tuple as sockets have it, `(host,
port, …)`;
`destination` None is the group, anything else an address that was handed in as `source` or told by a peer.

    Engine(settings, room, identity, *, incarnation, session, name, generator, now, wall,
           visitor=False, passive=False, quiet=False, history=False, last=None, since=None,
           attributes=Attributes(),
           machine=bytes(8))
    receive(datagram, source, now, direct=False) -> bool   never raises, whatever the bytes; drops are counted
                                               by reason; `direct`: it was sent to us, not to the group;
                                               False: there is nothing to do for it
    receive_all(datagrams, source, now, direct=False) -> bool   the same of several from one source: faster
    send(data, now) -> Receipt                 MessageTooLarge above 64 KiB, and nothing has changed then
    datagrams(now) -> list[Outgoing]           Outgoing(data, destination, record)
    deadline() -> float | None                 absolute; as of the last call that took `now`
    ticking                                    from when on tick() has work, as of the last deadline()
    tick(now) -> None
    events() -> list[Event]                    mcast.core.events; each is returned once
    may_flush(now) -> bool                     what was queued may leave at this moment
    writable(now) -> bool                      False: let it send first; more would only wait here
    unread(size) -> None                       bytes that the application has yet to take
    close(now) -> None                         what is queued leaves, then a goodbye; pump until `closed`
    heard_by(sequence), unheard_by(sequence)   who confirmed our records up to `sequence`, which peers did not
    ask_reports(now), ask_roster(now)          confirmations, and the roster for a visitor
    meet(addresses, now) -> int                whom to meet by unicast; how many were too many
    met(now) -> int                            unicast peers
    update(now, attributes=…, flags=…, port=…, hosts=…), set_wall(now, wall)
    lost_network(now) -> None                  no network is left of those we were on
    peers() -> list[PeerView], stats() -> dict[str, int]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Any

import msgspec

from mcast.crypto.keys import Identity
from mcast.crypto.rooms import Room
from mcast.crypto.seal import Sealer
from mcast.errors import UsageError
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire.attributes import Attributes, encode_attributes
from mcast.wire.reasons import DropReason
from mcast.wire.records import Record

from . import ages, rows
from . import inbound_history as history
from . import inbound_members as members
from . import inbound_probes as probes
from . import inbound_records as records
from . import inbound_repair as repair
from . import inbound_who as who
from .checks import Checks
from .clock import Clock
from .events import Address, Event, PeerView
from .generator import Generator
from .giving import REQUEST_SIZE
from .history import lost_network
from .inbound_postponed import postpone
from .leaving import Farewell
from .outbox import Outbox
from .outgoing import Outgoing, Sender, key_bytes, write_down
from .outgoing import when as can_leave
from .peer_id import PeerId
from .state import Manner, State
from .ticking import deadline, tick
from .timers import earliest
from .upkeep import catch_up

Handler = Callable[[State, Any, Address, float], DropReason | None]

# What is done with each frame; those that nothing serves yet are ignored, as docs/protocol.md says.
HANDLERS: dict[type, Handler] = {
    Record: history.on_any_record,
    f.Heartbeat: records.on_heartbeat,
    f.Nack: repair.on_nack,
    f.Report: repair.on_report,
    f.ReportRequest: repair.on_report_request,
    f.Acker: repair.on_acker,
    f.Key: members.on_key,
    f.KeyRequest: members.on_key_request,
    f.Announcement: members.on_announcement,
    f.Goodbye: members.on_goodbye,
    f.Probe: probes.on_probe,
    f.ProbeReply: probes.on_probe_reply,
    f.Roster: members.on_roster,
    f.RosterRequest: members.on_roster_request,
    f.Challenge: members.on_challenge,
    f.Echo: members.on_echo,
    f.Digest: history.on_digest,
    f.VectorRequest: history.on_vector_request,
    f.Vector: history.on_vector,
    f.RangeRequest: history.on_range_request,
    f.Age: ages.on_age,
    f.Who: who.on_who,
    f.Here: who.on_here,
}


QUIET_SPREAD = 0.1  # seconds: many may listen quietly and all hear the same first word
# What still counts while leaving: requests for our last records, reports on them, and keys.
LAST_HANDLERS: dict[type, Handler] = {
    kind: HANDLERS[kind] for kind in (f.Nack, f.Key, f.KeyRequest, f.Report)
}

SESSION = slice(8, 16)  # of a datagram: its session
SPREAD_MAX = 65_535  # milliseconds, what the field holds
NOTHING_OFFERED = Attributes()


def _catch_up(state: State) -> None:
    """What was left to do so that no message waited for it, sent or told."""
    if state.gone:
        write_down(state)
    if state.taken:
        catch_up(state)


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """Names a message that was sent: `sequence` of its record (the last of several), `index` in it."""

    peer_id: PeerId
    sequence: int
    index: int


class Engine:
    """One run: see the module's docstring.

    `visitor`: in no roster, without join and goodbye (send, ask, browse). `passive`: never sends.
    `quiet`: sends nothing until it has heard a valid datagram. `history`: also tell of messages published
    before joining, fetched from whoever has them: the `last` ones of them, of the last `since` seconds.
    `generator` is drawn on for nonces too: hand in `random.SystemRandom()` outside of simulations.
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
        generator: Generator,
        now: float,
        wall: float,
        visitor: bool = False,
        passive: bool = False,
        quiet: bool = False,
        history: bool = False,
        last: int | None = None,
        since: float | None = None,
        attributes: Attributes = NOTHING_OFFERED,
        machine: bytes = bytes(8),
        checks: Checks | None = None,
    ) -> None:
        self.peer_id = PeerId(identity.origin, incarnation)
        self.ticking = -inf
        manner = Manner(visitor, passive, quiet, history, last, since)
        self._state = State(
            settings,
            room,
            identity,
            self.peer_id,
            session,
            name,
            generator,
            Clock(now, wall),
            manner,
            attributes,
            machine,
            checks,
        )
        self._sender = Sender(Sealer(room, session), key_bytes(self._state))
        self._farewell = Farewell()

    def receive(
        self, datagram: bytes, source: Address, now: float, direct: bool = False, link: int = 0
    ) -> bool:
        """Take in one datagram from `source`; `direct`: not by way of the group; `link`: see reach.

        False: it was not for us, and there is nothing to do for it.
        """
        return self.receive_all((datagram,), source, now, direct, link)

    def receive_all(
        self, datagrams: Iterable[bytes], source: Address, now: float, direct: bool = False, link: int = 0
    ) -> bool:
        """Take in datagrams of one source in the order of their arrival, as receive() does with each."""
        state = self._state
        if state.closed:
            return False
        now = state.clock.advance(now)
        news = False
        row: list[Record] = []
        row_of = b""
        for datagram in datagrams:
            frames = state.admission.admit(datagram)
            session = datagram[SESSION]
            if isinstance(frames, DropReason):
                state.drops[frames] += 1
                continue
            news = True
            first = frames[0]
            record = first if type(first) is Record and len(frames) == 1 else None
            if row and (record is None or session != row_of):
                self._begin(row_of, now, direct, link)
                rows.on_records(state, row, source, now)
                row = []
            if record is not None and not state.closing:
                row.append(record)
                row_of = session
            else:
                self._begin(session, now, direct, link)
                self._take_apart(frames, session, source, now, len(datagram))
        if row:
            self._begin(row_of, now, direct, link)
            rows.on_records(state, row, source, now)
        return news

    def _begin(self, session: bytes, now: float, direct: bool, link: int) -> None:
        """What was opened is of that session."""
        state = self._state
        if state.gone:
            write_down(state)
        if not state.heard_any:
            self._first_word(now)
        state.echoed, state.direct = None, direct
        state.vouched, state.age = None, 0.0

    def _take_apart(
        self, frames: list[f.Frame], session: bytes, source: Address, now: float, size: int
    ) -> None:
        """Do with each frame of a datagram of `size` bytes what is done with its kind."""
        state = self._state
        if state.taken:
            catch_up(state)
        state.datagram_size = size
        handlers = LAST_HANDLERS if state.closing else HANDLERS
        for frame in frames:
            handler = handlers.get(type(frame))
            reason = DropReason.NOT_ASKED if handler is None else handler(state, frame, source, now)
            if reason is not None:
                state.drops[reason] += 1
            if reason is DropReason.OVER_BUDGET:
                postpone(state, frames, source, now)

    def _first_word(self, now: float) -> None:
        state = self._state
        state.has_heard()
        if state.manner.quiet:
            state.announcer.begin(now + QUIET_SPREAD * state.generator.random())

    def send(self, data: bytes, now: float) -> Receipt:
        """Queue one message for everybody.

        Raises MessageTooLarge above 64 KiB, UsageError if passive or closed.
        """
        return Receipt(self.peer_id, *self._outbox().add(data))

    def send_all(self, messages: Sequence[bytes], now: float) -> Receipt:
        """Queue messages, at least one, of at most 64 KiB each; the last one's receipt. Errors as send()."""
        return Receipt(self.peer_id, *self._outbox().add_all(messages))

    def _outbox(self) -> Outbox:
        state = self._state
        if state.manner.passive:
            raise UsageError("a passive member cannot send", "join without passive")
        if state.closing:
            raise UsageError("this run has been closed", "join again")
        return state.publisher.outbox

    def datagrams(self, now: float) -> list[Outgoing]:
        """What is to be sent now. What is to be written down about it is, when something else is asked."""
        state, sender = self._state, self._sender
        if not (
            state.control
            or state.publisher.outbox.size
            or state.repairs.ready
            or state.past.serving.queues
            or state.closing
        ):
            return []
        if state.gone or state.taken:
            _catch_up(state)
        now = state.clock.advance(now)
        out = sender.control(state, now) if state.control else []
        if state.may_send:
            if state.repairs.ready:
                out += sender.repairs(state, now)
            if state.publisher.outbox.size or state.repairs.ready:
                out += sender.records(state, now)
            if state.past.serving.queues:
                write_down(state)
                out += sender.history(state, now)
        if state.closing and not state.publisher.outbox.size:
            write_down(state)
            self._farewell.proceed(state, now)
            out += sender.control(state, now)
        reach = state.meetings.reach(now)
        return who.copied(out, reach) if reach else out

    def deadline(self) -> float | None:
        """When to call `tick` and `datagrams` next, absolute; None: not until something arrives."""
        state = self._state
        if state.closed:
            return None
        _catch_up(state)
        ticking = deadline(state)
        self.ticking = inf if ticking is None else ticking
        sending = can_leave(state, state.clock.now) if state.may_send else None
        return earliest(self._farewell.when(state), sending, ticking)

    def tick(self, now: float) -> None:
        """Do what is due."""
        state = self._state
        _catch_up(state)
        tick(state, state.clock.advance(now))

    def events(self) -> list[Event]:
        """What happened since the last call."""
        state = self._state
        events, state.events = state.events, []
        return events

    def may_flush(self, now: float) -> bool:
        """Whether what is queued may leave at this moment: datagrams() would give it."""
        when = self._state.publisher.outbox.when()
        return when is not None and when <= now

    def writable(self, now: float) -> bool:
        """Whether another message would leave soon."""
        return self._state.publisher.outbox.size < self._state.flow.backlog

    def unread(self, size: int) -> None:
        """The application has yet to take `size` bytes of what it was told; peers hear that and slow down."""
        self._state.unread = size

    def close(self, now: float) -> None:
        """End the run: what is queued leaves, then the goodbye; the last records can still be asked for.

        That takes 0.3 s after the last record. Closing twice is closing once.
        """
        state = self._state
        if state.closing:
            return
        _catch_up(state)
        self._farewell.begin(state, state.clock.advance(now))

    @property
    def closing(self) -> bool:
        """Whether close() was called."""
        return self._state.closing

    @property
    def closed(self) -> bool:
        """Whether the last word was said."""
        return self._state.closed

    def heard_by(self, sequence: int) -> list[PeerId]:
        """The runs that confirmed all our records up to `sequence`."""
        return self._state.confirmations.by(sequence)

    def unheard_by(self, sequence: int) -> list[PeerId]:
        """The peers, as far as we heard them ourselves, that have not confirmed."""
        state = self._state
        peers = (peer.peer_id for peer in state.roster if peer.confirmed and not peer.suspect)
        return state.confirmations.lacking(peers, sequence)

    def ask_reports(self, now: float) -> None:
        """Ask everybody to confirm what we sent; answers come by unicast, at most 20 a second in all."""
        state = self._state
        now = state.clock.advance(now)
        _catch_up(state)
        spread = min(SPREAD_MAX, 20 + round(1000 * state.members / state.settings.report_rate))
        state.queue(state.heartbeat(now), f.ReportRequest(*self.peer_id, state.publisher.sent.high, spread))

    def ask_roster(self, now: float) -> None:
        """Ask who is here, as a visitor does; three peers answer."""
        self._state.collector.asked(self._state.clock.advance(now))
        self._state.queue(f.RosterRequest(0), size=REQUEST_SIZE)

    def meet(self, addresses: Iterable[Address], now: float) -> int:
        """Meet whoever is at `addresses` by unicast, and nobody else; how many were beyond the 64 allowed.

        Who does that speaks, also before it has heard anybody.
        """
        state = self._state
        state.has_heard()
        return state.meetings.name(addresses, state.clock.advance(now))

    def acquainted(self, now: float) -> bool:
        """Whether a unicast peer has answered, and those that it led to."""
        return self._state.meetings.acquainted(self._state.clock.advance(now))

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

        Raises ValueError when the attributes do not fit.
        """
        state = self._state
        state.hosts = state.hosts if hosts is None else frozenset(hosts)
        encoded = state.attributes if attributes is None else encode_attributes(attributes)
        flags = state.flags if flags is None else flags
        port = state.port if port is None else port
        if (encoded, flags, port) != (state.attributes, state.flags, state.port):
            state.attributes, state.flags, state.port = encoded, flags, port
            if state.announced:
                state.announcer.soon(state.clock.advance(now))

    def lost_network(self, now: float) -> None:
        """No network remains of those we were on: what was heard there stays there, in an open room.

        Unless a peer of before is heard again within a minute, it is forgotten.
        """
        _catch_up(self._state)
        lost_network(self._state, self._state.clock.advance(now))

    def set_wall(self, now: float, wall: float) -> None:
        """The computer's clock was corrected."""
        self._state.clock.set(self._state.clock.advance(now), wall)

    def peers(self) -> list[PeerView]:
        """Who is here."""
        return [peer.view() for peer in self._state.roster]

    def stats(self) -> dict[str, int]:
        """Counters: `sent-<frame>`, `dropped-<reason>`, and sizes of what is kept."""
        state = self._state
        _catch_up(state)
        return {
            **{f"sent-{name}": count for name, count in sorted(state.sent_frames.items())},
            **{f"dropped-{reason}": count for reason, count in sorted(state.drops.items()) if count},
            "peers": len(state.roster),
            "unicast-peers": len(state.meetings.reach(state.clock.now)),
            "inboxes": len(state.reception),
            "retained-records": len(state.retention),
            "retained-bytes": state.retention.bytes,
            "grtt-us": round(state.grtt.value * 1e6),
            "rate": round(state.flow.rate.value),
        }
