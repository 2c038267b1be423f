"""`listen --record`, `replay`, and that a program that listens is no person."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests import lab

Pair = tuple[lab.Host, lab.Host]


def test_a_meeting_is_recorded_and_replayed(pair: Pair, group: str, tmp_path: Path) -> None:
    file = tmp_path / "meeting.ndjson"
    chat = pair[0].mcast("chat", "-g", group, "--name", "ada")
    chat.wait_for("nobody else is here", stream="stderr")
    listener = pair[1].mcast("listen", "-g", group, "--record", str(file), "--json", "-C", "3", "-W", "60")
    listener.wait_for("listening to", stream="stderr")
    chat.write("one\ntwo\n")
    listener.wait_lines(2)
    private = pair[0].mcast("send", "-g", group, "--linger", "10s", "--to", "nobody", "x", "--profile", "p")
    assert private.wait() == 4
    sent = pair[0].mcast("send", "-g", group, "-f", "-", input="\x00 three\n", env={"LC_ALL": "C"})
    assert (sent.wait(), listener.wait()) == (0, 0)
    assert [json.loads(line) for line in file.read_text().splitlines()] == listener.objects()
    assert [one["text"] for one in listener.objects()] == ["one", "two", "\x00 three\n"]

    hearer = pair[1].mcast("listen", "-g", group, "-v", "-C", "3", "-W", "60")
    hearer.wait_for("listening to", stream="stderr")
    replay = pair[1].mcast("replay", str(file), "-g", group, "--speed", "100", "--name", "eve", "-v")
    assert replay.wait() == 0, replay.stderr
    assert hearer.wait() == 0
    assert [line.split("\t")[2] for line in hearer.lines()] == ["one", "two", "\\x00 three"]
    assert re.search(r"mcast: confirmed by ", replay.stderr)
    chat.wait_for(re.compile(r"eve·\w{4}: one\n(.|\n)* three"), stream="stdout")
    chat.close_stdin()
    assert chat.wait() == 0
    # Two programs that listen came and went.
    assert "joined" not in chat.stderr
    assert "left" not in chat.stderr


def test_who_listens_is_told_apart_and_counts_where_confirmations_count(pair: Pair, group: str) -> None:
    chat = pair[0].mcast_terminal("chat", "-g", group, "--name", "ada")
    chat.wait_for_screen("nobody else is here")
    listener = pair[1].mcast("listen", "-g", group, "--name", "log")
    listener.wait_for("listening to", stream="stderr")
    sent = pair[0].mcast("send", "-g", group, "--profile", "p", "--wait-for", "log", "--linger", "20s", "x")
    assert sent.wait() == 0
    chat.type("/who\r")
    chat.wait_for_screen(re.compile(r"here: ada·\w{4} \(you\); programs that listen: log·\w{4}"))
    listener.interrupt()
    seen = lab.snapshot(pair[1].mcast, "browse", "-g", group, "-t", "--json", complete=lab.Process.lines)
    assert [one["from"]["name"] for one in seen.objects() if "listener" not in one] == ["ada"]
    assert "joined" not in "\n".join(chat.screen())
    chat.type("/quit\r")
    assert chat.wait() == 0


def test_a_full_disk_ends_a_recording_with_one_line(pair: Pair, group: str) -> None:
    listener = pair[1].mcast("listen", "-g", group, "--record", "/dev/full")
    listener.wait_for("listening to", stream="stderr")
    assert pair[0].mcast("send", "-g", group, "x").wait() == 0
    assert listener.wait() == 1
    told = "mcast: cannot write /dev/full: No space left on device: free some disk space"
    assert listener.stderr.splitlines()[1:] == [told]


@pytest.mark.parametrize(
    ("text", "arguments", "code", "says"),
    [
        ("", [], 4, "mcast: FILE has no message to send"),
        ('{"type":"gap"}\nhello\n', [], 2, "mcast: FILE, line 2: not a line of JSON: give a file of"),
        ("", ["--speed", "fast"], 2, "mcast: --speed 'fast' is not a speed: give a number above 0"),
        ("", ["--speed", "0"], 2, "mcast: --speed '0' is not a speed"),
    ],
)
def test_what_cannot_be_replayed(
    here: lab.Host, tmp_path: Path, text: str, arguments: list[str], code: int, says: str
) -> None:
    file = tmp_path / "made"
    file.write_text(text)
    replay = here.mcast("replay", str(file), *arguments)
    assert (replay.wait(), replay.stdout) == (code, "")
    assert replay.stderr.replace(str(file), "FILE").startswith(says)
    assert replay.stderr.count("\n") == 1


def test_a_replay_can_be_interrupted_and_reads_a_pipe(pair: Pair, group: str) -> None:
    lines = "".join(
        json.dumps({"v": 1, "type": "message", "ts": f"2026-05-04T{hour}:00:00Z", "text": f"at {hour}"})
        + "\n"
        for hour in (10, 11)
    )
    hearer = pair[1].mcast("listen", "-g", group, "-C", "1")
    hearer.wait_for("listening to", stream="stderr")
    replay = pair[0].mcast("replay", "-", "-g", group, input=lines)
    assert (hearer.wait(), hearer.stdout) == (0, "at 10\n")
    assert replay.interrupt() == 130
