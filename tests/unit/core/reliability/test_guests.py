"""Messages of guests: the author speaks for somebody who is not in the group."""

from __future__ import annotations

import pytest

from mcast import simulation
from mcast.errors import MessageTooLarge
from mcast.wire import bodies
from mcast.wire.bodies import decode_guest, encode_guest
from mcast.wire.limits import MESSAGE_MAX, NAME_MAX
from mcast.wire.reasons import DropReason


def test_a_guest_is_told_apart_from_who_speaks_for_it() -> None:
    lan = simulation.Lan(3)
    gate, bob = lan.join("gate"), lan.join("bob")
    lan.run(2.0)
    gate.send("my own")
    gate.send("你好", guest="ada")
    gate.send("more of mine")
    gate.send("long " * 2000, guest="姓名")
    lan.run(2.0)
    told = [(one.guest, one.name, (one.text or "")[:12]) for one in bob.messages()]
    assert told == [
        ("", "gate", "my own"),
        ("ada", "ada via gate", "你好"),
        ("", "gate", "more of mine"),
        ("姓名", "姓名 via gate", "long long lo"),
    ]
    newcomer = lan.join("newcomer", history=True)
    lan.run(5.0)
    assert [one.guest for one in newcomer.messages()] == ["", "ada", "", "姓名"]


def test_guests_are_repaired_like_others() -> None:
    lan = simulation.Lan(4, loss=0.3)
    gate, bob = lan.join("gate"), lan.join("bob")
    lan.run(3.0)
    for number in range(40):
        gate.send(f"{number} " + "x" * (number % 7 * 500), guest="ada" if number % 2 else None)
    lan.run(20.0)
    assert [one.guest for one in bob.messages()] == ["", "ada"] * 20


def test_a_guest_says_at_most_what_fits_beside_its_name() -> None:
    lan = simulation.Lan(5)
    gate = lan.join("gate")
    gate.send(bytes(MESSAGE_MAX - 1 - NAME_MAX), guest="x" * NAME_MAX)
    with pytest.raises(MessageTooLarge):
        gate.send(bytes(MESSAGE_MAX - NAME_MAX), guest="x" * NAME_MAX)


@pytest.mark.parametrize(
    "message", [b"", b"\0text", b"\3ad", bytes((NAME_MAX + 1,)) + b"x" * 100, b"\2\xff\xfftext"]
)
def test_a_malformed_message_of_a_guest_is_not_told(message: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decode_guest(message) is DropReason.BAD_BODY
    lan = simulation.Lan(6)
    gate, bob = lan.join("gate"), lan.join("bob")
    lan.run(2.0)
    monkeypatch.setattr(bodies, "encode_guest", lambda name, data: message)
    gate.send("anything", guest="ada")
    lan.run(1.0)
    gate.send("next")
    lan.run(1.0)
    assert [one.text for one in bob.messages()] == ["next"]


@pytest.mark.parametrize("name", ["a", "x" * NAME_MAX, "姓名"])
@pytest.mark.parametrize("data", [b"", b"text", bytes(range(256))])
def test_encoded_and_decoded(name: str, data: bytes) -> None:
    assert decode_guest(encode_guest(name.encode(), data)) == (name, data)
