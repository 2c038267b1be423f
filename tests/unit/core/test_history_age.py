"""How old records are that members hand on to each other: none outlives its day, whatever is said of it."""

from __future__ import annotations

import pytest

from mcast import simulation
from mcast.core.auth.keys import WaitingRecords
from mcast.core.context import Datagram
from mcast.core.events import PeerId
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire.reasons import DropReason
from tests.simulation.safety import holdings
from tests.unit.core.support import ADDRESS, Outsider, asked, drops, record

DAY = 600.0  # seconds that records are kept in these tests
SHORT = Settings(history_seconds=DAY)


def texts(member: simulation.Member) -> list[str | None]:
    return [message.text for message in member.messages()]


def published(member: simulation.Member, peer_id: PeerId, sequence: int = 1) -> float:
    """When the member takes a record of `peer_id` to have been published."""
    held = member.engine._store.lookup(peer_id, sequence)
    assert held is not None
    return held.at


def test_no_record_outlives_its_day_by_going_from_one_to_the_next() -> None:
    lan = simulation.Lan(1, settings=SHORT)
    author, holder = lan.join("author"), lan.join("m0", history=True)
    lan.run(5.0)
    author.send("old")
    said = lan.now
    lan.run(5.0)
    author.leave()
    for number, there in enumerate((True, True, False, False)):
        lan.run(200.0)
        newcomer = lan.join(f"m{number + 1}", history=True)
        lan.run(50.0)
        assert texts(newcomer) == (["old"] if there else [])
        if there:
            assert published(newcomer, author.engine.peer_id) == pytest.approx(said, abs=0.1)
        holder.leave()
        holder = newcomer
    assert holdings([holder]) == {"m4": 0}


def test_a_repair_after_a_long_while_is_delivered_and_no_younger() -> None:
    lan = simulation.Lan(2, settings=SHORT)
    ada, bob, cyd = lan.join("ada"), lan.join("bob"), lan.join("cyd")
    lan.run(5.0)
    lan.partition([ada, bob], [cyd])
    ada.send("meanwhile")
    said = lan.now
    lan.run(300.0)
    lan.heal()
    lan.run(100.0)
    assert texts(cyd) == ["meanwhile"]
    assert published(cyd, ada.engine.peer_id) == pytest.approx(said, abs=0.1)
    lan.run(250.0)
    assert holdings([bob, cyd]) == {"bob": 0, "cyd": 0}


def test_what_an_author_said_more_than_a_day_ago_is_repaired_and_is_no_history() -> None:
    lan = simulation.Lan(3, settings=SHORT)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(5.0)
    lan.partition([ada], [bob])
    ada.send("long ago")
    lan.run(DAY + 100.0)
    lan.heal()
    lan.run(100.0)
    assert texts(bob) == ["long ago"]
    assert drops(bob, "too-old") == 1
    cyd = lan.join("cyd", history=True)
    lan.run(50.0)
    assert texts(cyd) == []
    ada.send("now")
    lan.run(5.0)
    assert texts(cyd) == ["now"]


class Giver(Outsider):
    """Hands out one record of its own and says how old it is."""

    def hand_out(self, digest: bytes, age: float) -> None:
        self.say(f.Digest(digest * 16, 1, 1))
        self.lan.run(0.5)
        self.say(
            f.Vector(digest * 16, 0, 1, asked(self.lan.members[0]), (f.Holding(*self.peer_id, 1, 1, ()),))
        )
        old = self.record(1, b"old", age=100.0)
        self.say(self.key, f.Age(round(age * 1000)), old)


def test_what_is_said_to_be_too_old_is_dropped_and_not_asked_for_there_again() -> None:
    lan = simulation.Lan(4, settings=SHORT)
    ada = lan.join("ada", history=True)
    lan.run(40.0)
    eve = Giver(lan, age=100.0)
    eve.hand_out(b"1", DAY)
    lan.run(1.0)
    assert (drops(ada, "too-old"), texts(ada)) == (1, [])
    assert not ada.engine._anti_entropy._fetches.active
    requests = ada.engine.stats()["sent-rangerequest"]
    eve.hand_out(b"1", 100.0)
    lan.run(1.0)
    assert texts(ada) == []
    assert ada.engine.stats()["sent-rangerequest"] == requests
    eve.say(f.Digest(b"3" * 16, 1, 1), source=("10.9.9.8", 28003))
    lan.run(0.5)
    eve.say(
        f.Vector(b"3" * 16, 0, 1, asked(ada), (f.Holding(*eve.peer_id, 1, 1, ()),)),
        source=("10.9.9.8", 28003),
    )
    assert ada.engine.stats()["sent-rangerequest"] == requests + 1, "another giver may say otherwise"


def test_what_died_of_a_lie_is_had_again_from_an_honest_holder() -> None:
    lan = simulation.Lan(5, settings=SHORT)
    ada = lan.join("ada", history=True)
    lan.run(5.0)
    eve = Giver(lan, age=100.0)
    eve.hand_out(b"1", DAY - 5.0)
    lan.run(1.0)
    assert published(ada, eve.peer_id) == pytest.approx(lan.now - DAY + 5.0, abs=2.0)
    bob = lan.join("bob")
    eve.say(eve.key)
    bob.engine._store.add(eve.peer_id, [eve.record(1, b"old", age=100.0)], lan.now, 0.0)
    lan.run(16.0)
    assert holdings([ada]) == {"ada": 0}
    eve.say(eve.announcement(flags=f.NEWCOMER))
    lan.run(70.0)
    assert published(ada, eve.peer_id) == pytest.approx(lan.now - 86.0, abs=5.0)
    assert texts(ada) == ["old"]


def test_an_age_goes_with_the_next_record_alone() -> None:
    lan = simulation.Lan(7, settings=SHORT)
    ada = lan.join("ada")
    lan.run(6.0)
    eve = Outsider(lan)
    eve.say(eve.key, f.Age(5000), eve.record(1), eve.record(2))
    now = lan.now
    eve.say(f.Age(5000))
    eve.say(eve.record(3))
    assert [round(now - published(ada, eve.peer_id, sequence)) for sequence in (1, 2, 3)] == [5, 0, 0]


def test_a_record_that_waits_for_its_key_keeps_its_age() -> None:
    lan = simulation.Lan(8, settings=SHORT)
    ada = lan.join("ada")
    lan.run(6.0)
    eve = Outsider(lan)
    eve.say(f.Age(5000), eve.record(1))
    now = lan.now
    eve.say(eve.key)
    assert now - published(ada, eve.peer_id) == pytest.approx(5.0, abs=0.1)
    waiting: WaitingRecords[bytes] = WaitingRecords(ada.engine._context, DropReason.UNKNOWN_KEY)
    assert waiting.add(b"k", record(1), Datagram(ADDRESS, bytes(8)), 0.0, 5.0)
    assert [waiter.age for waiter in waiting.take(b"k")] == [5.0]


def test_a_repair_for_somebody_else_of_before_we_came_is_no_news() -> None:
    """A peer of a moment, as `mcast send` is: by its own clock it is younger than our stay."""
    lan = simulation.Lan(21)
    lan.run(5.0)
    eve = Outsider(lan)
    lan.run(4.0)
    ada = lan.join("ada", quiet=True)
    lan.run(2.0)
    eve.say(eve.key, f.Age(3000), eve.record(1, b"before"))
    assert ada.messages() == []
    assert ada.engine.stats()["dropped-not-asked"] == 1
    fay = Outsider(lan, seed=5)
    fay.say(fay.key, f.Age(1500), fay.record(1, b"a moment ago"))
    assert [message.data for message in ada.messages()] == [b"a moment ago"]
