"""How each command ends: every exit code that its help lists, shown by a real process."""

from __future__ import annotations

import importlib
import re
import signal
import sqlite3
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from mcast.cli import SUMMARIES
from tests import lab

ALONE, BUSY, FILES = "230.0.0.1:4101", "230.0.0.1:4102", "230.0.0.1:4108"
"""Groups: in the second there are a chat, which has said something, and a replier; in the third somebody who
offers the file `seed`, and somebody who accepts everything."""
MCAST = f"{sys.executable} -m mcast"
RECORDING = (
    '{"v": 1, "type": "message", "ts": "2026-01-01T00:00:00.000Z", "text": "one"}\n'
    '{"v": 1, "type": "message", "ts": "2026-01-01T00:01:00.000Z", "text": "two"}\n'
)
INT, TERM = signal.SIGINT, signal.SIGTERM
NO_NETWORK = ("down", "walled")
"""Hosts: one without a network, and one whose firewall lets nothing out."""


class Case(NamedTuple):
    """A command, how it ends, and on which host; `signal` is sent once `ready` was said.

    `before` is what the shell does first. In it and in the arguments, MCAST is the program.
    """

    command: str
    code: int
    arguments: str = ""
    host: str = "here"
    before: str = ""
    signal: int = 0
    ready: str = ""

    def __str__(self) -> str:
        where = "" if self.host == "here" else f" on {self.host}"
        return f"{self.command} {self.arguments} ends with {self.code}{where}".replace("  ", " ")


def ends_well(command: str, arguments: str = "", before: str = "") -> Case:
    return Case(command, 0, arguments, before=before)


def needs_network(command: str, arguments: str = "") -> list[Case]:
    """No interface, no right to send, a damaged identity, an option that there is not."""
    hosts = NO_NETWORK[:1] if command == "listen" else NO_NETWORK  # it sends nothing
    return [
        *(Case(command, 3, arguments, host=host) for host in hosts),
        Case(command, 1, f"{arguments} --profile broken"),
        Case(command, 2, "--nonsense"),
    ]


CASES = [
    *needs_network("chat", "</dev/null"),
    ends_well("chat", "-g ALONE </dev/null"),
    Case("chat", 2, "-g ALONE", before=r"printf '\377\n' |"),
    Case("chat", 0, "-g ALONE", signal=INT, ready="nobody else is here"),
    Case("chat", 0, "-g ALONE", signal=TERM, ready="nobody else is here"),
    *needs_network("announce"),
    ends_well("announce", "-g ALONE -W 1s"),
    Case("announce", 0, "-g ALONE", signal=INT, ready="announcing"),
    Case("announce", 7, "-g ALONE --exec sh -c 'exit 7'"),
    *needs_network("browse", "-t"),
    ends_well("browse", "-g BUSY -t"),
    Case("browse", 4, "-g ALONE -t"),
    Case("browse", 27, "-g BUSY -C 90 -W 2s"),
    Case("browse", 130, "-g BUSY -C 90", signal=INT, ready="browsing"),
    Case("browse", 143, "-g BUSY -C 90", signal=TERM, ready="browsing"),
    *needs_network("listen", "-W 1s"),
    ends_well("listen", "-g BUSY --last 1 -C 1 -W 20s"),
    Case("listen", 4, "-g ALONE -W 1s"),
    Case("listen", 27, "-g BUSY --last 1 -C 90 -W 3s"),
    Case("listen", 130, "-g ALONE -C 1", signal=INT, ready="listening"),
    Case("listen", 143, "-g ALONE -C 1", signal=TERM, ready="listening"),
    Case("listen", 0, "-g ALONE", signal=INT, ready="listening"),
    *needs_network("send", "x"),
    ends_well("send", "-g BUSY x --wait-acks 1"),
    ends_well("send", "-g ALONE x"),
    Case("send", 4, "-g ALONE x --wait-acks all"),
    Case("send", 4, "-g ALONE x --to nobody"),
    Case("send", 27, "-g BUSY x --wait-acks 90 --linger 1s"),
    Case("send", 27, "-g BUSY x --wait-for nobody --linger 1s"),
    Case("send", 130, "-g BUSY x -v --wait-acks 90 --linger 60s", signal=INT, ready="sending to"),
    Case("send", 143, "-g BUSY x -v --wait-acks 90 --linger 60s", signal=TERM, ready="sending to"),
    *needs_network("ask", "x"),
    ends_well("ask", "-g BUSY x"),
    Case("ask", 4, "-g ALONE x"),
    Case("ask", 27, "-g BUSY x -C 90 -W 2s"),
    Case("ask", 130, "-g BUSY x --all -W 60s", signal=INT, ready="bob"),
    Case("ask", 143, "-g BUSY x --all -W 60s", signal=TERM, ready="bob"),
    *needs_network("reply", "--echo"),
    ends_well("reply", "-g ALONE --echo -C 1 -W 20s", before="(MCAST ask -g ALONE x -C 1 -W 15s &);"),
    Case("reply", 4, "-g ALONE --echo -W 1s"),
    Case("reply", 27, "-g ALONE --echo -C 2 -W 8s", before="(MCAST ask -g ALONE x -C 1 -W 6s &);"),
    Case("reply", 130, "-g ALONE --echo -C 1", signal=INT, ready="answering"),
    Case("reply", 143, "-g ALONE --echo -C 1", signal=TERM, ready="answering"),
    *needs_network("drop", "recording"),
    ends_well("drop", "-g FILES recording"),
    Case("drop", 2, "-g ALONE missing"),
    Case("drop", 4, "-g ALONE recording --wait-acks all"),
    Case("drop", 4, "-g ALONE recording --to nobody"),
    Case("drop", 27, "-g ALONE recording -W 1s"),
    Case("drop", 27, "-g FILES recording --wait-for nobody -W 2s"),
    Case("drop", 130, "-g ALONE recording", signal=INT, ready="offering"),
    Case("drop", 143, "-g ALONE recording", signal=TERM, ready="offering"),
    *needs_network("get", "--into got"),
    ends_well("get", "-g FILES --into got --match seed"),
    Case("get", 1, "-g FILES --into /proc/got --match seed"),
    Case("get", 2, "-g FILES --into /dev/null --match seed"),
    Case("get", 2, "-g ALONE"),
    Case("get", 4, "-g ALONE --into got -W 1s"),
    Case("get", 27, "-g FILES --into got --match seed -C 2 -W 3s"),
    Case("get", 130, "-g ALONE --into got", signal=INT, ready="waiting for files"),
    Case("get", 143, "-g ALONE --into got", signal=TERM, ready="waiting for files"),
    *needs_network("replay", "recording --speed 1000"),
    ends_well("replay", "-g ALONE recording --speed 1000"),
    Case("replay", 2, "-g ALONE seed"),
    Case("replay", 4, "-g ALONE empty"),
    Case("replay", 130, "-g ALONE -v recording", signal=INT, ready="replaying to"),
    Case("replay", 143, "-g ALONE -v recording", signal=TERM, ready="replaying to"),
    *needs_network("ping"),
    ends_well("ping", "-g BUSY bob -C 1 --interval 100ms"),
    Case("ping", 4, "-g ALONE"),
    *needs_network("bench", "receive"),
    ends_well("bench", "send -p 4104 -W 1s --rate 100", before="(MCAST bench receive -p 4104 -W 30s &);"),
    Case("bench", 4, "receive -p 4105 -W 1s"),
    Case(
        "bench",
        27,
        "receive -p 4106 -W 8s",
        before="(timeout -s KILL 6 MCAST bench send -p 4106 -W 30s --rate 9 &);",
    ),
    Case("bench", 130, "send -p 4107 -W 60s", signal=INT, ready="measuring"),
    Case("bench", 143, "send -p 4107 -W 60s", signal=TERM, ready="measuring"),
    *needs_network("gateway", "lines"),
    ends_well("gateway", "lines -g ALONE --listen 127.0.0.1:4103 -W 1s"),
    Case("gateway", 0, "lines -g ALONE --listen 127.0.0.1:4103", signal=INT, ready="gateway"),
    ends_well("doctor"),
    Case("doctor", 1, host="walled"),
    Case("doctor", 2, "--nonsense"),
    Case("doctor", 3, "--with nobody"),
    Case("doctor", 0, "--watch 1m", signal=INT, ready="OK "),
    ends_well("interfaces"),
    Case("interfaces", 1, ">/dev/full"),
    Case("interfaces", 2, "--nonsense"),
    Case("interfaces", 3, host="down"),
    Case("interfaces", 0, "--watch", signal=INT, ready="eth0"),
    Case("interfaces", 0, "--watch", signal=TERM, ready="eth0"),
    ends_well("identity", "new --profile fresh"),
    Case("identity", 1, "show --profile broken"),
    Case("identity", 2, "nonsense"),
    Case("identity", 4, "show --profile none"),
    ends_well("key", "new lab"),
    Case("key", 1, "new lab", before="XDG_CONFIG_HOME=/dev/null"),
    Case("key", 2, "nonsense"),
    Case("key", 4, "show none"),
    ends_well("history", "--profile talker", before="echo hello | MCAST chat -g ALONE --profile talker;"),
    Case("history", 1, "--profile newer"),
    Case("history", 2, "--json --html"),
    Case("history", 4, "--profile none"),
]


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, lab.Host]]:
    """The hosts by name, `here` with the files of the cases, and who is in the busy group."""
    with lab.Lan(4) as lan:
        here, there, down, walled = lan.hosts
        down.down("eth0")
        down.ip("link set lo down")
        walled.nft("add table inet t; add chain inet t o { type filter hook output priority 0; }")
        walled.nft("add rule inet t o ip daddr 224.0.0.0/4 drop; add rule inet t o ip6 daddr ff00::/8 drop")
        for host in lan.hosts:
            for name, text in (("recording", RECORDING), ("empty", ""), ("seed", "garbage\n")):
                (host.home / name).write_text(text)
            profiles = host.home / ".config" / "mcast" / "profiles"
            profiles.mkdir(parents=True)
            (profiles / "seed-broken").write_text("garbage\n")
        data = here.home / ".data" / "mcast"
        data.mkdir(parents=True)
        database = sqlite3.connect(data / "history-newer.db")
        database.execute("PRAGMA user_version = 1000")
        database.close()
        chat = there.mcast("chat", "-g", BUSY, "-n", "bob")
        chat.wait_for("chatting in")
        chat.write("hello\n")
        there.mcast("reply", "--echo", "-n", "bob", "-g", BUSY).wait_for("answering")
        there.mcast("drop", str(there.home / "seed"), "-g", FILES, "--wait-acks", "90").wait_for("offering")
        getting = there.mcast("get", "--into", str(there.home / "got"), "-g", FILES, "-C", "90")
        getting.wait_for("waiting for files")
        yield {"here": here, "down": down, "walled": walled}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_how_it_ends(hosts: dict[str, lab.Host], case: Case) -> None:
    host = hosts[case.host]
    script = f"{case.before} exec MCAST {case.command} {case.arguments}"
    if "|" in case.before or "=" in case.before:
        script = script.replace("exec ", "")
    for word, meaning in (("MCAST", MCAST), ("ALONE", ALONE), ("BUSY", BUSY), ("FILES", FILES)):
        script = re.sub(rf"\b{word}\b", meaning, script)
    process = host.spawn(["sh", "-c", f"cd {host.home}; {script}"])
    if case.signal:
        process.wait_for(case.ready)
        process.signal(case.signal)
    code = process.wait(60.0)
    assert (code if code >= 0 else 128 - code) == case.code, process.stderr


def test_each_code_that_a_help_lists_is_shown() -> None:
    """And no other: a help that leaves one out is wrong."""
    for command in SUMMARIES:
        module = importlib.import_module(f"mcast.cli.{command}")
        listed = re.search(
            r"Exit codes: (.*?)\n\n|Exit codes: (.*)", getattr(module, command).__doc__, re.DOTALL
        )
        assert listed is not None, command
        codes = set(
            map(int, re.findall(r"(?:^|[,\n]|or)\s*(\d+)(?= \w)", ", " + re.sub(r"\s+", " ", listed[0][12:])))
        )
        shown = {case.code for case in CASES if case.command == command} - {7}
        assert shown == codes, command
