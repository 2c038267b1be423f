"""What a person sees of a chat, whatever shows it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from mcast.cli.chat.render import Look, Parts, text_of
from mcast.cli.chat.screen import HELD, Screen
from mcast.cli.items import ChatLine
from mcast.errors import UsageError


class Paper(Screen):
    def __init__(self) -> None:
        super().__init__()
        self.rows_shown: list[str] = []

    def look(self) -> Look:
        return Look(80, 2, self._day)

    def put(self, rows: Sequence[Parts]) -> None:
        self.rows_shown += [text_of(row) for row in rows]


def line(text: str, seconds: float | None = None) -> ChatLine:
    return ChatLine(time.time() if seconds is None else seconds, "bob", "", data=text.encode())


def test_a_long_message_is_shown_in_parts() -> None:
    paper = Paper()
    paper.show([line("\n".join(f"line {number}" for number in range(500)))])
    assert len(paper.rows_shown) == 22
    assert paper.rows_shown[-1].strip() == "[480 more lines, 3,760 characters: /more 1]"
    paper.more("")
    assert len(paper.rows_shown) == 22 + 201
    assert "280 more lines" in paper.rows_shown[-1]
    paper.more("1")
    paper.more("1")
    assert paper.rows_shown[-1].strip() == "line 499"
    for words in ("", "1", "99", "x", "-1", "²"):
        with pytest.raises(UsageError):
            paper.more(words)


def test_few_long_messages_are_held() -> None:
    paper = Paper()
    for _ in range(HELD + 1):
        paper.show([line("x\n" * 100)])
    with pytest.raises(UsageError):
        paper.more("1")
    paper.more("2")


def test_a_new_day_has_a_heading(monkeypatch: pytest.MonkeyPatch) -> None:
    paper = Paper()
    now = time.time()
    paper.show([line("today")])
    monkeypatch.setattr(time, "time", lambda: now + 86400)
    paper.show([line("of yesterday", now), line("of today", now + 86400), line("more", now + 86400)])
    shown = [row.split(": ")[-1][:12] for row in paper.rows_shown]
    assert shown[:2] == ["today", "of yesterday"]
    assert shown[2].startswith("--- ")
    assert shown[3:] == ["of today", "more"]


def test_earlier_days_have_headings_of_their_own() -> None:
    paper = Paper()
    paper.start(["Monday 2020-01-06", line("x", 1578300000.0), "today", line("y")])
    paper.show([line("z")])
    assert [row for row in paper.rows_shown if row.startswith("---")] == [
        "--- Monday 2020-01-06",
        "--- today",
    ]
