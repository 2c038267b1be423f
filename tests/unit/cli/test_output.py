"""What is printed can hurt no terminal, and what is printed as JSON says what was meant."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcast.cli import output as printing
from mcast.cli.output import Output, OutputClosed, clock, escape, escape_bytes, json_line, rfc3339
from mcast.errors import McastError

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
JOINERS = "\u200c\u200d"


def harmless(text: str) -> bool:
    categories = {unicodedata.category(char) for char in text if char not in JOINERS}
    return not categories & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} and not set(text) & set("\u115f\u3164")


@given(ANY_TEXT)
def test_escaped_text_holds_nothing_a_terminal_obeys_or_hides(text: str) -> None:
    assert harmless(escape(text))
    assert escape(escape(text)) == escape(text)


@given(st.binary())
def test_escaped_bytes_hold_nothing_a_terminal_obeys_or_hides(data: bytes) -> None:
    assert harmless(escape_bytes(data))


@pytest.mark.parametrize(
    "char", ["\x1b", "\x07", "\x00", "\x7f", "\x9b", "\n", "\r", "\u2028", "\ufeff", *BIDI]
)
def test_every_known_trick_is_shown_by_number(char: str) -> None:
    assert escape(f"a{char}b") in (f"a\\x{ord(char):02x}b", f"a\\u{ord(char):04x}b")


@pytest.mark.parametrize(
    "text", ["Grüße", "汉字", "שלום", "नहीं\u200d", "👩\u200d👩\u200d👧", "a\u3000b", "नमस्ते"]
)
def test_honest_writing_is_shown_as_it_is(text: str) -> None:
    assert escape(text) == text


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


def test_output_is_blocked_while_it_writes_and_there_is_no_room() -> None:
    seen = []

    class Watching(io.TextIOWrapper):
        def write(self, text: str) -> int:
            seen.append(output.blocked)
            return len(text)

    reading, writing = os.pipe()
    with open(reading, "rb"), open(writing, "wb", buffering=0) as pipe:
        output = Output(Watching(pipe))
        output.lines(["a", "b"])
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while pipe.write(bytes(4096)):
                pass
        assert not output.blocked
        output.lines(["c"])
    assert seen == [False, True]


def test_output_is_buffered_though_python_was_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    # A raw stream drops what is left of a write that a signal cuts short: this pipe takes 64 KiB at once.
    reading, writing = os.pipe()
    raw = io.TextIOWrapper(io.FileIO(writing, "w"), "utf-8", write_through=True)
    with open(reading, "rb") as pipe, raw:
        os.set_blocking(writing, False)
        monkeypatch.setattr("sys.stdout", raw)
        with pytest.raises(McastError):
            Output().lines(["x" * 1_000_000])
        assert pipe.read1(1) == b"x"


def test_output_that_cannot_be_asked_for_room_counts_as_blocked() -> None:
    seen = []

    class Watching(io.StringIO):
        def write(self, text: str) -> int:
            seen.append(output.blocked)
            return len(text)

    output = Output(Watching())
    output.lines(["a"])
    assert (seen, output.blocked) == ([True], False)


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
