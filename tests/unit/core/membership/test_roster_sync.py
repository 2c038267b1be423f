"""The roster for newcomers and for those who ask."""

from __future__ import annotations

from math import inf
from random import Random

import pytest

from mcast import simulation
from mcast.core.events import PeerId
from mcast.core.membership.roster_sync import (
    PAGE,
    AddressTokens,
    Collector,
    Greeting,
    Greetings,
    Request,
    is_giver,
    pack,
    unpack,
)
from mcast.wire import frames as f
from tests.unit.core.support import ADDRESS, Outsider, drops, now_ms


def test_a_newcomer_learns_everybody_at_once() -> None:
    lan = simulation.Lan(12)
    members = [lan.join(f"m{number}") for number in range(12)]
    lan.run(18.0)
    late = lan.join("late")
    lan.run(0.02)
    assert len(late.peers()) == 12
    assert all(len(member.peers()) == 12 for member in members)
    lan.run(18.0)
    assert all(peer.confirmed for peer in late.peers())


def test_a_visitor_asks_for_the_roster_and_is_in_none() -> None:
    lan = simulation.Lan(13)
    members = [lan.join(f"m{number}") for number in range(5)]
    lan.run(3.0)
    visitor = lan.join("visitor", visitor=True)
    assert not visitor.engine.collecting
    visitor.engine.ask_roster(lan.now)
    visitor.step()
    lan.run(0.05)
    assert visitor.engine.collecting
    lan.run(1.0)
    assert not visitor.engine.collecting
    assert len(visitor.peers()) == 5
    assert all(len(member.peers()) == 4 for member in members)
    visitor.leave()
    assert visitor.engine.closed


@pytest.mark.parametrize("seed", range(10))
def test_a_visitor_learns_of_all_who_came_just_before_it(seed: int) -> None:
    """Each of them has heard only some of the others itself, as it came later."""
    lan = simulation.Lan(seed)
    for number in range(12):
        lan.join(f"m{number}")
        lan.run(0.05 + 0.5 * lan.random.random())
    visitor = lan.join("visitor", visitor=True)
    visitor.engine.ask_roster(lan.now)
    visitor.step()
    lan.run(0.1)
    assert len(visitor.peers()) == 12


def test_what_a_visitor_misses_of_one_roster_is_in_another() -> None:
    """Each member has lost one of the others, each another one."""
    lan = simulation.Lan(17)
    members = [lan.join(f"m{number}") for number in range(4)]
    lan.run(0.5)
    for member, other in zip(members, [*members[1:], members[0]], strict=True):
        member.engine._roster.remove(other.engine.peer_id)
    visitor = lan.join("visitor", visitor=True)
    visitor.engine.ask_roster(lan.now)
    visitor.step()
    lan.run(0.1)
    assert len(visitor.peers()) == 4


def test_a_roster_request_is_answered_after_an_echo_only() -> None:
    lan = simulation.Lan(14)
    ada = lan.join("ada")
    lan.run(1.0)
    answers: list[bytes] = []
    lan.on_transmit = lambda data, _source, to: answers.append(data) if to == ADDRESS else None
    eve = Outsider(lan)
    eve.say(f.RosterRequest(0))
    assert answers == [], "it is shorter than the three answers that it would bring about"
    eve.say(f.RosterRequest(0), to=ada.address)
    assert [len(answer) < 120 for answer in answers] == [True]
    assert drops(ada, "no-token") == 2
    eve.say(f.Echo(b"wrong..."), f.RosterRequest(0))
    token = ada.engine._roster_sync._tokens.issue(ADDRESS)
    eve.say(f.Echo(token), f.RosterRequest(0))
    assert len(answers) == 3
    eve.say(f.Echo(token), f.RosterRequest(200))
    assert len(answers) == 3
    for _ in range(30):
        eve.say(f.Echo(token), f.RosterRequest(0))
    assert drops(ada, "over-budget") > 0


def test_a_visitor_whom_no_answer_reaches_asks_for_one_to_the_group() -> None:
    lan = simulation.Lan(14)
    members = [lan.join(f"m{number}") for number in range(9)]
    lan.run(6.0)
    visitor = lan.join("visitor", visitor=True)
    lan.partition([visitor])
    visitor.engine.ask_roster(lan.now)
    visitor.step()
    lan.run(0.2)
    lan.heal()
    alone: list[bytes] = []
    lan.on_transmit = lambda data, _, to: alone.append(data) if to == visitor.address else None
    visitor.engine.ask_roster(lan.now)
    visitor.step()
    lan.run(0.05)
    assert (len(visitor.peers()), alone) == (9, [])
    assert sum(drops(member, "not-asked") for member in members) == 6, "three of them answered"


def test_who_is_not_told_at_once_is_asked_for_next() -> None:
    lan = simulation.Lan(15)
    for number in range(30):
        lan.join(f"m{number}")
    lan.run(20.0)
    visitor = lan.join("visitor", visitor=True)
    visitor.engine._roster_sync._unanswered = lan.now - 1.0
    known = [0]
    while len(visitor.peers()) > known[-1] or len(known) == 1:
        known.append(len(visitor.peers()))
        visitor.engine.ask_roster(lan.now)
        visitor.step()
        lan.run(0.6)
    assert known[-1] >= 20


def test_answers_to_the_group_are_few() -> None:
    """However many ask under made-up addresses."""
    lan = simulation.Lan(14)
    ada = lan.join("ada")
    lan.run(2.0)
    eve = Outsider(lan)
    for number in range(5):
        eve.say(f.RosterRequest(number, f.BY_MULTICAST))
    assert drops(ada, "over-budget") == 3
    eve.say(f.RosterRequest(0, f.BY_MULTICAST), to=ada.address)
    assert drops(ada, "no-token") == 1, "by unicast it is an ordinary request"


def test_old_hearsay_is_probed_before_it_is_believed() -> None:
    lan = simulation.Lan(15)
    ada = lan.join("ada")
    eve = Outsider(lan)
    stale = eve.announcement(timestamp=now_ms(lan) - 100_000)
    eve.say(eve.key, f.Roster(*pack(("10.0.0.77", 1)), stale))
    assert ada.peers() == []
    assert drops(ada, "not-live") == 1
    fresh = eve.announcement()
    eve.say(f.Roster(*pack(("10.0.0.77", 1)), fresh))
    (peer,) = ada.peers()
    assert not peer.confirmed
    assert peer.source == ("10.0.0.77", 1)
    eve.say(f.Roster(*pack(None), fresh))
    assert drops(ada, "duplicate") == 1
    eve.say(eve.announcement())
    assert ada.peers()[0].confirmed


def test_newer_hearsay_takes_the_place_of_older() -> None:
    lan = simulation.Lan(16)
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key, f.Roster(*pack(("10.0.0.77", 1)), eve.announcement()))
    lan.run(2.0)
    newer = eve.announcement(interval=7000)
    said = lan.now
    lan.run(1.0)
    eve.say(f.Roster(*pack(("10.0.0.78", 1)), newer))
    peer = ada.engine._roster.get(eve.peer_id)
    assert peer is not None
    assert (peer.announcement, peer.confirmed, peer.source) == (newer, False, ("10.0.0.77", 1))
    assert abs(peer.said - said) < 0.01
    assert peer.heard <= peer.said


def test_nobody_but_the_nearest_three_greets() -> None:
    peer_ids = [PeerId(bytes([number]) * 16, 1) for number in range(20)]
    asker = b"newcomer"
    givers = [
        peer_id
        for peer_id in peer_ids
        if is_giver(asker, peer_id, [other for other in peer_ids if other != peer_id])
    ]
    assert len(givers) == 3


def test_a_storm_of_newcomers_is_greeted_sparingly() -> None:
    greetings = Greetings(Random(1), now=0.0)
    storm = [Greeting(PeerId(bytes([number]) * 16, 1), ADDRESS, 1, 300) for number in range(200)]
    assert not any(greetings.heard(greeting, 0.0) for greeting in storm)
    assert greetings.due(0.2) == []
    assert greetings.next == inf
    assert sum(greetings.heard(greeting, 5.0) for greeting in storm) == 20


def test_the_collector_goes_through_pages_and_givers() -> None:
    collector = Collector(1000)
    assert collector.next == inf
    assert collector.tick(0.0) == []
    collector.asked(0.5)
    for number in range(5):
        assert collector.challenged(number, b"%d" % number, 1, 1.0)
    assert collector.challenged(0, b"again", 1, 1.0)
    assert [request.giver for request in collector.tick(1.0)] == [0, 1, 2]
    asked: list[tuple[object, int]] = [(0, 0)]
    while (now := collector.next) < inf:
        for request in collector.tick(now):
            asked.append((request.giver, request.start))
            if request.giver == 1 and request.start < 2 * PAGE:
                for _ in range(PAGE):
                    collector.entry(1, now)
    assert asked == [(0, 0)] * 3 + [(1, 0), (1, PAGE)] + [(1, 2 * PAGE)] * 3 + [(2, 2 * PAGE)] * 3
    assert collector.finished
    assert not collector.challenged(9, b"late", 1, 1.5)
    assert collector.next == inf
    collector.asked(9.0)
    assert collector.challenged(9, b"again", 1, 9.0), "who asks again collects again"
    assert collector.tick(9.0) == [Request(9, b"again", 0)]


def test_the_entries_of_other_givers_are_no_page_of_the_first() -> None:
    collector = Collector(1000)
    collector.asked(0.0)
    for giver in ("a", "b"):
        assert collector.challenged(giver, giver.encode(), 1, 0.0)
    assert [request.giver for request in collector.tick(0.0)] == ["a", "b"]
    collector.entry("a", 0.01)
    for _ in range(PAGE):
        collector.entry("b", 0.05)
    assert collector.tick(0.11) == [], "b may have more to say"
    assert collector.tick(0.2) == []
    assert collector.finished
    collector.entry("b", 0.3)
    assert collector.next == inf


@pytest.mark.parametrize(
    ("address", "back"),
    [
        (("10.1.2.3", 5), ("10.1.2.3", 5)),
        (("fe80::1%eth0", 5, 0, 2), ("fe80::1", 5, 0, 7)),
        (("2001:db8::1", 5, 0, 0), ("2001:db8::1", 5, 0, 0)),
        (("nonsense", 5), None),
        (("10.1.2.3", "port"), None),
        (("10.1.2.3",), None),
        (None, None),
    ],
)
def test_addresses_are_handed_on(address: object, back: object) -> None:
    giver = ("fe80::2", 1, 0, 7)
    assert unpack(*pack(address), giver) == back


def test_tokens_are_bounded() -> None:
    tokens = AddressTokens(Random(1))
    first = tokens.issue("a")
    assert tokens.issue("a") == first
    assert tokens.valid("a", first)
    assert not tokens.valid("a", None)
    for number in range(2000):
        tokens.issue(number)
    assert not tokens.valid("a", first)
