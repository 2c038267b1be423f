"""Announcements that wait until their signature may be checked."""

from __future__ import annotations

from math import inf

from mcast import simulation
from mcast.core.context import Datagram
from mcast.core.membership.presence import PAUSE, Postponed, PostponedTable
from tests.unit.core.support import Outsider


def entry(number: int, at: float = 0.0) -> Postponed:
    """The announcement of a stranger that came at that time."""
    lan = simulation.Lan(1)
    outsider = Outsider(lan, number)
    datagram = Datagram(("10.9.9.9", number), bytes(8), size=300)
    return Postponed(outsider.own_key, outsider.announcement(), datagram, at)


def test_who_waits_is_taken_up_in_order_and_the_oldest_go_first() -> None:
    postponed = PostponedTable(2)
    assert postponed.next == inf
    assert postponed.take(9.0) is None
    entries = [entry(number, at=float(number)) for number in (1, 2, 3)]
    for each in entries:
        postponed.add(each)
    assert len(postponed) == 2
    assert postponed.next == 1.0 + PAUSE
    assert postponed.take(1.0) is None
    assert postponed.take(3.0) is entries[1]
    postponed.rest(3.0)
    assert postponed.take(3.0) is None
    newer = entry(3, at=4.0)
    postponed.add(newer)
    assert postponed.take(4.0) is newer
    assert postponed.next == inf
