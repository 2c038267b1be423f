"""History where it meets what is live, and where there is too little room or time for it."""

from __future__ import annotations

import msgspec
import pytest

from mcast import simulation
from mcast.core.auth import verifier
from mcast.core.events import GapAbandoned, Message, PeerId
from mcast.core.reliability.nack import KEPT, WindowTable
from mcast.core.reliability.window import AFTER_SILENCE, ReceiveWindow
from mcast.crypto.keys import Identity
from mcast.settings import Settings
from mcast.wire import bodies
from mcast.wire import frames as f
from mcast.wire.attributes import Attributes
from mcast.wire.records import Kind, Record
from tests.simulation.safety import holdings, holds_the_same
from tests.unit.core.support import Outsider, record

ADA, BOB = PeerId(b"a" * 16, 1), PeerId(b"b" * 16, 2)


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
    window = ReceiveWindow(ADA, "ada", 5, 100)
    for sequence, kind in ((5, Kind.MIDDLE), (6, Kind.LAST), (7, Kind.MESSAGE), (8, Kind.LAST)):
        window.accept(record(sequence, kind=kind), None, 0.0)
    assert [one.sequence for one in window.begun] == [5, 6]


def test_what_goes_on_from_before_is_handed_over_once() -> None:
    lan = simulation.Lan(1)
    ada = lan.join("ada", history=True)
    lan.run(0.01)
    eve = Outsider(lan, age=100.0)
    eve.say(eve.key, eve.announcement(high=4))
    eve.say(eve.record(5, b"def", Kind.LAST))
    ada.wake()
    window = ada.engine._nacks.windows.get(eve.peer_id)
    assert window is not None
    assert (window.first, window.begun) == (5, [])
    start = eve.record(4, bodies.encode_first(6, b"abc"), Kind.FIRST)
    ada.engine._receiver.on_history(eve.peer_id, start, lan.now, 0.0)
    lan.run(10.0)
    assert [(message.data, message.history) for message in ada.messages()] == [(b"abcdef", True)]


@pytest.mark.parametrize("fetched", [False, True])
def test_of_what_a_narrow_path_lets_through_nothing_is_lost_or_missing(fetched: bool) -> None:
    """The small records came at once, the large ones as repairs that tell that they are from before. One is
    repaired, or it comes by another way after a later one.
    """
    lan = simulation.Lan(2)
    ada = lan.join("ada", history=True)
    lan.run(1.0)
    eve = Outsider(lan, age=100.0)
    eve.say(eve.key, eve.announcement(high=5))
    eve.say(eve.record(3, b"def", Kind.LAST), eve.record(4, b"small"))
    start = eve.record(2, bodies.encode_first(6, b"abc"), Kind.FIRST)
    if not fetched:
        eve.say(f.Age(5000), start)
    eve.say(f.Age(5000), eve.record(5, b"large"))
    if fetched:
        ada.engine._receiver.on_history(eve.peer_id, start, lan.now, 5.0)
    lan.run(10.0)
    events = ada.events()
    messages = [(one.data, one.history) for one in events if isinstance(one, Message)]
    assert sorted(messages) == [(b"abcdef", True), (b"large", True), (b"small", fetched)]
    assert not any(isinstance(event, GapAbandoned) for event in events)


def test_a_message_of_which_the_middle_was_lost_and_is_from_before_is_history() -> None:
    lan = simulation.Lan(3)
    ada = lan.join("ada", history=True)
    lan.run(1.0)
    eve = Outsider(lan, age=100.0)
    eve.say(eve.key, eve.announcement(high=3))
    eve.say(eve.record(1, bodies.encode_first(9, b"abc"), Kind.FIRST), eve.record(3, b"ghi", Kind.LAST))
    eve.say(f.Age(5000), eve.record(2, b"def", Kind.MIDDLE))
    lan.run(10.0)
    assert [(message.data, message.history) for message in ada.messages()] == [(b"abcdefghi", True)]


def test_a_peer_may_come_back_and_end_a_message_begun_before_we_came() -> None:
    engine = simulation.Lan().join("x").engine
    windows = engine._nacks.windows
    window = windows.open(ADA, "ada", 5, 0, 0.0)
    assert isinstance(window, ReceiveWindow)
    window.accept(record(5, kind=Kind.MIDDLE), None, 0.0)
    window.depart(0.0, said=False)
    windows.departed(window, 0.0)
    windows.clear_out(KEPT)
    assert windows.get(ADA) is None
    again = windows.open(ADA, "ada", 1, 0, KEPT)
    assert isinstance(again, ReceiveWindow)
    last = record(6, kind=Kind.LAST)
    assert again.accept(last, None, KEPT) == []
    assert again.begun == [last]


# Messages of which the rest may not come


def _gone_amid_a_message(windows: WindowTable) -> ReceiveWindow:
    window = windows.open(ADA, "ada", 1, 0, 0.0)
    assert isinstance(window, ReceiveWindow)
    window.accept(first(1, 6, b"abc"), None, 0.0)
    window.depart(0.0, said=False)
    windows.departed(window, 0.0)
    return window


def test_a_peer_that_fell_silent_amid_a_message_may_come_back_and_say_the_rest() -> None:
    windows = simulation.Lan().join("x").engine._nacks.windows
    window = _gone_amid_a_message(windows)
    windows.clear_out(KEPT)
    assert windows.get(ADA) is window
    window.returned()
    told = window.accept(record(2, b"def", Kind.LAST), None, KEPT)
    assert [event.data for event in told if isinstance(event, Message)] == [b"abcdef"]


def test_of_a_message_whose_rest_never_came_the_beginning_is_told_as_lost() -> None:
    engine = simulation.Lan().join("x").engine
    windows = engine._nacks.windows
    _gone_amid_a_message(windows)
    for now in range(0, int(AFTER_SILENCE + KEPT) + 1, int(KEPT)):
        windows.clear_out(float(now))
    assert windows.get(ADA) is None
    assert engine.events() == [GapAbandoned(ADA, 1, 1, "ada")]


def test_pieces_beside_what_was_told_as_lost_are_not_told_as_lost_too() -> None:
    window = ReceiveWindow(ADA, "ada", 1, 100)
    window.accept(first(1, 9, b"abc"), None, 0.0)
    window.accept(record(3, b"ghi", Kind.LAST), None, 0.0)
    window.accept(record(4), None, 0.0)
    assert [event for event in window.close(0.0) if isinstance(event, GapAbandoned)] == [
        GapAbandoned(ADA, 2, 2, "ada")
    ]


def test_a_last_fragment_whose_message_is_lost_begins_none() -> None:
    window = ReceiveWindow(ADA, "ada", 1, 100)
    window.accept(first(1, 9, b"abc"), None, 0.0)
    window.accept(record(3, b"ghi", Kind.LAST), None, 0.0)
    window.end(0.0)
    window.depart(0.0, said=False)
    assert not window.may_go_on(0.0)
    window.accept(first(4, 9, b"abc"), None, 0.0)
    assert window.close(0.0) == [GapAbandoned(ADA, 4, 4, "ada")]


def test_while_nobody_was_asked_yet_more_may_come() -> None:
    lan = simulation.Lan(1)
    ada = lan.join("ada", history=True)
    ada.engine._receiver.on_history(BOB, record(1), lan.now, 0.0)
    lan.run(2.0)
    assert not ada.messages()
    lan.run(4.0)
    assert len(ada.messages()) == 1


def test_history_of_who_is_here_bears_the_name_it_goes_by() -> None:
    lan = simulation.Lan(1)
    ada, bob = lan.join("ada", attributes=Attributes(name="alias")), lan.join("bob")
    lan.run(1.0)
    peer_id = ada.engine.peer_id
    one = msgspec.structs.replace(record(1), origin=peer_id.origin, incarnation=peer_id.incarnation)
    bob.engine._receiver.on_history(peer_id, one, lan.now, 0.0)
    lan.run(6.0)
    assert [message.name for message in bob.messages()] == ["alias"]


def test_the_last_few_of_what_takes_long_to_fetch() -> None:
    lan = simulation.Lan(4, settings=Settings(history_pace=10_000))
    ada, _bob = lan.join("ada"), lan.join("bob")
    lan.run(2.0)
    for number in range(120):
        ada.send(b"%03d" % number + bytes(1000))
        lan.run(0.02)
    lan.run(10.0)
    ada.leave()
    lan.run(60.0)
    new = lan.join("new", history=True, last=3)
    lan.run(60.0)
    assert [message.data[:3] for message in new.messages()] == [b"117", b"118", b"119"]


def test_history_bears_the_names_that_its_peers_had() -> None:
    lan = simulation.Lan(1)
    bob = lan.join("bob")
    lan.run(1.0)
    former, nameless, latter = Outsider(lan, age=300.0), Outsider(lan, age=200.0), Outsider(lan, age=100.0)
    latter.say(former.named("former"))
    latter.say(latter.named("latter"), latter.announcement())
    records = [
        one.record(1, body, age=50.0) for one, body in ((former, b"a"), (nameless, b"b"), (latter, b"c"))
    ]
    for one in records:
        bob.engine._receiver.on_history(PeerId(one.origin, one.incarnation), one, lan.now, 0.0)
    lan.run(6.0)
    assert [(message.data, message.name) for message in bob.messages()] == [
        (b"a", "former"),
        (b"b", "latter"),
        (b"c", "latter"),
    ]


# Recordings


@pytest.mark.parametrize("kind", [f.Nack, f.Report])
def test_recorded_words_without_a_time_bring_no_peer_back(kind: type) -> None:
    lan = simulation.Lan(1)
    ada = lan.join("ada")
    lan.run(20.0)
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement(high=0))
    eve.say(eve.record(1))
    eve.say(eve.heartbeat(3))
    entry = f.Missing(b"z" * 16, 1, ((1, 1),)) if kind is f.Nack else f.Heard(b"z" * 16, 1, 0, 0, 0, 0, 0, 0)
    live, *recorded = [eve.sign(kind(*eve.peer_id, eve.count(), (entry,))) for _ in range(5)]
    lan.run(20.0)
    eve.say(live)
    peer = ada.engine._roster.get(eve.peer_id)
    assert peer is not None
    assert lan.now - peer.heard < 1.0
    for word in recorded:
        lan.run(250.0)
        eve.say(word)
        window = ada.engine._nacks.windows.get(eve.peer_id)
        assert window is None or window.departed
    assert [event.first for event in ada.events() if isinstance(event, GapAbandoned)] == [2]


# What makes room


def test_those_who_hold_an_earlier_and_a_later_peer_of_one_identity_come_to_hold_the_same() -> None:
    lan = simulation.Lan(3, settings=Settings(history_records=80))
    ada, bob, cyd = lan.join("ada"), lan.join("bob"), lan.join("cyd")
    lan.run(3.0)
    for away, there in ((cyd, bob), (bob, cyd)):
        lan.partition([away], [ada, there])
        lan.run(5.0)
        for number in range(20):
            ada.send(str(number))
            lan.run(0.01)
        lan.run(2.0)
        ada.crash()
        lan.run(60.0)
        if there is bob:
            ada.start()
    lan.heal()
    lan.run(300.0)
    assert holds_the_same([bob, cyd])
    assert holdings([bob, cyd]) == {"bob": 20, "cyd": 20}


# Keys


def _key(seed: int) -> f.Key:
    lan = simulation.Lan()
    made = Outsider(lan, seed)
    key = made.key
    assert isinstance(key, f.Key)
    return key


def test_keys_of_records_that_are_held_are_not_pushed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    made = simulation.Lan().join("x").engine._verifier
    made._limit = 3
    origins = [Identity(bytes([seed]) * 32).origin for seed in range(1, 8)]
    wanted = {origins[0]}
    for seed in range(1, 6):
        assert made.learn(_key(seed), False, 0.0, wanted.__contains__) is None
    assert [made.key(origin) is not None for origin in origins[:5]] == [True, False, False, True, True]
    wanted.update(origins)
    made.learn(_key(6), False, 0.0, wanted.__contains__)
    assert made.key(origins[5]) is not None, "if all were kept nobody new could be known"
    assert sum(made.key(origin) is not None for origin in origins) == 3
    monkeypatch.setattr(verifier, "SEARCH", 0)
    made.learn(_key(7), False, 0.0, wanted.__contains__)
    assert sum(made.key(origin) is not None for origin in origins) == 3


def test_made_up_keys_do_not_make_history_worthless() -> None:
    lan = simulation.Lan(3, settings=Settings(peers=20))
    ada, _bob = lan.join("ada"), lan.join("bob")
    lan.run(3.0)
    ada.send("kept")
    lan.run(3.0)
    ada.leave()
    lan.run(90.0)
    for seed in range(100, 200):
        eve = Outsider(lan, seed)
        eve.say(eve.key)
    lan.run(30.0)
    new = lan.join("new", history=True)
    lan.run(30.0)
    assert [message.text for message in new.messages()] == ["kept"]
