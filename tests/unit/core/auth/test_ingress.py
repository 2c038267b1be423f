"""Which datagrams are opened at all."""

from __future__ import annotations

import pytest

from mcast import simulation
from mcast.core.auth.ingress import Checks, Ingress
from mcast.crypto.rooms import Room, keyed_room, open_room
from mcast.crypto.seal import Sealer
from mcast.wire import frames as f
from mcast.wire.codec import encode_frames
from mcast.wire.limits import COUNTER_MAX
from mcast.wire.reasons import DropReason
from tests.unit.core.support import ADDRESS, Outsider, drops, texts


def test_the_duplicate_cache_forgets_the_oldest() -> None:
    room = open_room("230.0.0.1:28003", "simulation")
    ingress = Ingress(Checks(room), b"ours....", limit=2)
    sealer = Sealer(room, b"theirs..")
    datagrams = [sealer.seal(encode_frames([f.Who(bytes(8))])) for _ in range(9)]
    for number, datagram in enumerate(datagrams):
        assert ingress.open(datagram) == [f.Who(bytes(8))]
        latest = datagrams[max(0, number - 1) : number + 1]
        assert all(ingress.open(one) is DropReason.REPEATED for one in latest), "the last two are known"
        assert 0 < len(ingress._latest) + len(ingress._before) < 4
    assert ingress.open(datagrams[0]) == [f.Who(bytes(8))]


def test_two_keys_of_a_room_are_opened_until_one_is_retired() -> None:
    old, new = keyed_room(b"o" * 32, b"i" * 16), keyed_room(b"n" * 32, b"i" * 16)
    ingress = Ingress(Checks(old), b"ours....")

    def say(room: Room, session: bytes, counter: int) -> bytes:
        return Sealer(room, session, counter).seal(encode_frames([f.Who(bytes(8))]))

    assert ingress.open(say(new, b"theirs..", 1)) is DropReason.UNKNOWN_ROOM
    ingress.accept(Checks(new))
    for room in (old, new):
        assert ingress.open(say(room, b"theirs..", 2)) == [f.Who(bytes(8))]
        assert ingress.open(say(room, b"ours....", 2)) is DropReason.OWN
    assert ingress.retire(new) == [old.key_id]
    assert ingress.open(say(new, b"theirs..", 3)) == [f.Who(bytes(8))]
    assert ingress.open(say(old, b"theirs..", 3)) is DropReason.UNKNOWN_ROOM


def test_exact_repeats_are_dropped_before_they_are_opened() -> None:
    lan = simulation.Lan(12)
    ada = lan.join("ada")
    datagram = Sealer(lan.room, b"somebody").seal(encode_frames([f.Who(b"12345678")]))
    for _ in range(3):
        lan.transmit(datagram, ADDRESS)
    lan.run(0.1)
    assert drops(ada, "repeated") == 2
    assert drops(ada, "not-asked") == 1


@pytest.mark.parametrize(
    ("reason", "datagram"),
    [
        ("not-mcast", b"hello, this is plain text"),
        ("too-short", b"\xff\x4d\x02\x01"),
        ("unsealed", Sealer(open_room("230.0.0.1:28003", "simulation"), b"8 bytes.").seal(b"x")[:-1] + b"x"),
        ("unknown-room", Sealer(open_room("230.0.0.1:28003", "other"), b"8 bytes.").seal(b"x")),
        ("truncated", Sealer(open_room("230.0.0.1:28003", "simulation"), b"8 bytes.").seal(b"x")),
    ],
)
def test_what_is_not_ours_is_counted(reason: str, datagram: bytes) -> None:
    lan = simulation.Lan(13)
    ada = lan.join("ada")
    lan.transmit(datagram, ADDRESS)
    lan.run(0.1)
    assert drops(ada, reason) == 1


def test_the_highest_counter_under_our_session_silences_nobody() -> None:
    lan = simulation.Lan(14)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    victim = ada.engine._sealer.session
    eve = Outsider(lan)
    eve.sealer = Sealer(lan.room, victim, COUNTER_MAX)
    eve.say(eve.key)
    ada.send("still here")
    lan.run(0.1)
    assert texts(bob) == ["still here"]
