"""What comes over TCP, cut into messages, whatever the client is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcast.errors import InvalidPort, UsageError
from mcast.gateway.lines import LONGEST, Splitter, Telnet, parse_listen


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (b"hello\r\n", b"hello\r\n"),
        (b"\xff\xfd\x01hello", b"hello"),
        (b"a\xff\xfb\x18\xff\xfe\x03b\xff\xf1c", b"abc"),
        (b"a\xff\xfa\x18\x01\xff\xff\x00\xff\xf0b", b"ab"),
        (b"\xff\xff", b""),
        ("你好ÿ".encode() + b"\xff\xf4!", "你好ÿ!".encode()),
    ],
)
def test_telnet_commands_are_no_text(sent: bytes, text: bytes) -> None:
    assert Telnet().feed(sent) == text
    telnet = Telnet()
    assert b"".join(telnet.feed(sent[at : at + 1]) for at in range(len(sent))) == text


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_telnet_takes_anything_in_any_pieces(pieces: list[bytes]) -> None:
    whole, telnet = Telnet(), Telnet()
    assert whole.feed(b"".join(pieces)) == b"".join(map(telnet.feed, pieces))


def test_lines_end_at_newlines() -> None:
    splitter = Splitter()
    assert splitter.feed(b"one\ntwo\r\nthr") == [b"one", b"two\r"]
    assert not splitter.waits
    assert splitter.newline == "\r\n"
    assert splitter.feed(b"ee\n") == [b"three"]
    assert splitter.feed(b"last") == []
    assert splitter.rest() == [b"last"]
    assert splitter.rest() == []


def test_who_sends_no_newlines_is_cut_where_it_pauses() -> None:
    splitter = Splitter()
    assert splitter.feed("你".encode()) == []
    assert splitter.waits
    assert splitter.feed("好".encode()) == []
    assert splitter.rest() == ["你好".encode()]
    assert not splitter.waits


@pytest.mark.parametrize("piece", [1, 1000, LONGEST, 2 * LONGEST])
def test_a_line_that_is_too_long_is_refused_once_and_not_kept(piece: int) -> None:
    splitter = Splitter()
    data = b"x" * (LONGEST + 1000) + b"\nnext\n"
    messages = [one for at in range(0, len(data), piece) for one in splitter.feed(data[at : at + piece])]
    assert messages == [None, b"next"]
    assert splitter.feed(b"y" * LONGEST + b"\n") == [b"y" * LONGEST]


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("127.0.0.1:3001", ("127.0.0.1", 3001)),
        ("localhost", ("localhost", 3000)),
        ("[::1]:4000", ("::1", 4000)),
        ("::1", ("::1", 3000)),
        ("[::1]", ("::1", 3000)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),  # noqa: S104 - nothing is bound
    ],
)
def test_where_to_listen(text: str, parsed: tuple[str, int]) -> None:
    assert parse_listen(text, 3000) == parsed


@pytest.mark.parametrize("text", ["", ":3000", "host:port", "host:70000"])
def test_where_one_cannot_listen(text: str) -> None:
    with pytest.raises((UsageError, InvalidPort)):
        parse_listen(text, 3000)
