"""What is kept up to date for records that were taken: done after the application was told of them."""

from __future__ import annotations

from collections.abc import Sequence

from mcast.wire.reasons import DropReason
from mcast.wire.records import Record

from .inbox import Inbox
from .peer_id import PeerId
from .state import State


def catch_up(state: State) -> None:
    """What else there is to do for records that were taken; the application is told before.

    Every call of the engine begins with it, but for more records: so nobody sees one taken by half.
    """
    taken, state.taken = state.taken, []
    fresh: dict[Inbox, int] = {}
    for inbox, row, now, age in taken:
        run = inbox.peer_id
        keep(state, run, row, now, age)
        if state.manner.history:
            for record in filter(inbox.is_old, row):
                state.past.recall.add(run, record, now)
        if state.repairs.planned:
            for record in row:
                state.repairs.heard(run, record.sequence, now)
        fresh[inbox] = fresh.get(inbox, 0) + len(row)
    for inbox, count in fresh.items():
        state.reporter.news(inbox.peer_id, now, state.members, count)
        if state.reception.get(inbox.peer_id) is inbox:  # it may have had to make room since
            lacks(state, inbox, now)


def keep(state: State, run: PeerId, row: Sequence[Record], now: float, age: float) -> None:
    """Hold records for others, unless they are said to be so old that they would be let go of at once."""
    if state.retention.outlived(age):
        state.drops[DropReason.TOO_OLD] += len(row)
        return
    state.retention.add_all(run, [(record.sequence, record.payload) for record in row], now, age)
    state.past.news.came(now)


def lacks(state: State, inbox: Inbox, now: float) -> None:
    """Keep the NACK timers in step with what `inbox` lacks."""
    state.reception.lacks(inbox, now, state.members)
    state.events.extend(state.reception.told())
