"""What is printed can hurt no terminal, and what is printed as JSON says what was meant."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import time
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcast.cli import output as printing
from mcast.cli.output import (
    Output,
    OutputClosed,
    clock,
    decoded,
    escape,
    escape_exactly,
    json_line,
    rfc3339,
)
from mcast.errors import McastError

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"


SHOWN_FORMAT = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
IN_PLACE = "\u200c\u200d\u200e\u200f\u061c\xad" + "".join(map(chr, range(0xE0020, 0xE0080)))
"""Invisible characters that are shown where they belong to a script or an emoji."""


def harmless(text: str) -> bool:
    categories = {unicodedata.category(char) for char in text if char not in SHOWN_FORMAT + IN_PLACE}
    return not categories & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} and not set(text) & set(INVISIBLE)


@calm
@given(ANY_TEXT)
def test_escaped_text_holds_nothing_a_terminal_obeys_or_hides(text: str) -> None:
    assert harmless(escape(text))
    assert escape(escape(text)) == escape(text)


@calm
@given(
    st.text(
        st.sampled_from("a-\u05d0\u0645\u4e00\u2764\U0001f3f4\U000e0067\U000e007f\ufe0f\u115f\n" + IN_PLACE)
    )
)
def test_what_is_escaped_stays_as_it_is(text: str) -> None:
    assert escape(escape(text)) == escape(text)


@calm
@given(st.binary())
def test_escaped_bytes_hold_nothing_a_terminal_obeys_or_hides(data: bytes) -> None:
    assert harmless(escape(decoded(data)))


@pytest.mark.parametrize(
    "char",
    [
        "\x1b",
        "\x07",
        "\x00",
        "\x7f",
        "\x9b",
        "\n",
        "\r",
        "\u2028",
        "\ufeff",
        "\u2060",
        "\xad",
        *BIDI,
        *INVISIBLE,
    ],
)
def test_every_known_trick_is_shown_by_number(char: str) -> None:
    assert escape(f"a{char}-b") in (f"a\\x{ord(char):02x}-b", f"a\\u{ord(char):04x}-b")


@pytest.mark.parametrize("char", "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
def test_overrides_are_shown_by_number_in_any_script(char: str) -> None:
    assert escape(f"שלום{char} שלום") == f"שלום\\u{ord(char):04x} שלום"


@pytest.mark.parametrize(
    "text",
    [
        "Grüße",
        "汉字",
        "שלום",
        "नहीं\u200d",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "👩\u200d👩\u200d👧",
        "🏳\ufe0f\u200d🌈 ❤\ufe0f 1\ufe0f\u20e3",
        "葛\U000e0100",
        "a\u3000b",
        "नमस्ते",
        "Qu\u2019y a-t-il\u202f?",
        "שלום!\u200f (abc\u200e)",
        "مرحبا\u061c 1-2",
        "Donau\xaddampf\xadschiff",
        "\u0600\u0661\u0662",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "🏴\u200d☠\ufe0f",
        "🇨🇭",
        "\U0001fae9 \U0001fac8\u200d\U0001f6f9\ufe0f \U000323b0",
    ],
)
def test_honest_writing_is_shown_as_it_is(text: str) -> None:
    assert escape(text) == text
    assert json_line({"text": text}) == f'{{"text":"{text}"}}'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("adm\u200din", "adm\\u200din"),
        ("abc\u200f def", "abc\\u200f def"),
        ("👩\u200d\u200d👧", "👩\u200d\\u200d👧"),
        ("😀\ufe0f\ufe0e\ufe01", "😀\ufe0f\\ufe0e\\ufe01"),
        ("\ufe0f", "\\ufe0f"),
        ("🏴\U000e0067\U000e0062", "🏴\\U000e0067\\U000e0062"),
        ("x\U000e0068\U000e0069\U000e007f", "x\\U000e0068\\U000e0069\\U000e007f"),
        ("\ufdd0\uffff\U000e0fff\u2065", "\\ufdd0\\uffff\\U000e0fff\\u2065"),
    ],
)
def test_invisible_characters_out_of_place_are_shown_by_number(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_many_marks_cost_little_time() -> None:
    text = "\u200f" * 60_000 + "\U0001f3f4" + "\U000e0067" * 60_000
    start = time.process_time()
    assert escape(text).count("\\") == 120_000
    assert time.process_time() - start < 5.0


EXACT = st.text(st.characters(codec="utf-8"))


def undone(shown: str) -> bytes:
    """What `printf %b` of a shell makes of it."""
    known = {"t": b"\t", "n": b"\n", "r": b"\r", "\\": b"\\"}

    def meant(match: re.Match[str]) -> str:
        letter, digits = match[1][0], match[1][1:]
        data = (
            bytes([int(digits, 16)])
            if letter == "x"
            else chr(int(digits, 16)).encode()
            if digits
            else known[letter]
        )
        return data.decode("utf-8", "surrogateescape")

    text = re.sub(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[tnr\\])", meant, shown)
    return text.encode("utf-8", "surrogateescape")


@calm
@given(EXACT.map(str.encode) | st.binary() | st.text(st.sampled_from("\\xnrtu0aé\n\t\x85")).map(str.encode))
def test_an_exact_text_can_be_undone(data: bytes) -> None:
    shown = escape_exactly(decoded(data))
    assert harmless(shown)
    assert undone(shown) == data


def test_a_shell_undoes_an_exact_text() -> None:
    data = "a\tb\nc\\d\\n \x1b[1m\x85é\u202e".encode() + b"\xff"
    shown = escape_exactly(decoded(data))
    assert shown == r"a\tb\nc\\d\\n \x1b[1m\u0085é\u202e\xff"
    command = ["bash", "-c", 'printf %b "$1"', "bash", shown]
    assert subprocess.run(command, capture_output=True, env={"LC_ALL": "C.UTF-8"}).stdout == data


@calm
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | ANY_TEXT,
        lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
    ).map(lambda value: {"value": value}),
    st.booleans(),
)
def test_a_line_of_json_is_harmless_and_says_the_same(event: dict[str, object], ascii_only: bool) -> None:
    line = json_line(event, ascii_only=ascii_only)
    assert harmless(line)
    assert json.loads(line) == event
    assert line.isascii() or not ascii_only


def test_times_are_utc_in_milliseconds() -> None:
    assert rfc3339(0.0) == "1970-01-01T00:00:00.000Z"
    assert rfc3339(1763683200.1239) == "2025-11-21T00:00:00.123Z"


class _Refusing(io.TextIOWrapper):
    def __init__(self, error: OSError) -> None:
        super().__init__(io.BytesIO(), "utf-8")
        self.error: OSError | None = error

    def flush(self) -> None:
        if not self.closed and self.error is not None:
            error, self.error = self.error, None  # once only
            raise error


def test_a_closed_pipe_and_a_full_disk_are_told_apart() -> None:
    with pytest.raises(OutputClosed):
        Output(_Refusing(BrokenPipeError())).lines(["x"])
    with pytest.raises(McastError, match="free some disk space"):
        Output(_Refusing(OSError(28, os.strerror(28)))).lines(["x"])


def test_a_note_is_one_escaped_line(capsys: pytest.CaptureFixture[str]) -> None:
    printing.note("a\x1b[2Jb\nc")
    assert capsys.readouterr().err == "mcast: a\\x1b[2Jb\\x0ac\n"


@pytest.mark.parametrize("seconds", [-1e18, -86400.0, 253_402_300_799.0, 5e11, 1e18])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def test_a_clock_may_say_anything(seconds: float, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert re.fullmatch(r"\d\d:\d\d:\d\d", clock(seconds))
        assert re.fullmatch(r"(1970|9999)-\d\d-\d\dT.*Z", rfc3339(seconds))
    finally:
        monkeypatch.undo()
        time.tzset()
