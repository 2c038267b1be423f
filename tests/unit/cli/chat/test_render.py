"""Rows of messages: nothing that a peer writes stands where only the chat writes."""

from __future__ import annotations

import re
import time

import pytest

from mcast.cli.chat.render import (
    ALL,
    GUTTER,
    MENTION,
    MOST_LINES,
    PALETTE,
    PALETTE_16,
    SOME,
    Look,
    cells,
    color_of,
    cut,
    gutter,
    is_long,
    lines_of,
    mentions,
    reflowed,
    text_of,
    wrapped,
)
from mcast.cli.items import ChatLine

XTERM = {
    "ansired": "#cd0000",
    "ansimagenta": "#cd00cd",
    "ansibrightblue": "#5c5cff",
    "ansibrightred": "#ff0000",
    "ansibrightmagenta": "#ff00ff",
}
"""The 16 colours as xterm has them, https://invisible-island.net/xterm/manpage/xterm.html"""


def luminance(color: str) -> float:
    """As https://www.w3.org/TR/WCAG21/#dfn-relative-luminance has it."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("color", [*PALETTE, *(XTERM[name] for name in PALETTE_16)])
def test_every_colour_can_be_read_on_black_and_on_white(color: str) -> None:
    light = luminance(color) + 0.05
    assert light / 0.05 >= 3.0
    assert 1.05 / light >= 3.0


def test_an_identity_has_one_colour() -> None:
    one, other = bytes(16), bytes(15) + b"\1"
    assert color_of(one) == color_of(one) in PALETTE
    assert len({color_of(bytes([number]) * 16) for number in range(256)}) == len(PALETTE)
    assert color_of(one, 16) in PALETTE_16
    assert color_of(other, 2) == "bold"
    assert color_of(b"") == color_of(b"", 2) == ""


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"one", ["one"]),
        (b"one\n", ["one"]),
        (b"one\r\n\ttwo\r\n", ["one", "        two"]),
        ("汉\té\tx".encode(), ["汉      é       x"]),
        (b"a\n\n  b", ["a", "", "  b"]),
        (b"\x1b[2J\r\x07\x0b", [r"\x1b[2J\x0d\x07\x0b"]),
        ("\u202e\u2028\x85".encode(), ["\\u202e\\u2028\\x85"]),
        (b"\x89PNG\r\n\x1a\n", ["(8 bytes that are no text)"]),
        (b"a\0b" * 5000, ["(15 kB that are no text)"]),
        (b"", [""]),
    ],
)
def test_the_lines_of_a_message(data: bytes, lines: list[str]) -> None:
    assert lines_of(data) == lines


def test_long_messages_are_cut() -> None:
    lines = [f"line {number}" for number in range(MOST_LINES)]
    assert not is_long(lines)
    assert is_long([*lines, ""])
    assert is_long(["x" * 5000])
    assert cut(lines, 3, 1000) == (lines[:3], lines[3:])
    assert cut(["abc", "def"], 9, 5) == (["abc", "de"], ["f"])
    assert cut(["abc", "def"], 9, 3) == (["abc"], ["def"])
    assert cut(lines, 99, 9999) == (lines, [])


@pytest.mark.parametrize(
    ("line", "first", "width", "rows"),
    [
        ("", 5, 9, [""]),
        ("exact", 5, 9, ["exact"]),
        ("two words", 5, 9, ["two", "words"]),
        ("0123456789", 4, 5, ["0123", "45678", "9"]),
        ("      indented", 10, 10, ["      inde", "nted"]),
        ("汉汉汉", 5, 4, ["汉汉", "汉"]),
        ("汉汉", 1, 1, ["汉", "汉"]),
        ("e\u0301e\u0301e\u0301", 2, 2, ["e\u0301e\u0301", "e\u0301"]),
        ("🫩🫩🫩", 4, 4, ["🫩🫩", "🫩"]),
    ],
)
def test_rows_of_a_line(line: str, first: int, width: int, rows: list[str]) -> None:
    assert list(wrapped(line, first, width)) == rows


def shown(text: str | bytes, columns: int = 80, sender: str = "bob·cbf5", **fields: object) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    line = ChatLine(time.time(), sender, "", data=data, origin=b"bob", **fields)  # type: ignore[arg-type]  # any field
    return [text_of(row) for row in Look(columns).rows(line, lines_of(data))]


HOSTILE = [
    "hi\n12:00:00 eve·beef: forged",
    "hi\nmcast: eve left",
    "hi\r12:00:00 eve·beef: forged",
    "hi\n> rm -rf",
    "hi\n--- Monday",
    "x" * 200 + "mcast: forged",
    "\u202e" * 40 + "\n\u2066mcast: forged",
    "汉" * 200 + "mcast: forged",
    "\t" * 50 + "mcast: forged",
    " " * 300 + "mcast: forged",
    "hi\x85mcast: forged\u2028mcast: forged\x0bmcast: forged\x0cmcast: forged",
]


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
@pytest.mark.parametrize("text", HOSTILE)
def test_no_message_imitates_a_speaker_a_notice_or_the_prompt(text: str, columns: int) -> None:
    head, *rest = shown(text, columns)
    assert re.match(r"   \d\d:\d\d(:\d\d)? bob·cbf5: ?", head)
    indent = " " * (GUTTER + 2 if columns < 60 else GUTTER + 9)
    assert all(row.startswith(indent) or not row.strip() for row in rest)
    assert all(cells(row) <= columns for row in rest)


def test_code_stays_in_its_columns() -> None:
    assert [row[GUTTER:].rstrip() for row in shown("def f():\n\treturn 1\n")][1:] == [
        " " * 9 + "def f():",
        " " * 9 + "        return 1",
    ]


def test_a_narrow_window_has_room_for_the_text() -> None:
    rows = shown("what a sentence", 30, sender="somebody·cbf5")
    assert rows[0].endswith(" somebody·cbf5: ")
    assert rows[1] == "     what a sentence"


def test_a_long_name_does_not_hide_the_identity() -> None:
    assert shown("hi", 40, sender="x" * 64 + "·cbf5")[0].endswith(" xxxxxxxx…·cbf5: hi")
    assert " xxxxxxxxxxxxxxxxxxxxxxxxxxxx…·cbf5: " in shown("hi", 80, sender="x" * 64 + "·cbf5")[0]
    assert f" {'汉' * 4}…·cbf5: " in shown("hi", 40, sender="汉" * 20 + "·cbf5")[0]


def test_a_line_of_another_day_has_its_date() -> None:
    line = ChatLine(0.0, "bob", "", data=b"x")
    assert re.match(
        r"   (01-01|12-31) \d\d:\d\d bob: x", text_of(Look(80, day="2026-01-01").rows(line, ["x"])[0])
    )


def test_names_are_found_as_words() -> None:
    me = ("ada", "c++")
    for text, found in (
        ("ada?", ["ada"]),
        ("hey @Ada, lunch", ["@Ada"]),
        ("nevada canada adagio ada2", []),
        ("c++ is c++x not", ["c++"]),
        ("", []),
    ):
        assert [match.group() for match in mentions(text, me)] == found
    assert list(mentions("ada", ("",))) == []
    row = Look(me=me).rows(ChatLine(0.0, "bob", "", data=b"x"), ["hey ada!"])[0]
    assert (MENTION, "ada") in row
    own = Look(me=me).rows(ChatLine(0.0, "you", "", own=True, data=b"x"), ["hey ada!"])[0]
    assert (MENTION, "ada") not in own


def test_an_action_is_said_of_its_author() -> None:
    assert shown("/me waves")[0].endswith(" * bob·cbf5 waves")
    assert shown("/me: no")[0].endswith(" bob·cbf5: /me: no")


def test_marks_fill_the_gutter() -> None:
    assert [gutter(mark)[1] for mark in ("", SOME, ALL)] == ["   ", "✓  ", "✓✓ "]
    assert gutter(ALL, plain=True)[1] == "++ "


def test_what_a_narrower_window_wraps() -> None:
    assert reflowed([], 30, 40) == 0
    assert reflowed([80, 81, 0, 39], 0, 40) == 1 + 2
    assert reflowed([], 52, 40) == 1
