"""announce and browse: the rows, the filters, and a command that is announced while it runs."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

import pytest

from tests import lab

Pair = tuple[lab.Host, lab.Host]
SH = ("sh", "-c")


def browsing(host: lab.Host, group: str, *words: str) -> lab.Process:
    process = host.mcast("browse", "-g", group, *words)
    process.wait_for("browsing", stream="stderr")
    return process


def test_rows_are_services_and_are_counted(pair: Pair, group: str) -> None:
    offer = ("--service", "_http._tcp:80", "--service", "_ssh._tcp:22")
    counting = browsing(pair[0], group, "-C", "3", "-F", "%m %n %s %p")
    web = pair[1].mcast("announce", "-g", group, "-n", "web", "--profile", "web", *offer)
    counting.wait_lines(2)
    matching = browsing(pair[0], group, "--service", "_http._tcp", "--match", "w[aeiou]b", "-F", "%n %s %h")
    matching.wait_lines(1)
    pair[1].mcast("announce", "-g", group, "-n", "bare", "--no-host")
    assert counting.wait() == 0
    assert counting.lines() == ["+ web _http._tcp 80", "+ web _ssh._tcp 22", "+ bare - -"]
    assert web.interrupt() == 0
    matching.wait_lines(2)
    assert matching.interrupt() == 0
    assert re.fullmatch(r"(web _http\._tcp [\w.-]+\n){2}", matching.stdout)


def datagrams_sent(host: lab.Host) -> int:
    four = [
        line.split()
        for line in host.run(["cat", "/proc/net/snmp"]).stdout.splitlines()
        if line.startswith("Udp:")
    ]
    six = dict(line.split() for line in host.run(["cat", "/proc/net/snmp6"]).stdout.splitlines())
    return int(dict(zip(*four, strict=True))["OutDatagrams"]) + int(six["Udp6OutDatagrams"])


def test_who_browses_passively_sends_nothing(pair: Pair, group: str) -> None:
    before = datagrams_sent(pair[0])
    passive = browsing(pair[0], group, "--passive", "-C", "1")
    pair[1].mcast("announce", "-g", group, "-n", "web")
    assert passive.wait() == 0
    assert datagrams_sent(pair[0]) == before


def test_on_a_terminal_there_is_a_header(pair: Pair, group: str) -> None:
    pair[1].mcast("announce", "-g", group, "-n", "web")
    with pair[0].terminal(
        [sys.executable, "-m", "mcast", "browse", "-g", group, "-C", "1"], columns=120
    ) as terminal:
        terminal.wait_for_screen("name          identity          service")
        assert terminal.wait() == 0


def test_a_command_is_announced_while_it_runs(pair: Pair, group: str) -> None:
    watching = browsing(pair[0], group, "-F", "%m %n %p")
    waits = 'echo "${MCAST_KEY-none}"; read line; exit 7'
    server = pair[1].mcast(
        *("announce", "-g", group, "-n", "web", "--service", "x:5", "--exec", *SH, waits),
        env={"MCAST_KEY": "11" * 32},
    )
    server.wait_for("none", stream="stdout")
    assert not watching.lines()  # another room
    server.write("\n")
    assert server.wait() == 7
    open_one = pair[1].mcast(
        *("announce", "-g", group, "-n", "web", "--service", "x:5", "--exec", *SH, "read line -n; exit 0")
    )
    watching.wait_lines(1)
    open_one.write("\n")
    open_one.wait()
    watching.wait_lines(2)
    assert watching.lines() == ["+ web 5", "- web 5"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_and_then_the_announcement(
    pair: Pair, group: str, number: signal.Signals, tmp_path: Path
) -> None:
    watching = browsing(pair[0], group, "-F", "%m %n")
    trap = f"trap 'kill $!; touch {tmp_path}/ended; exit 9' TERM INT; echo ready; sleep 60 & wait"
    server = pair[1].mcast("announce", "-g", group, "-n", "web", "--exec", *SH, trap)
    server.wait_for("ready", stream="stdout")
    watching.wait_lines(1)
    server.signal(number)
    assert server.wait() == 9
    assert (tmp_path / "ended").exists()
    watching.wait_lines(2)


def test_time_ends_the_command(pair: Pair, group: str) -> None:
    ended = pair[1].mcast("announce", "-g", group, "-W", "300ms", "--exec", "sleep", "60")
    assert ended.wait() == 128 + signal.SIGTERM


def test_chosen_fields_of_messages(pair: Pair, group: str) -> None:
    listener = pair[0].mcast("listen", "-g", group, "-C", "2", "-F", "%f|%n|%i|%g|%m|%t")
    listener.wait_for("listening to", stream="stderr")
    pair[1].mcast("send", "-g", group, "-n", "ada", "-m", "a\tb\nc", "-m", "%m").wait()
    assert listener.wait() == 0
    one, other = listener.lines()
    pattern = r"ada·([0-9a-f]{4})\|ada\|\1[0-9a-f]{12}\|%s\|%s\|\d\d:\d\d:\d\d"
    assert re.fullmatch(pattern % (re.escape(group), re.escape(r"a\tb\nc")), one)
    assert re.fullmatch(pattern % (re.escape(group), "%m"), other)


def test_rooms_that_differ_in_case_are_pointed_out(pair: Pair, group: str) -> None:
    listener = pair[0].mcast("listen", "-g", group, "--room", "lab", "-C", "1")
    listener.wait_for("room lab", stream="stderr")
    pair[1].mcast("send", "-g", group, "--room", "Lab", "hello").wait()
    listener.wait_for("another room here is called Lab (at 10.9.0.2)", stream="stderr")


def test_a_room_beside_a_key_is_not_ignored_in_silence(pair: Pair, group: str) -> None:
    sender = pair[0].mcast("send", "-g", group, "--room", "lab", "x", env={"MCAST_KEY": "11" * 32})
    assert sender.wait() == 0
    assert "--room has no effect beside MCAST_KEY: the key alone determines the room" in sender.stderr
