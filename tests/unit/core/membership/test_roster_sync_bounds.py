"""Who greets newcomers, and who does not."""

from __future__ import annotations

from math import inf
from random import Random

from mcast import simulation
from mcast.core.events import PeerId
from mcast.core.membership.roster_sync import (
    CHALLENGES,
    COLLECTED,
    STORM,
    Collector,
    Greeting,
    Greetings,
    Request,
    pack,
)
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire.codec import encode_frames
from mcast.wire.header import Header, decode_header
from tests.unit.core.support import ADDRESS, Outsider, drops


def test_visitors_give_no_roster() -> None:
    lan = simulation.Lan(5)
    visitor = lan.join("visitor", visitor=True)
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement(flags=f.NEWCOMER))
    eve.say(f.RosterRequest(0))
    assert drops(visitor, "not-asked") == 1
    assert visitor.engine.stats().get("sent-roster", 0) == 0


def test_a_storm_greets_nobody_in_its_first_second() -> None:
    """Each knows few yet, and would be among the nearest three of those."""
    greetings = Greetings(Random(1), now=0.0)
    few, storm = [
        [Greeting(PeerId(bytes([number]) * 16, 1), ADDRESS, 1, 300) for number in range(size)]
        for size in (STORM, STORM + 1)
    ]
    assert not any(greetings.heard(greeting, 0.0) for greeting in few)
    assert sorted(greetings.due(0.2)) == few
    greetings = Greetings(Random(1), now=0.0)
    assert not any(greetings.heard(greeting, 0.0) for greeting in storm)
    assert greetings.due(0.2) == []


def test_hearsay_is_handed_on_for_a_moment_only() -> None:
    """However seldom its author says that it speaks: each newcomer would give it to the next, without end."""
    lan = simulation.Lan(6)
    ada = lan.join("ada")
    lan.run(2.0)
    eve = Outsider(lan)
    eve.say(eve.key, f.Roster(*pack(None), eve.announcement(interval=2**32 - 1)))
    soon = lan.join("soon")
    lan.run(0.5)
    assert eve.peer_id in {peer.peer_id for peer in soon.peers()}
    soon.leave()
    lan.run(Settings().live_window)
    assert eve.peer_id in {peer.peer_id for peer in ada.peers()}
    late = lan.join("late")
    lan.run(0.5)
    assert [peer.name for peer in late.peers()] == ["ada"]


def test_an_address_that_somebody_made_up_is_not_repeated() -> None:
    lan = simulation.Lan(7)
    ada = lan.join("ada")
    lan.run(2.0)
    giver, eve = Outsider(lan, seed=98), Outsider(lan)
    eve.say(eve.key, f.Roster(*pack(("198.51.100.7", 53)), eve.announcement()))
    told: list[f.Roster] = []

    def tap(data: bytes, source: object, _: object) -> None:
        header = decode_header(data)
        frames = lan.checks.open(header, data) if isinstance(header, Header) else []
        told.extend(frame for frame in frames if isinstance(frame, f.Roster) and source != ADDRESS)

    lan.on_transmit = tap
    giver.say(f.Echo(ada.engine._roster_sync._tokens.issue(ADDRESS)), f.RosterRequest(0))
    assert [(entry.announcement.origin, entry.address, entry.port) for entry in told] == [
        (eve.peer_id.origin, bytes(16), 0)
    ]


def test_seven_visitors_at_once_all_get_pages_of_everybody() -> None:
    """Each asks three times, and asks each of three members for pages."""
    lan = simulation.Lan(8)
    members = [lan.join(f"m{number}") for number in range(3)]
    lan.run(5.0)
    visitors = [lan.join(f"visitor {number}", visitor=True) for number in range(7)]
    for pause in (0.15, 0.15, 0.5):
        for visitor in visitors:
            visitor.engine.ask_roster(lan.now)
            visitor.step()
        lan.run(pause)
    assert [drops(member, "over-budget") for member in members] == [0, 0, 0]
    assert {len(visitor.peers()) for visitor in visitors} == {3}


def test_requests_without_a_token_do_not_use_up_the_pages() -> None:
    lan = simulation.Lan(9)
    ada = lan.join("ada")
    lan.run(2.0)
    eve = Outsider(lan)
    for _ in range(CHALLENGES + 5):
        lan.transmit(eve.sealer.seal(encode_frames([f.RosterRequest(0)])), ADDRESS, ada.address)
    lan.run(0.01)
    assert drops(ada, "over-budget") == 5
    eve.say(f.Echo(ada.engine._roster_sync._tokens.issue(ADDRESS)), f.RosterRequest(0))
    assert drops(ada, "over-budget") == 5


def collected(entries_from: str, *, each: float, most: float) -> float:
    """How long a newcomer collects from one giver while entries come from somebody, `each` seconds apart."""
    collector = Collector(10**9)
    collector.asked(0.0)
    assert collector.challenged("giver", b"token", 1, 0.0)
    now = 0.0
    while collector.next < inf and now < most:
        if now >= collector.next:
            collector.tick(now)
        collector.entry(entries_from, now)
        now += each
    assert bool(collector.finished) == (collector.next == inf)
    return now


def test_entries_from_elsewhere_do_not_keep_us_collecting() -> None:
    assert collected("eve", each=0.05, most=5.0) < 1.0


def test_a_giver_that_dribbles_does_not_keep_us_collecting() -> None:
    assert collected("giver", each=0.05, most=5.0) < 2.0


def test_pages_without_end_do_not_keep_us_collecting() -> None:
    assert collected("giver", each=0.01, most=100.0) < COLLECTED + 1.0


def test_who_took_too_long_is_collected_from_when_it_is_asked_again() -> None:
    collector = Collector(1000)
    for start in (0.0, 50.0):
        collector.asked(start)
        assert collector.challenged("giver", b"token", 1, start)
        assert collector.challenged("other", b"token", 2, start)
        assert collector.tick(start) == [Request("giver", b"token", 0)]
        assert collector.tick(start + COLLECTED) == []
        assert (collector.finished, collector.next) == (3, inf)
