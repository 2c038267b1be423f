"""What is accepted, and what is left for something else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mcast.cli import get as module
from mcast.cli.get import Getting, Waiting
from mcast.cli.items import PeerLabels
from mcast.cli.offers import why_nothing_comes
from mcast.cli.session import GroupSession
from mcast.cli.transfers import TransferView
from mcast.core.events import PeerId, PeerView
from mcast.errors import McastError
from mcast.events import TransferOffered
from mcast.runtime.bulk.views import Progress

TOTAL = 1000


def offer(author: str, number: int, *, root: int | None = None) -> TransferOffered:
    peer_id = PeerId(author[:1].encode() * 16, 1)
    named = (number if root is None else root).to_bytes(32, "big")
    return TransferOffered(f"{number:016}", named, peer_id, author, f"{number}.txt", 1, 900, 100, 1024, 0)


class Fetch:
    """A fetch of which everything comes, or nothing."""

    def __init__(self, group: Group, what: TransferOffered, comes: bool) -> None:
        self.offer, self._group, self._comes = what, group, comes

    def progress(self) -> Progress:
        return Progress(TOTAL, TOTAL if self._comes else 0, 0, 0, 0.0, ())

    async def wait(self) -> None:
        if not self._comes:
            await asyncio.Event().wait()

    async def changed(self, timeout: float) -> None:
        self._group.now += 1.0
        if self._group.now > 100 + 10 * module.STALLED:
            self._group.late.set()
        await asyncio.sleep(0)

    async def cancel(self) -> None:
        self._group.open.discard(self.offer.root)


class Group:
    """A group in which these are offered; those with the ids in `bogus` never come."""

    def __init__(self, offers: list[TransferOffered], bogus: set[str]) -> None:
        self.now = 100.0
        self.offers, self.bogus = offers, bogus
        self.open: set[bytes] = set()
        self.late = asyncio.Event()
        self.held = True
        self.here: list[PeerView] = []

    def peers(self) -> list[PeerView]:
        return self.here

    def offered(self) -> list[TransferOffered]:
        return self.offers

    def holders(self, what: TransferOffered) -> list[TransferOffered]:
        return [what] if self.held else []

    async def accept(self, what: TransferOffered, sink: object) -> Fetch:
        if what.root in self.open:
            raise McastError("this is offered or fetched already", "close it first")
        self.open.add(what.root)
        return Fetch(self, what, what.id not in self.bogus)


def getting(group: Group, count: int = 1) -> Getting:
    context = cast(Any, SimpleNamespace(labels=PeerLabels(), head=lambda kind, _: {"type": kind}))
    view = TransferView(context, None, lambda text: None, None)
    sent = SimpleNamespace(groups=[group], contexts=[context], require_sent=lambda: None)
    session = cast(GroupSession, sent)
    return Getting(session, view, Path("nowhere"), count, None, "*")


TRUE, OTHER = offer("ada", 2), offer("bob", 3)
BOGUS, FALSE_SIZES = offer("eve", 1), offer("eve", 1, root=2)
KEPT_OUT = "nothing of 1.txt (900 B) has come for 10 s: a firewall may keep it out, mcast doctor tells more"


@pytest.mark.parametrize(
    ("offers", "count"),
    [([BOGUS, TRUE], 1), ([FALSE_SIZES, TRUE], 1), ([FALSE_SIZES, TRUE, OTHER], 2)],
    ids=["bogus", "false-sizes", "two"],
)
def test_what_does_not_come_is_left_for_what_does(
    offers: list[TransferOffered], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(module, "note", notes.append)
    monkeypatch.setattr(module, "LOOK", 0.001)

    async def case() -> int:
        command = getting(Group(offers, {BOGUS.id}), count)
        await command.run()
        return await command.verdict()

    assert asyncio.run(case()) == 0
    assert notes == [KEPT_OUT, "1.txt (900 B) does not come: leaving it for 2.txt (900 B)"]


def test_what_does_not_come_is_waited_for_if_there_is_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(module, "note", notes.append)
    monkeypatch.setattr(module, "LOOK", 0.001)

    async def case() -> int:
        group = Group([BOGUS], {BOGUS.id})
        command = getting(group)
        running = asyncio.create_task(command.run())
        await group.late.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return await command.verdict()

    assert asyncio.run(case()) == 27
    assert notes == [KEPT_OUT, "1.txt (900 B) is not whole: 0 % is here"]


def test_who_stops_sending_is_named() -> None:
    progress = Progress(TOTAL, 500, 0, 600, 0.0, ())
    text = why_nothing_comes(TRUE, "ada·6161", progress)
    assert text == "nothing of 2.txt (900 B) has come for 10 s: is ada·6161 still there?"


def test_who_leaves_is_told_of_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(module, "note", notes.append)
    group = Group([OTHER], set())
    waiting = Waiting(cast(Any, group), TRUE, "ada")

    def look(seconds: float, have: int = 500) -> float:
        group.now += seconds
        return waiting.look(Progress(TOTAL, have, 0, 600, 0.0, ()))

    assert look(0) == 0
    group.held = False
    group.here = [PeerView(TRUE.peer_id, "ada")]
    assert look(0.25) == 0.25
    assert notes == []  # it may be about to leave
    group.here = []
    look(0.25)
    rest = "waiting for somebody who has the rest"
    assert notes == [f"ada left; {rest}"]
    assert look(20) == 20.5
    group.held = True
    look(0.1)
    group.held, group.here = False, [PeerView(TRUE.peer_id, "ada")]
    look(0.1, 600)
    look(module.LEAVING, 600)
    group.held = True
    look(0.1, 600)
    group.held, group.here, group.offers = False, [], [TRUE]
    look(0.1, 700)
    assert notes[1:] == [
        "nothing of 2.txt (900 B) has come for 10 s: is ada still there?",
        f"ada offers it no more; {rest}",
        f"ada is not heard any more; {rest}",
    ]
    assert look(50, TOTAL) == 0


@pytest.mark.parametrize(
    ("offers", "says"),
    [
        ([], "nothing was offered"),
        ([TRUE, OTHER], "nothing that fits was offered, only 2.txt (900 B), 3.txt (900 B)"),
    ],
)
def test_what_was_offered_instead_is_told(
    offers: list[TransferOffered], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(module, "note", notes.append)
    assert asyncio.run(getting(Group(offers, set())).verdict()) == 4
    assert notes == [says]
