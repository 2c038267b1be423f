"""Handing the roster to newcomers and to those who ask for it."""

from __future__ import annotations

from itertools import islice

from mcast.wire.codec import encode_frames
from mcast.wire.frames import Challenge, Echo, Frame, Roster, RosterRequest
from mcast.wire.limits import FRAME_HEADER_SIZE, HEADER_SIZE, TAG_SIZE, TOKEN_SIZE
from mcast.wire.reasons import DropReason

from .addresses import pack
from .events import Address
from .handover import GIVERS, PAGE, Greeting, first_entries, is_giver
from .peer_id import PeerId
from .roster import Peer
from .state import State

AMPLIFICATION = 3  # bytes sent for a byte received, at most, to who has not echoed a token
CHALLENGE_SIZE = (
    HEADER_SIZE + TAG_SIZE + FRAME_HEADER_SIZE + TOKEN_SIZE
)  # bytes of a datagram with a CHALLENGE
REQUEST_SIZE = CHALLENGE_SIZE - HEADER_SIZE - TAG_SIZE  # of frames, so that all givers may answer
OWN = 1  # we ourselves are the first entry


def meet_newcomer(state: State, newcomer: PeerId, source: Address, now: float) -> None:
    """A newcomer announced itself."""
    if state.manner.visitor or source is None:
        return
    greeting = Greeting(newcomer, source, state.datagram_size)
    if state.greetings.heard(greeting, now):
        greet(state, greeting, now)


def greet(state: State, greeting: Greeting, now: float) -> None:
    """If we are among the three nearest to a newcomer: a token, ourselves, some entries, as far as they fit.

    The attack: newcomers made up under a victim's address. The three share what AMPLIFICATION allows.
    """
    newcomer, source = greeting.peer_id, greeting.source
    others = (peer.peer_id for peer in state.roster if peer.peer_id != newcomer and peer.confirmed)
    named = first_entries(newcomer.origin + newcomer.incarnation.to_bytes(8, "big"), state.me, others)
    if named is None:
        return
    room = min(state.room_left(), AMPLIFICATION * greeting.size // GIVERS - HEADER_SIZE - TAG_SIZE)
    frames: list[Frame] = [Challenge(state.tokens.issue(source))]
    entries = (_entry(state, peer) for run in named if (peer := state.roster.get(run)))
    for entry in (_ourselves(state, now), *entries):
        if len(encode_frames([*frames, *entry])) > room:
            break
        frames += entry
    state.queue(*frames, to=source)


def answer_request(state: State, start: int, source: Address, now: float) -> DropReason | None:
    """Give a page of the roster to who echoed its token, a token to who has none yet."""
    if state.manner.visitor or source is None:
        return DropReason.NOT_ASKED
    if not state.tokens.answers.take(1, now):
        return DropReason.OVER_BUDGET
    if not state.tokens.valid(source, state.echoed):
        if CHALLENGE_SIZE * (1 if state.direct else GIVERS) > AMPLIFICATION * state.datagram_size:
            return DropReason.NO_TOKEN
        packed, port = pack(source)
        others = (peer.peer_id for peer in state.roster if peer.confirmed)
        if not (state.direct or is_giver(packed + port.to_bytes(2, "big"), state.me, others)):
            return DropReason.NOT_ASKED
        state.queue(Challenge(state.tokens.issue(source)), to=source)
        return DropReason.NO_TOKEN
    _page(state, start, source, now)
    return None


def _page(state: State, start: int, source: Address, now: float) -> None:
    frames = _ourselves(state, now) if start == 0 else []
    for entry in _entries(state, max(0, start - OWN)):
        if frames and len(encode_frames([*frames, *entry])) > state.room_left():
            state.queue(*frames, to=source)
            frames = []
        frames += entry
    if frames:
        state.queue(*frames, to=source)


def _ourselves(state: State, now: float) -> list[Frame]:
    return [state.key_frame, state.announcement(now)]


def _entries(state: State, start: int) -> list[list[Frame]]:
    """A page of the peers we heard ourselves, each with its key."""
    heard = (peer for peer in state.roster if peer.confirmed)
    return [_entry(state, peer) for peer in islice(heard, start, start + PAGE - OWN)]


def _entry(state: State, peer: Peer) -> list[Frame]:
    known = state.authority.key(peer.peer_id.origin)
    roster = Roster(*pack(peer.source), peer.announcement)
    return [roster] if known is None else [known.frame, roster]


def collect(state: State, now: float) -> None:
    """Ask for the next page of the roster, as a newcomer."""
    request = state.collector.tick(now)
    if request is not None:
        state.queue(Echo(request.token), RosterRequest(request.start), to=request.giver)
