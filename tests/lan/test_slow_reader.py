"""A reader that does not read, or too slowly, stops neither its member nor the others."""

from __future__ import annotations

import json
import re
import sys
import time

import pytest

from tests import lab

MCAST = f"{sys.executable} -m mcast"
LINES = [f"{number:05} {'x' * 300}" for number in range(8_000)]
WAITS = "(while [ ! -e go ]; do sleep 0.1; done; cat)"


def listening(host: lab.Host, line: str) -> lab.Process:
    process = host.spawn(["bash", "-c", line], cwd=str(host.home))
    process.wait_for("listening to", stream="stderr")
    return process


def send_lines(host: lab.Host, *words: str) -> lab.Process:
    """All lines, confirmed by two members."""
    text = "".join(f"{line}\n" for line in LINES)
    return host.mcast("send", "-l", "--wait-acks", "2", "--linger", "20s", *words, input=text)


def test_a_pipe_that_nobody_reads_stops_nothing(lan: lab.MakeLan) -> None:
    """The member confirms, is present and serves history; its reader gets everything, and learns how late."""
    h1, h2, h3, h4 = lan(4).hosts
    stuck = listening(h2, f"{MCAST} listen --json | {WAITS}")
    reader = listening(h3, f"{MCAST} listen")
    sender = send_lines(h1)
    assert sender.wait(60.0) == 0, sender.stderr
    lab.until(lambda: len(reader.lines()) == len(LINES))
    assert reader.lines() == LINES
    assert reader.interrupt() == 0
    # The author is gone, and so is the other who has it.
    late = h4.mcast("listen", "--last", "5", "-C", "5")
    assert late.wait() == 0, late.stderr
    assert late.lines() == LINES[-5:]
    time.sleep(1.0)
    (h2.home / "go").touch()
    lab.until(lambda: len(stuck.lines()) >= len(LINES))
    told = [json.loads(line) for line in stuck.lines()]
    messages = [event for event in told if event["type"] == "message"]
    assert [event["text"] for event in messages] == LINES
    assert max(event.get("behind", 0.0) for event in messages) >= 1.0


def test_what_came_in_time_is_printed_however_late(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    groups = "-g 230.0.0.1 -g 230.0.0.2"
    stuck = listening(h2, f"{MCAST} listen {groups} -W 6s | {WAITS}; echo code ${{PIPESTATUS[0]}}")
    lines = [f"{number:03} {'x' * 2000}" for number in range(500)]
    text = "".join(f"{line}\n" for line in lines)
    sender = h1.mcast("send", "-l", "-g", "230.0.0.1", "--wait-acks", "1", input=text)
    assert sender.wait(60.0) == 0, sender.stderr
    lab.until(lambda: h2.memberships() == {})
    (h2.home / "go").touch()
    assert stuck.wait() == 0
    assert stuck.lines() == [*lines, "code 0"]


def test_a_signal_ends_a_listener_that_nobody_reads(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    line = f"mkfifo pipe; {WAITS} <pipe & {MCAST} listen --json >pipe & echo pid $!; wait $!; echo code $?"
    stuck = listening(h2, line)
    sender = h1.mcast("send", "-l", input="".join(f"{line}\n" for line in LINES[:4000]))
    assert sender.wait(60.0) == 0, sender.stderr
    pid = int(re.search(r"pid (\d+)", stuck.stdout)[1])  # type: ignore[index] # it was printed
    h2.run(["kill", "-INT", str(pid)], check=True)
    stuck.wait_for("code 130", stream="stdout")
    assert "nobody reads the output" in stuck.stderr
    (h2.home / "go").touch()


@pytest.mark.parametrize(
    "command", ["--on 'message=sleep 5' > out", "| while read -r line; do sleep 0.1; done"]
)
def test_who_is_slow_does_not_slow_others(lan: lab.MakeLan, command: str) -> None:
    h1, h2, h3 = lan(3).hosts
    listening(h2, f"{MCAST} listen --json {command}")
    reader = listening(h3, f"{MCAST} listen")
    sender = send_lines(h1)
    assert sender.wait(60.0) == 0, sender.stderr
    lab.until(lambda: len(reader.lines()) == len(LINES))
    seen = lab.snapshot(h3.mcast, "browse", "-t", complete=lambda process: len(process.lines()) == 2)
    assert len(seen.lines()) == 2


def test_a_terminal_that_is_stopped_stops_nothing(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    terminal = h2.mcast_terminal("chat", "--name", "bob")
    terminal.wait_for_screen(re.compile("^>", re.MULTILINE))
    terminal.pause()
    text = "".join(f"{line}\n" for line in LINES[:4000])
    sender = h1.mcast("send", "-l", "--wait-acks", "1", "--linger", "20s", input=text)
    assert sender.wait(60.0) == 0, sender.stderr
    sender = h1.mcast("send", "--wait-acks", "1", "--linger", "20s", "still there?")
    assert sender.wait(60.0) == 0, sender.stderr
    terminal.resume()
    terminal.wait_for_screen("still there?")
    terminal.type("/quit\r")
    assert terminal.wait() == 0
