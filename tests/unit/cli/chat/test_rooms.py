"""Several rooms: what is shown, what is unread, and how they are left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest

from mcast.cli.chat.conversation import Conversation
from mcast.cli.chat.render import Look, Parts, text_of
from mcast.cli.chat.rooms import GIVEN, MOST, Rooms
from mcast.cli.chat.screen import Screen
from mcast.cli.chat.view import KEPT, View
from mcast.cli.items import ChatLine
from mcast.errors import McastError, UsageError


class Paper(Screen):
    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str] = []

    def look(self) -> Look:
        return Look(80, 2)

    def put(self, rows: Sequence[Parts]) -> None:
        self.shown += [text_of(row)[12:] if row[0][1] == "   " else text_of(row) for row in rows]


class FakeConversation:
    keyed = False
    topic = ""

    def __init__(self, view: View) -> None:
        self.view = view
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def follow(self) -> None:
        await self.end

    async def close(self) -> None:
        pass

    def peers(self) -> list[object]:
        return []


class House:
    """Rooms with nobody in them."""

    def __init__(self) -> None:
        self.paper = Paper()
        self.inside: dict[str, FakeConversation] = {}
        self.users: list[tuple[str, str | None, bool]] = []
        self.locked: set[str] = set()
        self.rooms = Rooms(self.paper, self._enter, "ada")

    @contextlib.asynccontextmanager
    async def _enter(
        self, view: View, room: str, user: str | None, again: bool
    ) -> AsyncIterator[Conversation]:
        if room in self.locked:
            raise McastError("it is locked", "find the key")
        self.users.append((room, user, again))
        self.inside[room] = FakeConversation(view)
        yield cast(Any, self.inside[room])
        del self.inside[room]

    def say(self, room: str, *texts: str) -> None:
        self.inside[room].view.show([ChatLine(0.0, "bob", text, data=text.encode()) for text in texts])


def test_one_room_is_shown_and_the_others_count() -> None:
    async def main() -> None:
        house = House()
        rooms = house.rooms
        assert rooms.prompt == "> "
        await rooms.join("")
        assert (rooms.prompt, rooms.names(), rooms.unread) == ("> ", ["lobby"], "")
        house.say("", "one")
        await rooms.join("kit\x1bchen")
        assert rooms.prompt == "kit\\x1bchen> "
        house.say("", "two", "three")
        assert rooms.unread == "lobby 2"
        assert rooms.report() == ["lobby: open, 0 others, 2 unread", "kit\\x1bchen: open, 0 others, shown"]
        await rooms.join("lobby")
        assert house.paper.shown == ["bob: one", "--- room lobby", "bob: two", "bob: three"]
        assert (rooms.prompt, rooms.unread) == ("lobby> ", "")
        await rooms.join("kit\x1bchen")
        assert house.paper.shown[-1] == "--- room kit\\x1bchen"
        await rooms.close()
        assert house.inside == {}

    asyncio.run(main())


def test_a_flood_in_a_room_that_is_not_shown_is_counted() -> None:
    async def main() -> None:
        house = House()
        await house.rooms.join("")
        await house.rooms.join("kitchen")
        house.inside[""].view.start(["today"])
        house.say("", *(f"line {number}" for number in range(KEPT + 10)))
        await house.rooms.join("")
        shown = house.paper.shown
        assert shown[-KEPT - 2 : -KEPT] == ["--- room lobby", "--- 10 messages before these are not shown"]
        assert shown[-1] == f"bob: line {KEPT + 9}"
        await house.rooms.close()

    asyncio.run(main())


def test_a_room_that_cannot_be_entered_changes_nothing() -> None:
    async def main() -> None:
        house = House()
        await house.rooms.join("")
        house.locked.add("vault")
        with pytest.raises(McastError, match="locked"):
            await house.rooms.join("vault")
        house.say("", "still here")
        assert house.paper.shown[-1] == "bob: still here"
        assert house.rooms.names() == ["lobby"]
        for number in range(MOST - 1):
            await house.rooms.join(f"room {number}")
        with pytest.raises(UsageError, match="leave one first"):
            await house.rooms.join("one more")
        await house.rooms.close()

    asyncio.run(main())


def test_the_prompt_tells_what_has_a_key() -> None:
    async def main() -> None:
        house = House()
        await house.rooms.join(GIVEN)
        house.inside[GIVEN].keyed = True
        assert house.rooms.prompt == "keyed> "
        await house.rooms.join("lab")
        house.inside["lab"].keyed = True
        assert house.rooms.prompt == "lab keyed> "
        await house.rooms.close()

    asyncio.run(main())


def test_rooms_are_left_until_the_last() -> None:
    async def main() -> None:
        house = House()
        for room in ("", "kitchen", "hall"):
            await house.rooms.join(room)
        assert await house.rooms.leave("kitchen")
        assert house.rooms.names() == ["lobby", "hall"]
        assert await house.rooms.leave(None)
        assert house.paper.shown[-1] == "--- room lobby"
        with pytest.raises(UsageError, match="not in the room hall"):
            await house.rooms.leave("hall")
        assert not await house.rooms.leave("lobby")
        assert list(house.inside) == [""]
        await house.rooms.close()

    asyncio.run(main())


def test_a_new_name_is_taken_in_every_room() -> None:
    async def main() -> None:
        house = House()
        await house.rooms.join("")
        await house.rooms.join("kitchen")
        await house.rooms.rename("ada lovelace")
        assert house.users[2:] == [("", "ada lovelace", True), ("kitchen", "ada lovelace", True)]
        assert house.rooms.current is cast(Any, house.inside["kitchen"])
        with pytest.raises(UsageError, match="65 bytes"):
            await house.rooms.rename("x" * 65)
        await house.rooms.close()

    asyncio.run(main())


def test_a_room_that_ends_by_itself_is_left_and_the_last_one_ends_the_chat(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def main() -> None:
        house = House()
        await house.rooms.join("")
        await house.rooms.join("kitchen")
        ended = asyncio.create_task(house.rooms.ended())
        house.inside["kitchen"].end.set_exception(McastError("the roof fell in", "leave"))
        async with asyncio.timeout(20):
            while house.rooms.names() != ["lobby"]:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
        assert not ended.done()
        house.inside[""].end.set_exception(McastError("and the floor", "jump"))
        with pytest.raises(McastError, match="floor"):
            await ended
        await house.rooms.close()

    asyncio.run(main())
    assert "kitchen: the roof fell in: leave" in capsys.readouterr().err


def test_all_rooms_are_left_if_leaving_is_cancelled() -> None:
    async def main() -> None:
        house = House()
        for room in ("", "kitchen"):
            await house.rooms.join(room)
        house.inside[""].close = asyncio.Event().wait  # type: ignore[assignment,method-assign] # it takes long
        leaving = asyncio.create_task(house.rooms.close())
        await asyncio.sleep(0.01)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert leaving.cancelled()
        assert house.inside == {}

    asyncio.run(main())
