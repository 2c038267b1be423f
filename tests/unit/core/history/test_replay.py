"""What was said before, collected and told together."""

from __future__ import annotations

from math import inf

import pytest

from mcast import simulation
from mcast.core.events import Event, GapAbandoned, Message, PeerId
from mcast.core.history import replay as module
from mcast.core.history.replay import Replay
from mcast.core.rangeset import RangeSet
from mcast.wire import bodies
from mcast.wire.records import Kind, Record
from tests.unit.core.support import Outsider, record

ADA, BOB = PeerId(b"a" * 16, 1), PeerId(b"b" * 16, 1)


def said(sequence: int, peer_id: PeerId = ADA, kind: Kind = Kind.MESSAGE, body: bytes = b"x") -> Record:
    made = record(sequence, body, kind)
    return Record(*peer_id, sequence, 0, kind, 0, made.body, 1, 0, bytes(64), b"", made.payload)


def tell(made: Replay, *, fetching: bool = False) -> list[int]:
    events = made.tell(lambda peer_id: "ada", 0.0, 0.0, fetching)
    assert all(event.history for event in events if isinstance(event, Message))
    told = [event for event in events if isinstance(event, Message | GapAbandoned)]
    return [event.sequence if isinstance(event, Message) else -event.first for event in told]


def test_history_is_told_in_the_order_of_time_and_of_each_peer() -> None:
    """By our clock: what an author's clock says does not count."""
    made = Replay(None, None, 0.0)
    assert made.when(False) == inf
    made.add(BOB, said(7, BOB), 1.0, 50.0)
    made.add(ADA, said(2), 2.0, 60.0)
    made.add(ADA, said(1), 2.0, 40.0)
    made.add(ADA, said(1), 2.0, 99.0)
    assert made
    assert (made.reached(ADA), made.reached(PeerId(b"c" * 16, 1))) == (2, 0)
    assert (made.when(True), made.when(False)) == (1.0 + module.PATIENCE, 1.0 + module.PAUSE)
    assert tell(made) == [7, 1, 2]
    assert not made


def test_a_hole_in_history_is_told() -> None:
    made = Replay(None, None, 0.0)
    for sequence in (1, 4):
        made.add(ADA, said(sequence), 0.0, 9.0 - sequence)
    assert tell(made) == [1, -2, 4]
    made.add(ADA, said(7), 0.0, 1.0)
    made.add(ADA, said(9, kind=Kind.FIRST, body=b"\0\0\0\x09x"), 0.0, 1.0)
    assert tell(made) == [-5, 7, -8]


def test_what_was_told_when_it_came_is_no_hole() -> None:
    made = Replay(None, None, 0.0)
    made.not_missing(ADA, 3, 3)
    made.not_missing(ADA, 3, 5)
    for sequence in (1, 6):
        made.add(ADA, said(sequence), 0.0, 9.0 - sequence)
    assert tell(made) == [1, -2, -5, 6]


def test_a_hole_between_two_tellings_is_told() -> None:
    """Below what is told now, and above it; each once, and not what was told when it came."""
    made = Replay(None, None, 0.0)
    made.not_missing(ADA, 12, 15)
    for numbers, told in (((3,), [3]), ((6,), [-4, 6]), ((1, 10), [1, -2, -7, 10]), ((17,), [-11, -15, 17])):
        for sequence in numbers:
            made.add(ADA, said(sequence), 0.0, 9.0 - sequence)
        assert tell(made) == told


def test_around_what_is_told_nothing_is_missing_while_more_is_on_its_way() -> None:
    made = Replay(None, None, 0.0)
    made.not_missing(ADA, 12, 15)
    made.add(ADA, said(3), 0.0, 6.0)
    assert tell(made, fetching=True) == [3]
    assert made.when(True) == inf
    for sequence in (6, 8):
        made.add(ADA, said(sequence), 0.0, 9.0 - sequence)
    assert tell(made, fetching=True) == [6, -7, 8]
    assert made.when(False) < 1.0, "what did not come is told at the end"
    made.add(BOB, said(1, BOB), 0.0, 0.0)
    assert tell(made) == [-4, 1]
    assert (made.when(False), tell(made)) == (inf, [])
    made.add(ADA, said(10), 0.0, 0.0)
    assert tell(made, fetching=True) == [10]
    made.add(ADA, said(17), 0.0, 0.0)
    assert tell(made) == [-9, -11, -15, 17]


def test_what_is_too_old_to_be_wanted_is_not_lost() -> None:
    made = Replay(None, 60.0, 0.0)
    for sequence, age in ((10, 3000.0), (11, 2000.0), (12, 30.0)):
        kind = Kind.MESSAGE if sequence > 10 else Kind.MIDDLE
        made.add(ADA, said(sequence, kind=kind), 0.0, age)
    assert tell(made) == [12]


def test_more_authors_than_are_remembered_are_told_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PEERS", 2)
    made = Replay(None, None, 0.0)
    peers = [PeerId(bytes([number]) * 16, 1) for number in range(4)]
    for peer_id in peers:
        made.add(peer_id, said(1, peer_id), 0.0, 1.0)
    assert tell(made) == [1, 1, 1, 1]
    assert [made.was_told(peer_id, 1) for peer_id in peers] == [False, False, True, True]


def test_nothing_that_was_told_is_told_to_be_lost() -> None:
    made = Replay(None, None, 0.0)
    for numbers, told in (((3, 4), [3, 4]), ((2, 6), [2, -5, 6])):
        for sequence in numbers:
            made.add(ADA, said(sequence), 0.0, 9.0 - sequence)
        assert tell(made) == told


def test_what_was_not_delivered_is_told_to_be_lost_once() -> None:
    made, lacking = Replay(None, None, 0.0), RangeSet()
    lacking.add(2, 3)
    for sequence in (1, 3):
        made.add(ADA, said(sequence), 0.0, 9.0 - sequence)
    made.missed({ADA: lacking}, lambda peer_id: 0)
    assert tell(made) == [-2, 1, 3]


def test_peers_that_were_told_of_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PEERS", 1)
    made = Replay(None, None, 0.0)
    made.not_missing(BOB, 1, 9)
    made.not_missing(ADA, 2, 3)
    assert list(made._excused) == [ADA]


def test_what_comes_before_what_was_told_is_late() -> None:
    made = Replay(None, None, 0.0)
    made.add(ADA, said(5), 0.0, 5.0)
    tell(made)
    assert (made.was_told(ADA, 5), made.was_told(ADA, 4), made.was_told(BOB, 5)) == (True, False, False)
    made.add(ADA, said(4), 0.0, 6.0)
    made.add(ADA, said(6), 0.0, 4.0)
    made.add(ADA, said(5), 0.0, 5.0)
    events = [event for event in made.tell(str, 0.0, 0.0) if isinstance(event, Message)]
    assert [(event.sequence, event.late) for event in events] == [(4, True), (6, False)], "nothing twice"


def test_only_what_was_asked_for_is_told() -> None:
    """What is older is not told later either; what is newer is, from wherever it comes."""
    last, since = Replay(2, None, 0.0), Replay(None, 3.5, 0.0)
    none, all_ = Replay(0, None, 0.0), Replay(9, None, 0.0)
    for made in (last, since, none, all_):
        for sequence in (1, 2, 3, 4):
            made.add(ADA, said(sequence), 1.0, 6.0 - sequence)
    assert tell(last) == tell(since)[1:] == [3, 4]
    assert tell(none) == []
    assert tell(all_) == [1, 2, 3, 4]
    for made in (last, since):
        made.add(BOB, said(1, BOB), 1.0, 5.5)
        assert not made
        made.add(BOB, said(2, BOB), 1.0, 2.5)
        assert tell(made) == [2]
    for sequence in (5, 6, 7, 8, 9, 10):
        all_.add(ADA, said(sequence), 1.0, 0.0)
    assert tell(all_) == [6, 7, 8, 9, 10], "five were missing of nine"


def test_the_latest_are_fetched_first_until_there_are_enough() -> None:
    assert not Replay(0, None, 0.0).bounded
    assert Replay(None, 3.0, 0.0).steps() == [3.0, inf]
    last, since, free = Replay(2, None, 10.0), Replay(None, 30.0, 10.0), Replay(None, None, 10.0)
    assert last.steps() == [*module.LADDER, inf]
    assert (last.bounded, since.bounded, free.bounded) == (True, True, False)
    for made in (last, since, free):
        for sequence, age in ((1, 500.0), (2, 20.0)):
            made.add(ADA, said(sequence), 10.0, age)
        made.covered(60.0)
    assert last.when(True) == 10.0 + module.LAST_PATIENCE
    assert since.when(True) == 10.0 + module.PAUSE
    assert free.when(True) == 10.0 + module.PATIENCE
    last.covered(600.0)
    free.covered(600.0)
    assert not last.bounded
    assert last.when(True) == 10.0 + module.PAUSE
    assert tell(last) == [1, 2]
    assert not last.bounded
    few = Replay(9, None, 10.0)
    few.add(ADA, said(1), 10.0, 5.0)
    assert few.bounded
    assert tell(few) == [1]
    assert not few.bounded, "all there is was fetched"


def test_history_is_bounded_and_what_has_no_room_is_told_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECORDS", 2)
    monkeypatch.setattr(module, "PEERS", 1)
    made, last = Replay(None, None, 0.0), Replay(1, None, 0.0)
    for replay in (made, last):
        replay.add(BOB, said(1, BOB), 0.0, 2.0)
        assert not replay._lost
        for sequence in (3, 2, 1):
            replay.add(ADA, said(sequence), 0.0, 9.0 - sequence)
    events = made.tell(lambda peer_id: "ada", 0.0, 0.0)
    assert events[0] == GapAbandoned(ADA, 1, 2, "ada")
    assert [event.sequence for event in events if isinstance(event, Message)] == [3, 1]
    assert len(made._told) == 1
    assert tell(last) == [1], "older ones were not wanted"
    for number in range(4):
        made.add(PeerId(bytes([number]) * 16, 1), record(1), 0.0, 9.0 - number)
    assert len(made._lost) == 1
    made.add(ADA, said(1), 0.0, 1.0)


def first(sequence: int, total: int, body: bytes) -> Record:
    return record(sequence, bodies.encode_first(total, body), Kind.FIRST)


def _messages(made: Replay) -> list[tuple[int, bool]]:
    told = made.tell(lambda peer_id: "", 0.0, 0.0)
    return [(event.sequence, event.late) for event in told if isinstance(event, Message)]


def test_what_stands_before_fragments_that_were_no_message_yet_is_not_late() -> None:
    made = Replay(None, None, 0.0)
    made.add(ADA, record(4, b"ghi", Kind.LAST), 0.0, 0.0)
    assert _messages(made) == []
    for one in (record(1), first(2, 9, b"abc"), record(3, b"def", Kind.MIDDLE)):
        made.add(ADA, one, 1.0, 1.0)
    assert _messages(made) == [(1, False), (4, False)]
    made.add(ADA, record(6), 2.0, 0.0)
    assert _messages(made) == [(6, False)]
    made.add(ADA, record(5), 3.0, 0.0)
    assert _messages(made) == [(5, True)]


def test_a_long_message_of_history_that_comes_in_two_tellings_is_told_whole() -> None:
    told = Replay(None, None, 0.0)
    eve = Outsider(simulation.Lan(1))
    body = bodies.encode_first(9, b"abc")
    pieces = [(1, body, Kind.FIRST), (2, b"def", Kind.MIDDLE), (3, b"ghi", Kind.LAST)]
    records = [eve.record(sequence, data, kind) for sequence, data, kind in pieces]
    tellings: list[list[Event]] = []
    for some in (records[:1], records[2:], records[1:2]):
        for one in some:
            told.add(eve.peer_id, one, 0.0, 0.0)
        tellings.append(told.tell(lambda peer_id: "eve", 1.0, 0.0))
    messages = [[event.data for event in some if isinstance(event, Message)] for some in tellings]
    assert messages == [[], [], [b"abcdefghi"]]
    assert not told._parts


def test_peers_whose_fragments_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PARTS", 1)
    told = Replay(None, None, 0.0)
    lan = simulation.Lan(1)
    for seed in (1, 2):
        eve = Outsider(lan, seed)
        told.add(eve.peer_id, eve.record(1, bodies.encode_first(9, b"abc"), Kind.FIRST), 0.0, 0.0)
        told.tell(lambda peer_id: "", 1.0, 0.0)
    assert list(told._parts) == [eve.peer_id]


def test_what_was_listed_and_not_delivered_is_told_as_lost_unless_it_comes_in_time() -> None:
    """Of an author of whom something came: the word of a holder alone is not enough."""
    made = Replay(9, None, 0.0)
    made.add(ADA, said(5), 0.0, 1.0)
    lacking = RangeSet()
    lacking.add(1, 5)
    made.missed({ADA: lacking, BOB: lacking}, lambda peer_id: 0)
    made.add(ADA, said(2), 0.0, 2.0)
    assert made.tell(lambda peer_id: "ada", 0.0, 0.0)[:2] == [
        GapAbandoned(ADA, 1, 1, "ada"),
        GapAbandoned(ADA, 3, 4, "ada"),
    ]


@pytest.mark.parametrize(("published", "lost"), [(0, []), (7, [(6, 7)]), (5000, [(6, 2499)])])
def test_what_no_author_signed_is_not_told_as_lost(published: int, lost: list[tuple[int, int]]) -> None:
    """Anybody can list what was never said."""
    made = Replay(None, None, 0.0)
    made.add(ADA, said(5), 0.0, 1.0)
    lacking = RangeSet()
    lacking.add(6, 2500)
    made.missed({ADA: lacking}, lambda peer_id: published)
    told = made.tell(lambda peer_id: "ada", 0.0, 0.0)
    assert told[:-1] == [GapAbandoned(ADA, first, last, "ada") for first, last in lost]
