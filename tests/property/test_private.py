"""Whatever happens, the text of a private message leaves sealed for its recipient and in no other way."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcast import simulation
from mcast.core.events import Address, Message, PrivateMessage
from mcast.wire.codec import encode_frames
from mcast.wire.frames import DirectedAck
from mcast.wire.header import Header, decode_header
from tests.unit.core.support import ADDRESS, Outsider

SECRET = b"between you and me"


class Wire(simulation.Lan):
    """A LAN that looks into every datagram, as a member with the room's key can."""

    unicast = True

    def transmit(
        self, data: bytes, source: Address, destination: Address = None, lans: Iterable[int] | None = None
    ) -> None:
        """Let it pass, if it does not tell the secret."""
        header = decode_header(data)
        assert isinstance(header, Header)
        frames = self.checks.open(header, data)
        assert isinstance(frames, list)
        assert SECRET not in data
        assert SECRET not in encode_frames(frames)
        if self.unicast or destination is None:
            super().transmit(data, source, destination, lans)


class Scene:
    """Ada writes to Bob in private and to all, and everything goes wrong. Each method is a step."""

    def __init__(self) -> None:
        self.lan = Wire(seed=9)
        self.ada, self.bob, self.cyd = (self.lan.join(name) for name in ("ada", "bob", "cyd"))
        self.eve = Outsider(self.lan)
        self.lan.run(1.0)
        self.to = self.bob.engine.peer_id
        self.number = 0

    def private(self, value: int) -> None:
        if self.ada.alive:
            text = SECRET + b"." * (value * 400)
            self.number = self.ada.send_to(self.to, text, patience=value + 1.0)

    def room(self, value: int) -> None:
        if self.ada.alive:
            self.ada.send("said to all")

    def wait(self, value: int) -> None:
        self.lan.run(value / 4)

    def restart(self, value: int) -> None:
        member = (self.ada, self.bob)[value % 2]
        if not member.alive:
            member.start()

    def leave(self, value: int) -> None:
        (self.ada, self.bob)[value % 2].leave()

    def crash(self, value: int) -> None:
        self.bob.crash()

    def cut(self, value: int) -> None:
        self.lan.partition([self.ada, self.cyd], [self.bob])

    def heal(self, value: int) -> None:
        self.lan.heal()

    def unicast(self, value: int) -> None:
        self.lan.unicast = bool(value % 2)

    def lose(self, value: int) -> None:
        self.lan.conditions = simulation.Conditions(loss=value / 10)

    def lost_network(self, value: int) -> None:
        self.ada.engine.lost_network(self.lan.now)

    def forge(self, value: int) -> None:
        ack = DirectedAck(
            *self.to, *self.ada.engine.peer_id, self.number, value, bytes(16), bytes([255 >> value])
        )
        self.eve.say(ack, to=self.ada.address, source=ADDRESS)


STEPS = sorted(name for name in vars(Scene) if not name.startswith("_"))


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9)), max_size=25))
def test_the_text_is_in_no_datagram_that_others_can_open(steps: list[tuple[str, int]]) -> None:
    scene = Scene()
    for name, value in steps:
        getattr(scene, name)(value)
    scene.lan.heal()
    scene.lan.run(3.0)
    assert not [event for event in scene.cyd.events() if isinstance(event, PrivateMessage)]
    for member in scene.lan.members:
        assert not [event for event in member.events() if isinstance(event, Message) and SECRET in event.data]


def test_it_arrives_when_nothing_goes_wrong() -> None:
    scene = Scene()
    scene.private(9)
    scene.wait(4)
    assert [
        event.data[: len(SECRET)] for event in scene.bob.events() if isinstance(event, PrivateMessage)
    ] == [SECRET]


def test_what_is_said_to_the_room_would_be_found() -> None:
    lan = Wire(seed=9)
    ada = lan.join("ada")
    with pytest.raises(AssertionError):
        ada.send(SECRET)
