"""The transfers of a room in a chat."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mcast.cli.chat import files as module
from mcast.cli.chat.files import Files
from mcast.cli.items import PeerLabels
from mcast.core.events import PeerId, PeerView
from mcast.errors import UsageError
from mcast.events import TransferOffered
from mcast.files.incoming import Incoming
from mcast.runtime.bulk.transfers import Drop, Fetch, TransferOpen
from mcast.runtime.bulk.views import UNHEARD, UNREACHED, Failure, Progress, ReceiverProgress, State


def offer(author: str, number: int, title: str, *, root: int = 0) -> TransferOffered:
    peer_id = PeerId(author[:1].encode() * 16, 1)
    return TransferOffered(
        f"{number:016}", root.to_bytes(32, "big"), peer_id, author, title, 1, 900, 100, 1024, 0
    )


class Whole(Fetch):
    """A fetch that is whole at once."""

    def __init__(self, what: TransferOffered, closed: list[str]) -> None:
        self.offer, self._told = what, closed

    def progress(self) -> Progress:
        return Progress(1000, 1000, 0, 0, 0.0, ())

    async def wait(self, timeout: float | None = None) -> None:
        return None

    async def changed(self, timeout: float | None = None) -> bool:
        await asyncio.sleep(0)
        return True

    async def close(self) -> None:
        self._told.append(self.offer.title)


def room(offers: list[TransferOffered], closed: list[str], special: dict[str, Fetch] | None = None) -> Files:
    async def accept(what: TransferOffered, sink: object) -> Fetch:
        return (special or {}).get(what.id) or Whole(what, closed)

    group = SimpleNamespace(
        peer_id=PeerId(bytes(16), 1),
        now=100.0,
        offered=lambda: offers,
        accept=accept,
        holders=lambda what: [PeerView(what.peer_id, what.name)],
    )
    look = SimpleNamespace(one_row=lambda text, room: text)
    view = SimpleNamespace(change=lambda key, words: True, look=lambda: look)
    return Files(cast(Any, SimpleNamespace(group=group, labels=PeerLabels())), cast(Any, view))


def test_the_first_one_says_what_a_transfer_is_called() -> None:
    offers = [offer("ada", 1, "photos/"), offer("eve", 1, "virus"), offer("eve", 2, "photos/")]
    assert list(room(offers, []).report()) == [
        "[1] photos/ (900 B) from ada·6161",
        "[2] photos/ (900 B) from eve·6565",
    ]


def test_of_two_with_one_hash_the_last_accepted_is_taken(tmp_path: Path) -> None:
    class Never(Whole):
        async def wait(self, timeout: float | None = None) -> None:
            await asyncio.Event().wait()

        async def cancel(self) -> None:
            self._told.append(f"cancelled {self.offer.peer_id.origin[:1].decode()}")

    async def case() -> list[str]:
        told: list[str] = []
        false, true = offer("eve", 1, "photos/"), offer("ada", 2, "photos/")
        files = room([false, true], told, {false.id: Never(false, told)})
        await files.accept(1, str(tmp_path))
        await asyncio.sleep(0)
        assert (files.has(false), files.has(true)) == (True, False)
        await files.accept(2, str(tmp_path))
        await asyncio.gather(*files._tasks.values())
        assert told == ["cancelled e"]
        return list(files.report())

    left, taken = asyncio.run(case())
    assert left == "[1] photos/ (900 B) from eve·6565: left for another offer of it"
    assert taken.startswith("[2] photos/ (900 B) from ada·6161: whole, in")


def test_a_directory_that_cannot_be_used_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    async def case() -> list[str]:
        told: list[str] = []
        false, true = offer("eve", 1, "photos/"), offer("ada", 2, "photos/")
        files = room([false, true], told, {false.id: Stuck(false, told)})
        await files.accept(1, str(tmp_path))
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="is not a directory"):
            await files.accept(2, str(tmp_path / "file"))
        assert (files.has(false), told) == (True, [])
        await files.close()
        return told

    assert asyncio.run(case()) == ["cancelled"]


def test_the_oldest_whole_transfers_make_room(tmp_path: Path) -> None:
    closed: list[str] = []
    offers = [offer("ada", number, f"{number}.txt", root=number) for number in range(40)]

    async def case() -> list[str]:
        files = room(offers, closed)
        for number in range(1, 41):
            await files.accept(number, str(tmp_path))
            await asyncio.gather(*files._tasks.values())
        return list(files.report())

    shown = asyncio.run(case())
    assert closed == [f"{number}.txt" for number in range(40 - module.HELD - 1)]
    assert all("whole, in" in line for line in shown)


class Stuck(Whole):
    """A fetch of which nothing comes."""

    def progress(self) -> Progress:
        return Progress(1000, 0, 0, 0, 0.0, ())

    async def cancel(self) -> None:
        self._told.append("cancelled")

    async def wait(self, timeout: float | None = None) -> None:
        await asyncio.Event().wait()


def test_why_nothing_comes_is_told_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    notes: list[str] = []
    monkeypatch.setattr(module, "note", notes.append)
    monkeypatch.setattr(module, "QUIET", 0.0)
    offered = offer("ada", 1, "photos/")

    async def case() -> None:
        files = room([offered], [], {offered.id: Stuck(offered, [])})
        await files.accept(1, str(tmp_path))
        await asyncio.sleep(0.05)
        await files.close()

    asyncio.run(case())
    assert [note for note in notes if note.startswith("nothing of photos/")] == [
        "nothing of photos/ (900 B) has come for 10 s: a firewall may keep it out, mcast doctor tells more"
    ]


@pytest.mark.parametrize(
    ("have", "begun", "told"), [(420, True, True), (0, True, False), (420, False, False)]
)
def test_what_is_kept_is_told_when_one_leaves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, have: int, begun: bool, told: bool
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(module, "note", notes.append)
    offered = offer("ada", 1, "photos/")

    class Halfway(Stuck):
        failure = Failure("cancelled")

        def progress(self) -> Progress:
            return Progress(1000, have, 0, 0, 0.0, ())

        async def cancel(self) -> None:
            """It stops."""

    async def case() -> None:
        files = room([offered], [], {offered.id: Halfway(offered, [])})
        if begun:
            monkeypatch.setattr(Incoming, "part", tmp_path / "part", raising=False)
            monkeypatch.setattr(Incoming, "__init__", lambda self, into: setattr(self, "into", Path(into)))
            (tmp_path / "part").mkdir()
        await files.accept(1, str(tmp_path))
        await asyncio.sleep(0)
        await files.close()

    asyncio.run(case())
    again = f"to go on, see /files and /accept it into {tmp_path} again"
    assert notes == ([f"photos/ (900 B) is not whole: 42 % is kept; {again}"] if told else [])


def test_who_does_not_get_the_rest_is_told_when_one_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(module, "note", notes.append)
    offered = offer("me", 1, "photos/")
    bob, cyd, dan, eve = (PeerId(letter * 16, 1) for letter in (b"b", b"c", b"d", b"e"))
    moving = [
        ReceiverProgress(bob, "bob", State.RECEIVING, 420),
        ReceiverProgress(cyd, "cyd", State.ACCEPTED),
    ]
    others = [
        ReceiverProgress(dan, "dan", State.WHOLE, 1000),
        ReceiverProgress(PeerId(b"f" * 16, 1), "fay", State.RECEIVING, 1000),  # it only has to finish
        ReceiverProgress(eve, "eve", State.FAILED, 420),
    ]

    def leave(receivers: list[ReceiverProgress], *, held: bool = False) -> list[str]:
        drop = Drop.__new__(Drop)
        drop.offer = offered
        drop._transfer = cast(Any, SimpleNamespace(failure=None))
        monkeypatch.setattr(drop, "progress", lambda: Progress(1000, 1000, 0, 0, 0.0, tuple(receivers)))
        files = room([offered], [])
        monkeypatch.setattr(files._group, "holders", lambda _: [PeerView(dan, "dan")] if held else [])
        files._transfers[drop.id] = drop
        notes.clear()
        asyncio.run(files.close())
        return notes

    rest = "not get the rest of photos/ (900 B) from you: /drop it again to go on"
    assert leave([*moving[:1], *others]) == [f"bob·6262 does {rest}"]
    assert leave([*moving, *others]) == [f"bob·6262, cyd·6363 do {rest}"]
    assert leave([*moving, *others], held=True) == []
    assert leave(others) == []


def test_why_a_receiver_gets_nothing_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(module, "note", notes.append)
    offered = offer("me", 1, "photos/")
    bob, cyd = PeerId(b"b" * 16, 1), PeerId(b"c" * 16, 1)

    class Looked(Drop):
        """A drop that ends after three looks."""

        looks = asked = 0
        failure = property(lambda self: Failure("source", "gone") if self.looks > 2 else None)

        def __init__(self) -> None:
            self.offer = offered

        def progress(self) -> Progress:
            self.asked += 1
            stuck = [
                ReceiverProgress(bob, "bob", State.RECEIVING, 10 * self.looks, reason=UNREACHED),
                ReceiverProgress(cyd, "cyd", State.SILENT, reason=UNHEARD if self.looks else ""),
            ]
            return Progress(1000, 1000, 0, 0, 50.0, tuple(stuck))

        async def changed(self, timeout: float | None = None) -> bool:
            self.looks += 1
            return True

    files, drop = room([offered], []), Looked()
    shown: dict[str, str] = {}
    monkeypatch.setattr(files._view, "change", lambda key, words: shown.setdefault(key, words))
    files._transfers[drop.id] = drop
    asyncio.run(files._watch_drop(drop))
    assert drop.asked == drop.looks
    state = "0 of 2 whole, bob·6262 0 % gets nothing, cyd·6363 0 % silent"
    assert shown[drop.id] == f"[1] you offer photos/ (900 B): {state}"
    assert notes == [
        "photos/ (900 B): bob·6262 stays at 0 %: nothing of it has arrived there for 10 s",
        f"photos/ (900 B): cyd·6363 is silent at 0 %: {UNHEARD}; run mcast doctor here",
    ]


@pytest.mark.parametrize(("kind", "verb"), [(Drop, "offer"), (Fetch, "get")])
def test_what_is_offered_twice_is_told_with_its_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: type[Drop | Fetch], verb: str
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(module, "note", notes.append)
    (tmp_path / "film.mkv").touch()
    first = kind.__new__(kind)
    first.offer = offer("me", 2, "film.mkv")

    async def drop(*_: object, **__: object) -> Drop:
        raise TransferOpen(first)

    async def case() -> None:
        files = room([offer("ada", 1, "photos/")], [])
        assert len(list(files.report())) == 1
        files._transfers[first.id] = first
        files._group.drop = files._group.accept = drop  # type: ignore[assignment,method-assign] # a double
        await files.drop(str(tmp_path / "film.mkv"))
        await asyncio.gather(*files._reading)
        with pytest.raises(UsageError, match=rf"you {verb} it already, as \[2\]"):
            await files.accept(1, str(tmp_path))

    asyncio.run(case())
    assert notes == [f"you {verb} it already, as [2]"]


def test_what_one_offers_oneself_is_not_accepted() -> None:
    own = Drop.__new__(Drop)
    own.offer = offer("me", 1, "film.mkv")
    files = room([offer("ada", 1, "film.mkv")], [])
    files._transfers[own.id] = own
    files.number(own.offer)
    with pytest.raises(UsageError, match=r"you offer it already, as \[1\]"):
        asyncio.run(files.accept(1, ""))


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("a b", "there is no file a b: /drop takes one path, which may have spaces"),
        ("'a b'", "there is no file a b: check the name"),
        ("ab", "there is no file ab: check the name"),
        ('""', "there is no file '': check the name"),
    ],
)
def test_a_path_that_is_not_there(
    path: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as raised:
        module._outgoing(path)
    assert str(raised.value) == told


def test_what_nobody_who_is_here_has_is_not_to_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    here, gone, own = offer("ada", 1, "a"), offer("eve", 2, "b"), offer("bob", 3, "c")
    files = room([here, gone, own], [])
    monkeypatch.setattr(files._group, "holders", lambda one: [] if one is gone else ["somebody"])
    files._transfers[own.id] = Whole(own, [])
    assert files.untaken() == [here]


def test_quotes_around_a_path_are_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert module._home('"~/in dir"') == str(tmp_path / "in dir")
    assert module._home("'a b'") == "a b"
    assert module._home('"a') == '"a'
    (tmp_path / '"quoted"').touch()
    assert module._home('"quoted"') == '"quoted"'
