"""Guests: their names, what they say, what they are shown, and the bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mcast.aio import Receipt
from mcast.core.events import PeerId
from mcast.errors import GroupClosed, UsageError
from mcast.events import Event, Message, PeerJoined, PeerLeft, PeerView, PlainText
from mcast.gateway.lobby import KEPT, NOTICES_AT_ONCE, Line, Lobby, clean
from mcast.net.address import parse_group

BOB = PeerView(PeerId(b"b" * 16, 1), "bob")


class Fake:
    """A group that remembers what was sent and announced."""

    def __init__(self) -> None:
        self.name = "gate"
        self.sent: list[tuple[str, str | None]] = []
        self.tags: list[Mapping[str, str]] = []
        self.closed = False

    async def send(self, data: str, *, guest: str | None = None) -> Receipt:
        if self.closed:
            raise GroupClosed("this group has been closed", "join again")
        self.sent.append((data, guest))
        return cast(Receipt, SimpleNamespace(id=f"id {len(self.sent)}"))

    async def batches(self) -> AsyncIterator[list[Event]]:
        yield [said(b"one"), said(b"two")]

    def peers(self) -> list[PeerView]:
        return [BOB]

    def announce(self, *, tags: Mapping[str, str] | None = None, services: Sequence[str] = ()) -> None:
        self.tags.append(dict(tags or {}))


def said(data: bytes, **more: Any) -> Message:
    return Message(b"b" * 16, 1, 7, 0, data, 1_770_000_000_000, "bob", **more)


def in_loop(test: Any) -> None:
    asyncio.run(test())


def test_guests_and_members_hear_each_other_once() -> None:
    async def test() -> None:
        group = Fake()
        lobby, ada, eve = Lobby(group), list[Line](), list[Line]()
        first = lobby.enter(ada.append, "ada")
        lobby.enter(eve.append)
        await lobby.say(first, "hello")
        await lobby.run()
        lobby.take(
            PlainText(
                b"\xff", None, ("10.0.0.9", 3000), parse_group("230.0.0.1", default_port=3000), "eth0", 0.0
            )
        )
        assert group.sent == [("hello", "ada")]
        assert [(line.sender, line.text) for line in eve] == [
            ("ada (guest)", "hello"),
            ("bob·6262", "one"),
            ("bob·6262", "two"),
            ("10.0.0.9 (plain)", "\ufffd"),
        ]
        assert ada[0].text == "guest 1 (guest) came in"
        assert [line.text for line in ada[1:]] == [line.text for line in eve]
        assert ada[1].guest is first
        assert list(lobby.who()) == ["gate (this gateway)", "bob·6262", "ada (guest)", "guest 1 (guest)"]
        await asyncio.sleep(0)
        assert group.tags == [{"guests": "ada, guest 1"}]
        lobby.leave(first)
        lobby.leave(first)
        await asyncio.sleep(0)
        assert group.tags[-1] == {"guests": "guest 1"}
        assert [line.text for line in lobby.since(eve[1].number)] == ["two", "\ufffd"]

    in_loop(test)


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("  Ada   Lovelace ", "Ada Lovelace"),
        ("bob·6262", "bob6262"),
        ("* bob left", "bob left"),
        ("x\x1b[31m\u202e\n: y", "x31m y"),
        ("eve (guest)", "eve guest"),
        ("\uff42\uff4f\uff42", "bob"),
        ("姓名" * 20, "姓名" * 10),
        ("...", ""),
        ("", ""),
    ],
)
def test_a_name_cannot_look_like_anything_else(wanted: str, name: str) -> None:
    assert clean(wanted) == name


@pytest.mark.parametrize("name", ["bob", "BOB", "\uff42ob", "gate", "ada", "!"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    async def test() -> None:
        lobby = Lobby(Fake())
        lobby.enter(print, "ada")
        guest = lobby.enter(print)
        with pytest.raises(UsageError):
            lobby.rename(guest, name)
        with pytest.raises(UsageError):
            lobby.enter(print, name)
        assert guest.name == "guest 1"
        lobby.rename(guest, "eve")
        lobby.rename(guest, "Eve")
        assert guest.label == "Eve (guest)"

    in_loop(test)


def test_there_is_a_bound_to_guests_lines_and_notices() -> None:
    async def test() -> None:
        lobby, told = Lobby(Fake(), limit=3), list[Line]()
        guests = [lobby.enter(told.append), lobby.enter(print), lobby.enter(print)]
        with pytest.raises(UsageError, match="no room for more"):
            lobby.enter(print)
        lobby.leave(guests[2])
        lobby.enter(print)
        told.clear()
        for _ in range(1000):
            lobby.take(PeerJoined(BOB))
            lobby.take(PeerLeft(BOB, "goodbye"))
        assert len(told) <= NOTICES_AT_ONCE + 1
        for number in range(3 * KEPT):
            lobby.take(said(b"%d" % number))
        assert len(lobby.since(0)) == KEPT
        lobby.take(said(b"x" * 60_000))
        for _ in range(30):
            lobby.take(said(b"x" * 60_000))
        assert len(lobby.since(0)) < 20

    in_loop(test)


def test_who_says_much_is_slowed_down() -> None:
    async def test() -> None:
        lobby = Lobby(Fake())
        guest = lobby.enter(print)
        assert [lobby.delay(guest, 10) for _ in range(100)] == [0.0] * 100
        assert 0.0 < lobby.delay(guest, 10) < 0.2
        other = lobby.enter(print)
        assert lobby.delay(other, 10) == 0.0
        assert lobby.delay(other, 2**20) > 5.0

    in_loop(test)


def test_a_closed_group_is_told_to_who_speaks() -> None:
    async def test() -> None:
        group = Fake()
        lobby, told = Lobby(group), list[Line]()
        guest = lobby.enter(told.append)
        group.closed = True
        with pytest.raises(GroupClosed):
            await lobby.say(guest, "hello")
        assert told == []

    in_loop(test)
