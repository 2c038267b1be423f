"""Private messages: sent to who is here, kept for who is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mcast.aio import Group
from mcast.cli.mailbox import Mailbox
from mcast.core.events import PeerId
from mcast.errors import GroupClosed, McastError
from mcast.events import PeerView
from mcast.store.letters import Letters

ROOM = b"r" * 16
BOB = PeerView(PeerId(b"b" * 16, 7), "bob")
GONE = PeerView(PeerId(b"b" * 16, 0), "bob")


class Wire:
    """A group. All that leaves is in `sent`, with whom it is for; `arrives` says whether it is confirmed."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, PeerId | None]] = []
        self.here: list[PeerView] = []
        self.arrives = True
        self.closed = False
        self.peer_id = PeerId(b"a" * 16, 1)
        self.letters: list[int] = []
        self.room = SimpleNamespace(id=ROOM)

    def peers(self) -> list[PeerView]:
        return self.here

    async def send(self, data: bytes, *, to: PeerView | None = None, letter: int = 0) -> Any:
        if self.closed:
            raise GroupClosed("this group has been closed", "join again")
        self.sent.append((data, None if to is None else to.peer_id))
        self.letters.append(letter)

        async def confirmed(*, timeout: float) -> bool:
            return self.arrives

        return SimpleNamespace(confirmed=confirmed, id="id")


def _play(letters: Letters | None, script: Callable[[Mailbox, Wire], Awaitable[None]]) -> Wire:
    wire = Wire()

    async def play() -> None:
        mailbox = Mailbox(
            cast(Group, wire), letters, lambda peer_id, name: f"{name}·{peer_id.origin.hex()[:4]}"
        )
        running = asyncio.ensure_future(mailbox.run())
        await script(mailbox, wire)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await mailbox.close()

    asyncio.run(play())
    return wire


async def _until(holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it does not come true")


@pytest.fixture
def letters(tmp_path: Path) -> Letters:
    return Letters(tmp_path / "letters.db")


def _waiting(tmp_path: Path) -> list[bytes]:
    return [letter.data for letter in Letters(tmp_path / "letters.db").waiting(ROOM)]


def test_who_is_not_here_gets_it_later_and_in_order(
    letters: Letters, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def script(mailbox: Mailbox, wire: Wire) -> None:
        await mailbox.keep(GONE, b"one")
        await mailbox.keep(GONE, b"two")
        assert wire.sent == []
        wire.here = [BOB]
        mailbox.came(BOB.peer_id.origin)
        await _until(lambda: _waiting(tmp_path) == [])

    wire = _play(letters, script)
    assert wire.sent == [(b"one", BOB.peer_id), (b"two", BOB.peer_id)]
    assert capsys.readouterr().err.count("bob·6262 has your private message of ") == 2


def test_what_was_not_confirmed_is_kept(
    letters: Letters, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ""

    def told() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "did not confirm" in said

    async def script(mailbox: Mailbox, wire: Wire) -> None:
        wire.here = [BOB]
        await mailbox.send(BOB, b"heard")
        await _until(lambda: _waiting(tmp_path) == [])
        wire.arrives = False
        await mailbox.send(BOB, b"unheard")
        await _until(told)

    first = _play(letters, script)
    assert "bob·6262 did not confirm your private message: it is kept for 24 hours" in said
    assert _waiting(tmp_path) == [b"unheard"]

    async def again(mailbox: Mailbox, wire: Wire) -> None:
        wire.here = [BOB]
        mailbox.came(BOB.peer_id.origin)
        await _until(lambda: _waiting(tmp_path) == [])

    later = _play(Letters(tmp_path / "letters.db"), again)
    assert first.letters[1] == later.letters[0]  # so that who has it already knows it
    assert 0 != first.letters[0] != first.letters[1]


def test_what_cannot_be_sent_is_not_kept(letters: Letters, tmp_path: Path) -> None:
    async def script(mailbox: Mailbox, wire: Wire) -> None:
        wire.closed = True
        with pytest.raises(GroupClosed):
            await mailbox.send(BOB, b"refused")

    _play(letters, script)
    assert _waiting(tmp_path) == []


def test_without_a_place_nothing_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = ""

    def told() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "did not confirm" in said

    async def script(mailbox: Mailbox, wire: Wire) -> None:
        assert not mailbox.keeps
        wire.arrives = False
        await mailbox.send(BOB, b"unheard")
        await _until(told)

    assert _play(None, script).letters == [0]
    assert "did not confirm your private message\n" in said


def test_a_disk_that_fails_is_told(
    letters: Letters, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(room: bytes, now: float) -> None:
        raise McastError("cannot use letters.db", "free some disk space")

    monkeypatch.setattr(letters, "expire", fail)

    async def script(mailbox: Mailbox, wire: Wire) -> None:
        await _until(lambda: not mailbox.keeps)

    _play(letters, script)
    assert "private messages are no longer kept" in capsys.readouterr().err
