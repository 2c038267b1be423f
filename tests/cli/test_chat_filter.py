"""`mcast chat` in a pipe: every line of stdin is a message, what arrives is printed."""

from __future__ import annotations

import re
import sys
import time

import pytest

from tests import lab

Pair = tuple[lab.Host, lab.Host]


@pytest.fixture
def stranger(pair: Pair, group: str) -> lab.Peer:
    """A plain socket in the group, on the other host."""
    peer = lab.Peer(pair[1], int(group.split(":")[1]))
    peer.join("230.0.0.1")
    return peer


def chat(host: lab.Host, group: str, *arguments: str, input: str | bytes | None = None) -> lab.Process:
    process = host.mcast("chat", "--plain", "-g", group, *arguments, input=input)
    process.wait_for(f"mcast: chatting in {group} on eth0", stream="stderr")
    return process


def arrived(stranger: lab.Peer, count: int) -> list[str]:
    stranger.wait_count(count)
    return [text.encode("latin-1").decode() for text, _ in stranger.take()]


@pytest.mark.parametrize(
    ("input", "lines"),
    [
        ("a\nb\n", ["a", "b"]),
        ("no end", ["no end"]),
        ("one\r\n\r\ntwo\r\n", ["one", "", "two"]),
        ("exit\n/quit\n//x\n", ["exit", "/quit", "//x"]),
        ("汉字 😀\n", ["汉字 😀"]),
    ],
)
def test_every_line_is_a_message(
    pair: Pair, group: str, stranger: lab.Peer, input: str, lines: list[str]
) -> None:
    process = chat(pair[0], group, input=input)
    assert (process.wait(), process.stdout) == (0, "")
    assert arrived(stranger, len(lines)) == lines


def test_a_huge_line_is_split_between_characters(pair: Pair, group: str, stranger: lab.Peer) -> None:
    text = "汉é😀" * 1000
    assert chat(pair[0], group, input=text).wait() == 0
    pieces = arrived(stranger, -(-len(text.encode()) // 1200))
    assert "".join(pieces) == text
    assert max(len(piece.encode()) for piece in pieces) <= 1200


def test_a_line_that_is_not_utf8_is_not_sent_and_the_exit_code_tells(
    pair: Pair, group: str, stranger: lab.Peer
) -> None:
    process = chat(pair[0], group, input=b"before\n\xff\xfe\nafter\ncut \xe6\xb1")
    assert process.wait() == 2
    assert arrived(stranger, 2) == ["before", "after"]
    assert [line for line in process.stderr.splitlines() if "not sent" in line] == [
        "mcast: not sent: a line of standard input is not UTF-8: "
        "convert it first, for instance with iconv -t utf-8"
    ] * 2


def test_it_prints_what_arrives_each_once_and_not_its_own(pair: Pair, group: str, stranger: lab.Peer) -> None:
    process = chat(pair[0], group)
    neighbour = chat(pair[0], group)
    process.write("mine\n")
    neighbour.wait_lines(1)
    stranger.send("230.0.0.1", "\xc3\xa9\x1b[2J\n")
    lines = process.wait_lines(1)
    process.close_stdin()
    assert process.wait() == 0
    assert process.lines() == lines
    assert re.fullmatch(r"\d\d:\d\d:\d\d 10\.9\.0\.2:\d+: é\\x1b\[2J", lines[0])
    assert re.fullmatch(r"\d\d:\d\d:\d\d 10\.9\.0\.1:\d+: mine", neighbour.lines()[0])


@pytest.mark.parametrize("number", [2, 15, 1])
def test_a_signal_while_it_waits_for_input_ends_it_with_nothing_to_say(
    here: lab.Host, group: str, number: int
) -> None:
    process = chat(here, group)
    process.signal(number)
    assert process.wait() == 0
    assert process.stderr.count("\n") == 1
    assert here.memberships() == {}


@pytest.mark.parametrize("redirection", ["< /dev/null", "<&-"])
def test_no_input_is_the_end(here: lab.Host, group: str, redirection: str) -> None:
    process = here.spawn(["bash", "-c", f"{sys.executable} -m mcast chat --plain -g {group} {redirection}"])
    assert process.wait() == 0
    assert process.stderr.count("\n") == 1


def test_a_reader_that_goes_ends_it_quietly(here: lab.Host, group: str) -> None:
    line = f"sleep 60 | {sys.executable} -m mcast chat --plain -g {group} | true; echo ${{PIPESTATUS[1]}}"
    process = here.spawn(["bash", "-c", line])
    process.wait_for("chatting in")
    # The shell still waits for the sleep.
    deadline = time.monotonic() + 10.0
    while here.memberships():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert process.stderr.count("\n") == 1


def test_quiet_says_nothing(here: lab.Host, group: str) -> None:
    process = here.mcast("chat", "--plain", "-g", group, "-q", input="x\n")
    assert (process.wait(), process.stdout, process.stderr) == (0, "", "")
