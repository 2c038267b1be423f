"""Standard input as lines, however it comes."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcast.cli import stdin
from mcast.errors import McastError, UsageError


class _Input:
    def __init__(self, number: int) -> None:
        self.number = number

    def fileno(self) -> int:
        return self.number


def lines_of(data: bytes, longest: int = stdin.LONGEST_LINE) -> list[bytes]:
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(data)

    feeder = threading.Thread(target=feed)
    feeder.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", _Input(reading))
        try:
            return list(stdin.lines(longest))
        finally:
            feeder.join()
            os.close(reading)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n", [b""]),
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\r\n\r\nb", [b"a", b"", b"b"]),
        (b"a\rb\n", [b"a\rb"]),
        (b"\xff\n\xe4", [b"\xff", b"\xe4"]),
    ],
)
def test_lines(data: bytes, lines: list[bytes]) -> None:
    assert lines_of(data) == lines


@given(st.lists(st.binary().map(lambda line: line.replace(b"\n", b"").rstrip(b"\r"))))
def test_what_was_written_as_lines_is_read_as_lines(lines: list[bytes]) -> None:
    assert lines_of(b"".join(line + b"\n" for line in lines)) == lines


def test_a_line_without_end_comes_in_pieces_that_split_no_character() -> None:
    text = "漢😀é" * 50_000
    pieces = lines_of(text.encode(), longest=1000)
    assert len(pieces) > 1
    assert "".join(piece.decode() for piece in pieces) == text


def test_reading_all_stops_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    with (tmp_path / "file").open("rb") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert len(stdin.read(70_001)) == 70_001
        assert len(stdin.read(70_001)) == 29_999


def test_what_cannot_be_read_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", _Input(-1))
    with pytest.raises(McastError, match="cannot read standard input: Bad file descriptor"):
        stdin.read(1)


def test_a_line_that_is_not_utf8_is_refused() -> None:
    assert stdin.text_of("é".encode()) == "é"
    with pytest.raises(UsageError, match="iconv"):
        stdin.text_of(b"\xff")
