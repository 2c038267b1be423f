"""Copies by unicast while multicast does not get through."""

from __future__ import annotations

from math import inf

import pytest

from mcast import simulation
from mcast.core.events import Address, Fallback, Message, PeerId, PeerLeft
from mcast.core.flow.feedback import Feedback
from mcast.core.membership import fallback, unicast
from tests.unit.core.support import ADDRESS, Outsider

Members = list[simulation.Member]


def met(count: int = 3, seed: int = 5) -> tuple[simulation.Lan, Members]:
    """Members that know each other."""
    lan = simulation.Lan(seed=seed)
    members = [lan.join(f"m{number}") for number in range(count)]
    lan.run(10.0)
    return lan, members


def cut(lan: simulation.Lan, members: Members) -> None:
    """From now on no multicast gets to these."""
    lan.deaf = {member.address for member in members}


def reached(lan: simulation.Lan, members: Members) -> list[int]:
    return [len(member.engine._unicast.reach(lan.now)) for member in members]


def host(member: simulation.Member) -> str:
    assert isinstance(member.address, tuple)
    return str(member.address[0])


def texts(member: simulation.Member) -> list[str | None]:
    return [event.text for event in member.events() if isinstance(event, Message)]


def changes(member: simulation.Member) -> list[int]:
    return [event.peers for event in member.events() if isinstance(event, Fallback)]


@pytest.mark.parametrize("seed", range(5))
def test_a_chat_goes_on_and_returns_to_multicast(seed: int) -> None:
    lan, members = met(5, seed)
    assert not any(changes(member) for member in members)
    cut(lan, members)
    for number in range(3):
        for member in members:
            member.send(f"{host(member)} {number}")
        lan.run(0.5)
    lan.run(5.0)
    for member in members:
        heard = texts(member)
        assert len(heard) == 12
        for other in members:
            own = [text for text in heard if text is not None and text.startswith(f"{host(other)} ")]
            assert own == ([] if other is member else [f"{host(other)} {number}" for number in range(3)])
    assert reached(lan, members) == [4] * 5
    assert [member.engine.fallback for member in members] == [4] * 5
    lan.run(120.0)
    assert not any(isinstance(event, PeerLeft) for member in members for event in member.events())
    cut(lan, [])
    lan.run(60.0)
    assert reached(lan, members) == [0] * 5
    assert [changes(member) for member in members] == [[4, 0]] * 5
    before = {member.address: len(texts(member)) for member in members}
    members[0].send("again")
    lan.run(1.0)
    assert [len(texts(member)) - before[member.address] for member in members] == [0, 1, 1, 1, 1]


def test_who_is_heard_only_later_gets_what_was_said_last() -> None:
    """Both begin anew while neither hears the other: nobody is there to exchange copies with at first."""
    lan, (ada, bob) = met(2)
    cut(lan, [ada, bob])
    for member in (ada, bob):
        member.crash()
        member.start()
    lan.run(1.0)
    ada.send("the last word")
    lan.run(3.0)
    assert texts(bob)[-1:] != ["the last word"]
    cut(lan, [bob])
    lan.run(30.0)
    assert texts(bob)[-1] == "the last word"


def test_one_who_never_reports_gets_copies_although_others_confirm() -> None:
    lan, (ada, bob, eve) = met(3)
    eve.crash()
    cut(lan, [eve])
    eve.start()
    lan.run(1.0)
    assert eve.engine.peer_id in [peer.peer_id for peer in ada.peers()]
    ada.send("to all")
    lan.run(3.0)
    assert (texts(bob)[-1:], texts(eve)[-1:]) == (["to all"], [])
    lan.run(30.0)
    assert texts(eve)[-1:] == ["to all"]


def test_nobody_is_asked_to_report_where_all_do(monkeypatch: pytest.MonkeyPatch) -> None:
    lan, members = met(10)
    asked: list[float] = []
    monkeypatch.setattr(Feedback, "request", lambda *_: asked.append(lan.now))
    members[0].send("to all")
    lan.run(60.0)
    assert asked == []
    assert not any(changes(member) for member in members)


def test_in_a_large_group_few_report_and_nobody_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    lan, (ada, bob, eve) = met(3)
    monkeypatch.setattr(fallback, "SMALL", 2)
    eve.crash()
    cut(lan, [eve])
    eve.start()
    lan.run(1.0)
    asked: list[float] = []
    monkeypatch.setattr(Feedback, "request", lambda *_: asked.append(lan.now))
    ada.send("to all")
    lan.run(30.0)
    assert texts(bob)[-1:] == ["to all"]
    assert asked == []


def test_what_is_said_while_the_line_before_awaits_its_confirmation_is_looked_after_too() -> None:
    lan, (ada, bob) = met(2)
    ada.send("one")
    lan.run(1.0)
    cut(lan, [bob])
    ada.send("two")
    lan.run(2 * fallback.UNCONFIRMED + 0.5)
    assert texts(bob)[-1] == "two"


def test_the_looks_for_a_confirmation_come_to_an_end() -> None:
    lan, (ada, bob) = met(2)
    bob.crash()
    ada.send("anybody?")
    looks, half = ada.engine._fallback, fallback.UNCONFIRMED * (1 << fallback.TRIES - 1)
    lan.run(half)
    assert looks._unconfirmed_at < inf
    lan.run(half)
    assert looks._unconfirmed_at == inf


def test_a_new_line_does_not_wait_for_the_late_looks_of_the_one_before() -> None:
    lan, (ada, bob) = met(2)
    looks = ada.engine._fallback
    bob.crash()
    ada.send("anybody?")
    lan.run(8 * fallback.UNCONFIRMED)
    assert looks._unconfirmed_at > lan.now + 2 * fallback.UNCONFIRMED
    ada.send("nobody?")
    lan.run(0.1)
    due = looks._unconfirmed_at
    assert due <= lan.now + fallback.UNCONFIRMED
    ada.send("well then")
    lan.run(0.1)
    assert looks._unconfirmed_at == due, "who goes on talking does not put it off"


def test_who_comes_after_the_last_word_need_not_confirm_it() -> None:
    lan = simulation.Lan(seed=5)
    ada = lan.join("ada")
    lan.run(5.0)
    ada.send("anybody?")
    lan.run(5.0)
    bob = lan.join("bob")
    lan.run(60.0)
    assert reached(lan, [ada, bob]) == [0, 0]
    assert changes(ada) == changes(bob) == []


def test_silence_is_noticed_without_a_word() -> None:
    lan, members = met(3, 3)
    cut(lan, members)
    lan.run(16.0)
    assert reached(lan, members) == [2, 2, 2]


def test_one_who_hears_nothing_asks_all_for_copies() -> None:
    lan, (ada, bob, eve) = met(3)
    cut(lan, [eve])
    lan.run(16.0)
    assert len(eve.engine._unicast.reach(lan.now)) == 2
    ada.send("to all")
    lan.run(1.0)
    assert (texts(bob)[-1], texts(eve)[-1]) == ("to all", "to all")


def test_loss_alone_is_no_sign() -> None:
    lan, members = met(4)
    lan.conditions = simulation.Conditions(loss=0.1)
    for number in range(40):
        members[number % 4].send(str(number))
        lan.run(1.5)
    assert reached(lan, members) == [0] * 4


def test_who_does_not_answer_is_left_alone_for_a_while() -> None:
    lan, (ada, bob) = met(2)
    bob.crash()
    lan.run(1.0)
    ada.send("anybody?")
    asked: list[bytes] = []
    lan.on_transmit = lambda data, source, destination: (
        asked.append(data) if source == ada.address and destination == bob.address else None
    )
    lan.run(fallback.UNCONFIRMED + fallback.LEAST)
    assert asked
    assert ada.engine._fallback._healing or ada.engine._fallback._vain
    lan.run(6.0)
    assert not ada.engine._fallback._healing
    assert changes(ada) == []


def test_as_many_as_there_are_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallback, "HEALED", 6)
    monkeypatch.setattr(unicast, "HEALED", 6)
    lan, members = met(12)
    cut(lan, members)
    members[0].send("hello")
    lan.run(fallback.UNCONFIRMED + 0.1)
    assert len(members[0].engine._fallback._healing) == 3
    asked: set[Address] = set()
    lan.on_transmit = lambda data, source, destination: asked.add(destination)
    for _ in range(20):
        for member in members:
            member.send(host(member))
        lan.run(1.0)
        assert max(reached(lan, members)) <= 6
    lan.run(20.0)
    assert len(asked) > 1
    assert [len(texts(member)) for member in members] == [220, *[221] * 11], "others hand on what they have"


def test_who_has_no_place_left_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unicast, "HEALED", 1)
    lan, (ada, bob, eve) = met(3)
    assert ada.engine._unicast.heal(bob.address, lan.now)
    assert ada.engine._unicast.heal(bob.address, lan.now)
    assert not ada.engine._unicast.heal(eve.address, lan.now)
    assert eve.engine._unicast.heal(ada.address, lan.now)
    eve.step()
    lan.run(1.0)
    assert ada.engine.stats()["dropped-table-full"] > 0
    assert reached(lan, [eve]) == [0]


def test_no_room_among_the_contacts() -> None:
    lan, (ada, bob) = met(2)
    ada.engine.meet([(f"10.7.0.{number}", 1) for number in range(64)], lan.now)
    ada.engine._fallback._heal(list(ada.engine._roster), lan.now)
    assert not ada.engine._fallback._healing
    assert not ada.engine._unicast.heal(bob.address, lan.now)


def test_in_a_large_group_silence_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lan, members = met(3)
    monkeypatch.setattr(fallback, "SMALL", 2)
    cut(lan, members)
    lan.run(10.0)
    assert reached(lan, members) == [0, 0, 0]


def test_a_visitor_heals_nothing() -> None:
    lan, (ada, bob) = met(2)
    guest = lan.join("guest", visitor=True)
    lan.run(1.0)
    guest.engine._fallback.sent(lan.now)
    assert guest.engine._fallback._unconfirmed_at == inf
    guest.engine._fallback._heal(list(guest.engine._roster), lan.now)
    assert not guest.engine._fallback._healing
    assert ada.peers()
    assert bob.peers()


def test_a_stranger_is_no_sign_nor_a_copy_from_elsewhere() -> None:
    lan, (ada, bob) = met(2)
    eve = Outsider(lan)
    eve.say(eve.own_key, eve.heartbeat(0), to=ada.address)
    ada.engine._fallback.copied(eve.peer_id, ADDRESS, lan.now)
    ada.engine._fallback.copied(bob.engine.peer_id, ADDRESS, lan.now + 9.0)
    assert not ada.engine._fallback._healing
    ada.engine._fallback.heard(b"unknown!", ADDRESS, 1, lan.now)
    assert list(ada.engine._fallback._by_group) == [bob.engine.peer_id]


def test_a_copy_beside_the_group_is_no_sign() -> None:
    lan, (ada, bob) = met(2)
    ada.engine._fallback._by_group[bob.engine.peer_id] = lan.now
    ada.engine._fallback.copied(bob.engine.peer_id, bob.address, lan.now)
    assert not ada.engine._fallback._healing
    ada.engine._fallback.copied(bob.engine.peer_id, bob.address, lan.now + 2.0)
    assert list(ada.engine._fallback._healing) == [bob.engine.peer_id]


def test_the_table_of_the_heard_has_a_bound() -> None:
    lan, (ada, bob) = met(2)
    table = ada.engine._fallback._by_group
    limit = ada.engine._context.settings.peers
    table.clear()
    for number in range(limit):
        table[PeerId(number.to_bytes(16, "big"), 1)] = 0.0
    session = next(key for key, who in ada.engine._networks._sessions.items() if who == bob.engine.peer_id)
    ada.engine._fallback.heard(session, bob.address, 1, lan.now)
    assert len(table) == limit
    assert bob.engine.peer_id in table


def test_a_peer_that_joins_by_hearsay_is_asked_nowhere() -> None:
    lan, (ada, bob) = met(2)
    peer = next(iter(ada.engine._roster))
    peer.confirmed = False
    ada.engine._fallback._heal([peer], lan.now)
    assert not ada.engine._fallback._healing
    assert bob.peers()


def test_who_asks_before_it_is_known_is_no_network_of_its_own_for_long() -> None:
    lan, (ada, bob, eve) = met(3)
    cut(lan, [ada, bob, eve])
    eve.send("before")
    lan.run(8.0)
    assert texts(ada)[-1] == texts(bob)[-1] == "before"
    bob.crash()
    lan.run(0.1)
    bob.start()
    lan.run(5.0)
    # It heard nobody in the group. Whoever sends it copies is a network of its own.
    assert len(bob.engine._networks.bits) > 1
    cut(lan, [])
    lan.run(20.0)
    for member in (ada, bob, eve):
        assert len(member.engine._networks.bits) == 1
        mask = next(iter(member.engine._networks.bits.values()))
        assert set(member.engine._networks.masks.values()) == {mask}
    assert ada.engine._store.summary(1).digest == bob.engine._store.summary(1).digest


def test_what_a_dead_author_said_is_fetched_from_who_gets_copies() -> None:
    """One CHALLENGE of a peer is for the question WHO and for the question what it holds."""
    lan, (ada, bob, eve) = met(3)
    cut(lan, [ada, bob, eve])
    lan.run(16.0)
    lan.partition([ada], [bob, eve])
    eve.send("last words")
    lan.run(0.5)
    eve.crash()
    lan.heal()
    bob.send("she said something")
    lan.run(20.0)
    assert sorted(filter(None, texts(ada))) == ["last words", "she said something"]
