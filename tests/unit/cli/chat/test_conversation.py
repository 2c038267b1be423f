"""What a conversation leaves out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from mcast.cli.archive import Archive
from mcast.cli.chat.conversation import (
    LETTERS,
    RESTLESS,
    RESTLESS_PEERS,
    RESTLESS_SPAN,
    Conversation,
    Restless,
)
from mcast.cli.chat.files import Files
from mcast.cli.chat.view import View
from mcast.cli.items import GroupContext, OfferItem, PrivateItem
from mcast.cli.session import PlainSession, Reporter
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


def test_what_one_has_is_not_offered_to_one_again() -> None:
    said, told = conversation(), list[OfferItem]()
    said._screen = cast(View, SimpleNamespace(active=True))
    said._reporter = cast(Reporter, SimpleNamespace(notice=told.append))
    offers = [
        TransferOffered(name, bytes(32), PeerId(b"a" * 16, 1), "ada", name, 1, 900, 100, 1024, 0)
        for name in ("new", "taken")
    ]
    files = SimpleNamespace(number=lambda offer: 1, has=lambda offer: offer.id == "taken")
    said.files = cast(Files, files)
    for offer in offers:
        said._offer(OfferItem(offer, cast(GroupContext, SimpleNamespace()), 1.0))
    assert [item.offer.id for item in told] == ["new"]
