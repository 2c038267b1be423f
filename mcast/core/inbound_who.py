"""WHO and HERE: who is on a host, asked and answered by unicast, and the copies that follow from it."""

from __future__ import annotations

from collections.abc import Sequence

from mcast.wire.frames import Challenge, Echo, Frame, Here, Present, Who
from mcast.wire.limits import HEADER_SIZE, TAG_SIZE
from mcast.wire.reasons import DropReason

from .events import Address
from .giving import AMPLIFICATION
from .outgoing import Outgoing
from .state import State

PADDED = 160 - HEADER_SIZE - TAG_SIZE  # bytes of frames: allows an answer that names 16 runs
HERE_SIZE, PRESENT_SIZE, CHALLENGE_SIZE = 13, 26, 12  # bytes of a HERE without runs, of each, of a CHALLENGE


def meet(state: State, now: float) -> None:
    """Ask those whom the user wants to meet."""
    for ask in state.meetings.due(now):
        frames: list[Frame] = [Who(ask.nonce)]
        if ask.token is not None:
            frames.insert(0, Echo(ask.token))
        if ask.introduce and not state.manner.visitor:
            frames += [state.key_frame, state.announcement(now)]
        state.queue(*frames, to=ask.address, size=PADDED)


def on_who(state: State, frame: Who, source: Address, now: float) -> DropReason | None:
    """Somebody asks who is on this host; with our token in hand, it wants copies of what the group gets.

    The attacks: a question to the whole group, which would all answer; a victim's address as its source.
    """
    if not state.direct or source is None:
        return DropReason.NOT_ASKED
    if not state.who_answers.take(1, now):
        return DropReason.OVER_BUDGET
    proven = state.tokens.valid(source, state.echoed)
    room = state.room_left(HERE_SIZE)
    if not proven:
        room = (
            min(room, AMPLIFICATION * state.datagram_size - HEADER_SIZE - TAG_SIZE - HERE_SIZE)
            - CHALLENGE_SIZE
        )
    here = Here(frame.nonce, _present(state, room // PRESENT_SIZE))
    if not proven:
        state.queue(here, Challenge(state.tokens.issue(source)), to=source)
        return None
    state.queue(here, to=source)
    fresh = state.meetings.lease(source, now)
    if fresh and not state.manner.visitor:
        state.queue(state.key_frame, state.announcement(now), to=source)
    return DropReason.TABLE_FULL if fresh is None else None


def _present(state: State, most: int) -> tuple[Present, ...]:
    """We and the other runs on this host, as far as we heard them here."""
    others = (
        Present(*peer.peer_id, peer.announcement.port)
        for peer in state.roster
        if peer.announcement.port and isinstance(peer.address, tuple) and peer.address[0] in state.hosts
    )
    return (Present(*state.me, 0), *others)[: max(1, min(most, 255))]


def on_here(state: State, frame: Here, source: Address, now: float) -> DropReason | None:
    """An answer."""
    asked = state.meetings.answered(frame.nonce, source, frame.present, state.me, now)
    return None if asked else DropReason.NOT_ASKED


def copied(out: list[Outgoing], reach: Sequence[Address]) -> list[Outgoing]:
    """What is to leave, with a copy of what goes to the group for each address in `reach`."""
    group = [outgoing for outgoing in out if outgoing.destination is None]
    return out + [Outgoing(one.data, address, one.record) for address in reach for one in group]
