"""Passing on what one peer says to those who do not hear it, as their IP versions or LANs have no link.

Nothing is passed on twice in a row: only who heard the author itself does it, what was passed on is marked,
and records are passed on when they are new. So there are no loops. All this is for nothing, and is not
done, where all hear all.

The attack: peers that pretend to share no link. They double the traffic of those they pretend not to hear:
one member passes a word on, the others keep theirs back. It never exceeds the pace of repairs and,
for what is no record, RATE.
"""

from __future__ import annotations

from itertools import islice

from mcast.wire.codec import encode_frames
from mcast.wire.frames import (
    BY_MULTICAST,
    HEARS_IPV4,
    HEARS_IPV6,
    NEWCOMER,
    Announcement,
    Frame,
    Goodbye,
    Heartbeat,
    Nack,
    Probe,
    ProbeReply,
    Relayed,
    Report,
    Roster,
)
from mcast.wire.reasons import DropReason
from mcast.wire.records import Record

from .addresses import pack
from .backoff import ROUNDS, backoff
from .peer_id import PeerId
from .reach import Station
from .relays import Relay, Word
from .state import State

SETTLE = 0.02  # seconds in which the copies of a word on other links tell where its author is
INTRODUCED = 64  # peers at most that are told to a newcomer who cannot hear them
PASSED = frozenset({Announcement, Goodbye, Heartbeat, Nack, Report, Probe, ProbeReply, Roster})


def came(state: State, frame: Word, session: bytes, reason: DropReason | None, now: float) -> None:
    """A word of PASSED came in a datagram of `session` and was taken, or dropped for `reason`."""
    author = frame.announcement if isinstance(frame, Roster) else frame
    run = PeerId(author.origin, author.incarnation)
    if state.relayed:
        state.relays.copied(run, frame)
    elif isinstance(frame, Probe):
        _probed(state, run, frame, now)
    elif isinstance(frame, ProbeReply):
        _answered(state, run, frame, now)
    elif reason is None and not isinstance(frame, Roster | Nack):
        _heard(state, run, frame, session, now)


def _heard(state: State, run: PeerId, frame: Word, session: bytes, now: float) -> None:
    """The author itself said it, and it is genuine."""
    reach = state.reach
    if isinstance(frame, Announcement):
        new = reach.announced(run, session, frame.flags & (HEARS_IPV4 | HEARS_IPV6))
        if new or frame.flags & NEWCOMER:
            _introduce(state, reach.here, now)
    if reach.speaks(run):
        _plan(state, run, frame, reach.here, now)


def _plan(state: State, run: PeerId, word: Word, station: Station, now: float) -> None:
    rank = state.reach.rank(station) if state.relaying else None
    if rank is not None:
        state.relays.add(run, Relay(word, station), now + SETTLE + _wait(state, rank))


def _wait(state: State, rank: int) -> float:
    """Seconds that those before us have to speak first."""
    grtt = state.grtt.value
    return grtt + backoff(state.generator, ROUNDS * grtt, rank + 1) if rank else 0.0


def _introduce(state: State, newcomer: Station, now: float) -> None:
    """Who has just come hears of those it cannot hear."""
    away = islice(state.reach.apart(newcomer), INTRODUCED)
    for peer, station in [(peer, other) for other in away if (peer := state.roster.get(other.peer_id))]:
        _plan(state, station.peer_id, Roster(*pack(peer.source), peer.announcement), station, now)


def _probed(state: State, run: PeerId, probe: Probe, now: float) -> None:
    """Somebody asks the group for a peer that it may not hear: our latest word of it, and the question."""
    peer, station = state.roster.get(run), state.reach.of(run)
    if probe.flags & BY_MULTICAST and peer is not None and peer.confirmed and station is not None:
        _plan(state, run, Roster(*pack(peer.source), peer.announcement), station, now)
        _plan(state, run, probe, station, now)


def _answered(state: State, run: PeerId, reply: ProbeReply, now: float) -> None:
    """A peer answers a question that we passed on."""
    station = state.reach.of(run)
    if station is None or not state.relays.expects(reply.nonce):
        return
    if state.authority.check_reply(reply, run in state.roster, now) is None:
        state.relays.answered(reply.nonce)
        _plan(state, run, reply, station, now)


def record(state: State, run: PeerId, sequence: int, payload: bytes, now: float) -> None:
    """A new record of `run` came from its author: whom that does not reach gets it from us."""
    reach = state.reach
    if not (state.relaying and reach.speaks(run)):
        return
    rank = reach.rank(reach.here)
    if rank is None:
        return
    state.other_quotas.credit(len(payload), state.settings.sent_bytes, now)
    if rank:
        state.repairs.gather(run, [sequence], now + _wait(state, rank))
    else:
        state.repairs.at_once(run, sequence)


def between(state: State, requester: PeerId, author: PeerId) -> float | None:
    """Seconds after which we repair for one who cannot hear the author; None: it can, as far as we know."""
    station = state.reach.of(author)
    if not state.relaying or station is None or not state.reach.strangers(requester, author):
        return None
    return state.aggregation + _wait(state, state.reach.rank(station) or 0)


def question(state: State, nack: Nack, target: PeerId, sequences: list[int], now: float) -> None:
    """Somebody lacks records whose author it cannot hear, and so do we: who hears the author is asked too."""
    lacking = [sequence for sequence in sequences if state.retention.get(target, sequence) is None]
    asker = PeerId(nack.origin, nack.incarnation)
    station = state.reach.of(asker)
    if lacking and station is not None:
        state.relays.lack(target, lacking)
        _plan(state, asker, nack, station, now)


def fetched(state: State, run: PeerId, record: Record, now: float, age: float) -> None:
    """A record that was asked for in vain: if it is genuine, it is kept and passed on."""
    if state.authority.check_record(record, run in state.roster, now) is not None:
        return
    del state.relays.absent[run, record.sequence]
    state.retention.add(run, record.sequence, record.payload, now, age)
    station = state.reach.of(run)
    rank = None if station is None else state.reach.rank(station)
    state.repairs.gather(run, [record.sequence], now + _wait(state, rank or 0))


def pass_on(state: State, now: float) -> None:
    """Say what is due, as few datagrams as may be."""
    head: list[Frame] = [Relayed(*state.me)]
    frames = list(head)
    for relay in state.relays.due(now):
        word = relay.word
        if state.reach.rank(relay.station) is None:
            continue
        if not state.relay_pace.level(now) > 0:
            state.drops[DropReason.OVER_BUDGET] += 1
            continue
        more = _with_key(state, word, now)
        state.relay_pace.spend(len(encode_frames(more)), now)
        if isinstance(word, Probe):
            state.relays.probing(word.nonce)
        if len(encode_frames([*frames, *more])) > state.room_left():
            state.queue(*frames)
            frames = list(head)
        frames += more
    if len(frames) > 1:
        state.queue(*frames)


def _with_key(state: State, word: Word, now: float) -> list[Frame]:
    if isinstance(word, Roster):
        author, wanted = word.announcement.origin, True
    else:
        author, wanted = word.origin, state.relays.wants_key(word.origin, now)
    known = state.authority.key(author)
    return [known.frame, word] if known is not None and wanted else [word]
