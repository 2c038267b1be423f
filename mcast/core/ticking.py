"""What happens because time passes."""

from __future__ import annotations

from mcast.wire.frames import Heard, KeyRequest, Nack, Report
from mcast.wire.limits import DATAGRAM_SAFE, FRAME_HEADER_SIZE, HEADER_SIZE, SIGNATURE_SIZE, TAG_SIZE
from mcast.wire.reasons import DropReason

from .events import Address
from .giving import collect, greet
from .history import tick_history, when_history
from .inbound_members import KEY_PRICE, OTHERS
from .inbound_postponed import take_up
from .inbound_probes import check_silence
from .inbound_who import meet
from .peer_id import PeerId
from .presence import announced_size
from .probing import measure_again, measure_until_known, probe_doubted
from .reporting import PAGE
from .state import State
from .timers import earliest

KEYED_HEARTBEATS = 3  # after data our key goes along with so many heartbeats
SOON_HEARTBEATS = 5  # within half a second of the last data
KEYED_NACKS = 3  # and with our first NACKs: an unknown requester shares a small quota
NACK_HEAD = FRAME_HEADER_SIZE + 16 + 8 + 8 + 1 + SIGNATURE_SIZE
REPORT_BATCH = PAGE
KEY_REQUEST_SIZE = OTHERS * KEY_PRICE - HEADER_SIZE - TAG_SIZE  # bytes of frames, so that anybody answers


def tick(state: State, now: float) -> None:
    """Do all that is due."""
    if state.closing:
        _last_ones(state, now)
        return
    _presence(state, now)
    take_up(state, now)
    check_silence(state, now)
    probe_doubted(state, now)
    state.drops[DropReason.UNKNOWN_KEY] += state.unkeyed.tick(now)
    state.drops[DropReason.NOT_LIVE] += state.unproven.tick(now)
    measure_until_known(state, now)
    _nack(state, now)
    state.events.extend(state.reception.give_up(now, state.members))
    state.repairs.tick(now)
    _heartbeat(state, now)
    _reports(state, now)
    _keys(state, now)
    for greeting in state.greetings.due(now):
        greet(state, greeting, now)
    collect(state, now)
    meet(state, now)
    state.retention.expire(now)
    state.publisher.sent.expire(now - state.settings.retained_seconds)
    tick_history(state, now)


def _last_ones(state: State, now: float) -> None:
    """Leaving: what was sent last can still be asked for."""
    state.repairs.tick(now)
    if not state.departed:
        _heartbeat(state, now)
    _keys(state, now)


def _heartbeat(state: State, now: float) -> None:
    if state.publisher.heartbeats.due(now):
        keyed = state.publisher.heartbeats.place <= KEYED_HEARTBEATS
        frame = state.heartbeat(now)
        # On any other way it overtakes records that wait in a receiver's buffer, which would count as lost.
        # The last ones leave all ways: where that of records is dead they tell what a visitor has said.
        soon = state.publisher.heartbeats.place <= SOON_HEARTBEATS
        state.queue(*((state.key_frame, frame) if keyed else (frame,)), record=soon)


def _presence(state: State, now: float) -> None:
    state.announcer.waiting = len(state.postponed)
    if state.manner.visitor or not state.may_send or not state.announcer.due(now):
        return
    newcomer = state.announced == 0
    if newcomer:
        state.collector.asked(now)
    frame = state.announcement(now, newcomer=newcomer)
    state.announced += 1
    state.queue(state.key_frame, frame, size=NEWCOMER_SIZE if newcomer else 0)
    state.announcer.sized(announced_size(frame, state.name))


# Each of the three answers may be as long; this length passes everywhere.
NEWCOMER_SIZE = DATAGRAM_SAFE - HEADER_SIZE - TAG_SIZE


def _nack(state: State, now: float) -> None:
    when = state.reception.when()
    if when is None or now < when:
        return
    room = state.room_left(NACK_HEAD)
    keyed = state.sent_frames["nack"] < KEYED_NACKS or state.manner.visitor
    if keyed:
        room -= FRAME_HEADER_SIZE + 41 + len(state.name.encode()) + SIGNATURE_SIZE
    pages, events = state.reception.nack(now, state.members, room)
    state.events.extend(events)
    for page in pages:
        frame = state.sign(Nack(*state.me, state.counter(), tuple(page)))
        state.queue(*((state.key_frame, frame) if keyed else (frame,)))
        measure_again(state, PeerId(page[0].origin, page[0].incarnation), now)
        for missing in page:
            state.reporter.hasten(PeerId(missing.origin, missing.incarnation), now, state.members)


def _reports(state: State, now: float) -> None:
    report_on(state, state.reporter.due(now), now)
    for run, to in state.reporter.answers(now):
        _report(state, [run], to, now)


def report_on(state: State, due: list[PeerId], now: float) -> None:
    """Tell the group what we hold of these runs."""
    for at in range(0, len(due), REPORT_BATCH):
        _report(state, due[at : at + REPORT_BATCH], None, now)


def _report(state: State, runs: list[PeerId], to: Address, now: float) -> None:
    entries = tuple(entry for entry in (_heard(state, run, now) for run in runs) if entry is not None)
    if entries:
        state.queue(state.sign(Report(*state.me, state.counter(), entries)), to=to)


def _heard(state: State, run: PeerId, now: float) -> Heard | None:
    inbox = state.reception.get(run)
    if inbox is None:
        return None
    return Heard(
        *run,
        contiguous=inbox.stream.contiguous,
        highest=inbox.stream.high,
        echo=inbox.echo,
        delay=min(2**32 - 1, round((now - inbox.echo_at) * 1e6)),
        backlog=min(2**32 - 1, state.unread),
        loss=inbox.loss(now),
    )


def _keys(state: State, now: float) -> None:
    for origin in state.keys.ask(now):
        state.queue(KeyRequest((origin,)), size=KEY_REQUEST_SIZE)
    for origin in state.keys.due(now):
        known = state.authority.key(origin)
        if origin == state.me.origin:
            state.queue(state.key_frame)
        elif known is not None:
            state.queue(known.frame)


def deadline(state: State) -> float | None:
    """When something is due next."""
    if state.closing:
        heartbeat = None if state.departed else state.publisher.heartbeats.when()
        return earliest(state.repairs.when(), heartbeat, state.keys.when())
    presence = None if state.manner.visitor or not state.may_send else state.announcer.next
    return earliest(
        presence,
        state.silence.next(),
        state.liveness.when(),
        state.postponed.when(),
        state.measure_at,
        state.unkeyed.when(),
        state.unproven.when(),
        state.reception.when(),
        state.reception.patience(),
        state.repairs.when(),
        state.publisher.heartbeats.when(),
        state.reporter.when(),
        state.keys.when(),
        state.greetings.when(),
        state.collector.when(),
        when_history(state),
        state.meetings.when(),
    )
