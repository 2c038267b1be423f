"""History where it meets what is live, and where there is too little room or time for it."""

from __future__ import annotations

import pytest

from mcast import simulation
from mcast.core.events import GapAbandoned, Message
from mcast.core.inbox import AFTER_SILENCE, Inbox
from mcast.core.runs import Run
from mcast.core.shelves import KEPT, Shelves
from mcast.wire import bodies
from mcast.wire.records import Kind, Record
from tests.unit.core_support import record

ADA, BOB = Run(b"a" * 16, 1), Run(b"b" * 16, 2)
OLD, NEW = Run(b"a" * 16, 1), Run(b"a" * 16, 2)  # of one identity


def first(sequence: int, total: int, body: bytes) -> Record:
    return record(sequence, bodies.encode_first(total, body), Kind.FIRST)


def _data(member: simulation.Member, *, history: bool) -> list[bytes]:
    return [message.data[:1] for message in member.messages() if message.history is history]


# Messages in whose midst somebody joins


@pytest.mark.parametrize("seed", range(3))
def test_a_long_message_in_whose_midst_somebody_joins_is_history(seed: int) -> None:
    """Its first fragments come from who heard them, the rest is live."""
    lan = simulation.Lan(seed)
    ada, _bob = lan.join("ada"), lan.join("bob")
    lan.run(3.0)
    ada.send("before")
    lan.run(40.0)
    asks, other = [], []
    when = lan.now + 0.01 + seed * 0.004
    lan.at(when, lambda: asks.append(lan.join("asks", history=True)))
    lan.at(when, lambda: other.append(lan.join("other")))
    for number in range(4):
        ada.send(b"%d" % number + bytes(60_000))
    lan.run(10.0)
    assert _data(asks[0], history=True) == [b"b", b"0"]
    assert _data(asks[0], history=False) == _data(other[0], history=False) == [b"1", b"2", b"3"]
    assert _data(other[0], history=True) == []
    assert not any(isinstance(event, GapAbandoned) for event in asks[0].events())


def test_only_what_follows_the_first_record_without_a_hole_is_the_end_of_a_message_begun_before() -> None:
    inbox = Inbox(ADA, "ada", 5, 100, 0, 0)
    for sequence, kind in ((5, Kind.MIDDLE), (6, Kind.LAST), (7, Kind.MESSAGE), (8, Kind.LAST)):
        inbox.accept(record(sequence, kind=kind), None, 0.0)
    assert [one.sequence for one in inbox.begun] == [5, 6]


# Messages of which the rest may not come


def _gone_amid_a_message(shelves: Shelves) -> Inbox:
    inbox = Inbox(ADA, "ada", 1, 100, 0, 0)
    shelves.add(inbox, lambda run: False, 0.0)
    inbox.accept(first(1, 6, b"abc"), None, 0.0)
    inbox.depart(0.0, said=False)
    shelves.departed(inbox, 0.0)
    return inbox


def test_a_run_that_fell_silent_amid_a_message_may_come_back_and_say_the_rest() -> None:
    shelves = Shelves(1 << 20, 10)
    inbox = _gone_amid_a_message(shelves)
    shelves.clear_out(KEPT)
    assert shelves.get(ADA) is inbox
    inbox.returned()
    told = inbox.accept(record(2, b"def", Kind.LAST), None, KEPT)
    assert [event.data for event in told if isinstance(event, Message)] == [b"abcdef"]


def test_of_a_message_whose_rest_never_came_the_beginning_is_told_as_lost() -> None:
    shelves = Shelves(1 << 20, 10)
    _gone_amid_a_message(shelves)
    for now in range(0, int(AFTER_SILENCE + KEPT) + 1, int(KEPT)):
        shelves.clear_out(float(now))
    assert shelves.get(ADA) is None
    assert shelves.told() == [GapAbandoned(ADA, 1, 1, "ada")]
