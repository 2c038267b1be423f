"""Whatever a peer sends: it is shown escaped or marked, nothing raw reaches a terminal, and nothing stops."""

from __future__ import annotations

import base64
import re
import unicodedata

import pytest

from mcast.cli.output import decoded, escape
from tests import lab
from tests.lan.plain import GROUP, PORT, run, until

TEXTS = {
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;pwned\x07",
    "title in C1": "\x9d0;pwned\x9c",
    "clipboard": "\x1b]52;c;cHduZWQ=\x07",
    "hyperlink": "\x1b]8;;http://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "cursor": "\x1b[2J\x1b[H\x1b[10;10H\x1b[6n\x1bc",
    "device control": "\x1bP$q\x1b\\\x1b_a\x1b\\\x1b^p\x1b\\\x1b[?1049h",
    "C1": "\x80\x85\x8d\x90\x9b31m",
    "overwriting": "honest\rforged\x08\x08\x7f\x0b\x0c\x0e\x0f",
    "a second line": "hello\n12:00:00 10.9.9.9:1: forged",
    "other line ends": "a\u2028b\u2029c\x85d",
    "bidi": "\u202eevil\u202d\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u202a\u202b\u202c",
    "invisible": "a\u200bb\u2060c\ufeffd\u115fe\u3164f\U000e0041g\xadh",
    "NUL": "a\0b\0",
    "private use and unassigned": "\ue000\U0010ffff\ufdd0",
}
RAW = {
    "invalid UTF-8": b"\xff\xfe\x1b[31m\xc3(",
    "a lone C1 byte": b"\x9b31m\x9d0;pwned\x07",
    "cut short": "汉".encode()[:2],
    "overlong": b"\xc0\x9b\xe0\x80\x9b",
    "a surrogate": b"\xed\xa0\x80",
    "ours": b"\xff\x4d" + bytes(range(64)),
    "empty": b"",
}
DATAGRAMS = {**{name: text.encode() for name, text in TEXTS.items()}, **RAW}
LARGEST = b"\x1b[31m" + b"L" * (65_507 - 5)
END = "the end"
# What honest writing needs though Unicode calls it no printable character.
_WELCOME = set("\u00a0\u3000\u200c\u200d\xad")  # the last, a soft hyphen, stands between letters


def attack(host: lab.Host, datagrams: list[bytes]) -> None:
    peer = lab.Peer(host, PORT)
    for data in [*datagrams, END.encode()]:
        peer.send(GROUP, data.decode("latin-1"))


def is_harmless(text: str) -> bool:
    """Whether no character but those that show themselves, in reading order, are in it."""
    bad = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    return all(char in _WELCOME or unicodedata.category(char) not in bad for char in text) and not (
        {"\u115f", "\u3164"} & set(text)
    )


def test_listen_prints_a_harmless_line_each(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    process = run(h2, "listen", "-g", GROUP)
    attack(h1, [*DATAGRAMS.values(), LARGEST])
    process.wait_for(END, stream="stdout")
    lines = dict(zip([*DATAGRAMS, "largest", "end"], process.lines(), strict=True))
    for name, line in lines.items():
        assert is_harmless(line), name
    assert lines["colour"] == r"\x1b[31mred\x1b[0m"
    assert lines["clipboard"] == r"\x1b]52;c;cHduZWQ=\x07"
    assert lines["C1"] == r"\u0080\u0085\u008d\u0090\u009b31m"
    assert lines["a second line"] == r"hello\n12:00:00 10.9.9.9:1: forged"
    assert lines["bidi"].startswith(r"\u202eevil\u202d\u2066")
    assert lines["NUL"] == r"a\x00b\x00"
    assert lines["invalid UTF-8"] == r"\xff\xfe\x1b[31m\xc3("
    assert lines["empty"] == ""
    assert lines["largest"] == r"\x1b[31m" + "L" * 65_502
    assert process.poll() is None


def test_listen_as_json_keeps_every_byte_and_shows_none_raw(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    process = run(h2, "listen", "-g", GROUP, "--json")
    attack(h1, [*DATAGRAMS.values(), LARGEST])
    process.wait_for(END, stream="stdout")
    assert is_harmless("".join(process.lines()))
    *events, _ = process.objects()
    for (name, data), event in zip([*DATAGRAMS.items(), ("largest", LARGEST)], events, strict=True):
        if name in RAW and name != "empty":
            assert "text" not in event
            assert base64.b64decode(event["data_b64"]) == data
        else:
            assert event["text"].encode() == data, name


def test_a_chat_in_a_pipe_prints_a_harmless_line_each(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    process = run(h2, "chat", "-g", GROUP)
    attack(h1, [*DATAGRAMS.values(), LARGEST])
    process.wait_for(END, stream="stdout")
    lines = process.lines()
    assert len(lines) == len(DATAGRAMS) + 2
    for line in lines:
        assert is_harmless(line)
        assert re.match(r"\d\d:\d\d:\d\d 10\.9\.0\.1:3000: ?", line), "nobody can forge another's line"
    process.close_stdin()
    assert process.wait() == 0


def on_terminal(lan: lab.MakeLan, datagrams: list[bytes]) -> bytes:
    """All that a chat wrote to its terminal when these came."""
    h1, h2 = lan(2).hosts
    terminal = h2.mcast_terminal("chat", "--plain", "-g", GROUP, columns=120, rows=40)
    terminal.wait_for_screen(re.compile("^>", re.MULTILINE))
    attack(h1, datagrams)
    terminal.wait_for_screen(END)
    terminal.type("still here\r")
    terminal.wait_for_screen("you: still here\n>")
    terminal.type("\x04")
    assert terminal.wait() == 0
    return terminal.raw


# What prompt_toolkit writes: colours, modes, where the cursor goes, what is erased, where the cursor is.
DRAWING = re.compile(r"\x1b\[\??[0-9;]*[ABCDGHJKhlmn]|[\r\n\x08]")


BEGINNING = 60


def is_text(data: bytes) -> bool:
    """Whether a chat shows it as text; of anything else it shows the size."""
    return b"\0" not in data and data.decode("utf-8", "ignore").encode() == data


@pytest.mark.parametrize("largest", [False, True])
def test_a_terminal_gets_no_control_that_a_peer_wrote(lan: lab.MakeLan, largest: bool) -> None:
    """Each text is there as one piece, its controls as visible characters; the rest only draws."""
    hostile = [LARGEST] if largest else list(DATAGRAMS.values())
    raw = on_terminal(lan, hostile).decode()
    for data in filter(is_text, hostile):
        # Its line breaks are shown as such; of a long message the beginning is there.
        for line in decoded(data).expandtabs(4).split("\n"):
            assert escape(line.strip())[:BEGINNING] in raw
    assert is_harmless(DRAWING.sub("", raw))
    for sequence in ("\x1b[31mred", "\x1b[0m\x1b]", "\x1b[2J", "\x1b[31mL"):
        assert sequence not in raw


def test_a_flood_of_garbage_neither_stops_nor_hides_what_follows(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    process = run(h2, "listen", "-g", GROUP, "--json")
    peer = lab.Peer(h1, PORT)
    for data in DATAGRAMS.values():
        peer.send(GROUP, data.decode("latin-1"), count=200)
    peer.send(GROUP, END)
    process.wait_for(END, stream="stdout")
    assert len(process.objects()) == 200 * len(DATAGRAMS) + 1
    until(lambda: process.poll() is None)


@pytest.mark.parametrize("command", ["listen", "chat"])
def test_an_environment_without_utf8_still_prints(lan: lab.MakeLan, command: str) -> None:
    h1, h2 = lan(2).hosts
    for encoding in ("ascii", "gbk"):
        process = run(h2, command, "-g", GROUP, env={"PYTHONIOENCODING": encoding, "LC_ALL": "C"})
        lab.Peer(h1, PORT).send(GROUP, "汉 🎉".encode().decode("latin-1"))
        process.wait_for("f389", stream="stdout")
        shown = process.stdout_bytes.decode(encoding)
        assert ("汉" in shown) == (encoding == "gbk")
        process.interrupt()
        assert process.stderr.count("\n") == 1
