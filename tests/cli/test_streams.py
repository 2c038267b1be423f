"""Standard streams as a parent program or a service manager hands them over."""

from __future__ import annotations

import re
import sys

import pytest

from tests import lab

Pair = tuple[lab.Host, lab.Host]
LINES = 3000
NONBLOCKING = """
import os, sys
for number in map(int, sys.argv[1].split(",")):
    os.set_blocking(number, False)
os.execv(sys.executable, [sys.executable, "-m", "mcast", *sys.argv[2:]])
"""


def nonblocking(host: lab.Host, streams: str, *arguments: str) -> lab.Process:
    """mcast with streams that are non-blocking."""
    return host.python(NONBLOCKING, streams, *arguments)


def listening(host: lab.Host, group: str, *arguments: str) -> lab.Process:
    process = host.mcast("listen", "-g", group, *arguments)
    process.wait_for("listening to", stream="stderr")
    return process


@pytest.mark.parametrize("command", [["send", "-l"], ["chat"]])
def test_input_that_is_nonblocking_is_read_to_its_end(pair: Pair, group: str, command: list[str]) -> None:
    listener = listening(pair[1], group, "-C", "3")
    process = nonblocking(pair[0], "0", *command, "-g", group)
    for number, line in enumerate(("one", "two", "three"), 1):
        process.write(f"{line}\n")
        listener.wait_lines(number)
    process.close_stdin()
    assert (process.wait(), listener.wait()) == (0, 0), process.stderr
    assert listener.lines() == ["one", "two", "three"]


SLOW = """
import os, subprocess, sys, time
reading, writing = os.pipe()
os.set_blocking(writing, False)
mcast = subprocess.Popen([sys.executable, "-m", "mcast", *sys.argv[1:]], stdout=writing)
os.close(writing)
time.sleep(1.0)
while data := os.read(reading, 8192):
    os.write(1, data)
    time.sleep(0.001)
sys.exit(mcast.wait())
"""


@pytest.mark.parametrize("on", [[], ["--on", "message=true"]], ids=["", "with a command"])
def test_output_that_is_nonblocking_gets_every_line(pair: Pair, group: str, on: list[str]) -> None:
    count = LINES if not on else 20
    listener = pair[1].python(SLOW, "listen", "-g", group, "-C", str(count), *on)
    listener.wait_for("listening to", stream="stderr")
    lines = [f"{number:05} {'x' * 100}" for number in range(count)]
    sender = pair[0].mcast("send", "-l", "-g", group, input="".join(f"{line}\n" for line in lines))
    assert (sender.wait(), listener.wait(60.0)) == (0, 0), listener.stderr
    assert listener.lines() == lines


def test_a_command_of_on_that_makes_the_output_nonblocking(pair: Pair, group: str) -> None:
    change = "import os; os.set_blocking(1, False); os.set_blocking(2, False)"
    hook = f"""message={sys.executable} -c '{change}'"""
    words = ("listen", "-g", group, "-C", str(LINES), "--on", f"ready={hook.partition('=')[2]}")
    script = '"$@" 3>&1 | (sleep 2; cat)'
    listener = pair[1].spawn(["bash", "-c", script, "bash", sys.executable, "-m", "mcast", *words])
    listener.wait_for("listening to", stream="stderr")
    lines = [f"{number:05} {'x' * 100}" for number in range(LINES)]
    sender = pair[0].mcast("send", "-l", "-g", group, input="".join(f"{line}\n" for line in lines))
    assert (sender.wait(), listener.wait(60.0)) == (0, 0), listener.stderr
    assert listener.lines() == lines


SOCKET = """
import socket, subprocess, sys
ours, theirs = socket.socketpair()
theirs.setblocking(False)
mcast = subprocess.Popen([sys.executable, "-m", "mcast", *sys.argv[1:]], stdin=theirs, stdout=theirs)
theirs.close()
while data := ours.recv(65536):
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
sys.exit(mcast.wait())
"""


@pytest.mark.parametrize(
    ("to", "printed"),
    [("> $HOME/out; cat $HOME/out", "x\n"), ("> /dev/null", ""), ("< /dev/null", "x\n"), (">&- 2>&-", "")],
)
def test_output_to_a_file_or_nowhere(pair: Pair, group: str, to: str, printed: str) -> None:
    line = f"{sys.executable} -m mcast listen -g {group} -C 1 --on ready='touch ready' {to}"
    ready = pair[1].home / "ready"
    ready.unlink(missing_ok=True)
    listener = pair[1].spawn(["bash", "-c", line], cwd=str(pair[1].home))
    lab.until(ready.exists)
    assert pair[0].mcast("send", "-g", group, "x").wait() == 0
    assert (listener.wait(), listener.stdout) == (0, printed)


def test_a_socket_for_input_and_output(pair: Pair, group: str) -> None:
    listener = pair[1].python(SOCKET, "listen", "-g", group, "-C", "2")
    listener.wait_for("listening to", stream="stderr")
    assert pair[0].mcast("send", "-g", group, "-m", "one", "-m", "two").wait() == 0
    assert (listener.wait(), listener.stdout) == (0, "one\ntwo\n")


def test_a_terminal_that_is_nonblocking(pair: Pair, group: str) -> None:
    argv = [sys.executable, "-c", NONBLOCKING, "0,1,2", "chat", "-g", group, "-n", "ada"]
    terminal = pair[0].terminal(argv)
    terminal.wait_for_screen(re.compile("^>", re.MULTILINE))
    friend = pair[1].mcast("chat", "-g", group, "-n", "bob")
    friend.wait_for("chatting in", stream="stderr")
    friend.write("".join(f"{number:04} {'x' * 60}\n" for number in range(500)))
    terminal.wait_for_screen("0499 x")
    terminal.type("hello\r")
    friend.wait_for("hello", stream="stdout")
    terminal.type("/quit\r")
    assert terminal.wait() == 0
    for number in range(500):
        assert f"{number:04} xxx".encode() in terminal.raw


def test_help_on_a_terminal_that_is_nonblocking(here: lab.Host) -> None:
    terminal = here.terminal([sys.executable, "-c", NONBLOCKING, "1,2", "listen", "--help"], rows=100)
    assert terminal.wait() == 0
    assert terminal.raw.startswith(b"Usage:")
    assert terminal.raw.rstrip().endswith(b"Show this message and exit.")
