"""How old records are that somebody else held for us: as its giver says, and nobody signed.

Without that a record would be new to each who gets it, and live for ever, from one member to the next. Who
lies about it makes what it hands out live shorter at those who take it, who may have it again from another;
or longer, as anybody can who keeps a copy.
"""

from __future__ import annotations

from mcast.wire.codec import encode_frame, encode_kept
from mcast.wire.frames import Age

from .events import Address
from .peer_id import PeerId
from .retention import Kept
from .state import State

NEW = 1.0  # seconds: a younger record is handed on as new
AGE_MAX = 2**32 - 1  # milliseconds, what the field holds


def kept_of(state: State, run: PeerId, sequence: int) -> Kept | None:
    """The record to send again, if we hold it and may hand it out here."""
    where = state.past.whereabouts
    if run == state.me:
        return state.publisher.sent.kept(sequence) if not where.unsure or sequence > where.sent else None
    return None if where.unsure else state.retention.kept(run, sequence)


def handed(state: State, run: PeerId, sequence: int, now: float) -> bytes | None:
    """Its RECORD frame, and before it how old it is unless it is new; None: we hold it no more."""
    kept = kept_of(state, run, sequence)
    if kept is None:
        return None
    record = encode_kept(kept.payload)
    age = now - kept.at
    return record if age < NEW else encode_frame(Age(min(AGE_MAX, round(age * 1000)))) + record


def on_age(state: State, frame: Age, source: Address, now: float) -> None:
    """The next record of the datagram is so old."""
    state.age = frame.age / 1000
