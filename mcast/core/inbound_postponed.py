"""Strangers' announcements for which there was no budget: keeping them, and taking them up later."""

from __future__ import annotations

from mcast.wire.frames import Announcement, Frame, Key

from .events import Address
from .inbound_members import on_announcement, on_key
from .peer_id import PeerId
from .postponed import Entry
from .state import State


def postpone(state: State, frames: list[Frame], source: Address, now: float) -> None:
    """A datagram was over the budget: if it is the announcement of a stranger, with its key, keep it."""
    key, frame = (frames[0], frames[-1]) if len(frames) == 2 else (None, None)
    if isinstance(key, Key) and isinstance(frame, Announcement):
        run = PeerId(frame.origin, frame.incarnation)
        if run not in state.roster and run not in state.tombstones:
            state.postponed.add(Entry(key, frame, source, state.datagram_size, now))


def take_up(state: State, now: float) -> None:
    """Check as many of them as the budget has signatures to spare.

    They are judged by the time at which they came, as what they say was true then.
    """
    while state.authority.spare(now):
        entry = state.postponed.take(now)
        if entry is None:
            return
        state.datagram_size = entry.size
        for reason in (
            on_key(state, entry.key, entry.source, entry.at),
            on_announcement(state, entry.announcement, entry.source, entry.at, prompt=False),
        ):
            if reason is not None:
                state.drops[reason] += 1
    state.postponed.rest(now)
