"""Order end to end: each message once, in its sender's order, or a gap that is told."""

from __future__ import annotations

import msgspec
import pytest

from mcast import settings as presets
from mcast import simulation
from mcast.core.events import GapAbandoned, GapFilled, GapOpened
from mcast.crypto.seal import Sealer
from mcast.settings import Settings
from mcast.wire import frames as f

from .support import ADDRESS, Outsider, drops, gap_events, texts


def test_whoever_lost_a_record_gets_it_again() -> None:
    lan = simulation.Lan(5)
    ada, bob, eve = lan.join("ada"), lan.join("bob"), lan.join("eve")
    lan.run(1.0)
    ada.send("one")
    lan.run(0.1)
    lan.between(ada, bob, loss=1.0)
    ada.send("two")
    lan.run(0.006)
    lan.between(ada, bob)
    ada.send("three")
    lan.run(1.0)
    assert texts(bob) == texts(eve) == ["one", "two", "three"]
    gaps = [event for event in bob.events() if isinstance(event, GapOpened | GapFilled)]
    assert gaps == [GapOpened(ada.engine.peer_id, 2, 2, "ada"), GapFilled(ada.engine.peer_id, 2, 2, "ada")]
    assert ada.engine.stats()["sent-repair"] == 1


def test_the_last_record_before_a_silence_is_not_lost() -> None:
    lan = simulation.Lan(6)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    lan.between(ada, bob, loss=1.0)
    ada.send("only")
    lan.run(0.3)
    lan.between(ada, bob)
    lan.run(1.0)
    assert texts(bob) == ["only"]


def test_another_holder_repairs_for_a_dead_author() -> None:
    lan = simulation.Lan(7)
    ada, bob, eve = lan.join("ada"), lan.join("bob"), lan.join("eve")
    lan.run(1.0)
    ada.send("first")
    lan.run(0.1)
    lan.between(ada, bob, loss=1.0)
    ada.send("lost")
    lan.run(0.01)
    lan.between(ada, bob)
    ada.send("last")
    lan.run(0.001)
    ada.crash()
    lan.run(5.0)
    assert texts(bob) == ["first", "lost", "last"]
    assert eve.engine.stats()["sent-repair"] >= 1
    assert [message.source for message in bob.messages()] == [ada.address, eve.address, ada.address]


def test_a_gap_is_given_up_after_its_time_and_what_comes_later_is_late() -> None:
    lan = simulation.Lan(8, settings=Settings(gap_timeout=0.5))
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    lan.between(ada, bob, loss=1.0)
    ada.send("lost")
    lan.run(0.01)
    lan.between(ada, bob)
    lan.between(bob, ada, loss=1.0)
    ada.send("seen")
    lan.run(0.3)
    assert texts(bob) == []
    lan.run(0.5)
    assert texts(bob) == ["seen"]
    assert GapAbandoned(ada.engine.peer_id, 1, 1, "ada") in bob.events()
    held = ada.engine._sender.window.get(1)
    assert held is not None
    payload = held.payload
    frame = bytes((f.FrameType.RECORD, 0)) + len(payload).to_bytes(2, "big") + payload
    lan.transmit(Sealer(lan.room, b"repairer").seal(frame), ADDRESS)
    lan.run(0.1)
    assert [(message.text, message.late) for message in bob.messages()] == [("seen", False), ("lost", True)]


def test_what_the_author_overwrote_is_declared_lost() -> None:
    """Order goes on although gap_timeout is None."""
    lan = simulation.Lan(9, settings=Settings(sent_records=5, history_records=4))
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    lan.between(ada, bob, loss=1.0)
    for number in range(12):
        ada.send(f"{number}")
        lan.run(0.006)
    lan.between(ada, bob)
    lan.run(8.0)
    assert texts(bob) == [f"{number}" for number in range(7, 12)]
    assert GapAbandoned(ada.engine.peer_id, 1, 7, "ada") in bob.events()


def test_records_nobody_holds_of_a_peer_that_left_are_given_up() -> None:
    lan = simulation.Lan(10, settings=Settings(gap_timeout=None))
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    lan.between(ada, bob, loss=1.0)
    ada.send("lost")
    lan.run(0.006)
    lan.between(ada, bob)
    ada.send("seen")
    lan.run(0.001)
    ada.crash()
    lan.run(300.0)
    assert texts(bob) == []
    lan.run(60.0)
    assert texts(bob) == ["seen"]
    assert GapAbandoned(ada.engine.peer_id, 1, 1, "ada") in bob.events()


def test_reordering_within_the_grace_asks_for_nothing() -> None:
    lan = simulation.Lan(11)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    for number in range(0, 100, 2):
        lan.between(ada, bob, delay=0.014)
        ada.send(f"{number}")
        lan.run(0.006)
        lan.between(ada, bob)
        ada.send(f"{number + 1}")
        lan.run(0.1)
    assert texts(bob) == [f"{number}" for number in range(100)]
    assert bob.engine.stats().get("sent-nack", 0) == 0


def test_what_was_said_before_we_came_is_only_told_on_request() -> None:
    lan = simulation.Lan(20)
    ada = lan.join("ada")
    lan.run(20.0)
    ada.send("before")
    lan.run(0.3)
    bob, hal = lan.join("bob"), lan.join("hal", history=True)
    lan.run(1.0)
    ada.send("after")
    lan.run(1.0)
    assert texts(bob) == ["after"]
    assert [(message.text, message.history) for message in hal.messages()] == [
        ("before", True),
        ("after", False),
    ]


def test_an_old_record_of_an_older_peer_is_not_asked_for() -> None:
    lan = simulation.Lan(21)
    lan.run(5.0)
    eve = Outsider(lan, age=30.0)
    bob = lan.join("bob")
    eve.say(eve.key, f.Age(2000), eve.record(5, b"old", age=2.0))
    assert drops(bob, "not-asked") == 1
    eve.say(eve.record(6, b"new"))
    assert texts(bob) == ["new"]


def test_a_peer_hidden_by_a_partition_is_caught_up_with() -> None:
    lan = simulation.Lan(22)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.partition([ada], [bob])
    lan.run(15.0)
    ada.crash()
    ada.start()
    for number in range(5):
        ada.send(f"{number}")
        lan.run(0.5)
    lan.heal()
    lan.run(10.0)
    assert texts(bob) == [f"{number}" for number in range(5)]
    hidden = Outsider(lan, age=1000.0)
    hidden.say(hidden.key, hidden.record(300, b"here all along"))
    window = bob.engine._nacks.windows.get(hidden.peer_id)
    assert window is not None
    assert window.buffer.next == 300 + 1 - 256


def test_history_that_comes_by_is_told_on_request_only() -> None:
    """The peer began a moment before us, so all its records are asked for, the first included."""
    lan = simulation.Lan(12)
    lan.run(5.0)
    eve = Outsider(lan)
    before = eve.record(1, b"before")
    lan.run(0.2)
    ada, hal = lan.join("ada"), lan.join("hal", history=True)
    lan.run(0.1)
    eve.say(eve.key, eve.announcement(high=1))
    eve.say(f.Age(300), before)
    eve.say(eve.record(2, b"after"))
    assert [(message.data, message.history) for message in ada.messages()] == [(b"after", False)]
    lan.run(1.0)
    assert sorted((m.data, m.history) for m in hal.messages()) == [(b"after", False), (b"before", True)]


def test_the_first_record_after_joining_is_not_lost_when_nothing_was_heard_before() -> None:
    lan = simulation.Lan(1)
    ada = lan.join("ada")
    lan.run(20.0)
    ada.send("of before")
    lan.run(20.0)
    bob = lan.join("bob")
    lan.between(ada, bob, loss=1.0)
    lan.run(2.0)
    ada.send("of after")
    lan.run(0.01)
    lan.between(ada, bob)
    lan.run(30.0)
    assert texts(bob) == ["of after"]


def test_a_known_peer_is_caught_up_with_wholly_after_a_partition() -> None:
    lan = simulation.Lan(2)
    ada = lan.join("ada")
    lan.run(20.0)
    bob = lan.join("bob")
    lan.run(20.0)
    lan.partition([ada], [bob])
    for number in range(400):
        ada.send(f"{number}")
        lan.run(0.1)
    lan.heal()
    lan.run(60.0)
    assert texts(bob) == [f"{number}" for number in range(400)]


def test_a_gap_open_when_a_peer_expires_is_filled_when_it_is_back() -> None:
    lan = simulation.Lan(3, settings=Settings(gap_timeout=None))
    ada = lan.join("ada")
    lan.run(20.0)
    bob = lan.join("bob")
    lan.run(10.0)
    ada.send("zero")
    lan.run(10.0)
    lan.between(ada, bob, loss=1.0)
    ada.send("one")
    lan.run(0.006)
    lan.between(ada, bob)
    ada.send("two")
    lan.run(0.003)
    lan.partition([ada], [bob])
    lan.run(40.0)
    assert bob.peers() == []
    lan.heal()
    lan.run(30.0)
    assert texts(bob) == ["zero", "one", "two"]


def test_holders_are_asked_after_a_goodbye_and_an_outage() -> None:
    lan = simulation.Lan(4)
    ada, carol = lan.join("ada"), lan.join("carol")
    bob = lan.join("bob")
    lan.run(10.0)
    ada.send("zero")
    lan.run(10.0)
    lan.between(ada, bob, loss=1.0)
    ada.send("one")
    lan.run(0.001)
    lan.between(ada, bob)
    ada.leave()
    lan.run(0.001)
    lan.partition([ada, carol], [bob])
    lan.run(1.0)
    lan.heal()
    lan.run(30.0)
    assert texts(bob) == ["zero", "one"]


def test_a_passive_listener_goes_on_after_a_loss() -> None:
    lan = simulation.Lan(5)
    ada, bob = lan.join("ada"), lan.join("bob", passive=True)
    lan.run(20.0)
    lan.between(ada, bob, loss=1.0)
    ada.send("one")
    lan.run(0.01)
    lan.between(ada, bob)
    ada.send("two")
    lan.run(4.0)
    assert texts(bob) == []
    lan.run(2.0)
    assert texts(bob) == ["two"]
    assert ("GapAbandoned", 1, 1) in gap_events(bob)


@pytest.mark.parametrize("seed", range(5))
def test_a_roster_entry_older_than_the_last_message_does_not_make_it_live(seed: int) -> None:
    lan = simulation.Lan(seed)
    ada = lan.join("ada")
    for number in range(4):
        lan.join(f"{number}")
    lan.run(30.0)
    ada.send("said before bob came")
    lan.run(0.1 + seed * 0.5)
    bob, hal = lan.join("bob"), lan.join("hal", history=True)
    lan.run(30.0)
    assert texts(bob) == []
    assert all(message.history for message in hal.messages())


def test_a_record_of_a_peer_known_by_a_roster_entry_opens_its_window() -> None:
    lan = simulation.Lan(6)
    lan.run(5.0)
    eve = Outsider(lan, age=4.0)
    bob = lan.join("bob")
    lan.run(1.0)
    frame = eve.announcement(high=4)
    eve.say(eve.key, f.Roster(bytes(16), 0, frame))
    assert [view.confirmed for view in bob.peers()] == [False]
    assert bob.engine._nacks.windows.get(eve.peer_id) is None
    eve.say(eve.record(5))
    assert texts(bob) == ["x"]


def test_a_visitor_taken_to_be_gone_may_come_back() -> None:
    lan = simulation.Lan(7, settings=msgspec.structs.replace(presets.lan(), visitor_seconds=2.0))
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.own_key, eve.record(2))
    lan.run(5.0)
    window = bob.engine._nacks.windows.get(eve.peer_id)
    assert window is not None
    assert window.departed
    eve.say(eve.record(3))
    assert not window.departed
    eve.say(eve.record(1))
    assert len(bob.messages()) == 3
    assert [event.name for event in bob.events() if isinstance(event, GapFilled)] == ["eve"]


def test_an_old_repair_opens_no_window_for_who_has_only_come() -> None:
    lan = simulation.Lan(8, settings=Settings())
    lan.run(5.0)
    eve = Outsider(lan, age=30.0)
    bob = lan.join("bob")
    eve.say(eve.key, f.Age(2000), eve.record(5, b"old", age=2.0))
    assert drops(bob, "not-asked") == 1
    assert bob.engine.stats()["receive-windows"] == 0


def test_more_than_a_window_is_had_of_holders_after_a_goodbye() -> None:
    lan = simulation.Lan(9, settings=Settings(window=50))
    ada, carol, bob = (lan.join(name) for name in ("ada", "carol", "bob"))
    lan.run(20.0)
    ada.send("0")
    lan.run(1.0)
    lan.partition([ada, carol], [bob])
    for number in range(1, 160):
        ada.send(f"{number}")
        lan.run(0.01)
    lan.heal()
    ada.leave()
    lan.run(60.0)
    assert ada.engine.closed
    assert texts(carol) == texts(bob) == [f"{number}" for number in range(160)]
