"""Queues of records for those who asked, in turn."""

from __future__ import annotations

import pytest

from mcast.core.context import Datagram
from mcast.core.events import PeerId
from mcast.core.history import serving as module
from mcast.core.history.serving import Errand, ServingQueues
from mcast.wire import frames as f

ADA, BOB = PeerId(b"a" * 16, 1), PeerId(b"b" * 16, 1)
HERE, THERE = ("10.0.0.1", 1), ("10.0.0.2", 1)


def by(source: tuple[str, int], networks: int = 1) -> Datagram:
    return Datagram(source, bytes(8), networks=networks)


def taken(made: ServingQueues, room: int = 250, now: float = 0.0) -> tuple[object, list[int]]:
    page = made.page(now, room, lambda errand: 100)
    return page.to, [errand.sequence for errand in page.errands]


def test_those_who_ask_are_served_in_turn() -> None:
    made = ServingQueues()
    assert made.ask(by(HERE), ADA, [1, 2, 3], 0.0, 0)
    assert made.ask(by(THERE), BOB, [7], 0.0, 0)
    assert made.queues
    assert taken(made) == (HERE, [1, 2])
    assert taken(made) == (THERE, [7])
    assert taken(made) == (HERE, [3])
    assert not made.queues


def test_the_first_record_of_an_origin_in_a_datagram_brings_the_key() -> None:
    made = ServingQueues()
    made.ask(by(HERE), ADA, [1, 2], 0.0, 0)
    made.ask(by(HERE), BOB, [3], 0.0, 0)
    page = made.page(0.0, 1000, lambda errand: 10)
    assert page.errands == [
        Errand(ADA, 1, True, False),
        Errand(ADA, 2, False, False),
        Errand(BOB, 3, True, False),
    ]


def test_what_is_asked_for_in_slices_waits_apart_from_the_rest() -> None:
    made = ServingQueues()
    made.ask(by(HERE), ADA, [1], 0.0, 0)
    made.ask(by(HERE), ADA, [2], 0.0, f.SLICED)
    whole, sliced = (made.page(0.0, 1000, lambda errand: 10) for _ in range(2))
    assert (whole.sliced, whole.errands) == (False, [Errand(ADA, 1, True, False)])
    assert (sliced.sliced, sliced.errands) == (True, [Errand(ADA, 2, True, True)])


def test_what_three_ask_for_within_a_second_goes_to_all_once() -> None:
    made = ServingQueues()
    askers = [("10.0.0.1", port) for port in range(4)]
    for asker in askers[:2]:
        made.ask(by(asker), ADA, [1], 0.0, 0)
    made.ask(by(askers[2]), ADA, [1], 0.5, 0)
    assert [taken(made, now=0.5)[0] for _ in range(3)] == [askers[0], askers[1], None]
    made.ask(by(askers[3]), ADA, [1], 0.55, 0)
    assert not made.queues
    made.ask(by(askers[3]), ADA, [1], 0.6, f.BY_MULTICAST)
    assert taken(made, now=0.6) == (None, [1]), "who lost it asks again after 0.1 s"


def test_queues_askers_and_traces_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ASKERS", "EACH", "PEERS", "TRACES"):
        monkeypatch.setattr(module, name, 1)
    made = ServingQueues()
    assert made.ask(by(HERE), ADA, [1], 0.0, f.BY_MULTICAST)
    assert not made.ask(by(HERE), ADA, [2], 0.0, f.BY_MULTICAST)
    assert not made.ask(by(THERE), BOB, [1], 0.0, 0)
    taken(made)
    made.ask(by(HERE), BOB, [1], 0.0, f.BY_MULTICAST)
    taken(made)
    assert len(made._to_all) == len(made._requesters) == 1
    made.ask(by(HERE), BOB, [5], 0.0, f.BY_MULTICAST)
    made.queues.clear()
    assert not made.queues
