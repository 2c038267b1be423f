"""Where a peer is reached."""

from __future__ import annotations

import pytest

from mcast.core.directed import routes
from mcast.core.directed.routes import ANNOUNCED, GROUP_TIME, UNICAST_TRIES, VALID_TRIES, Route, Routes
from mcast.core.events import PeerId
from mcast.core.membership.roster import Peer, Roster
from mcast.wire.frames import Announcement
from tests.unit.core.support import make_context

HERE, THERE = ("10.0.0.1", 28003), ("10.0.0.2", 28003)
BOB = PeerId(b"b" * 16, 1)


def peer(source: object) -> Peer:
    announcement = Announcement(*BOB, 1, 0, 1, 0, 5000, 0, 1452, 0, 0, bytes(8))
    return Peer(BOB, "bob", announcement, source, 0.0, True)


def roster(source: object = HERE) -> Roster:
    made = Roster(make_context(), 10, 10)
    made.add(peer(source))
    return made


def test_a_new_address_gets_three_times_what_announced_it() -> None:
    route = Route(HERE)
    assert route.way(2 * ANNOUNCED, 0, 0.0) == HERE
    assert route.way(2 * ANNOUNCED, 0, 0.0) is None
    assert route.way(ANNOUNCED, 0, 0.0) == HERE
    assert route.way(1, 0, 0.0) is None


def test_without_an_address_it_goes_through_the_group() -> None:
    assert Route(None).way(1, 0, 0.0) is None


def test_tries_in_vain_lead_through_the_group() -> None:
    assert Route(HERE).way(1, UNICAST_TRIES, 0.0) is None
    valid = Route(HERE)
    valid.answered(HERE, True, True, 0.0)
    ways = [valid.way(10**6, tries, 0.0) for tries in range(VALID_TRIES + 2)]
    assert ways == [HERE] * VALID_TRIES + [None, HERE]


def test_who_answers_through_the_group_is_spoken_to_there() -> None:
    route = Route(HERE)
    route.answered(HERE, False, False, 0.0)
    assert route.known
    assert route.way(1, 0, GROUP_TIME - 1) is None
    assert route.way(1, 0, GROUP_TIME) == HERE
    route.answered(THERE, True, True, GROUP_TIME - 1)
    assert route.way(10**6, 0, GROUP_TIME - 1) == THERE


def test_an_answer_from_where_nothing_was_sent_validates_nothing() -> None:
    route = Route(HERE)
    route.answered(THERE, False, True, 0.0)
    assert route.known
    assert (route.address, route.validated) == (HERE, False)


def test_the_roster_tells_where_a_peer_is() -> None:
    assert Routes(roster()).to(BOB).address == HERE
    assert Routes(Roster(make_context(), 10, 10)).to(BOB).address is None
    assert Routes(roster(None)).to(BOB).address is None


def test_a_peer_that_moved_is_followed() -> None:
    table = Routes(peers := roster())
    table.to(BOB).credit = 0
    assert table.to(BOB).credit == 0
    peers.remove(BOB)
    peers.add(peer(THERE))
    route = table.to(BOB)
    assert (route.address, route.credit) == (THERE, 3 * ANNOUNCED)
    route.answered(THERE, True, True, 0.0)
    peers.remove(BOB)
    peers.add(peer(HERE))
    assert table.to(BOB).address == THERE  # it works
    assert table.to(BOB, UNICAST_TRIES).address == HERE


def test_what_comes_gives_credit_where_it_came_from() -> None:
    table = Routes(roster())
    table.to(BOB)
    table.heard(BOB, THERE, 500)
    route = table.to(PeerId(b"c" * 16, 1))
    assert route.address is None
    table = Routes(Roster(make_context(), 10, 10))
    table.heard(BOB, THERE, 500)
    assert (table.to(BOB).address, table.to(BOB).credit) == (THERE, 1500 - routes.ACK_SIZE)
    table.heard(BOB, THERE, 500)
    assert table.to(BOB).credit == 2 * (1500 - routes.ACK_SIZE)
    table.to(BOB).answered(THERE, True, True, 0.0)
    table.heard(BOB, HERE, 500)
    assert table.to(BOB).address == THERE  # a recording from elsewhere moves nobody who was validated


def test_the_least_recently_used_route_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "ROUTES", 2)
    table = Routes(Roster(make_context(), 10, 10))
    one, two, three = (PeerId(bytes([number]) * 16, 1) for number in (1, 2, 3))
    for peer_id in (one, two, one, three):
        table.heard(peer_id, HERE, 100)
    assert table.to(one).address == HERE
    assert table.to(three).address == HERE
    assert table.to(two).address is None
