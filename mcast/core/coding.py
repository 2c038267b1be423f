"""Coded repair: one datagram for receivers that lack different records (the author's side, then theirs)."""

from __future__ import annotations

from itertools import pairwise

from mcast.wire.codec import encode_frame
from mcast.wire.coded import coded_size, lay, restore, shorten
from mcast.wire.frames import Coded
from mcast.wire.limits import FRAME_HEADER_SIZE
from mcast.wire.reasons import DropReason, Malformed

from .ages import NEW, kept_of
from .events import Address
from .inbound_history import on_any_record
from .inbox import Inbox
from .peer_id import PeerId
from .state import State
from .upkeep import catch_up

LOOK = 64  # waiting repairs that are looked at for partners of one


def code(state: State, sequence: int, now: float) -> bytes | None:
    """The frame that repairs `sequence` of ours, whose turn it is, and others; None: it goes alone."""
    room = state.room_left(FRAME_HEADER_SIZE)
    payloads: dict[int, bytes] = {}
    for other in (sequence, *state.askers.partners(sequence, state.repairs.waiting(state.me, LOOK))):
        payload = _new(state, other, now)
        if payload is not None and _fits([*payloads.values(), payload], room):
            payloads[other] = payload
        elif other == sequence:
            break
    if len(payloads) < 2:
        state.askers.plain(sequence)
        return None
    for other in list(payloads)[1:]:
        state.repairs.left(state.me, other, now)
    state.askers.coded(payloads)
    state.sent_frames["coded"] += 1
    sequences = sorted(payloads)
    steps = tuple(after - before for before, after in pairwise(sequences))
    return encode_frame(Coded(*state.me, sequences[0], steps, lay(map(shorten, payloads.values()))))


def _new(state: State, sequence: int, now: float) -> bytes | None:
    """A record of ours that is still new: a block does not say how old its records are."""
    kept = kept_of(state, state.me, sequence)
    return None if kept is None or now - kept.at >= NEW else kept.payload


def _fits(payloads: list[bytes], room: int) -> bool:
    return coded_size(len(payloads), max(map(len, payloads))) <= room


def on_coded(state: State, frame: Coded, source: Address, now: float) -> DropReason | None:
    """A coded repair, from the author or anybody: what it yields counts as if it had come plain."""
    run = PeerId(frame.origin, frame.incarnation)
    if run == state.me:
        return DropReason.OWN
    inbox = state.reception.get(run)
    if inbox is None:
        return DropReason.UNKNOWN_ORIGIN
    lacking = _lacking(inbox, frame)
    if not lacking:
        return DropReason.DUPLICATE
    if len(lacking) > 1:
        state.undecoded.add(frame, source, now)
        return None
    return _decode(state, inbox, frame, lacking[0], source, now, now)


def solve(state: State, now: float) -> None:
    """Before we ask: take what coded repairs that were kept yield by what has come since."""
    yielded = True
    while yielded:
        yielded = False
        for frame, source, came in state.undecoded.all():
            inbox = state.reception.get(PeerId(frame.origin, frame.incarnation))
            lacking = [] if inbox is None else _lacking(inbox, frame)
            if len(lacking) > 1:
                continue
            state.undecoded.drop(frame)
            if inbox is not None and lacking:
                reason = _decode(state, inbox, frame, lacking[0], source, came, now)
                yielded = yielded or reason is None
                state.drops.update([] if reason is None else [reason])


def _lacking(inbox: Inbox, frame: Coded) -> list[int]:
    refuse = inbox.stream.refuse
    return [sequence for sequence in frame.sequences if refuse(sequence) is not DropReason.DUPLICATE]


def _decode(
    state: State, inbox: Inbox, frame: Coded, sequence: int, source: Address, came: float, now: float
) -> DropReason | None:
    """Take the only record that we lack of `frame`, which is as old as it was when that `came`, or more."""
    catch_up(state)
    blocks = [frame.block]
    for other in frame.sequences:
        if other != sequence:
            held = inbox.stream.held(other)
            payload = held.payload if held else state.retention.get(inbox.peer_id, other)
            if payload is None:
                return DropReason.NOT_HELD
            blocks.append(shorten(payload))
    try:
        record = restore(frame, sequence, lay(blocks))
    except Malformed as malformed:
        return malformed.reason
    state.age = now - came if now - came >= NEW else 0.0
    return on_any_record(state, record, source, now)
