"""What members do so that all hold the same records: say what they hold, fetch what they lack."""

from __future__ import annotations

from collections.abc import Iterator

from mcast.wire.codec import encode_frame
from mcast.wire.frames import Digest
from mcast.wire.limits import FRAME_HEADER_SIZE

from .ages import handed
from .events import Address
from .holdings import Catalogue
from .peer_id import PeerId
from .serving import Errand
from .state import State
from .timers import earliest


def keeps(state: State) -> bool:
    """Whether we hand out what we hold and fetch what we lack: visitors and passive members do not."""
    return state.may_send and not state.manner.visitor and not state.closing


def catalogue(state: State, old: float = 0.0) -> Catalogue:
    """Everything that we may hand out now, or could `old` seconds ago on the same network."""
    sent, held, unsure = state.publisher.sent, state.retention.held, state.past.whereabouts.unsure
    key = (sent.young, sent.high, held.changes, unsure)
    now, known = state.clock.now, state.past.catalogue
    if known is not None and (known[0] == key or (known[0][-1] == unsure and now - known[2] < old)):
        return known[1]
    listed = Catalogue(_holdings(state, unsure=unsure))
    state.past.catalogue = key, listed, now
    return listed


def _holdings(state: State, *, unsure: bool) -> Iterator[tuple[PeerId, list[tuple[int, int]]]]:
    sent = state.publisher.sent
    low = max(sent.young, state.past.whereabouts.sent + 1) if unsure else sent.young
    if low <= sent.high:
        yield state.me, [(low, sent.high + 1)]
    if not unsure:
        yield from ((run, list(ranges)) for run, ranges in state.retention.held)


def tick_history(state: State, now: float) -> None:
    """Do what is due."""
    past = state.past
    if past.whereabouts.gone(now):
        forget(state)
    _tell(state, now)
    if not keeps(state):
        return
    if past.news.due(now):
        past.trickle.reset(now, state.members)
    if past.trickle.due(now, state.members) and past.news.counts(now):
        _say_digest(state)
    question = past.syncing.tick(now, state.room_left(FRAME_HEADER_SIZE + 8))
    if question is not None:
        state.queue(*question.frames, to=question.to)


def _say_digest(state: State) -> None:
    held = catalogue(state)
    if held.records:
        state.queue(Digest(held.digest, len(held), held.records))


def _tell(state: State, now: float) -> None:
    """Tell the application what was fetched, when there is no more to come or it took long."""
    recall, fetching = state.past.recall, _fetching(state)
    when = recall.when(fetching)
    if when is None or now < when:
        return
    wall_ms = state.clock.unix_ms(now)
    state.events.extend(recall.tell(lambda run: _name(state, run), wall_ms, now, fetching=fetching))


def _name(state: State, run: PeerId) -> str:
    """What a run calls itself; if that is not known, what its identity was called last."""
    peer = state.roster.get(run)
    if peer is not None:
        return peer.name
    return state.authority.name_of(run) or state.authority.name(run.origin)


def _fetching(state: State) -> bool:
    """Whether more of the past may be on its way: also while we have only come and asked nobody yet."""
    return bool(state.past.syncing) or (keeps(state) and state.past.syncing.untried)


def when_history(state: State) -> float | None:
    """When tick_history() has something to do."""
    past = state.past
    telling = earliest(past.whereabouts.when(), past.recall.when(_fetching(state)))
    if not keeps(state):
        return telling
    return earliest(
        telling,
        past.news.when(),
        past.trickle.when(),
        past.syncing.when(),
    )


def lost_network(state: State, now: float) -> None:
    """No network remains of those on which we heard what we hold. Only open rooms mind."""
    if state.room.public:
        peers = [peer.peer_id for peer in state.roster]
        state.past.whereabouts.lost(now, state.publisher.sent.high, peers)
        state.past.serving.clear()


def forget(state: State) -> None:
    """We are elsewhere: nothing that was said there is handed out here, our own words included."""
    state.retention.clear()
    state.publisher.sent.forget(state.past.whereabouts.sent)
    state.past.serving.clear()
    state.past.recall.clear()
    state.past.syncing.unsettle()
    state.past.catalogue = None


def pages(state: State, now: float) -> Iterator[tuple[bytes, Address]]:
    """Datagrams of records for those who asked, as far as the pace allows: their frames, and where to."""
    past, room = state.past, state.room_left()
    while past.serving.queues and past.pace.level(now) > 0:
        page = past.serving.page(now, room, lambda errand: sum(map(len, _frames(state, errand, now))))
        frames = [frame for errand in page.errands for frame in _frames(state, errand, now)]
        for plain in _packed(frames, room):
            past.pace.spend(len(plain), now)
            state.sent_frames["history"] += 1
            yield plain, page.to


def _packed(frames: list[bytes], room: int) -> Iterator[bytes]:
    """The frames, in order, in as few datagrams as they fit in."""
    plain = b""
    for frame in frames:
        if plain and len(plain) + len(frame) > room:
            yield plain
            plain = b""
        plain += frame
    if plain:
        yield plain


def _frames(state: State, errand: Errand, now: float) -> list[bytes]:
    """The record and its age, before it its author's key if it is the first; none if it is held no more."""
    record = handed(state, errand.peer_id, errand.sequence, now)
    if record is None:
        return []
    return [*(_key(state, errand.peer_id) if errand.keyed else ()), record]


def _key(state: State, run: PeerId) -> list[bytes]:
    if run == state.me:
        return [encode_frame(state.key_frame)]
    known = state.authority.key(run.origin)
    return [] if known is None else [encode_frame(known.frame)]
