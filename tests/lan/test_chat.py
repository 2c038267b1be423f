"""The chat on the plain wire: everyone hears everyone, and the tutorial's chat understands us and we it."""

from __future__ import annotations

import re
import signal
import time

import pytest

from tests import lab
from tests.lan.plain import GROUP, run, send, texts, until
from tests.lan.remote import Remote

WORDS = [
    "hello",
    "汉字也可以",
    "مرحبا بالعالم",
    "שלום",
    "👩‍👩‍👧 🎉 é",
    "/quit",
    "exit",
    " two  spaces ",
    "tab\there",
]

PROMPT = re.compile("^>", re.MULTILINE)

TUTORIAL = """
    import socket, struct, sys, threading

    GROUP, PORT = "230.0.0.1", 3000
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
    if sys.argv[1] == "before":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("", PORT))
    if sys.argv[1] == "after":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    membership = struct.pack("4sl", socket.inet_aton(GROUP), socket.INADDR_ANY)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    print("ready", flush=True)

    def receive():
        while True:
            print(s.recv(2048).decode("utf-8"), flush=True)

    threading.Thread(target=receive, daemon=True).start()
    for line in sys.stdin:
        s.sendto(line.rstrip("\\n").encode("utf-8"), (GROUP, PORT))
"""


def tutorial(host: lab.Host, reuse: str = "before") -> lab.Process:
    process = host.python(TUTORIAL, reuse)
    process.wait_for("ready")
    return process


def said(process: lab.Process) -> list[str]:
    """What a chat in a pipe printed of others: its lines without time and sender."""
    return [re.sub(r"^\S+ \S+: ", "", line) for line in process.lines()]


def test_three_hosts_talking_at_once_all_hear_everything_once(lan: lab.MakeLan) -> None:
    hosts = lan(3).hosts
    chats = [run(host, "chat") for host in hosts]
    for chat, host in zip(chats, hosts, strict=True):
        chat.write("".join(f"{host.name} says {number}\n" for number in range(100)))
    for chat, host in zip(chats, hosts, strict=True):
        chat.wait_lines(200)
        wanted = [f"{other.name} says {n}" for other in hosts if other is not host for n in range(100)]
        assert sorted(said(chat)) == sorted(wanted)
        for other in hosts:
            own = [line for line in said(chat) if line.startswith(other.name)]
            assert own == [line for line in wanted if line.startswith(other.name)], "in order"
    time.sleep(0.2)
    for chat in chats:
        chat.close_stdin()
        assert chat.wait() == 0
        assert len(chat.lines()) == 200


def test_two_chats_on_one_computer_hear_each_other_and_the_lan(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    chats = [run(h1, "chat"), run(h1, "chat"), run(h2, "chat")]
    for number, chat in enumerate(chats):
        chat.write(f"from {number}\n")
    for number, chat in enumerate(chats):
        chat.wait_lines(2)
        assert set(said(chat)) == {f"from {other}" for other in range(3) if other != number}


def test_two_terminals_without_any_network_chat(lan: lab.MakeLan) -> None:
    host = lan(1).hosts[0]
    host.remove_interface("eth0")
    first, second = (host.mcast_terminal("chat", "--plain") for _ in range(2))
    for terminal in (first, second):
        terminal.wait_for_screen("only this computer")
    first.wait_for_screen(PROMPT)
    first.type("can you hear me\r")
    second.wait_for_screen(re.compile(r"127\.0\.0\.1:\d+: can you hear me"))
    second.type("loud and clear\r")
    first.wait_for_screen(re.compile(r"127\.0\.0\.1:\d+: loud and clear"))
    for terminal, line in ((first, "loud and clear"), (second, "loud and clear")):
        terminal.wait_for_screen(f"{line}\n>")
    first.wait_for_screen("you: can you hear me")
    assert "\n".join(first.screen()).count("can you hear me") == 1, "our own line is not shown twice"
    first.type("/quit\r")
    second.type("\x04")
    assert (first.wait(), second.wait()) == (0, 0)


def test_another_group_on_the_port_hears_nothing_of_ours(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    ours, theirs = run(h1, "chat"), run(h2, "chat", "-g", GROUP)
    same = run(h2, "chat")
    ours.write("for us\n")
    same.wait_lines(1)
    time.sleep(0.2)
    assert theirs.stdout == ""


@pytest.mark.parametrize("group", ["ff12::6d63", "ff05::6d63"])
def test_a_chat_over_ipv6(lan: lab.MakeLan, group: str) -> None:
    h1, h2 = lan(2, ipv4=False).hosts
    first, second = run(h1, "chat", "-g", group, "--json"), run(h2, "chat", "-g", group, "--json")
    first.write("six\n")
    until(lambda: texts(second) == ["six"])
    (event,) = second.objects()
    assert event["source"].startswith(f"[{h1.link_local()}%eth0]:")
    assert event["group"] == f"[{group}]:3000"
    second.write("six too\n")
    until(lambda: texts(first) == ["six too"])


@pytest.mark.parametrize("same_host", [True, False])
def test_the_tutorials_chat_understands_us_and_we_it(lan: lab.MakeLan, same_host: bool) -> None:
    h1, h2 = lan(2).hosts
    stranger = tutorial(h1 if same_host else h2)
    chat = run(h1, "chat", "--json")
    chat.write("".join(f"{word}\n" for word in WORDS))
    assert stranger.wait_lines(1 + len(WORDS))[1:] == WORDS
    stranger.write("".join(f"{word}\n" for word in WORDS))
    until(lambda: len(texts(chat)) >= len(WORDS))
    assert texts(chat) == WORDS


def test_one_that_shares_its_port_only_after_bind_may_start_first(lan: lab.MakeLan) -> None:
    host = lan(1).hosts[0]
    stranger = tutorial(host, "after")
    chat = run(host, "chat", "--json")
    stranger.write("汉字\n")
    until(lambda: texts(chat) == ["汉字"])
    chat.write("emoji 🎉\n")
    assert stranger.wait_lines(3)[1:] == ["汉字", "emoji 🎉"]  # it hears itself too


@pytest.mark.parametrize("command", ["chat", "listen"])
def test_a_port_that_another_program_keeps_for_itself_is_said_so(lan: lab.MakeLan, command: str) -> None:
    host = lan(1).hosts[0]
    stranger = tutorial(host, "never")
    refused = host.mcast(command, "--plain", input="hello\n")
    assert refused.wait() == 1
    (line,) = refused.stderr.splitlines()
    assert re.search(
        r"230\.0\.0\.1:3000: python \(process \d+\) holds this port and does not share it: .*--port", line
    )
    assert refused.stdout == ""
    # Sending takes no port of the group's: a visitor is heard.
    assert send(host, "hello").returncode == 0
    stranger.wait_for("hello")


def test_a_long_line_arrives_in_pieces_that_are_whole_text(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    line = "ab汉字🎉" * 2000
    chat, other = run(h1, "chat"), run(h2, "listen", "--json")
    chat.write(line + "\n")
    until(lambda: "".join(texts(other)) == line)
    assert max(len(text.encode()) for text in texts(other)) <= 1200


def test_a_small_mtu_makes_smaller_pieces(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    h1.mtu(800)
    chat, other = run(h1, "chat"), run(h2, "listen", "--json")
    chat.write("x" * 2000 + "\n")
    until(lambda: "".join(texts(other)) == "x" * 2000)
    assert max(map(len, texts(other))) <= 752
    assert "not sent" not in chat.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_chat_that_is_interrupted_ends_well_and_leaves(lan: lab.MakeLan, number: int) -> None:
    host = lan(1).hosts[0]
    chat = run(host, "chat", "-g", GROUP)
    assert host.memberships() == {"eth0": {GROUP}}
    chat.signal(number)
    assert chat.wait() == 0
    assert host.memberships() == {}
    assert "Traceback" not in chat.stderr


@pytest.mark.parametrize("keys", ["/quit\r", "exit\r", "\x04", "\x03"])
def test_a_terminal_is_left_in_four_ways(lan: lab.MakeLan, keys: str) -> None:
    terminal = lan(1).hosts[0].mcast_terminal("chat", "--plain")
    terminal.wait_for_screen(PROMPT)
    terminal.type(keys)
    assert terminal.wait() == 0


def test_lines_of_others_never_tear_the_line_being_typed(lan: lab.MakeLan) -> None:
    h1, h2 = lan(2).hosts
    terminal = h1.mcast_terminal("chat", "--plain")
    terminal.wait_for_screen(PROMPT)
    peer = Remote(h2)
    peer("s = sender()")
    other = run(h2, "listen", "--json")
    typed = "a line that takes its time 汉字"
    for number, char in enumerate(typed):
        terminal.type(char)
        peer(f"s.send(b'noise {number}', group('230.0.0.1'))")
    terminal.wait_for_screen(f"noise {len(typed) - 1}")
    terminal.wait_for_screen(re.compile(f"^> {typed.replace('汉字', '汉 ?字')}", re.MULTILINE))
    terminal.type("\r")
    until(lambda: typed in texts(other))
