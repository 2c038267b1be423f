"""Records that came together, one a datagram: those of one run that it still wants are taken as one.

A flush is up to 32 records, and the kernel hands it over as one piece. What is the same for all of them is
done once, most of all if nothing is lacking; what is refused, asked for or to be passed on goes record by
record, as in inbound_records.
"""

from __future__ import annotations

from collections.abc import Callable

from mcast.wire.reasons import DropReason
from mcast.wire.records import Record

from .events import Address
from .inbound_history import on_any_record
from .inbound_records import not_genuine, take_row, take_some
from .inbox import Inbox
from .peer_id import PeerId
from .state import State
from .upkeep import catch_up

TOGETHER = 16  # rows taken before the rest is done for them
Take = Callable[[State, Inbox, list[Record], Address, float], int]


def on_records(state: State, records: list[Record], source: Address, now: float) -> None:
    """Records, each alone in a datagram of one session: on_any_record() of each, in this order."""
    if len(state.taken) >= TOGETHER:
        catch_up(state)
    while records:
        run = PeerId(records[0].origin, records[0].incarnation)
        inbox = None if _special(state) else state.reception.get(run)
        if inbox is not None and (row := inbox.follow(records)):
            reason, done = _take(state, inbox, row, take_row, source, now)
        elif inbox is not None and (row := inbox.wants(records)):
            reason, done = _take(state, inbox, row, take_some, source, now)
        else:
            reason, done = on_any_record(state, records[0], source, now), 1
        if reason is not None:
            state.drops[reason] += 1
        records = records[done:]


def _special(state: State) -> bool:
    """Whether any record may have been asked for."""
    return bool(state.past.syncing)


def _take(
    state: State, inbox: Inbox, row: list[Record], take: Take, source: Address, now: float
) -> tuple[DropReason | None, int]:
    """Take those of `row` up to the first that is not genuine: why it is not, and how many are done with."""
    genuine, reason = state.authority.check_row(row, inbox.peer_id in state.roster, now)
    done = take(state, inbox, row[:genuine], source, now) if genuine else 0
    if reason is None or done < genuine:
        return None, done
    return not_genuine(state, row[genuine], reason, source, now), genuine + 1
