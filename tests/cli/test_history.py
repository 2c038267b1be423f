"""The messages that chats keep: shown when a chat starts again, found and removed by `mcast history`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests import lab

Pair = tuple[lab.Host, lab.Host]


def chat(host: lab.Host, group: str, *options: str) -> lab.Terminal:
    terminal = host.mcast_terminal("chat", "-g", group, "--name", "ada", *options)
    terminal.wait_for_screen(re.compile(r"^>$", re.MULTILINE))
    return terminal


def friend(host: lab.Host, group: str) -> lab.Process:
    process = host.mcast("chat", "-g", group, "--name", "bob", "--no-history")
    process.wait_for("chatting in")
    return process


def talk(terminal: lab.Terminal, bob: lab.Process, *texts: str) -> None:
    """Ada says each text and bob answers it."""
    for text in texts:
        terminal.type(f"{text}\r")
        bob.wait_for(text, stream="stdout")
        bob.write(f"re: {text}\n")
        terminal.wait_for_screen(re.compile(rf"bob·\w{{4}}: re: {text}"))


def lines(terminal: lab.Terminal) -> list[str]:
    text = "\n".join(terminal.screen())
    return re.sub(r"   \d\d:\d\d:\d\d ", "", re.sub(r"·[0-9a-f]{4}", "", text)).split("\n")


def run(host: lab.Host, *arguments: str) -> lab.Process:
    process = host.mcast("history", *arguments)
    process.wait()
    return process


def database(host: lab.Host) -> Path:
    return host.home / ".data" / "mcast" / "history-default.db"


def test_a_chat_starts_with_what_was_said_in_it(pair: Pair, group: str) -> None:
    run(pair[0], "--forget", "--yes")
    bob = friend(pair[1], group)
    first = chat(pair[0], group)
    talk(first, bob, "lunch at noon?", "今天吃什么")
    first.type("/quit\r")
    assert first.wait() == 0

    second = chat(pair[0], group)
    talk(second, bob, "back again")
    conversation = [line for line in lines(second) if not line.startswith("mcast:")]
    kept = [
        "--- today",
        "you: lunch at noon?",
        "bob: re: lunch at noon?",
        "you: 今天吃什么",
        "bob: re: 今天吃什么",
    ]
    assert conversation[: conversation.index("you: back again")] == kept, second.screen()
    second.type("/quit\r")
    assert second.wait() == 0

    third = run(pair[0], "--json")
    events = [json.loads(line) for line in third.stdout.splitlines()]
    assert [event["text"] for event in events] == [
        text for said in ("lunch at noon?", "今天吃什么", "back again") for text in (said, f"re: {said}")
    ]
    assert [event.get("own", False) for event in events] == [True, False] * 3
    assert database(pair[0]).stat().st_mode & 0o777 == 0o600


def test_what_was_missed_is_marked_as_new(pair: Pair, group: str) -> None:
    run(pair[0], "--forget", "--yes")
    bob = friend(pair[1], group)
    first = chat(pair[0], group)
    talk(first, bob, "one")
    first.type("/quit\r")
    assert first.wait() == 0
    bob.write("while you were away\n")

    second = chat(pair[0], group)
    second.wait_for_screen(re.compile(r"\(history\): while you were away"))
    shown = [line for line in lines(second) if not line.startswith(("mcast:", ">"))]
    assert shown[:5] == [
        "--- today",
        "you: one",
        "bob: re: one",
        "--- new since you left",
        "bob (history): while you were away",
    ]
    second.type("/quit\r")
    assert second.wait() == 0


def test_history_is_searched_exported_and_forgotten(pair: Pair, group: str) -> None:
    run(pair[0], "--forget", "--yes")
    bob = friend(pair[1], group)
    terminal = chat(pair[0], group)
    talk(terminal, bob, "Lunch at noon?", "<b>今天吃什么</b>")
    terminal.type("/quit\r")
    assert terminal.wait() == 0

    found = run(pair[0], "--search", "吃什")
    assert re.fullmatch(
        r"--- \d{4}-\d\d-\d\d lobby\n"
        r"\d\d:\d\d:\d\d you: <b>今天吃什么</b>\n"
        r"\d\d:\d\d:\d\d bob·\w{4}: re: <b>今天吃什么</b>\n",
        found.stdout,
    ), found.stdout
    page = run(pair[0], "--search", "吃什", "--html").stdout
    assert "&lt;b&gt;今天吃什么&lt;/b&gt;" in page
    assert "<b>今" not in page

    assert run(pair[0], "--search", "nothing like it").returncode == 4
    assert run(pair[0], "--room", "kitchen").returncode == 4
    refused = run(pair[0], "--forget")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--forget asks before it removes messages: use --yes" in refused.stderr

    forgotten = run(pair[0], "--forget", "--yes")
    assert "removed 4 messages of lobby" in forgotten.stderr
    assert b"noon" not in database(pair[0]).read_bytes()
    assert run(pair[0]).returncode == 4


def test_a_chat_without_history_writes_nothing(pair: Pair, group: str) -> None:
    run(pair[0], "--forget", "--yes")
    bob = friend(pair[1], group)
    terminal = chat(pair[0], group, "--no-history")
    talk(terminal, bob, "between us")
    terminal.type("/quit\r")
    assert terminal.wait() == 0
    assert run(pair[0]).returncode == 4


def test_a_chat_goes_on_where_nothing_can_be_kept(pair: Pair, group: str) -> None:
    bob = friend(pair[1], group)
    path = database(pair[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"this is not a database" * 1000)
    terminal = chat(pair[0], group)
    talk(terminal, bob, "still here")
    told = " ".join(" ".join(terminal.screen()).split())
    assert "is damaged; it is now history-default.db.damaged-" in told
    terminal.type("/quit\r")
    assert terminal.wait() == 0
    assert run(pair[0], "--search", "still here").stdout.count("still here") == 2

    terminal = pair[0].mcast_terminal(
        "chat", "-g", group, "--name", "ada", env={"XDG_DATA_HOME": "/proc/none"}
    )
    terminal.wait_for_screen(re.compile(r"^>$", re.MULTILINE))
    talk(terminal, bob, "no disk")
    assert "messages are not kept" in "".join(terminal.screen())
    terminal.type("/quit\r")
    assert terminal.wait() == 0


def test_two_chats_of_one_user_keep_each_message_once(pair: Pair, group: str) -> None:
    run(pair[0], "--forget", "--yes")
    bob = friend(pair[1], group)
    one, two = chat(pair[0], group), chat(pair[0], group)
    talk(one, bob, "from the first")
    talk(two, bob, "from the second")
    one.wait_for_screen("re: from the second")
    for terminal in (one, two):
        terminal.type("/quit\r")
        assert terminal.wait() == 0
    kept = [json.loads(line) for line in run(pair[0], "--json").stdout.splitlines()]
    assert sorted(event["text"] for event in kept) == sorted(
        ["from the first", "re: from the first", "from the second", "re: from the second"]
    )
    assert [event["own"] for event in kept if not event["text"].startswith("re:")] == [True, True]
