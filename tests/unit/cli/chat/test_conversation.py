"""What a conversation leaves out."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from mcast.cli.archive import Archive
from mcast.cli.chat import conversation as module
from mcast.cli.chat.conversation import (
    LETTERS,
    RESTLESS,
    RESTLESS_PEERS,
    RESTLESS_SPAN,
    Conversation,
    Restless,
)
from mcast.cli.chat.files import Files
from mcast.cli.chat.screen import Screen
from mcast.cli.chat.view import OFFERS, View
from mcast.cli.items import GroupContext, OfferItem, PeerLabels, PrivateItem
from mcast.cli.session import GroupSession, PlainSession, Reporter
from mcast.core.events import PeerId
from mcast.events import PrivateMessage, TransferOffered


def test_who_comes_and_goes_is_told_some_times_only() -> None:
    restless = Restless()
    told = [restless.tells(b"bob", float(number)) for number in range(RESTLESS + 3)]
    assert told == [True] * (RESTLESS - 1) + [None] + [False] * 3
    assert restless.tells(b"cyd", 0.0) is True
    assert restless.tells(b"bob", RESTLESS_SPAN + RESTLESS) is True


def test_few_who_come_and_go_are_remembered() -> None:
    restless = Restless()
    for _ in range(RESTLESS):
        restless.tells(b"bob", 0.0)
    for number in range(RESTLESS_PEERS):
        restless.tells(number.to_bytes(4, "big"), 1.0)
    assert restless.tells(b"bob", 2.0) is True


def conversation(archive: Archive | None = None) -> Conversation:
    """One of plain text, which needs no group."""
    session = cast(PlainSession, SimpleNamespace())
    view, reporter = cast(View, SimpleNamespace()), cast(Reporter, SimpleNamespace())
    return Conversation(session, view, reporter, None, archive)


def letter(number: int, letter: int, origin: bytes = b"b" * 16) -> PrivateItem:
    message = PrivateMessage(origin, 1, number, b"psst", 0, "bob", None, letter=letter)
    return PrivateItem(message, cast(GroupContext, SimpleNamespace()), 1.0)


def test_a_letter_is_shown_once() -> None:
    said = conversation()
    assert [said._shown(letter(number, 7)) for number in (1, 2)] == [False, True]
    assert not said._shown(letter(3, 8))
    assert not said._shown(letter(3, 7, b"c" * 16))  # somebody else's
    assert [said._shown(letter(4, 0)) for _ in range(2)] == [False, False]  # no letter, so two messages
    for number in range(LETTERS):
        said._shown(letter(1, 1000 + number))
    assert not said._shown(letter(5, 7))


def test_a_letter_that_is_kept_on_the_disk_is_not_shown_again() -> None:
    kept = {letter(1, 7).id}
    archive = SimpleNamespace(topic=lambda: "", has=kept.__contains__, keep=lambda item: True)
    said = conversation(cast(Archive, archive))
    assert [said._shown(letter(2, number)) for number in (7, 8)] == [True, False]


def offered(name: str, *, history: bool = False) -> TransferOffered:
    peer_id = PeerId(b"a" * 16, 1)
    return TransferOffered(name, bytes(32), peer_id, "ada", name, 1, 900, 100, 1024, 0, history)


class Late:
    """A room that one entered after these were offered."""

    def __init__(self, view: View, *names: str) -> None:
        self.told: list[str] = []
        self.offers = [offered(name, history=True) for name in names]
        context = cast(GroupContext, SimpleNamespace(labels=PeerLabels()))
        session = GroupSession.__new__(GroupSession)
        session.contexts = [context]
        self.said = conversation()
        self.said.session, self.said._screen, self.said._interactive = session, view, True
        reporter = SimpleNamespace(say=self.told.append, notice=lambda item: self.told.append(item.notice()))
        self.said._reporter = cast(Reporter, reporter)
        self.said.greets = False
        files = SimpleNamespace(
            number=lambda offer: 1 + self.offers.index(offer),
            untaken=lambda: self.offers,
            has=lambda offer: False,
        )
        self.said.files = cast(Files, files)

    def come(self, offer: TransferOffered) -> None:
        self.said._offer(OfferItem(offer, cast(GroupContext, SimpleNamespace()), 1.0))


def test_what_was_offered_before_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    view = View(cast(Screen, SimpleNamespace()))
    monkeypatch.setattr(module, "GREETING", 0.01)

    async def case() -> None:
        room = Late(view, "film.mkv")
        room.come(room.offers[0])
        assert room.told == [], "it may have ended"
        room.said._greet()
        assert room.told == ["ada·6161 offers film.mkv (900 B); take it with /accept 1"]
        room.offers.append(offered("late", history=True))
        room.come(room.offers[1])
        await asyncio.sleep(0.1)
        assert room.told[1:] == ["ada·6161 offers late (900 B); take it with /accept 2"]
        again = Late(view, "film.mkv", "late")  # under another name
        again.said._greet()
        assert again.told == []
        view.withdrawn("late")
        again.said._tell_offers()
        assert again.told == ["ada·6161 offers late (900 B); take it with /accept 2"]

    asyncio.run(case())


def test_of_many_offers_the_number_is_told() -> None:
    view = View(cast(Screen, SimpleNamespace()))
    room = Late(view, *"abcd")
    view.active = False
    room.said._greet()
    assert room.told == []
    view.active = True
    room.said._tell_offers()
    room.said._tell_offers()
    assert room.told == ["4 offers of files; /files lists them"]


def test_few_offers_are_remembered() -> None:
    view = View(cast(Screen, SimpleNamespace()))
    assert [view.is_new(str(number)) for number in (*range(OFFERS), 0)] == [True] * OFFERS + [False]
    assert view.is_new("more")
    assert view.is_new("0")


def test_what_one_has_is_not_offered_to_one_again() -> None:
    said, told = conversation(), list[OfferItem]()
    said._screen = View(cast(Screen, SimpleNamespace()))
    said._reporter = cast(Reporter, SimpleNamespace(notice=told.append))
    offers = [offered(name) for name in ("new", "new", "taken")]
    files = SimpleNamespace(number=lambda offer: 1, has=lambda offer: offer.id == "taken")
    said.files = cast(Files, files)
    for offer in offers:
        said._offer(OfferItem(offer, cast(GroupContext, SimpleNamespace()), 1.0))
    assert [item.offer.id for item in told] == ["new"]
