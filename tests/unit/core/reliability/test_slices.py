"""Records in slices, and what they tell of the path."""

from __future__ import annotations

from math import inf

import pytest

from mcast import simulation
from mcast.core.reliability import slices as module
from mcast.core.reliability.slices import PARTIAL, PER_SOURCE, RAISE_AFTER, PathSize, Reassembly
from mcast.wire import frames as f
from mcast.wire.codec import decode_frames, encode_sliced
from mcast.wire.limits import DATAGRAM_SAFE, DATAGRAM_SLICE, RECORD_MAX, SLICE_SIZE
from tests.unit.core.support import Outsider, drops

HERE, THERE = ("10.9.0.1", 28003), ("10.9.0.2", 28003)
PAYLOAD = bytes(range(256)) * 5


def slices(payload: bytes) -> list[f.Slice]:
    found = []
    for encoded in encode_sliced(payload):
        frames = decode_frames(encoded)
        assert isinstance(frames, list)
        assert isinstance(frames[0], f.Slice)
        found.append(frames[0])
    return found


@pytest.mark.parametrize("size", [1, SLICE_SIZE, SLICE_SIZE + 1, RECORD_MAX])
def test_slices_make_a_payload_in_any_order_and_more_than_once(size: int) -> None:
    payload = (PAYLOAD * 2)[:size]
    pieces = slices(payload)
    assert len(pieces) == -(-size // SLICE_SIZE)
    reassembly = Reassembly()
    *rest, last = reversed(pieces)
    for piece in (*rest, *rest):
        assert reassembly.add(HERE, piece) is None
    assert reassembly.add(HERE, last) == payload
    assert len(reassembly) == 0


def test_slices_from_two_addresses_are_kept_apart() -> None:
    reassembly = Reassembly()
    first, second, third = slices(PAYLOAD)
    assert reassembly.add(HERE, first) is None
    assert reassembly.add(THERE, second) is None
    assert reassembly.add(HERE, third) is None
    assert reassembly.add(HERE, second) == PAYLOAD
    assert len(reassembly) == 1


def test_what_one_address_leaves_unfinished_pushes_out_its_own() -> None:
    reassembly = Reassembly()
    genuine = slices(PAYLOAD)
    reassembly.add(HERE, genuine[0])
    for number in range(PER_SOURCE + 10):
        reassembly.add(THERE, f.Slice(number.to_bytes(8, "big"), 600, 0, bytes(SLICE_SIZE)))
    assert len(reassembly) == PER_SOURCE + 1
    reassembly.add(HERE, genuine[1])
    assert reassembly.add(HERE, genuine[2]) == PAYLOAD


def test_many_addresses_together_leave_a_bounded_number() -> None:
    reassembly = Reassembly()
    for number in range(PARTIAL + 10):
        reassembly.add(("10.9.1.1", number), f.Slice(bytes(8), 600, 0, bytes(SLICE_SIZE)))
    assert len(reassembly) == PARTIAL
    assert len(reassembly._of) == PARTIAL


def test_slices_of_what_is_no_record_are_dropped() -> None:
    lan = simulation.Lan()
    ada, eve = lan.join("ada"), Outsider(lan)
    for piece in slices(bytes(600)):
        eve.say(piece)
    assert drops(ada, "bad-proof") == 1


def path_size(member: simulation.Member) -> int:
    return member.engine._context.path_size


def lacking(tries: int) -> tuple[simulation.Lan, simulation.Member, Outsider]:
    """A member that has asked for record 1 of an outsider at least so often."""
    lan = simulation.Lan()
    ada, eve = lan.join("ada"), Outsider(lan)
    eve.say(eve.key, eve.announcement())
    eve.say(eve.heartbeat(2))
    while ada.engine.stats().get("sent-nack", 0) < tries:
        lan.run(0.01)
    return lan, ada, eve


def say_sliced(eve: Outsider, payload: bytes) -> None:
    for piece in slices(payload):
        eve.say(f.Age(5), piece)


def test_a_record_asked_for_in_vain_that_comes_in_slices_shows_the_path() -> None:
    lan, ada, eve = lacking(4)
    say_sliced(eve, eve.record(1, bytes(1250)).payload)
    assert [message.data for message in ada.messages()] == [bytes(1250)]
    assert path_size(ada) == DATAGRAM_SAFE
    lan.run(RAISE_AFTER - 1.0)
    assert path_size(ada) == DATAGRAM_SAFE
    lan.run(2.0)
    assert path_size(ada) == 1452


def test_a_smaller_record_shows_a_narrower_path() -> None:
    _, ada, eve = lacking(4)
    say_sliced(eve, eve.record(1, bytes(900)).payload)
    assert path_size(ada) == DATAGRAM_SLICE
    say_sliced(eve, eve.record(2, bytes(1250)).payload)
    assert path_size(ada) == DATAGRAM_SLICE


def test_it_shows_nothing_if_it_was_not_in_vain() -> None:
    _, ada, eve = lacking(1)
    say_sliced(eve, eve.record(1, bytes(1250)).payload)
    assert len(ada.messages()) == 1
    assert path_size(ada) == 1452


@pytest.mark.parametrize(
    ("size", "sliced", "later", "limit"),
    [
        (1250, False, 0.0, 1452),
        (1250, True, 0.0, DATAGRAM_SAFE),
        (1000, False, 0.0, DATAGRAM_SAFE),
        (1250, False, 1.0, DATAGRAM_SAFE),
    ],
)
def test_it_shows_nothing_if_as_large_ones_arrive(
    monkeypatch: pytest.MonkeyPatch, size: int, sliced: bool, later: float, limit: int
) -> None:
    monkeypatch.setattr(module, "LATELY", 1.0)
    lan, ada, eve = lacking(4)
    other = eve.record(2, bytes(size))
    if sliced:
        say_sliced(eve, other.payload)
    else:
        eve.say(other)
    lan.run(later)
    say_sliced(eve, eve.record(1, bytes(1250)).payload)
    assert len(ada.messages()) == 2
    assert path_size(ada) == limit


def test_which_records_came_in_slices_is_not_remembered_without_bound() -> None:
    lan = simulation.Lan()
    ada, eve = lan.join("ada"), Outsider(lan)
    for sequence in range(1, PARTIAL + 10):
        say_sliced(eve, eve.record(sequence).payload)
    slicing = ada.engine._timed[-1]
    assert isinstance(slicing, PathSize)
    assert len(slicing._sliced) == PARTIAL


def test_a_forged_record_in_slices_shows_nothing() -> None:
    _, ada, eve = lacking(4)
    say_sliced(eve, eve.record(1, bytes(1250)).payload[:-1] + b"!")
    assert drops(ada, "bad-signature") == 1
    assert ada.messages() == []
    assert path_size(ada) == 1452


def test_slices_of_somebody_unknown_are_taken_as_records_are() -> None:
    lan = simulation.Lan()
    ada, eve = lan.join("ada"), Outsider(lan)
    eve.say(eve.key)
    say_sliced(eve, eve.record(1, bytes(1250)).payload)
    assert len(ada.messages()) == 1
    assert ada.engine._timed[-1].next_timeout == inf
