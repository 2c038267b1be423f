"""`mcast send`: everything arrives as given, or nothing leaves and a line says why."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests import lab

Pair = tuple[lab.Host, lab.Host]


@pytest.fixture
def stranger(pair: Pair, group: str) -> lab.Peer:
    """A plain socket in the group, on the other host."""
    peer = lab.Peer(pair[1], int(group.split(":")[1]))
    peer.join("230.0.0.1")
    return peer


def arrived(stranger: lab.Peer, count: int) -> list[bytes]:
    stranger.wait_count(count)
    return [text.encode("latin-1") for text, _ in stranger.take()]


def send(
    host: lab.Host, group: str, *arguments: str, input: str | bytes = "", env: dict[str, str] | None = None
) -> tuple[int, str]:
    process = host.mcast("send", "--plain", "-g", group, *arguments, input=input, env=env)
    code = process.wait()
    assert process.stdout == ""
    return code, process.stderr


def test_words_options_a_file_and_all_of_stdin(
    pair: Pair, group: str, stranger: lab.Peer, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"a\nb\x00")
    assert send(pair[0], group, "two", "words", "-m", "汉字 😀", "-m", "") == (0, "")
    assert send(pair[0], group, "-f", str(tmp_path / "file")) == (0, "")
    assert send(pair[0], group, "-s", input="x\ny\n") == (0, "")
    assert send(pair[0], group, "-f", "-", input="from -") == (0, "")
    assert send(pair[0], group, "--", "-m") == (0, "")
    wanted = [b"two words", "汉字 😀".encode(), b"", b"a\nb\x00", b"x\ny\n", b"from -", b"-m"]
    assert arrived(stranger, len(wanted)) == wanted


def test_lines_go_out_as_they_come(pair: Pair, group: str, stranger: lab.Peer) -> None:
    process = pair[0].mcast("send", "--plain", "-g", group, "-l", "-v")
    process.write("one\n\ntwo\r\n")
    assert arrived(stranger, 3) == [b"one", b"", b"two"]
    process.write("the last has no end")
    process.close_stdin()
    assert process.wait() == 0
    assert arrived(stranger, 1) == [b"the last has no end"]
    assert "4 sent" in process.stderr


def test_a_fifo_is_a_file(pair: Pair, group: str, stranger: lab.Peer, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    process = pair[0].mcast("send", "--plain", "-g", group, "-f", str(tmp_path / "fifo"))
    (tmp_path / "fifo").write_text("through a fifo")
    assert (process.wait(), process.stderr) == (0, "")
    assert arrived(stranger, 1) == [b"through a fifo"]


@pytest.mark.parametrize("size", [1452, 1453])
def test_the_limit_is_what_one_datagram_carries(
    pair: Pair, group: str, stranger: lab.Peer, size: int
) -> None:
    code, told = send(pair[0], group, "-m", "small", "-m", "é" * (size // 2) + "e" * (size % 2))
    if size <= 1452:
        assert (code, told) == (0, "")
        assert list(map(len, arrived(stranger, 2))) == [5, size]
        return
    assert code == 2
    assert told == "mcast: message 2 is too large and was not sent: send at most 1452 bytes at once\n"
    # What comes next is the first to come.
    assert send(pair[0], group, "after") == (0, "")
    assert arrived(stranger, 1) == [b"after"]


@pytest.mark.parametrize(
    ("arguments", "input", "code", "says"),
    [
        (["-f", "/nonexistent"], b"", 1, "cannot read /nonexistent (No such file"),
        (["-f", "/"], b"", 1, "cannot read / (Is a directory): check the name"),
        (["-s"], b"a\xff", 2, "iconv -t utf-8"),
        (["-l"], b"\xff\n", 2, "line 1 of standard input is not UTF-8"),
        (["-l"], b"x" * 3_000_000, 2, "line 1 of standard input is too large"),
        (["-s"], b"x" * 3_000_000, 2, "1452 bytes"),
    ],
)
def test_what_cannot_be_sent_is_refused_in_one_line(
    here: lab.Host, group: str, arguments: list[str], input: bytes, code: int, says: str
) -> None:
    got, told = send(here, group, *arguments, input=input)
    assert got == code
    assert says in told
    assert told.count("\n") == 1


def test_bytes_of_the_command_line_are_not_changed_by_the_locale(
    pair: Pair, group: str, stranger: lab.Peer
) -> None:
    assert send(pair[0], group, "汉字 é", env={"LC_ALL": "C", "PYTHONUTF8": "0"}) == (0, "")
    assert arrived(stranger, 1) == ["汉字 é".encode()]


def test_a_firewall_is_named(here: lab.Host, group: str) -> None:
    firewall = here.firewall("ip daddr 224.0.0.0/4 udp dport != 0 drop", hook="output")
    try:
        sent = send(here, group, "x")
        chat = here.mcast("chat", "--plain", "-g", group, input="x\n")
        assert (chat.wait(), sent[0]) == (3, 3)
    finally:
        firewall.remove()
    assert "firewall" in sent[1]
    assert sent[1].count("\n") == 1
    assert "not sent: cannot send to" in chat.stderr


def test_an_interrupt_between_messages(pair: Pair, group: str, stranger: lab.Peer) -> None:
    arguments = ["-m", "1", "-m", "2", "--interval", "1m"]
    first = pair[0].mcast("send", "--plain", "-g", group, *arguments)
    assert arrived(stranger, 1) == [b"1"]
    assert (first.interrupt(), first.stderr) == (130, "")


def test_closed_streams(pair: Pair, group: str, stranger: lab.Peer) -> None:
    start = f"{sys.executable} -m mcast send --plain -g {group}"
    process = pair[0].spawn(["bash", "-c", f"{start} -l <&-; echo $?; {start} x >&- 2>&-; echo $?"])
    assert (process.wait(), process.stdout, process.stderr) == (0, "0\n0\n", "")
    assert arrived(stranger, 1) == [b"x"]
