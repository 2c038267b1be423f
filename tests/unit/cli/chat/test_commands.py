"""What is typed into a chat: messages and commands."""

from __future__ import annotations

import pytest

from mcast.cli.chat.commands import COMMANDS, command_in, entries, entry_of
from mcast.errors import UsageError


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "  indented ",
        "",
        "   ",
        "exit",
        "//",
        "//usr/bin",
        "one\ntwo\n",
        "/etc\nexit\n//x",
        "a\n/quit",
    ],
)
def test_what_is_no_command(text: str) -> None:
    assert command_in(text) is None


@pytest.mark.parametrize(
    ("text", "name", "rest"),
    [
        ("/quit", "/quit", ""),
        (" /EXIT ", "/quit", ""),
        ("/who\n", "/who", ""),
        ("/?", "/help", ""),
        ("/msg  bob hi  there ", "/msg", "bob hi  there"),
        ("  /MSG bob hi", "/msg", "bob hi"),
        ("/msg", "/msg", ""),
        ("/msg bob one\n  two\n", "/msg", "bob one\n  two"),
    ],
)
def test_commands(text: str, name: str, rest: str) -> None:
    found = command_in(text)
    assert found is not None
    assert (found[0].name, found[1]) == (name, rest)


@pytest.mark.parametrize("text", ["/nope ada", "/ x", "/", "/msgs bob"])
def test_an_unknown_word_is_not_sent(text: str) -> None:
    with pytest.raises(UsageError, match=f"unknown command {text}, not sent"):
        command_in(text)


@pytest.mark.parametrize("text", ["a paste\n /msg bob hi\n", "one\n/MSG", "/msg a b\n/msg c d"])
def test_what_is_private_is_seen_in_any_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"not sent: .*/msg"):
        command_in(text)


def test_help_has_a_line_for_each_command_and_fits_a_screen() -> None:
    lines = list(entries())
    assert len(lines) == sum(command.listed for command in COMMANDS) + 1 <= 22
    assert [command.name for command in COMMANDS if command.name not in "".join(lines)] == []
    assert all(len(line) <= 73 for line in lines)  # behind "mcast: "


def test_help_tells_of_one_command_by_its_name() -> None:
    for name in ("drop", "/drop", "DROP"):
        assert entry_of(name) == "/drop PATH          offer files; /files lists offers, /accept N takes one"
    assert entry_of("accept") == "/accept N [DIR]     take the files with this number"
    assert entry_of("exit").endswith("; also /exit")
    with pytest.raises(UsageError) as error:
        entry_of("dorp")
    assert str(error.value) == "unknown command /dorp: did you mean /drop? /help lists the commands"


def test_no_name_means_two_commands() -> None:
    names = [name for command in COMMANDS for name in (command.name, *command.aliases)]
    assert len(names) == len(set(names))
    assert all(name == name.casefold() and name.startswith("/") for name in names)


def test_a_mistyped_command_is_named() -> None:
    with pytest.raises(UsageError, match="unknown command /mgs bob hi, not sent") as error:
        command_in("/mgs bob hi")
    assert error.value.remedy == "did you mean /msg? /help lists the commands"
    with pytest.raises(UsageError) as error:
        command_in("/clear")
    assert error.value.remedy == "/help lists the commands"
