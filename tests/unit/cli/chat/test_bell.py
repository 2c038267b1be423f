"""When a person who looks elsewhere is called, and that no message can do more than that."""

from __future__ import annotations

import asyncio
import re
import sys
import types
from typing import Any

import pytest

from mcast.cli.chat import bell
from mcast.cli.chat.bell import Bell, Desktop, sequences
from mcast.cli.items import ChatLine
from mcast.errors import UsageError


@pytest.fixture(autouse=True)
def _no_desktop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bell, "find_spec", lambda name: None)


LINE = ChatLine(0.0, "bob·cbf5", "hello")


def test_it_rings_as_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[tuple[str, str]] = []
    monkeypatch.setattr(bell, "PAUSE", 0.0)
    one = Bell(lambda title, text: rung.append((title, text)))
    one.heard(LINE, private=False, named=False)
    assert rung == []
    one.heard(LINE, private=True, named=False)
    one.heard(LINE, private=False, named=True)
    assert rung == [("bob·cbf5", "hello")] * 2
    assert "rings at every message" in one.choose("all")
    one.heard(LINE, private=False, named=False)
    assert len(rung) == 3
    assert "never rings" in one.choose("off")
    one.heard(LINE, private=True, named=True)
    assert len(rung) == 3
    assert "never rings" in one.choose("")
    with pytest.raises(UsageError, match="/bell loud is unknown"):
        one.choose("loud")
    asyncio.run(one.close())


def test_a_flood_of_names_rings_once() -> None:
    rung: list[str] = []
    one = Bell(lambda title, text: rung.append(text))
    for _ in range(100):
        one.heard(LINE, private=True, named=True)
    assert rung == ["hello"]


def test_a_terminal_is_told_no_more_than_a_text() -> None:
    assert sequences("bob", "4;3;100", {"TERM": "xterm-256color"}) == (
        "\x1b]9;mcast: bob: 4,3,100\x1b\\\x1b]777;notify;bob;4,3,100\x1b\\\a"
    )
    assert sequences("bob", "hi", {"TERM": "linux"}) == "\a"


def test_the_desktop_gets_a_text_and_may_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, str]] = []

    class Notifier:
        def __init__(self, app_name: str) -> None:
            assert app_name == "mcast"

        async def send(self, title: str, message: str) -> None:
            shown.append((title, message))
            if len(shown) > 1:
                raise OSError("no bus")

    module: Any = types.ModuleType("desktop_notifier")
    module.DesktopNotifier = Notifier
    monkeypatch.setitem(sys.modules, "desktop_notifier", module)
    monkeypatch.setattr(bell, "find_spec", lambda name: object())

    async def main() -> None:
        desktop = Desktop({"DBUS_SESSION_BUS_ADDRESS": "unix:path=/x"})
        for _ in range(3):
            desktop.show("bob", "<b>hi</b>")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert shown == [("bob", "&lt;b&gt;hi&lt;/b&gt;")] * 2
        assert "no desktop" in desktop.words
        await desktop.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("there", "environ", "words"),
    [
        (True, {"SSH_CONNECTION": "x"}, "over ssh"),
        (False, {}, "pip install desktop-notifier"),
        (True, {}, "no desktop"),
        (True, {"DBUS_SESSION_BUS_ADDRESS": "x"}, "shows a notification"),
    ],
)
def test_it_says_what_the_desktop_does(
    there: bool, environ: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "find_spec", lambda name: object() if there else None)
    monkeypatch.setattr(sys, "platform", "linux")
    assert re.search(words, Desktop(environ).words)
