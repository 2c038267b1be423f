"""`mcast chat` on a terminal, as the person in front of it sees it."""

from __future__ import annotations

import itertools
import re
import signal
import sys
import time
from collections.abc import Callable

import pytest

from mcast.cli.chat.commands import entries
from mcast.cli.chat.render import PALETTE
from tests import lab

Pair = tuple[lab.Host, lab.Host]
PROMPT = re.compile(r"^>$", re.MULTILINE)


def until(condition: Callable[[], bool], what: Callable[[], object] = str) -> None:
    deadline = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


def chat(host: lab.Host, group: str, *, columns: int = 80, rows: int = 24) -> lab.Terminal:
    terminal = host.mcast_terminal("chat", "--plain", "-g", group, columns=columns, rows=rows)
    terminal.wait_for_screen(PROMPT)
    return terminal


def other(host: lab.Host, group: str) -> lab.Process:
    process = host.mcast("chat", "--plain", "-g", group)
    process.wait_for("chatting in")
    return process


STATUS = re.compile(r"\nplain text: anybody can .*\Z", re.DOTALL)


def shown(terminal: lab.Terminal) -> list[str]:
    """The lines on the screen, times and ports left out, to the last that is not empty or the status."""
    text = STATUS.sub("", "\n".join(terminal.screen())).rstrip("\n")
    text = re.sub(r"^   (?=\d\d:)", "", text, flags=re.MULTILINE)
    return re.sub(r"\d\d:\d\d:\d\d", "TIME", re.sub(r"(10\.9\.0\.\d):\d+", r"\1", text)).split("\n")


def wait_for(terminal: lab.Terminal, lines: list[str]) -> None:
    until(lambda: shown(terminal)[-len(lines) :] == lines, lambda: shown(terminal))


def test_a_conversation(pair: Pair, group: str) -> None:
    terminal, friend = chat(pair[0], group), other(pair[1], group)
    terminal.type("hello 汉字\r")
    wait_for(terminal, [f"mcast: chatting in {group} on eth0 (default route)", "TIME you: hello 汉字", ">"])
    friend.wait_for("hello 汉字", stream="stdout")
    friend.write("😀 and \x1b[31m\u202e\n")
    wait_for(terminal, ["TIME you: hello 汉字", "TIME 10.9.0.2: 😀 and \\x1b[31m\\u202e", ">"])
    assert terminal.cursor() == (3, 2)
    terminal.type("/quit\r")
    assert terminal.wait() == 0
    assert shown(terminal)[-1] == "TIME 10.9.0.2: 😀 and \\x1b[31m\\u202e"
    assert b"\x1b[31m\xe2\x80\xae" not in terminal.raw
    assert b"\x1b[6n" not in terminal.raw, "a late answer to where the cursor is would move the screen"


def test_a_hundred_lines_leave_the_one_being_typed_whole(pair: Pair, group: str) -> None:
    terminal, friend = chat(pair[0], group), other(pair[1], group)
    terminal.type("half a ")
    wait_for(terminal, ["> half a"])
    for number in range(100):
        friend.write(f"line {number}\n")
        if number == 50:
            terminal.type("sen")
    wait_for(terminal, [f"TIME 10.9.0.2: line {number}" for number in range(78, 100)] + ["> half a sen"])
    terminal.type("tence\r")
    wait_for(terminal, ["TIME 10.9.0.2: line 99", "TIME you: half a sentence", ">"])
    friend.wait_for("half a sentence", stream="stdout")
    assert terminal.interrupt() == 0


@pytest.mark.parametrize("leave", ["/quit\r", "exit\r", "\x04", "half\x03\x03"])
def test_leaving_gives_the_terminal_back(here: lab.Host, group: str, leave: str) -> None:
    script = f'stty -g > before; {sys.executable} -m mcast chat --plain -g {group}; echo "code $?"'
    terminal = here.terminal(["sh", "-c", f"cd $HOME; {script}; stty -g | cmp - before && echo restored"])
    terminal.wait_for_screen(PROMPT)
    terminal.type(leave)
    terminal.wait_for_screen("code 0")
    terminal.wait_for_screen("restored")
    assert terminal.wait() == 0
    assert shown(terminal)[1:] == ["code 0", "restored"]
    assert here.memberships() == {}


@pytest.mark.parametrize("number", [2, 15, 1])
def test_a_signal_gives_the_terminal_back(here: lab.Host, group: str, number: int) -> None:
    terminal = chat(here, group)
    terminal.type("half a line")
    wait_for(terminal, ["> half a line"])
    terminal.signal(number)
    assert terminal.wait() == 0
    assert terminal.raw.endswith(b"\x1b[?2004l")
    assert shown(terminal) == [f"mcast: chatting in {group} on eth0 (default route)"]


def test_commands_are_no_messages(pair: Pair, group: str) -> None:
    terminal, friend = chat(pair[0], group, columns=200, rows=26), other(pair[1], group)
    listed = [f"mcast: {entry}" for entry in entries()]
    terminal.type("/nope ada\r")
    wait_for(terminal, ["mcast: unknown command /nope ada, not sent: /help lists the commands", ">"])
    terminal.type("/help\r")
    wait_for(terminal, [*listed, ">"])
    terminal.type("   \r\r//etc\r")
    wait_for(terminal, [*listed, "TIME you: /etc", ">"])
    terminal.type("\x04")
    assert terminal.wait() == 0
    assert [line.split(": ", 1)[1] for line in friend.wait_lines(1)] == ["/etc"]


def pasted(text: str) -> str:
    return f"\x1b[200~{text}\x1b[201~"


def test_a_paste_is_asked_about_and_is_one_message(pair: Pair, group: str) -> None:
    terminal, friend = chat(pair[0], group), other(pair[1], group)
    code = "\n".join(f"\tline {number}" for number in range(200))
    terminal.type(pasted(code))
    terminal.wait_for_screen("… 197 more")
    terminal.wait_for_screen("send 200 lines as one message? [Enter/edit/Esc]")
    terminal.type("x")
    terminal.wait_for_screen("e edits it")
    terminal.type("\x1b")
    terminal.wait_for_screen("the paste was not sent")
    assert friend.lines() == []
    terminal.type(pasted("one\n\ttwo\r\nexit\n"))
    terminal.wait_for_screen("send 3 lines")
    terminal.type("e")
    wait_for(terminal, ["> one", "          two", "  exit"])
    terminal.type("\x1b\r/etc\nlast\r")
    friend.wait_for(": one\\x0a\\x09two\\x0aexit\\x0a/etc\\x0alast", stream="stdout")
    wait_for(
        terminal,
        ["TIME you:", *(" " * 12 + row for row in ("one", "        two", "exit", "/etc", "last")), ">"],
    )
    terminal.type(pasted("exit\n"))
    wait_for(terminal, ["> exit"])
    terminal.type(" it\r")
    friend.wait_for(": exit it\n", stream="stdout")
    terminal.type("\x03")
    assert terminal.wait() == 0


@pytest.mark.parametrize("reflows", [False, True])
def test_narrow_and_resized(pair: Pair, group: str, reflows: bool) -> None:
    """No ghost of the prompt stays, whether or not the terminal wraps what is on it."""
    env = {} if reflows else {"XTERM_VERSION": "XTerm(390)"}
    argv = ("chat", "--plain", "-g", group)
    terminal = pair[0].mcast_terminal(*argv, columns=60, rows=12, env=env)
    terminal.wait_for_screen(PROMPT)
    friend = other(pair[1], group)
    terminal.type("x" * 50)
    wait_for(terminal, ["> " + "x" * 50])
    terminal.resize(40, 12, reflow=reflows)
    terminal.signal(28)
    wait_for(terminal, ["> " + "x" * 38, "  " + "x" * 12])
    assert sum("> x" in line for line in shown(terminal)) == 1
    friend.write("after the window changed to forty columns\n")
    until(lambda: "columns" in "".join(terminal.screen()))
    message = re.compile(r"^   \d\d:\d\d 10\.9\.0\.2:\d+: after.*\n     \w[\w ]*columns$", re.MULTILINE)
    assert message.search("\n".join(terminal.screen()))
    terminal.resize(60, 12)
    terminal.signal(28)
    wait_for(terminal, ["> " + "x" * 50])
    terminal.type("\r")
    friend.wait_for("x" * 50, stream="stdout")
    assert terminal.terminate() == 0


def test_a_dumb_terminal_is_a_line_at_a_time(pair: Pair, group: str) -> None:
    argv = [sys.executable, "-m", "mcast", "chat", "--plain", "-g", group]
    terminal, friend = pair[0].terminal(argv, env={"TERM": "dumb"}), other(pair[1], group)
    terminal.wait_for_screen("chatting")
    terminal.type("hello\r/nonsense\r")
    friend.wait_for("hello", stream="stdout")
    terminal.wait_for_screen("not sent")
    friend.write("hi\n")
    terminal.wait_for_screen("10.9.0.2")
    terminal.type("exit\r")
    assert terminal.wait() == 0
    assert b"\x1b" not in terminal.raw
    assert len(friend.lines()) == 1


@pytest.mark.parametrize(
    ("env", "shows"),
    [
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, b": \\u6c49 \\U0001f600 \\xe9\r"),
        ({"PYTHONIOENCODING": "gbk"}, ": 汉 \\U0001f600 é\r".encode("gbk")),
    ],
)
def test_a_terminal_that_lacks_characters(pair: Pair, group: str, env: dict[str, str], shows: bytes) -> None:
    terminal = pair[0].mcast_terminal("chat", "--plain", "-g", group, env=env)
    terminal.wait_for_screen(PROMPT)
    friend = other(pair[1], group)
    friend.write("汉 😀 é\n")
    terminal.wait_for_raw(shows)
    terminal.type("é😀\r" if "LC_ALL" in env else "e\r")
    friend.wait_for(": é😀\n" if "LC_ALL" in env else ": e\n", stream="stdout")
    terminal.type("\x04")
    assert terminal.wait() == 0


@pytest.mark.parametrize(
    ("redirection", "typed", "printed"), [("> out", "exit\r", "out"), ("2> err", "/x\rexit\r", "err")]
)
def test_only_some_of_the_streams_are_a_terminal(
    pair: Pair, group: str, redirection: str, typed: str, printed: str
) -> None:
    friend = other(pair[1], group)
    mcast = f"{sys.executable} -m mcast chat --plain -g {group} {redirection}"
    terminal = pair[0].terminal(["sh", "-c", f"cd $HOME; {mcast}; echo code $?"])
    until(lambda: "230.0.0.1" in "\n".join(pair[0].memberships().get("eth0", ())))
    until(lambda: (pair[0].home / printed).exists())
    if printed == "err":
        terminal.wait_for_screen(PROMPT)
    friend.write("from the other\n")
    until(
        lambda: (
            "from the other" in (pair[0].home / "out").read_text()
            if printed == "out"
            else "from the other" in "\n".join(terminal.screen())
        )
    )
    terminal.type(typed)
    terminal.wait_for_screen("code 0")
    assert terminal.wait() == 0
    screen, file = "\n".join(terminal.screen()), (pair[0].home / printed).read_text()
    if printed == "out":
        assert "from the other" not in screen
        assert file.count("\n") == 1
    else:
        assert "mcast:" not in screen
        assert "unknown command /x" in file


def test_marks_tell_who_has_got_a_line(pair: Pair, group: str) -> None:
    terminal = pair[0].mcast_terminal("chat", "-g", group, "-n", "ada", columns=110)
    terminal.wait_for_screen(PROMPT)

    def marked(mark: str, text: str) -> None:
        terminal.wait_for_screen(
            re.compile(rf"^{re.escape(mark):3} ?\d\d:\d\d:\d\d you: {text}$", re.MULTILINE)
        )

    terminal.type("one\r")
    marked(r"?  ", "one")
    terminal.wait_for_screen("nobody has confirmed this yet; peers that join soon can still get it")
    terminal.wait_for_screen(
        re.compile(r"lobby · open · nobody else here · nobody was here · you are ada·\w{4}$", re.M)
    )
    friend = pair[1].mcast("chat", "-g", group, "-n", "bob")
    terminal.wait_for_screen(re.compile(r"nobody was here; bob·\w{4} came later · you", re.MULTILINE))
    terminal.type("two\r")
    friend.wait_for("two", stream="stdout")
    marked("✓✓ ", "two")
    terminal.wait_for_screen(re.compile(r"· heard by bob·\w{4} · you", re.MULTILINE))
    terminal.type("/who\r/status\r")
    terminal.wait_for_screen(re.compile(r"here: ada·\w{4} \(you\), bob·\w{4}$", re.MULTILINE))
    terminal.wait_for_screen(re.compile(r"your line of \d\d:\d\d:\d\d: heard by bob·\w{4}$", re.MULTILINE))
    pair[0].down()
    terminal.wait_for_screen("no longer using eth0")
    terminal.type("three\r")
    marked("!  ", "three")
    terminal.wait_for_screen("not sent: there is no network")
    pair[0].up()
    friend.wait_for("three", stream="stdout", timeout=60.0)
    marked("✓✓ ", "three")
    terminal.wait_for_screen(re.compile(r"your line of \d\d:\d\d:\d\d has arrived: heard by bob·\w{4}"))
    friend.signal(signal.SIGSTOP)
    terminal.type("four\r")
    noise = "".join(f"line {number}\n" for number in range(60))
    pair[1].mcast("chat", "-g", group, "-n", "eve", "--profile", "eve", input=noise)
    terminal.wait_for_screen("line 59")
    friend.signal(signal.SIGCONT)
    terminal.wait_for_screen(re.compile(r"heard by (bob·\w{4}|all)"))
    assert [row for row in terminal.screen() if row.startswith("✓")] == [], "the line has left the screen"
    assert terminal.interrupt() == 0


def test_commands_of_a_room(pair: Pair, group: str) -> None:
    pair[0].mcast("history", "--forget", "--yes").wait()
    terminal = pair[0].mcast_terminal("chat", "-g", group, "-n", "ada", columns=110, rows=50)
    terminal.wait_for_screen(PROMPT)
    bob = pair[1].mcast("chat", "-g", group, "-n", "bob\x1b]9;x\x07: hi", "--profile", "commands")
    terminal.wait_for_screen(re.compile(r"bob.*joined|here: bob"))
    bob.write("hey ada, ; lunch? \x1b[31m\n/me waves\n")
    terminal.wait_for_screen(re.compile(r"\* bob\\x1b\]9;x\\x07\\x3a hi·\w{4} waves$", re.MULTILINE))
    (notification,) = re.findall(rb"\x1b\]9;(.*?)\x1b\\", terminal.raw, re.DOTALL)
    assert re.fullmatch(r"mcast: bob\S+ hi·\w{4}: hey ada, , lunch\? \\x1b\[31m", notification.decode())
    assert ";" not in notification.decode()
    assert terminal.raw.count(b"\x07") == 1
    (row,) = [row for row in terminal.cells() if "lunch" in "".join(cell.data for cell in row)]
    assert f"#{row[12].fg}" in PALETTE
    assert row["".join(cell.data for cell in row).index("ada,")].reverse, "one's own name is highlighted"
    forged = "hi\n   12:00:00 ada·1234: forged\nmcast: forged\n> forged\n\t汉forged" + "x" * 120
    assert pair[1].mcast("send", "-g", group, "-s", "-n", "eve", input=forged).wait() == 0
    terminal.wait_for_screen(re.compile("x{40}"))
    rows = [row for row in terminal.screen() if "forged" in row or "xxx" in row]
    assert len(rows) == 5
    assert all(row.startswith(" " * 12) for row in rows)
    terminal.type("/bell off\r/me waves, too\r/whois b\t\r")
    bob.wait_for(": /me waves, too", stream="stdout")
    terminal.wait_for_screen(re.compile(r"✓✓ \d\d:\d\d:\d\d \* ada·\w{4} waves, too", re.MULTILINE))
    terminal.wait_for_screen(re.compile(r"identity [0-9a-f]{32}, not verified"))
    terminal.type("/search LUNCH\r")
    terminal.wait_for_screen("--- search for LUNCH: 1 found")
    terminal.wait_for_screen("--- end of search")
    terminal.type(f"/save {pair[0].home}/saved.txt\r/save {pair[0].home}/saved.txt\r")
    terminal.wait_for_screen("File exists")
    saved = (pair[0].home / "saved.txt").read_text()
    assert saved.count("lunch") == 1
    assert "\x1b" not in saved
    (origin,) = re.findall(r"identity ([0-9a-f]{32})", "\n".join(terminal.screen()))
    terminal.type(f"/ignore {origin[:8]}\r")
    terminal.wait_for_screen("you see no messages of")
    bob.write("never seen\n")
    terminal.type("/stats\r")
    terminal.wait_for_screen("sent-announcement")
    bob.write("/me is gone\n")
    bob.close_stdin()
    terminal.wait_for_screen(re.compile(r"bob.*left"))
    assert "never seen" not in "\n".join(terminal.screen())
    assert terminal.interrupt() == 0


def test_rooms_and_names(pair: Pair, group: str) -> None:
    terminal = pair[0].mcast_terminal("chat", "-g", group, "-n", "ada", columns=110, rows=50)
    terminal.wait_for_screen(PROMPT)
    lobby = pair[1].mcast("chat", "-g", group, "-n", "bob")
    kitchen = pair[1].mcast("chat", "-g", group, "-n", "cyd", "--room", "kitchen")
    terminal.wait_for_screen(re.compile(r"bob·\w{4} joined|here: bob"))
    terminal.type("/join kitchen\r")
    terminal.wait_for_screen(re.compile(r"^kitchen>$", re.MULTILINE))
    terminal.wait_for_screen(re.compile(r"cyd·\w{4}$", re.MULTILINE))
    lobby.write("one\ntwo\n")
    terminal.wait_for_screen(re.compile(r"^unread: lobby 2 · kitchen · open · 1 other here", re.MULTILINE))
    assert "two" not in "\n".join(terminal.screen())
    terminal.type("to the kitchen\r")
    kitchen.wait_for(": to the kitchen\n", stream="stdout")
    terminal.type("/rooms\r/room l\t\r")
    terminal.wait_for_screen("lobby: open, 1 other, 2 unread")
    terminal.wait_for_screen("kitchen: open, 1 other, shown")
    terminal.wait_for_screen(re.compile(r"^--- room lobby\n.*: one\n.*: two\nlobby>$", re.MULTILINE))
    terminal.type("/nick ada lovelace\r")
    lobby.wait_for(re.compile(r"ada lovelace·\w{4} joined"), stream="stderr")
    terminal.wait_for_screen(re.compile(r"here: ada lovelace·\w{4} \(you\)"))
    terminal.type("to the lobby\r")
    lobby.wait_for(re.compile(r"ada lovelace·\w{4}: to the lobby\n"), stream="stdout")
    assert "to the lobby" not in kitchen.stdout
    assert "to the kitchen" not in lobby.stdout
    terminal.type("/leave\r")
    terminal.wait_for_screen(re.compile(r"^--- room kitchen$", re.MULTILINE))
    lobby.wait_for(re.compile(r"ada lovelace·\w{4} left"), stream="stderr")
    terminal.type("/rooms\r")
    terminal.wait_for_screen("lobby: open, 1 person; /join lobby enters it")
    lobby.interrupt()
    terminal.type("/rooms\r")
    terminal.wait_for_screen(re.compile(r"you were in: .*lobby.*; /join ROOM enters one"))
    terminal.type("/leave\r")
    assert terminal.wait() == 0
    assert pair[0].memberships() == {}


def test_rooms_of_others_and_their_topics(pair: Pair, group: str) -> None:
    cyd = pair[1].mcast_terminal("chat", "-g", group, "-n", "cyd", "--room", "kitchen", columns=110)
    hostile = pair[1].mcast("chat", "-g", group, "-n", "eve", "--room", "\x1b[31mred\n> mcast: here")
    cyd.wait_for_screen(re.compile(r"^kitchen>$", re.MULTILINE))
    cyd.type("/topic\r/topic lunch at noon\r")
    cyd.wait_for_screen("no topic is set: /topic TEXT sets one")
    cyd.wait_for_screen(re.compile(r"\* cyd·\w{4} set the topic: lunch at noon$", re.MULTILINE))
    hostile.wait_for("chatting in")
    ada = pair[0].mcast_terminal("chat", "-g", group, "-n", "ada", columns=110)
    ada.wait_for_screen(PROMPT)
    ada.type("/rooms\r")
    ada.wait_for_screen("lobby: open, 0 others, shown")
    ada.wait_for_screen("kitchen: open, 1 person, topic: lunch at noon; /join kitchen enters it")
    ada.wait_for_screen(r"\x1b[31mred\x0a> mcast: here: open, 1 person")
    ada.type("/join kitchen\r")
    ada.wait_for_screen(re.compile(r"\* cyd·\w{4} \(history\) set the topic: lunch at noon$", re.MULTILINE))
    ada.type(f"/topic {'午' * 22}\r/topic\r")
    ada.wait_for_screen("not sent: the topic has 66 bytes: use at most 64")
    ada.wait_for_screen("topic: lunch at noon")
    ada.type("/topic dinner at eight\r")
    cyd.wait_for_screen(re.compile(r"\* ada·\w{4} set the topic: dinner at eight$", re.MULTILINE))
    cyd.type("/topic\r")
    cyd.wait_for_screen("topic: dinner at eight")


def test_a_key_is_typed_without_being_shown(pair: Pair, group: str) -> None:
    room = f"lab-{group.rpartition(':')[2]}"
    made = pair[1].mcast("key", "new", room, "-g", group)
    assert made.wait() == 0
    words = made.stdout.strip()
    bob = pair[1].mcast("chat", "-g", group, "-n", "bob", "--room", room)
    bob.wait_for("chatting in")
    ada = pair[0].mcast_terminal("chat", "-g", group, "-n", "ada", columns=110)
    ada.wait_for_screen(PROMPT)
    question = "the words or the passphrase, which are not shown:"
    ada.type(f"/key {room}\r")
    ada.wait_for_screen(question)
    ada.type("\r")
    ada.wait_for_screen("nothing was typed, so nothing has changed")
    ada.type(f"/key {room}\rtoo short\r")
    ada.wait_for_screen("the passphrase has 9 characters: use at least 16")
    ada.type(f"/key {room}\r{words} wrong\r")
    ada.wait_for_screen("'wrong' is not one of the words of mcast: check its spelling")
    ada.type(f"/key {room}\r")
    for _ in range(2):
        ada.type(f"\x1b[200~{words}\n\x1b[201~")
        ada.wait_for_screen(re.compile(question + r" \*{20,}"))
        ada.type("\x15")  # Ctrl-U, and once more by hand
    ada.type(words + "\r")
    ada.wait_for_screen(re.compile(rf"^{room} keyed>", re.MULTILINE), timeout=30)
    ada.wait_for_screen(re.compile(r"here: bob·\w{4}"))
    ada.type("\x19hello\r")  # Ctrl-Y brings nothing back
    bob.wait_for(": hello\n", stream="stdout")
    ada.type("\x1b[A\x1b[A\x1b[A")  # up
    ada.wait_for_screen(re.compile(rf"keyed> /key {room}$", re.MULTILINE))
    screen = " ".join(ada.screen())
    assert not any(" ".join(pair) in screen for pair in itertools.pairwise(words.split()))
    ada.type(f"\x03/key {room}\r")
    ada.wait_for_screen(f"you are in the room {room}: /leave {room}, then /key again")
    assert bob.interrupt() == 0


def test_suspended_and_back(here: lab.Host, group: str) -> None:
    shell = here.terminal(["bash", "--norc", "-i"], env={"PS1": "$ "})
    shell.wait_for_screen("$")
    shell.type(f"{sys.executable} -m mcast chat --plain -g {group}\r")
    shell.wait_for_screen(PROMPT)
    shell.type("half\x1a")
    shell.wait_for_screen("Stopped")
    shell.type("fg\r")
    wait_for(shell, ["> half"])
    shell.type("\x03\x03")
    shell.wait_for_screen(re.compile(r"^\$\s*\Z", re.MULTILINE))
    assert here.memberships() == {}
    shell.type("exit\r")
    assert shell.wait() == 0


def test_the_terminal_goes_away(here: lab.Host, group: str) -> None:
    window = here.python(
        """
        import os, pty, sys
        child, terminal = pty.fork()
        if child == 0:
            os.execv(sys.executable, [sys.executable, "-m", "mcast", "chat", "--plain", "-g", sys.argv[1]])
        shown = b""
        while b"\\x1b[?2004h" not in shown:
            shown += os.read(terminal, 4096)
        os.close(terminal)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
        group,
    )
    assert window.wait() == 0
    assert window.stdout == "0\n"
    assert "Traceback" not in window.stderr
    assert here.memberships() == {}


CROWD = """
    import asyncio, sys
    from mcast import aio

    async def main():
        groups = [aio.join(sys.argv[1], name=f"invented {number}") for number in range(40)]
        for group in groups:
            await group.__aenter__()
        await asyncio.sleep(1.0)
        await asyncio.gather(*(group.close() for group in groups))

    asyncio.run(main())
"""


def test_a_crowd_that_joins_and_leaves_is_a_few_lines(pair: Pair, group: str) -> None:
    """Whoever invents peers must not push a conversation off the screen."""
    listener = pair[0].mcast("listen", "-g", group, "-v")
    terminal = pair[0].mcast_terminal("chat", "-g", group, "-n", "ada", rows=60)
    # Not before: who is there when a chat begins is named in one line.
    terminal.wait_for_screen("nobody else is here yet")
    crowd = pair[1].python(CROWD, group)
    assert crowd.wait() == 0, crowd.stderr
    summary = re.compile(r"mcast: (\d+) joined, (\d+) left in 10 s")
    terminal.wait_for_screen(summary)
    listener.wait_for(summary, stream="stderr")
    for told in ("\n".join(terminal.screen()), listener.stderr):
        assert told.count(" joined\n") + told.count(" left\n") <= 20
    terminal.type("/quit\r")
    assert terminal.wait() == 0
