"""A path that drops large datagrams without telling: all arrives all the same, and the others adapt."""

from __future__ import annotations

from collections import Counter

import pytest

from mcast import simulation
from mcast.core.reliability.slices import RAISE_AFTER
from mcast.wire import limits
from tests.unit.core.support import gap_events, texts

SIZES = [10, 1000, 1234, 5000, 20_000]


def narrow(lan: simulation.Lan, path_size: int, receiver: simulation.Member, **conditions: float) -> None:
    """What the others send to `receiver` passes up to this size only, and what it sends to them, too."""
    for member in lan.members:
        if member is not receiver:
            lan.between(member, receiver, path_size=path_size, **conditions)
            lan.between(receiver, member, path_size=path_size, **conditions)


def payload(member: simulation.Member) -> int:
    return member.engine._context.payload


def talk(lan: simulation.Lan, author: simulation.Member) -> list[str]:
    """The author says a line of each size, a few times."""
    said = [f"{number} ".ljust(size, "x") for number in range(4) for size in SIZES]
    for text in said:
        author.send(text)
        lan.run(0.2)
    lan.run(6.0)
    return said


@pytest.mark.parametrize("path_size", [1400, 1000, 600])
@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_everything_arrives_in_order_and_soon(path_size: int, loss: float) -> None:
    lan = simulation.Lan(3, loss=loss)
    ada, bob, eve = (lan.join(name) for name in ("ada", "bob", "eve"))
    narrow(lan, path_size, bob, loss=loss)
    lan.run(5.0)
    said = talk(lan, ada)
    assert texts(bob) == texts(eve) == said
    assert not [event for event in gap_events(bob) if event[0] == "GapAbandoned"]
    lan.run(30.0)
    assert payload(ada) == payload(eve) == 1200


def test_nothing_is_repaired_once_the_others_know_the_size() -> None:
    lan = simulation.Lan()
    ada, bob = lan.join("ada"), lan.join("bob")
    narrow(lan, 1400, bob)
    lan.run(5.0)
    talk(lan, ada)
    before = ada.engine.stats()["sent-repair"]
    talk(lan, ada)
    assert len(bob.messages()) == 8 * len(SIZES)
    assert ada.engine.stats()["sent-repair"] == before
    quiet = lan.sent_bytes
    lan.run(60.0)
    assert lan.sent_bytes - quiet < 60 * 1000


def test_larger_datagrams_are_tried_again_and_used_if_they_pass() -> None:
    lan = simulation.Lan()
    ada, bob = lan.join("ada"), lan.join("bob")
    narrow(lan, 1400, bob)
    lan.run(5.0)
    talk(lan, ada)
    assert payload(ada) == 1200
    lan.run(RAISE_AFTER + 10.0)
    assert payload(ada) == 1452
    talk(lan, ada)
    assert payload(ada) == 1200, "they still do not pass"
    assert len(bob.messages()) == 8 * len(SIZES)
    narrow(lan, 1452, bob)
    lan.run(RAISE_AFTER + 10.0)
    talk(lan, ada)
    assert payload(ada) == 1452
    assert len(bob.messages()) == 12 * len(SIZES)


def test_no_request_is_larger_than_what_it_asks_for() -> None:
    lan = simulation.Lan()
    ada, bob = lan.join("ada"), lan.join("bob")
    narrow(lan, 600, bob)
    lan.run(5.0)
    nacks: Counter[bool] = Counter()

    def on_transmit(data: bytes, source: object, destination: object) -> None:
        nacks[len(data) <= limits.DATAGRAM_SLICE] += source == bob.address

    lan.on_transmit = on_transmit
    talk(lan, ada)
    assert len(bob.messages()) == 4 * len(SIZES)
    assert nacks[False] == 0


def test_holders_repair_in_slices_after_the_author_has_gone() -> None:
    lan = simulation.Lan()
    ada, bob, eve = (lan.join(name) for name in ("ada", "bob", "eve"))
    narrow(lan, 1400, bob)
    lan.run(5.0)
    said = ["x" * 5000, "y" * 1234]
    for text in said:
        ada.send(text)
    lan.run(0.02)
    ada.crash()
    assert texts(bob) == []
    lan.run(60.0)
    assert texts(eve) == texts(bob) == said


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_earlier_messages_are_fetched_in_slices(loss: float) -> None:
    lan = simulation.Lan(5, loss=loss)
    ada, eve = lan.join("ada"), lan.join("eve")
    said = talk(lan, ada)
    bob = lan.join("bob", history=True)
    narrow(lan, 1400, bob, loss=loss)
    lan.run(20.0)
    assert set(texts(bob)) == set(said)
    assert len(bob.messages()) == len(said)
    assert texts(eve) == said
