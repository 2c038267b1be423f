"""What is typed into a chat: messages, commands, pastes."""

from __future__ import annotations

import pytest

from mcast.cli.chat import says_private, typed


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("hello", ["hello"]),
        ("  indented ", ["  indented "]),
        ("", []),
        ("   ", []),
        ("exit", [None]),
        (" /quit ", [None]),
        ("/exit", [None]),
        ("/QUIT", [None]),
        ("exit now", ["exit now"]),
        ("//", ["/"]),
        ("//usr/bin", ["/usr/bin"]),
        ("///", ["//"]),
        ("one\ntwo\r\n\nthree\n", ["one", "two", "three"]),
        ("/etc\nexit\n//x", ["/etc", "exit", "//x"]),
        ("only\n\n", ["only"]),
        ("exit\n", [None]),
    ],
)
def test_typed(text: str, messages: list[str | None]) -> None:
    assert typed(text) == messages


@pytest.mark.parametrize("text", ["/who", "/quit now", "/ x", "/"])
def test_an_unknown_word_is_not_sent_and_says_so(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(text) == []
    assert f"unknown command {text}, not sent" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "private"),
    [
        ("/msg bob hi", True),
        ("  /MSG bob hi", True),
        ("/msg", True),
        ("a paste\n /msg bob hi\n", True),
        ("/msgs bob", False),
        ("//msg bob", False),
        ("say /msg bob", False),
        ("", False),
        ("\n\n", False),
    ],
)
def test_what_is_private_is_seen_in_any_line(text: str, private: bool) -> None:
    assert says_private(text) is private


def test_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("/help") == []
    assert "/quit" in capsys.readouterr().err
