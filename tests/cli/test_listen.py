"""`mcast listen` as scripts use it."""

from __future__ import annotations

import json
import sys

import pytest

from tests import lab

Pair = tuple[lab.Host, lab.Host]


def listening(host: lab.Host, group: str, *arguments: str) -> lab.Process:
    process = host.mcast("listen", "--plain", "-g", group, *arguments)
    process.wait_for("mcast: listening to", stream="stderr")
    return process


def send(host: lab.Host, group: str, *texts: str) -> None:
    sent = host.mcast("send", "--plain", "-g", group, *(word for text in texts for word in ("-m", text)))
    assert (sent.wait(), sent.stderr) == (0, "")


def test_it_prints_the_message_alone_and_ends_after_as_many_as_asked(pair: Pair, group: str) -> None:
    process = listening(pair[0], group, "-C", "3")
    send(pair[1], group, "汉字 😀", "\x1b[31mred\x07\u202e", "", "too many")
    assert process.wait() == 0
    assert process.stdout == "汉字 😀\n\\x1b[31mred\\x07\\u202e\n\n"
    assert process.stderr == f"mcast: listening to {group} on eth0 (default route)\n"


def test_verbose_adds_time_and_sender(pair: Pair, group: str) -> None:
    process = listening(pair[0], group, "-v", "-C", "1")
    send(pair[1], group, "hello")
    assert process.wait() == 0
    time, sender, text = process.lines()[0].split("\t")
    assert (len(time), sender.split(":")[0], text) == (8, "10.9.0.2", "hello")
    assert "receive buffer" in process.stderr


def test_json_says_all_there_is(pair: Pair, group: str) -> None:
    process = listening(pair[0], group, "--json", "-C", "1")
    send(pair[1], group, "é\n")
    assert process.wait() == 0
    (event,) = process.objects()
    assert event.pop("source").startswith("10.9.0.2:")
    assert event.pop("ts").endswith("Z")
    assert event == {
        "v": 1,
        "type": "message",
        "group": group,
        "interface": "eth0",
        "text": "é\n",
        "plain": True,
    }


def test_what_is_not_utf8_is_told_apart(pair: Pair, group: str) -> None:
    stranger = lab.Peer(pair[1], int(group.split(":")[1]))
    text, objects = listening(pair[0], group, "-C", "1"), listening(pair[0], group, "--json", "-C", "1")
    stranger.send("230.0.0.1", "a\xff\x1b")
    assert [text.wait(), objects.wait()] == [0, 0]
    assert text.stdout == "a\\xff\\x1b\n"
    assert objects.objects()[0]["data_b64"] == "Yf8b"
    assert "text" not in objects.objects()[0]


@pytest.mark.parametrize(
    ("limits", "code"), [(["-W", "0.1"], 4), (["--idle", "100ms"], 4), (["-W", "0.1", "-C", "1"], 27)]
)
def test_nothing_came(here: lab.Host, group: str, limits: list[str], code: int) -> None:
    process = listening(here, group, *limits)
    assert (process.wait(), process.stdout) == (code, "")
    assert process.stderr.splitlines()[1:] == ["mcast: no message arrived in 100ms"]


def test_something_came_before_the_idle_limit(pair: Pair, group: str) -> None:
    stranger = lab.Peer(pair[1], int(group.split(":")[1]))
    process = listening(pair[0], group, "--idle", "3")
    stranger.send("230.0.0.1", "x")
    assert (process.wait(), process.stdout) == (0, "x\n")


@pytest.mark.parametrize(("arguments", "codes"), [([], (0, 0)), (["-C", "9"], (130, 143))])
def test_interrupted(here: lab.Host, group: str, arguments: list[str], codes: tuple[int, int]) -> None:
    first, second = listening(here, group, *arguments), listening(here, group, *arguments)
    assert (first.interrupt(), second.terminate()) == codes
    assert first.stderr.count("\n") == 1
    assert here.memberships() == {}


def test_several_groups_of_both_families(pair: Pair, group: str) -> None:
    port = group.split(":")[1]
    process = listening(pair[0], group, "-g", f"[ff12::7]:{port}", "--json", "-C", "2")
    assert pair[0].memberships() == {"eth0": {"230.0.0.1", "ff12::7"}}
    send(pair[1], group, "four")
    send(pair[1], f"[ff12::7]:{port}", "six")
    assert process.wait() == 0
    assert [(event["group"], event["text"]) for event in process.objects()] == [
        (group, "four"),
        (f"[ff12::7]:{port}", "six"),
    ]


def test_one_sender_of_many(pair: Pair) -> None:
    process = listening(pair[0], "232.1.2.3:4990", "--source", "10.9.0.2", "-C", "1")
    send(pair[0], "232.1.2.3:4990", "from another")
    send(pair[1], "232.1.2.3:4990", "from the one")
    assert (process.wait(), process.stdout) == (0, "from the one\n")


@pytest.mark.parametrize(("source", "group"), [("10.9.0.2", "230.0.0.1"), ("fe80::2", "[ff12::6d63]")])
def test_a_source_keeps_the_default_group_of_its_ip_version(here: lab.Host, source: str, group: str) -> None:
    process = here.mcast("listen", "--source", source, "-W", "0.1")
    assert process.wait() == 4
    assert process.stderr.startswith(f"mcast: listening to {group}:28003 on eth0")


def test_programs_run_when_it_is_ready_and_on_every_message(pair: Pair, group: str) -> None:
    say = f"{sys.executable} -c 'import os,sys; print(os.environ[\"MCAST_EVENT\"], sys.stdin.read())'"
    process = listening(pair[0], group, "-C", "2", "--on", f"ready,message={say}")
    process.wait_for("ready", stream="stdout")
    send(pair[1], group, "one", "$(two)")
    assert process.wait() == 0
    lines = process.stdout.splitlines()
    assert [line for line in lines if " " not in line] == ["one", "$(two)"]
    assert [line for line in lines if " " in line] == ["ready ", "message one", "message $(two)"]


def test_a_program_that_hangs_ends_with_the_time_limit(pair: Pair, group: str) -> None:
    stranger = lab.Peer(pair[1], int(group.split(":")[1]))
    process = listening(pair[0], group, "-W", "3", "--on", "message=sleep 60")
    for text in ("x", "y"):
        stranger.send("230.0.0.1", text)
    assert (process.wait(), process.stdout) == (0, "x\ny\n")
    assert "--on did not run for the last event" in process.stderr


def test_a_reader_that_has_had_enough_ends_it_quietly(pair: Pair, group: str) -> None:
    line = f"{sys.executable} -m mcast listen --plain -g {group} | head -1; echo ${{PIPESTATUS[0]}}"
    process = pair[0].spawn(["bash", "-c", line])
    process.wait_for("listening to")
    send(pair[1], group, "one")
    assert (process.wait(), process.stdout) == (0, "one\n0\n")
    assert process.stderr.count("\n") == 1


def test_a_pipe_open_for_both_ends_is_not_closed(pair: Pair, group: str) -> None:
    line = (
        "mkfifo $HOME/fifo; exec 5<>$HOME/fifo;"
        f" {sys.executable} -m mcast listen --plain -g {group} -C 2 >&5; echo $?; head -2 <&5"
    )
    process = pair[0].spawn(["bash", "-c", line])
    process.wait_for("listening to")
    send(pair[1], group, "one")
    send(pair[1], group, "two")
    assert (process.wait(), process.stdout) == (0, "0\none\ntwo\n")


def test_a_full_disk_is_one_line(pair: Pair, group: str) -> None:
    line = f"{sys.executable} -m mcast listen --plain -g {group} > /dev/full"
    process = pair[0].spawn(["bash", "-c", line])
    process.wait_for("listening to")
    send(pair[1], group, "one")
    assert process.wait() == 1
    assert process.stderr.splitlines()[1:] == [
        "mcast: cannot write the output: No space left on device: free some disk space"
    ]


def test_an_interface_that_is_down_is_waited_for(pair: Pair, group: str) -> None:
    waiting, other = pair
    waiting.down()
    try:
        process = waiting.mcast(
            "listen", "--plain", "-g", group, "-i", "eth0", "--json", "--events", "-C", "1"
        )
        process.wait_for("on no interface yet (eth0: down)", stream="stderr")
        refused = waiting.mcast("send", "--plain", "-g", group, "-i", "eth0", "x")
        assert refused.wait() == 3
        assert "eth0: down" in refused.stderr
    finally:
        waiting.up()
    process.wait_for("mcast: now also using eth0 (asked for with -i)", stream="stderr")
    send(other, group, "there you are")
    assert process.wait() == 0
    assert [(event["type"], event.get("state")) for event in process.objects()] == [
        ("interface", "joined"),
        ("message", None),
    ]


def test_a_port_that_somebody_keeps_for_himself(here: lab.Host, group: str) -> None:
    holder = here.python(
        """
        import socket, sys
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("", int(sys.argv[1])))
        print("held", flush=True)
        sys.stdin.read()
        """,
        group.split(":")[1],
    )
    holder.wait_for("held")
    process = here.mcast("listen", "--plain", "-g", group)
    assert process.wait() == 1
    assert process.stderr.count("\n") == 1
    assert "does not share it" in process.stderr
    assert "--port" in process.stderr


def test_json_is_flushed_line_by_line(pair: Pair, group: str) -> None:
    process = listening(pair[0], group, "--json")
    for number in range(2):
        send(pair[1], group, str(number))
        assert json.loads(process.wait_lines(number + 1)[number])["text"] == str(number)
    assert process.interrupt() == 0
