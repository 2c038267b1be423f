"""Every line of JSON that a command prints is one that docs/events.schema.json describes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.main import get_command

from mcast.cli import LazyCommand, app, bench
from tests import lab

SCHEMA = json.loads((lab.REPOSITORY / "docs" / "events.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
HEAD = {"v": 1, "ts": "2026-11-21T01:30:56.167Z"}
PEER = {"from": {"id": "0123456789abcdef", "name": "ada"}}
BENCH = {
    "role": "receive",
    "state": "summary",
    **bench.Counts(2.0, 10, 640, 3, 1, 0.25).fields(0.0, 0.001),
    "peers": 1,
}
OFFER = {"id": "x", "title": "a and 1 more", "files": 2, "size": 5, **PEER}
AMOUNTS = {"have": 3, "total": 9, "bytes_sent": 12, "bytes_received": 0, "rate": 100}
EXAMPLES: list[dict[str, Any]] = [
    {
        "type": "message",
        "group": "230.0.0.1:28003",
        "text": "hello",
        "id": "x",
        "seq": 3,
        "history": True,
        **PEER,
    },
    {"type": "message", "group": "[ff12::6d63]:28003", "source": "[fe80::1%eth0]:5", "data_b64": "/w=="},
    {"type": "join", "services": [{"type": "chat", "port": 5}], "tags": {"k": "v"}, "age": 0.5, **PEER},
    {"type": "update", "tags": {}, **PEER},
    {"type": "leave", "reason": "expired", **PEER},
    {"type": "gap", "state": "opened", "first": 3, "last": 5, **PEER},
    {"type": "gap", "state": "stalled", "first": 3, "last": 5, **PEER},
    {"type": "reply", "id": "x", "text": "42", **PEER},
    {"type": "ack", "id": "x", **PEER},
    {"type": "interface", "interface": "eth0", "state": "joined"},
    {"type": "alarm", "kind": "equivocation", **PEER},
    {"type": "overflow", "dropped": 3, "messages": 2},
    {"type": "bench", **BENCH},
    {"type": "message", "group": "230.0.0.1:28003", "text": "psst", "id": "x", "private": True, **PEER},
    {"type": "question", "id": "x", "text": "up?", **PEER},
    {"type": "reply", "id": "x", "error": "the command ended with exit code 1", "late": True, **PEER},
    {"type": "reply", "id": "x", "declined": True, **PEER},
    {"type": "reply", "source": "10.9.0.2:3000", "text": "HI", "plain": True},
    {"type": "missing", "id": "x", **PEER},
    {"type": "hears", "speaker": "ada", "hearer": "", "heard": None},
    {
        "type": "stats",
        "group": "230.0.0.1:28003",
        "seconds": 10.0,
        "peers": 1,
        "interfaces": {"eth0": {"sent": 3, "sent_bytes": 900, "received": 2, "received_bytes": 600}},
        "frames": {"record": 2},
        "repaired": 0,
        "dropped": 0,
        "drops": {"repeated": 1},
        "kernel_drops": 0,
        "failed": {"eperm": 1},
    },
    {"type": "offer", **OFFER},
    {"type": "progress", "id": "x", **AMOUNTS},
    {
        "type": "receiver",
        "id": "x",
        "state": "failed",
        "have": 0,
        "total": 9,
        "way": "unicast",
        "reason": "full",
    }
    | PEER,
    {"type": "transfer", **OFFER, **AMOUNTS, "state": "whole", "seconds": 0.2, "paths": ["in/a"]},
]
WRONG: list[tuple[int, dict[str, Any]]] = [
    (0, {"v": 2}),
    (0, {"ts": "2026-11-21 01:30:56"}),
    (0, {"type": "shout"}),
    (0, {"data_b64": "AA=="}),
    (0, {"from": {"id": "short", "name": "ada"}}),
    (0, {"history": False}),
    (0, {"surprise": 1}),
    (1, {"data_b64": "~"}),
    (4, {"reason": "bored"}),
    (5, {"state": "lost"}),
    (8, {"state": "down"}),
    (11, {"state": "middle"}),
    (11, {"lost": -1}),
]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example["type"]))
def test_it_describes_every_event(example: dict[str, Any]) -> None:
    VALIDATOR.validate(HEAD | example)


@pytest.mark.parametrize(("number", "change"), WRONG)
def test_it_refuses_what_is_wrong(number: int, change: dict[str, Any]) -> None:
    wrong = copy.deepcopy(HEAD | EXAMPLES[number]) | change
    assert not VALIDATOR.is_valid(wrong)


def valid(events: list[Any]) -> list[str]:
    for event in events:
        VALIDATOR.validate(event)
    return [event["type"] for event in events]


def test_what_interfaces_prints(here: lab.Host) -> None:
    process = here.mcast("interfaces", "--json")
    assert process.wait() == 0
    assert valid(process.objects()) == ["interface", "interface"]


def test_what_listen_and_chat_print(pair: tuple[lab.Host, lab.Host], group: str) -> None:
    port = group.split(":")[1]
    groups = ["--plain", "-g", group, "-g", f"[ff12::7]:{port}", "--json"]
    listening, chatting = pair[0].mcast("listen", "--events", *groups), pair[0].mcast("chat", *groups)
    for process in (listening, chatting):
        process.wait_for("[ff12::7]", stream="stderr")
    stranger = lab.Peer(pair[1], int(port))
    stranger.send("230.0.0.1", "caf\xe9")
    stranger.send("ff12::7", "\x1b[31m")
    new = pair[0].add_interface()
    for process in (listening, chatting):
        process.wait_lines(3)
        assert process.interrupt() == 0
        assert sorted(valid(process.objects())) == ["interface", "message", "message"]
    pair[0].remove_interface(new)


WATCHES = {"reply": ["--echo"], "announce": [], "listen": ["--events"], "chat": []}
ENDING = {
    "ask": ["-W", "10s", "up?"],
    "send": ["--wait-acks", "1", "--linger", "10s", "hello"],
    "browse": ["-t"],
    "ping": ["-C", "1"],
    "doctor": [],
}
OTHERWISE = {"drop", "get", "interfaces", "bench", "identity", "history"}
"""Commands whose JSON is tested elsewhere."""


def test_what_the_commands_of_a_group_print(pair: tuple[lab.Host, lab.Host], group: str) -> None:
    watching = {
        name: pair[1].mcast(name, "-g", group, "--json", "--name", name, "--profile", name, *options)
        for name, options in WATCHES.items()
    }
    for process in watching.values():
        process.wait_for(" on eth0", stream="stderr")
    lab.until(lambda: '"name":"reply"' in watching["announce"].stdout)
    types = {}
    for name, options in ENDING.items():
        process = pair[0].mcast(name, "-g", group, "--json", *options)
        process.wait(60)
        types[name] = set(valid(process.objects()))
    for name, process in watching.items():
        assert process.interrupt() == 0
        types[name] = set(valid(process.objects()))
    assert types["ask"] == {"reply"}
    assert types["reply"] == {"question"}
    assert {"join"} <= types["browse"] <= {"join", "update"}, "the name may come after the peer"
    assert types["send"] <= {"ack", "missing"}
    assert {"message", "join"} <= types["listen"]
    assert all(types.values()), types


def test_what_drop_and_get_print(pair: tuple[lab.Host, lab.Host], group: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    watching = pair[1].mcast("listen", "--events", "--json", "-g", group)
    watching.wait_for(" on eth0", stream="stderr")
    getting = pair[1].mcast("get", "-g", group, "--json", "--into", str(tmp_path / "in"))
    dropping = pair[0].mcast("drop", "-g", group, "--json", str(tmp_path / "a.txt"))
    for process in (getting, dropping):
        assert process.wait(60) == 0
        assert {"offer", "progress", "transfer"} <= set(valid(process.objects()))
    assert "receiver" in valid(dropping.objects())
    watching.wait_for('"type":"offer"', stream="stdout")
    assert watching.interrupt() == 0
    valid(watching.objects())


def test_every_command_with_json_is_tried() -> None:
    commands: Any = get_command(app)
    loaded = {
        name: command.load() if isinstance(command, LazyCommand) else command
        for name, command in commands.commands.items()
    }
    printing = {name for name, one in loaded.items() if any("--json" in option.opts for option in one.params)}
    assert printing == {*WATCHES, *ENDING, *OTHERWISE}


def test_what_identity_prints(here: lab.Host) -> None:
    here.mcast("identity", "new").wait()
    process = here.mcast("identity", "show", "--json")
    assert process.wait() == 0
    assert len(valid(process.objects())) == 1
