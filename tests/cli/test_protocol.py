"""chat, listen, send, announce and browse by the protocol: what is typed, what is read, how it ends."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests import lab

Pair = tuple[lab.Host, lab.Host]
VALIDATOR = jsonschema.Draft202012Validator(
    json.loads((lab.REPOSITORY / "docs" / "events.schema.json").read_text())
)


def objects(process: lab.Process) -> list[dict[str, Any]]:
    """The lines of JSON so far, each as the schema has it."""
    found: list[dict[str, Any]] = [json.loads(line) for line in process.lines()]
    for one in found:
        VALIDATOR.validate(one)
    return found


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def listening(host: lab.Host, *words: str) -> lab.Process:
    process = host.mcast("listen", *words)
    process.wait_for("listening to", stream="stderr")
    return process


def ended(process: lab.Process, code: int) -> lab.Process:
    assert process.wait() == code, process.stderr
    return process


def test_a_message_is_heard_and_confirmed(pair: Pair, group: str) -> None:
    listener = listening(pair[1], "-g", group, "--json", "-C", "1")
    words = ("--linger", "20s", "-n", "ada", "héllo", "wörld")
    sender = ended(pair[0].mcast("send", "-g", group, *words), 0)
    assert sender.stderr == ""
    ended(listener, 0)
    (message,) = [one for one in objects(listener) if one["type"] == "message"]
    assert message["text"] == "héllo wörld"
    assert message["from"]["name"] == "ada"
    assert message["group"] == group
    assert message["source"].startswith("10.9.0.1:")
    assert message["interface"] == "eth0"
    assert message["seq"] == 1
    assert message["id"].startswith(message["from"]["id"])


def test_text_is_the_message_alone(pair: Pair, group: str) -> None:
    listener = listening(pair[1], "-g", group, "-C", "2")
    ended(pair[0].mcast("send", "-g", group, "-m", "one\x1b[31m", "-m", "two"), 0)
    assert ended(listener, 0).lines() == ["one\\x1b[31m", "two"]


def test_a_peer_that_cannot_be_found_is_named(here: lab.Host, group: str) -> None:
    words = ("send", "-g", group, "--linger", "0s", "--peer", "nohost.invalid")
    told = ended(here.mcast(*words, "x"), 0).stderr
    assert told.startswith("mcast: cannot resolve nohost.invalid (")
    assert "keeps trying" not in told
    assert ended(here.mcast(*words, "-q", "x"), 0).stderr == ""


def test_a_peer_that_does_not_answer_is_named_with_the_reason(pair: Pair, group: str) -> None:
    here, there = pair
    listening(there, "-g", group)
    words = [word for host in (1, 2, 99) for word in ("--peer", f"10.9.0.{host}")]
    listener = listening(here, "-g", group, *words, "--peer", "192.0.2.1")
    listener.wait_for("nobody in this room answers at 10.9.0.99:", stream="stderr")
    listener.wait_for("a router is on the way and the TTL is 1", stream="stderr")
    assert "10.9.0.1:" not in listener.stderr, "our own address"
    assert "10.9.0.2:" not in listener.stderr, "it answers"


def test_nobody_heard_it(here: lab.Host, group: str) -> None:
    alone = ended(here.mcast("send", "-g", group, "--linger", "300ms", "x"), 0)
    assert "nobody confirmed that they heard it" in alone.stderr
    ended(here.mcast("send", "-g", group, "--linger", "300ms", "--wait-acks", "all", "x"), 4)
    ended(here.mcast("send", "-g", group, "--linger", "300ms", "--wait-acks", "2", "x"), 27)
    quiet = ended(here.mcast("send", "-q", "-g", group, "--linger", "0s", "--wait-acks", "2", "x"), 27)
    assert quiet.stderr.count("\n") == 1, "an error is said even so"
    ended(here.mcast("send", "-g", group, "--wait-acks", "few", "x"), 2)


def test_all_that_are_there_confirm(pair: Pair, group: str) -> None:
    listeners = [listening(host, "-g", group, "-C", "1") for host in (*pair, pair[1])]
    ended(pair[0].mcast("send", "-g", group, "--linger", "10s", "--wait-acks", "3", "x"), 0)
    for listener in listeners:
        assert ended(listener, 0).lines() == ["x"]


def test_fewer_confirm_than_were_asked_for(pair: Pair, group: str) -> None:
    listener = listening(pair[1], "-g", group, "-C", "1")
    short = ended(pair[0].mcast("send", "-g", group, "--linger", "2s", "--wait-acks", "2", "x"), 27)
    assert short.stderr == "mcast: 1 peer confirmed, not 2; raise --linger to wait longer\n"
    assert ended(listener, 0).lines() == ["x"]


def test_of_several_groups_each_is_named_where_too_few_confirm(pair: Pair, group: str) -> None:
    other = f"239.1.2.3:{group.rpartition(':')[2]}"
    listener = listening(pair[1], "-g", group, "-C", "1")
    sent = pair[0].mcast("send", "-g", group, "-g", other, "--wait-acks", "1", "x")
    assert ended(sent, 27).stderr == f"mcast: {other}: nobody confirmed that they heard it\n"
    assert ended(listener, 0).lines() == ["x"]


def test_the_newline_at_the_end_is_not_shown_and_files_may_be_several(pair: Pair, group: str) -> None:
    listener = listening(pair[1], "-g", group, "-C", "2")
    for name, text in (("a", "one\n"), ("b", "two\nthree\r\n")):
        (pair[0].home / name).write_text(text, newline="")
    ended(pair[0].mcast("send", "-g", group, "-f", str(pair[0].home / "a"), "-f", str(pair[0].home / "b")), 0)
    assert ended(listener, 0).lines() == ["one", "two\\nthree"]


def test_the_banner_names_the_room_and_the_key(here: lab.Host, group: str) -> None:
    for words, env, what in (
        (("--room", "kitchen"), {}, "room kitchen"),
        ((), {"MCAST_KEY": "ab" * 32}, "sealed with a key"),
    ):
        alone = ended(here.mcast("listen", "-g", group, *words, "-4", "-W", "0.1s", env=env), 4)
        assert alone.stderr.splitlines() == [
            f"mcast: listening to {group}, {what} on eth0 (default route)",
            "mcast: no message arrived in 100ms",
        ]


def test_lines_and_bytes_of_any_kind(pair: Pair, group: str) -> None:
    listener = listening(pair[1], "-g", group, "--json", "-C", "4")
    ended(pair[0].mcast("send", "-g", group, "-l", input="a\n\nb"), 0)
    raw = pair[0].home / "raw"
    raw.write_bytes(b"\xff\x00" * 5000)
    ended(pair[0].mcast("send", "-g", group, "-f", str(raw)), 0)
    ended(listener, 0)
    messages = [one for one in objects(listener) if one["type"] == "message"]
    assert [one.get("text") for one in messages] == ["a", "", "b", None]
    assert len(messages[3]["data_b64"]) > 13_000


def test_what_is_too_large_is_refused_before_anything_is_sent(here: lab.Host, group: str) -> None:
    big = here.home / "big"
    big.write_bytes(b"x" * 65_537)
    refused = ended(here.mcast("send", "-g", group, "-f", str(big)), 2)
    assert "65536" in refused.stderr


def test_rooms_and_keys_keep_to_themselves(pair: Pair, group: str) -> None:
    key, other = pair[0].home / "key", pair[0].home / "other"
    key.write_text("11" * 32 + "\n")
    other.write_text("22" * 32 + "\n")
    for path in (key, other):
        path.chmod(0o600)
    inside = listening(pair[1], "-g", group, "-C", "1", "--key-file", str(key))
    outside = [
        listening(pair[1], "-g", group),
        listening(pair[1], "-g", group, "--room", "kitchen"),
        listening(pair[1], "-g", group, "--key-file", str(other)),
    ]
    ended(pair[0].mcast("send", "-g", group, "secret", env={"MCAST_KEY": "11" * 32}), 0)
    assert ended(inside, 0).lines() == ["secret"]
    for process in outside:
        process.interrupt()
        assert ended(process, 0).lines() == []


def test_peers_come_change_and_go(pair: Pair, group: str) -> None:
    watcher = pair[0].mcast("announce", "-g", group, "-n", "ada", "--json")
    watcher.wait_for("announcing in", stream="stderr")
    offer = ("--service", "_http._tcp:8080", "--service", "chat", "--tag", "os=linux", "--no-host")
    other = pair[1].mcast("announce", "-g", group, "-n", "web", *offer)
    other.wait_for("+\tada\t", stream="stdout")
    until(lambda: [one for one in objects(watcher) if one["type"] == "join"])
    snapshot = lab.snapshot(
        pair[0].mcast, "browse", "-g", group, "-t", complete=lambda process: len(process.lines()) >= 3
    )
    assert snapshot.returncode == 0
    rows = sorted(line.split("\t") for line in snapshot.lines())
    assert [row[:2] for row in rows] == [["+", "ada"], ["+", "web"], ["+", "web"]]
    assert {tuple(row[3:6]) for row in rows if row[1] == "web"} == {
        ("_http._tcp", "10.9.0.2", "8080"),
        ("chat", "10.9.0.2", "-"),
    }
    assert all(len(row) == 9 for row in rows)
    other.signal(signal.SIGTERM)
    ended(other, 0)
    until(lambda: [one for one in objects(watcher) if one["type"] == "leave"])
    join, leave = (one for one in objects(watcher) if one["type"] in ("join", "leave"))
    assert join["from"]["name"] == "web"
    assert join["tags"] == {"os": "linux"}
    assert join["services"] == [{"type": "_http._tcp", "port": 8080}, {"type": "chat"}]
    assert leave["reason"] == "goodbye"
    watcher.interrupt()
    ended(watcher, 0)


CHANGING = """
import asyncio, sys
from mcast import aio
async def one(number):
    async with aio.join(sys.argv[1], name=f"p{number}") as group:
        while True:
            group.announce(tags={"now": str(group.now)})
            await asyncio.sleep(0.05)
async def all():
    await asyncio.gather(*(one(number) for number in range(10)))
asyncio.run(all())
"""


def test_a_snapshot_has_one_row_of_a_peer_that_changes_meanwhile(pair: Pair, group: str) -> None:
    pair[1].spawn([sys.executable, "-c", CHANGING, group], cwd=str(lab.REPOSITORY))
    snapshot = lab.snapshot(
        pair[0].mcast, "browse", "-g", group, "-t", complete=lambda process: len(process.lines()) >= 10
    )
    assert sorted(line.split("\t")[:2] for line in snapshot.lines()) == [["+", f"p{n}"] for n in range(10)]
    wanted = ended(pair[0].mcast("browse", "-g", group, "-t", "-C", "3"), 0)
    assert [line[0] for line in wanted.lines()] == ["+"] * 3


def test_browse_filters_counts_and_finds_nobody(pair: Pair, group: str) -> None:
    assert ended(pair[0].mcast("browse", "-g", group, "-t"), 4).stderr == "mcast: nobody is here\n"
    assert ended(pair[0].mcast("browse", "-g", group, "-t", "-q"), 4).stderr == ""
    ended(pair[0].mcast("browse", "-g", group, "-C", "1", "-W", "300ms"), 27)
    offer = ("--service", "_http._tcp", "--tag", "floor=3")
    with pair[1].mcast("announce", "-g", group, "-n", "web", *offer) as web:
        web.wait_for("announcing in", stream="stderr")
        for words in [("--service", "_ht*"), ("--tag", "floor=[34]")]:
            shown = lab.snapshot(
                pair[0].mcast, "browse", "-g", group, "-t", *words, complete=lab.Process.lines
            )
            assert shown.returncode == 0
        for words, what in [(("--service", "_ftp*"), "service"), (("--tag", "floor=4"), "peer")]:
            none = ended(pair[0].mcast("browse", "-g", group, "-t", *words), 4)
            assert none.stderr == f"mcast: no {what} matches\n"
        found = ended(pair[0].mcast("browse", "-g", group, "-C", "1", "-W", "10s"), 0)
        assert found.lines()[0].startswith("+\tweb\t")


def test_visitors_are_in_no_roster(pair: Pair, group: str) -> None:
    watcher = pair[0].mcast("announce", "-g", group, "--json")
    watcher.wait_for("announcing in", stream="stderr")
    ended(pair[1].mcast("send", "-g", group, "x"), 0)
    lab.snapshot(pair[1].mcast, "browse", "-g", group, "-t", complete=lab.Process.lines)
    # Somebody who does join marks the end of what there is to see.
    last = pair[1].mcast("announce", "-g", group, "-n", "last", "-W", "2s")
    watcher.wait_for('"name":"last"')
    joined = [one["from"]["name"] for one in objects(watcher) if one["type"] == "join"]
    assert joined == ["last"]
    ended(last, 0)


def test_hooks_see_who_comes_and_goes(pair: Pair, group: str) -> None:
    log = pair[0].home / "log"
    script = pair[0].home / "hook.sh"
    script.write_text(f'#!/bin/sh\necho "$MCAST_EVENT $MCAST_FROM" >> {log}\ncat >> {log}\n')
    script.chmod(0o755)
    listener = listening(pair[0], "-g", group, "--on", f"join,message,leave={script}")
    other = pair[1].mcast("chat", "-g", group, "-n", "bob", input="hi\n")
    ended(other, 0)
    until(lambda: log.exists() and "leave" in log.read_text())
    lines = log.read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["join", "message", "hileave"]
    assert lines[0].endswith(" bob")
    listener.interrupt()
    ended(listener, 0)


@pytest.mark.parametrize("variable", ["MCAST_KEY", "MCAST_KEY_FILE"])
def test_plain_text_is_not_sent_where_a_key_is_set(here: lab.Host, group: str, variable: str) -> None:
    """Whoever set it takes what he says for sealed."""
    env = {variable: "0" * 64, "MCAST_PLAIN": "1"}
    for command in (("send", "secret"), ("chat",)):
        refused = ended(here.mcast(*command, "-g", group, input="", env=env), 2)
        assert refused.stderr.count("\n") == 1
        assert "unset MCAST_KEY" in refused.stderr


@pytest.mark.parametrize("words", [("--room", "x"), ("--name", "x"), ("--key-file", "/dev/null")])
def test_plain_text_has_no_rooms_names_or_keys(here: lab.Host, group: str, words: tuple[str, str]) -> None:
    refused = ended(here.mcast("chat", "--plain", "-g", group, *words, input=""), 2)
    assert words[0] in refused.stderr


def test_flags_win_over_the_environment_over_the_file(pair: Pair, group: str) -> None:
    config = pair[0].home / "mcast.toml"
    config.write_text(f'group = "{group}"\nname = "file"\n')
    listener = listening(pair[1], "-g", group, "--json", "-C", "3")
    file = {"MCAST_CONFIG": str(config)}
    ended(pair[0].mcast("send", "1", env=file), 0)
    ended(pair[0].mcast("send", "2", env=file | {"MCAST_NAME": "environment"}), 0)
    ended(pair[0].mcast("send", "3", "-n", "flag", env=file | {"MCAST_NAME": "environment"}), 0)
    ended(listener, 0)
    messages = [one for one in objects(listener) if one["type"] == "message"]
    assert [one["from"]["name"] for one in messages] == ["file", "environment", "flag"]
    config.write_text('group = "230.0.0.1"\ncolour = "red"\n')
    wrong = ended(pair[0].mcast("send", "4", env=file), 2)
    assert "line 2" in wrong.stderr
    assert len(wrong.stderr.splitlines()) == 1


def test_a_filter_waits_until_all_of_it_was_heard(pair: Pair, group: str) -> None:
    """They know each other when all but the first line and the end come at once, in some 45 datagrams."""
    lines = [str(n).ljust(200, ".") for n in range(300)]
    pair[1].loss(10)
    try:
        listener = listening(pair[1], "-g", group, "-C", "300")
        talker = pair[0].mcast("chat", "-g", group, "--json")
        talker.write(f"{lines[0]}\n")
        listener.wait_lines(1)
        talker.wait_for('"type":"join"')
        talker.write("".join(f"{line}\n" for line in lines[1:]))
        talker.close_stdin()
        ended(talker, 0)
        assert ended(listener, 0).lines() == lines
    finally:
        pair[1].loss(0)


def test_who_heard_it_and_left_is_not_nobody(pair: Pair, group: str) -> None:
    """The report says that it was heard, even if nobody is here any more when the input ends."""
    listener = listening(pair[1], "-g", group, "-C", "1")
    talker = pair[0].mcast("chat", "-g", group, "--json")
    talker.wait_for('"type":"join"')
    talker.write("a line\n")
    assert ended(listener, 0).lines() == ["a line"]
    talker.wait_for('"type":"leave"')
    talker.close_stdin()
    assert "heard" not in ended(talker, 0).stderr


def test_nobody_is_left_to_hear_it(pair: Pair, group: str) -> None:
    listener = listening(pair[1], "-g", group, "-C", "1")
    talker = pair[0].mcast("chat", "-g", group, "--json")
    talker.wait_for('"type":"join"')
    talker.write("a line\n")
    ended(listener, 0)
    talker.wait_for('"type":"leave"')
    talker.write("another\n")
    talker.close_stdin()
    assert "nobody confirmed that they heard it" in ended(talker, 0).stderr


def test_people_see_each_other(pair: Pair, group: str) -> None:
    ada = pair[0].mcast_terminal("chat", "-g", group, "-n", "ada", columns=120)
    ada.wait_for_screen("nobody else is here yet")
    bob = pair[1].mcast_terminal("chat", "-g", group, "-n", "bob", columns=120)
    bob.wait_for_screen(re.compile(r"here: ada·[0-9a-f]{4}|ada·[0-9a-f]{4} joined"))
    ada.wait_for_screen(re.compile(r"bob·[0-9a-f]{4} joined"))
    bob.type("good morning 汉字\r")
    ada.wait_for_screen(re.compile(r"\d\d:\d\d:\d\d bob·[0-9a-f]{4}: good morning 汉字"))
    bob.wait_for_screen(re.compile(r"\d\d:\d\d:\d\d you: good morning 汉字"))
    ada.type("/who\r")
    ada.wait_for_screen(re.compile(r"here: ada·[0-9a-f]{4} \(you\), bob·[0-9a-f]{4}"))
    bob.type("/quit\r")
    ada.wait_for_screen(re.compile(r"bob·[0-9a-f]{4} left"))
    assert bob.wait(10) == 0


def test_plain_text_in_a_room_is_marked_and_does_not_count(pair: Pair, group: str) -> None:
    port = group.rpartition(":")[2]
    terminal = pair[0].mcast_terminal("chat", "-g", group, "-n", "ada", columns=140)
    terminal.wait_for_screen("nobody else")
    listener = listening(pair[0], "-g", group, "-C", "1")
    ended(pair[1].mcast("send", "--plain", "-g", group, "simple"), 0)
    terminal.wait_for_screen(re.compile(r"10\.9\.0\.2:\d+ \(plain\): simple"))
    terminal.wait_for_screen(
        f"10.9.0.2 sends plain text and cannot read you; use: mcast chat --plain -g 230.0.0.1:{port}"
    )
    listener.wait_for("simple", stream="stderr")
    ended(pair[1].mcast("send", "-g", group, "real"), 0)
    assert ended(listener, 0).lines() == ["real"]


def test_an_identity_is_kept_and_a_damaged_one_is_not_replaced(pair: Pair, group: str) -> None:
    listener = listening(pair[1], "-g", group, "--json", "-C", "2")
    for text in ("1", "2"):
        ended(pair[0].mcast("send", "-g", group, text), 0)
    ended(listener, 0)
    first, second = (one["from"]["id"] for one in objects(listener) if one["type"] == "message")
    assert first == second
    (seed,) = Path(pair[0].home).rglob("seed-default")
    kept = seed.read_bytes()
    seed.write_bytes(b"damaged")
    try:
        refused = ended(pair[0].mcast("send", "-g", group, "3"), 1)
        assert "damaged" in refused.stderr
        assert seed.read_bytes() == b"damaged"
    finally:
        seed.write_bytes(kept)
