"""What was said before, collected and told together."""

from __future__ import annotations

from math import inf

import pytest

from mcast import simulation
from mcast.core.events import Event, GapAbandoned, Message, PeerId
from mcast.core.history import replay as module
from mcast.core.history.replay import Replay
from mcast.wire import bodies
from mcast.wire.records import Kind, Record
from tests.unit.core.support import Outsider, record

ADA, BOB = PeerId(b"a" * 16, 1), PeerId(b"b" * 16, 1)


def said(
    sequence: int, sent: int, peer_id: PeerId = ADA, kind: Kind = Kind.MESSAGE, body: bytes = b"x"
) -> Record:
    made = record(sequence, body, kind, sent)
    return Record(*peer_id, sequence, sent, kind, 0, made.body, 1, 0, bytes(64), b"", made.payload)


def tell(made: Replay, wall: int = 10_000) -> list[tuple[int, int]]:
    events = made.tell(lambda peer_id: "ada", wall, 0.0)
    assert all(event.history for event in events if isinstance(event, Message))
    return [(e.sequence, e.sent) if isinstance(e, Message) else (-1, 0) for e in events]


def test_history_is_told_in_the_order_of_time_and_of_each_peer() -> None:
    made = Replay(None, None, 0.0)
    assert made.when(False) == inf
    made.add(BOB, said(1, 50, BOB), 1.0)
    made.add(ADA, said(2, 40), 2.0)
    made.add(ADA, said(1, 60), 2.0)
    assert made
    assert (made.reached(ADA), made.reached(PeerId(b"c" * 16, 1))) == (2, 0)
    assert (made.when(True), made.when(False)) == (1.0 + module.PATIENCE, 1.0 + module.PAUSE)
    assert tell(made) == [(1, 50), (1, 60), (2, 40)]
    assert not made


def test_a_hole_in_history_is_told() -> None:
    made = Replay(None, None, 0.0)
    for sequence in (1, 4):
        made.add(ADA, said(sequence, sequence), 0.0)
    events = made.tell(lambda peer_id: "ada", 0, 0.0)
    assert [type(event) for event in events] == [Message, GapAbandoned, Message]
    made.add(ADA, said(7, 7), 0.0)
    made.add(ADA, said(9, 7, kind=Kind.FIRST, body=b"\0\0\0\x09x"), 0.0)
    assert [type(event) for event in made.tell(str, 0, 0.0)] == [Message, GapAbandoned]


def test_what_comes_before_what_was_told_is_late() -> None:
    made = Replay(None, None, 0.0)
    made.add(ADA, said(5, 5), 0.0)
    tell(made)
    made.add(ADA, said(4, 4), 0.0)
    made.add(ADA, said(6, 6), 0.0)
    made.add(ADA, said(5, 5), 0.0)
    events = [event for event in made.tell(str, 0, 0.0) if isinstance(event, Message)]
    assert [(event.sequence, event.late) for event in events] == [(4, True), (6, False)], "nothing twice"


def test_only_what_was_asked_for_is_told_the_first_time() -> None:
    last, since = Replay(2, None, 0.0), Replay(None, 3.0, 0.0)
    none, all_ = Replay(0, None, 0.0), Replay(9, None, 0.0)
    for made in (last, since, none, all_):
        for sequence in (1, 2, 3, 4):
            made.add(ADA, said(sequence, 1000 * sequence), 0.0)
    assert tell(last, 6000) == [(3, 3000), (4, 4000)]
    assert tell(since, 6000) == [(3, 3000), (4, 4000)]
    assert tell(none) == []
    assert len(tell(all_)) == 4
    last.add(ADA, said(5, 5000), 0.0)
    last.add(ADA, said(6, 6000), 0.0)
    last.add(ADA, said(7, 7000), 0.0)
    assert len(tell(last)) == 3


def test_history_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECORDS", 2)
    monkeypatch.setattr(module, "PEERS", 1)
    made = Replay(None, None, 0.0)
    for sequence in (1, 2, 3):
        made.add(ADA, said(sequence, 1), 0.0)
    made.add(BOB, said(1, 1, BOB), 0.0)
    assert tell(made) == [(3, 1), (1, 1)]
    assert len(made._told) == 1
    made.add(ADA, said(1, 1), 0.0)
    made.clear()
    assert not made


def first(sequence: int, total: int, body: bytes) -> Record:
    return record(sequence, bodies.encode_first(total, body), Kind.FIRST)


def _messages(made: Replay, *, fetching: bool = False) -> list[tuple[int, bool]]:
    told = made.tell(lambda peer_id: "", 100_000, 0.0, fetching=fetching)
    return [(event.sequence, event.late) for event in told if isinstance(event, Message)]


def test_what_stands_before_fragments_that_were_no_message_yet_is_not_late() -> None:
    made = Replay(None, None, 0.0)
    made.add(ADA, record(4, b"ghi", Kind.LAST), 0.0)
    assert _messages(made) == []
    for one in (record(1), first(2, 9, b"abc"), record(3, b"def", Kind.MIDDLE)):
        made.add(ADA, one, 1.0)
    assert _messages(made) == [(1, False), (4, False)]
    made.add(ADA, record(6), 2.0)
    assert _messages(made) == [(6, False)]
    made.add(ADA, record(5), 3.0)
    assert _messages(made) == [(5, True)]


def test_the_last_few_are_the_last_of_all_that_is_fetched() -> None:
    made = Replay(2, None, 0.0)
    made.add(ADA, record(1, timestamp=1), 0.0)
    assert made.when(True) == module.LAST_PATIENCE
    assert Replay(None, None, 0.0).when(True) == inf
    for sequence in (2, 3):
        made.add(ADA, record(sequence, timestamp=sequence), 0.0)
    assert [sequence for sequence, _ in _messages(made, fetching=True)] == [2, 3]
    for sequence in (4, 5, 6):
        made.add(ADA, record(sequence, timestamp=sequence), 40.0)
    assert [sequence for sequence, _ in _messages(made)] == [5, 6], "it took too long to wait for"
    for sequence in (7, 8, 9):
        made.add(ADA, record(sequence, timestamp=sequence), 90.0)
    assert len(_messages(made)) == 3, "what is fetched later is all told"


def test_the_bounds_end_after_a_minute_whatever_is_feigned() -> None:
    made = Replay(2, None, 0.0)
    for sequence in (1, 2, 3):
        made.add(ADA, record(sequence, timestamp=sequence), 40.0)
    assert len(_messages(made, fetching=True)) == 2
    for sequence in (4, 5, 6):
        made.add(ADA, record(sequence, timestamp=sequence), 61.0)
    assert made.when(True) == 61.0 + module.PATIENCE
    assert len(_messages(made, fetching=True)) == 3


def test_only_the_latest_are_told_however_long_it_takes_to_fetch() -> None:
    made = Replay(None, 60.0, 0.0)
    for telling, fetching in ((0, True), (10, False)):
        made.add(ADA, record(telling + 1, timestamp=39_000), 0.0)
        made.add(ADA, record(telling + 2, timestamp=41_000), 0.0)
        assert _messages(made, fetching=fetching) == [(telling + 2, False)]
    made.add(ADA, record(30, timestamp=1), 0.0)
    assert _messages(made) == [(30, False)]


def test_a_long_message_of_history_that_comes_in_two_tellings_is_told_whole() -> None:
    told = Replay(None, None, 0.0)
    eve = Outsider(simulation.Lan(1))
    body = bodies.encode_first(9, b"abc")
    pieces = [(1, body, Kind.FIRST), (2, b"def", Kind.MIDDLE), (3, b"ghi", Kind.LAST)]
    records = [eve.record(sequence, data, kind) for sequence, data, kind in pieces]
    tellings: list[list[Event]] = []
    for some in (records[:1], records[2:], records[1:2]):
        for one in some:
            told.add(eve.peer_id, one, 0.0)
        tellings.append(told.tell(lambda peer_id: "eve", 0, 1.0))
    messages = [[event.data for event in some if isinstance(event, Message)] for some in tellings]
    assert messages == [[], [], [b"abcdefghi"]]
    assert not told._parts


def test_peers_whose_fragments_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PARTS", 1)
    told = Replay(None, None, 0.0)
    lan = simulation.Lan(1)
    for seed in (1, 2):
        eve = Outsider(lan, seed)
        told.add(eve.peer_id, eve.record(1, bodies.encode_first(9, b"abc"), Kind.FIRST), 0.0)
        told.tell(lambda peer_id: "", 0, 1.0)
    assert list(told._parts) == [eve.peer_id]
    told.clear()
    assert not told._parts
