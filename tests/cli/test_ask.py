"""`mcast ask` and `mcast reply`: every replier answers or is named; private messages reach one peer."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from tests import lab

Pair = tuple[lab.Host, lab.Host]

SERVER = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", {port}))
print("ready", flush=True)
while True:
    message, client = server.recvfrom(2048)
    server.sendto(message.decode().upper().encode(), client)
"""
"""The UDP server of a textbook: it answers in capitals."""
CLIENT = """
import socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(10)
client.sendto("{text}".encode(), ("{host}", {port}))
answer, server = client.recvfrom(2048)
print(answer.decode())
client.close()
"""
"""The UDP client of a textbook: it sends a line and waits for the answer."""


def reply(host: lab.Host, group: str, name: str, *arguments: str) -> lab.Process:
    """Somebody who answers, once in the group."""
    process = host.mcast("reply", "-g", group, "--name", name, "--profile", name, *arguments)
    process.wait_for("answering in", stream="stderr")
    return process


def ask(host: lab.Host, group: str, *arguments: str) -> tuple[int, list[str], str]:
    """Ask; the exit code, the answers, what was said about them."""
    process = host.mcast("ask", "-g", group, "-W", "8s", *arguments)
    return process.wait(), sorted(process.stdout.splitlines()), process.stderr


NETCAT = """
import socket, sys
peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
peer.connect((sys.argv[1], int(sys.argv[2])))
peer.settimeout(10)
peer.send(sys.stdin.buffer.readline())
sys.stdout.buffer.write(peer.recv(65536))
"""


def address_of(host: lab.Host) -> str:
    """Its IPv4 address."""
    return host.address()


def label(line: str) -> str:
    """The name in front of an answer."""
    return line.partition("·")[0]


def test_everybody_who_answers_is_heard(pair: Pair, group: str) -> None:
    code, answers, told = ask(pair[0], group, "anybody?")
    assert (code, answers) == (4, [])
    assert told == "mcast: nobody here answers questions; start one with: mcast reply\n"
    reply(pair[1], group, "bob", "--command", "tr a-z A-Z")
    reply(pair[0], group, "cyd", "--echo")
    start = time.monotonic()
    code, answers, told = ask(pair[0], group, "grüße", "汉字")
    assert time.monotonic() - start < 8.0  # it does not wait longer than for the last answer
    assert (code, told) == (0, "")
    assert [label(line) for line in answers] == ["bob", "cyd"]
    assert [line.split("\t")[1] for line in answers] == ["GRüßE 汉字", "grüße 汉字"]
    assert ask(pair[1], group, "--first", "hi")[0] == 0
    code, answers, told = ask(pair[1], group, "-C", "3", "hi")
    assert (code, len(answers)) == (27, 2)
    assert told == "mcast: 2 of 2 answered\n"


def test_who_does_not_answer_is_named(pair: Pair, group: str) -> None:
    reply(pair[1], group, "ada", "--echo")
    bob = reply(pair[1], group, "bob", "--command", "sleep 60", "--limit", "1m")
    reply(pair[1], group, "cyd", "--command", "false")
    reply(pair[1], group, "dan", "--command", "head -c 10000000 /dev/zero")
    reply(pair[1], group, "eve", "--command", "sleep 60", "--limit", "300ms")
    reply(pair[1], group, "fay", "--command", "sh -c 'kill -9 $$'")
    process = pair[0].mcast("ask", "-g", group, "-W", "8s", "up?")
    assert process.wait() == 27
    assert process.stdout.startswith("ada·")
    summary = process.stderr.splitlines()[-1]
    assert summary.startswith("mcast: 1 of 6 answered; failed: ")
    assert "; silent: bob·" in summary
    for name, why in (
        ("cyd", "ended with exit code 1"),
        ("dan", "the answer is larger than 65536 bytes"),
        ("eve", "no answer within 300ms"),
        ("fay", "was killed by signal 9"),
    ):
        assert any(line.startswith(f"mcast: {name}·") and why in line for line in process.stderr.splitlines())
    assert bob.terminate() == 0  # and with it its command


def test_a_replier_that_is_killed_is_silent(pair: Pair, group: str) -> None:
    reply(pair[1], group, "ada", "--echo")
    bob = reply(pair[1], group, "bob", "--command", "sh -c 'exec sleep 60 2>/dev/null'")
    asking = pair[0].mcast("ask", "-g", group, "-W", "4s", "up?")
    asking.wait_for("ada", stream="stdout")
    bob.signal(9)
    assert asking.wait() == 27
    assert "1 of 2 answered; silent: bob·" in asking.stderr


def test_an_answer_has_as_many_bytes_as_a_message(pair: Pair, group: str) -> None:
    reply(pair[1], group, "bob", "--command", "head -c 65536 /dev/zero")
    process = pair[0].mcast("ask", "-g", group, "-W", "8s", "--json", "give me all")
    assert process.wait() == 0
    (line,) = process.stdout.splitlines()
    event = json.loads(line)
    assert (event["type"], event["text"], event["from"]["name"]) == ("reply", "\0" * 65536, "bob")


def test_questions_for_others_are_declined(pair: Pair, group: str) -> None:
    reply(pair[1], group, "bob", "--match", "temp*", "--command", "echo 21.5")
    code, answers, told = ask(pair[0], group, "temperature")
    assert (code, answers[0].split("\t")[1], told) == (0, "21.5", "")
    code, answers, told = ask(pair[0], group, "humidity")
    assert (code, answers) == (4, [])
    assert told == "mcast: the question is for none of the 1 that answer questions here\n"
    process = pair[0].mcast("ask", "-g", group, "--json", "humidity")
    assert process.wait() == 4
    assert json.loads(process.stdout)["declined"] is True


def test_a_command_knows_who_asks(pair: Pair, group: str) -> None:
    command = "sh -c 'cat; echo \" $MCAST_EVENT $MCAST_GROUP $MCAST_FROM\"'"
    bob = reply(pair[1], group, "bob", "-C", "1", "--json", "--command", command)
    code, answers, _ = ask(pair[0], group, "--name", "ada", "q")
    assert code == 0
    text = answers[0].split("\t")[1]
    assert text.startswith(f"q question {group} ")
    assert text.endswith(" ada")
    assert bob.wait() == 0  # after one answer, which has arrived
    event = json.loads(bob.stdout)
    assert (event["type"], event["text"], event["from"]["name"]) == ("question", "q", "ada")


def test_late_answers_are_shown_as_late(pair: Pair, group: str) -> None:
    reply(pair[1], group, "bob", "--command", "sleep 1.15")
    process = pair[0].mcast("ask", "-g", group, "-W", "1s", "--json", "up?")
    assert process.wait() == 27
    events = [json.loads(line) for line in process.stdout.splitlines()]
    assert [event.get("late") for event in events] in ([], [True])  # the machine may be slow


def test_a_person_answers_at_a_terminal(pair: Pair, group: str) -> None:
    bob = pair[1].terminal([sys.executable, "-m", "mcast", "reply", "-g", group, "--name", "bob"])
    bob.wait_for_screen("answering in")
    asking = pair[0].mcast("ask", "-g", group, "-W", "20s", "lunch?")
    bob.wait_for_screen("lunch")
    bob.type("at noon\r")
    assert asking.wait() == 0
    assert asking.stdout.split("\t")[1] == "at noon\n"
    refused = pair[1].mcast("reply", "-g", group, input="")
    assert refused.wait() == 2
    assert "nothing to answer with" in refused.stderr


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["ask"], "Missing argument"),
        (["ask", "--first", "--all", "x"], "--first and --all cannot be used together"),
        (["ask", "--plain", "nowhere", "x"], "is not a server"),
        (["ask", "--plain", "127.0.0.1:99999", "x"], "is not a server"),
        (["reply", "--echo", "--command", "cat"], "cannot be used together"),
        (["reply", "--command", "no-such-program"], "not found"),
        (["reply", "--command", ""], "--command has no command"),
        (["reply", "--command", "'"], "close the quotes"),
        (["send", "--to", "bob", "--wait-acks", "1", "x"], "--to cannot be used with --wait-acks"),
        (["send", "--to", "bob", "--plain", "x"], "--plain cannot be used with --to"),
    ],
)
def test_wrong_usage_is_one_line(here: lab.Host, command: list[str], says: str) -> None:
    process = here.mcast(*command)
    assert process.wait() == 2
    assert says in process.stderr
    assert process.stderr.count("\n") == 1


def test_textbook_clients_get_answers(pair: Pair, group: str) -> None:
    port = int(group.split(":")[1])
    replier = pair[1].mcast("reply", "--plain", "-g", group, "--command", "tr a-z A-Z", "-v")
    replier.wait_for("answering in", stream="stderr")
    address = address_of(pair[1])
    for text in ("hello", "汉字 ok"):
        client = pair[0].spawn([sys.executable, "-c", CLIENT.format(text=text, host=address, port=port)])
        assert client.wait() == 0
        assert client.stdout == f"{text.upper()}\n"
    # What `nc -u` does: its socket is connected, so it hears nobody but that address and port.
    netcat = pair[0].spawn([sys.executable, "-c", NETCAT, address, str(port)], input="by netcat\n")
    assert netcat.wait() == 0
    assert netcat.stdout == "BY NETCAT\n"
    group_client = CLIENT.format(text="to the group", host="230.0.0.1", port=port)
    client = pair[0].spawn([sys.executable, "-c", group_client])
    assert client.wait() == 0
    assert client.stdout == "TO THE GROUP\n"


def test_two_plain_repliers_do_not_answer_each_other(pair: Pair, group: str) -> None:
    port = int(group.split(":")[1])
    repliers = [host.mcast("reply", "--plain", "-g", group, "--echo", "-v") for host in pair]
    for replier in repliers:
        replier.wait_for("answering in", stream="stderr")
    # As if one had asked the other: from its port.
    code = f"""
import socket
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
asker.sendto(b"hi", ("{address_of(pair[1])}", {port}))
asker.settimeout(10)
print(asker.recv(99).decode())
"""
    client = pair[0].spawn([sys.executable, "-c", code])
    assert client.wait() == 0
    assert client.stdout == "hi\n"
    time.sleep(0.3)
    assert sum(replier.stderr.count(": hi") for replier in repliers) == 1


def test_a_textbook_server_is_asked(pair: Pair, group: str) -> None:
    port = int(group.split(":")[1])
    server = pair[1].spawn([sys.executable, "-c", SERVER.format(port=port)])
    server.wait_for("ready", stream="stdout")
    where = f"{address_of(pair[1])}:{port}"
    asking = pair[0].mcast("ask", "--plain", where, "grüße", "all")
    assert (asking.wait(), asking.stdout, asking.stderr) == (0, f"{where}\tGRÜSSE ALL\n", "")
    asking = pair[0].mcast("ask", "--plain", where, "--json", "hi")
    assert asking.wait() == 0
    event = json.loads(asking.stdout)
    assert (event["type"], event["text"], event["plain"], event["source"]) == ("reply", "HI", True, where)
    server.signal(9)
    asking = pair[0].mcast("ask", "--plain", f"{address_of(pair[1])}:{port + 1}", "-W", "500ms", "hi")
    assert asking.wait() in (1, 27)
    assert "answer" in asking.stderr
    assert asking.stderr.count("\n") == 1


def test_plain_questions_are_not_asked_with_a_key(here: lab.Host) -> None:
    process = here.mcast("ask", "--plain", "127.0.0.1:9", "x", env={"MCAST_KEY": "0" * 64})
    assert process.wait() == 2
    assert "a key is set" in process.stderr


def test_a_private_message_reaches_one_peer(pair: Pair, group: str) -> None:
    bob = pair[1].mcast("listen", "-g", group, "--name", "bob", "--json", "-C", "3")
    cyd = pair[1].mcast("listen", "-g", group, "--name", "cyd", "--profile", "cyd", "--json")
    for process in (bob, cyd):
        process.wait_for("listening to", stream="stderr")
    sent = pair[0].mcast("send", "-g", group, "--to", "bob", "for you", "--name", "ada")
    assert (sent.wait(), sent.stderr) == (0, "")
    sent = pair[0].mcast("send", "-g", group, "--to", "bob", "-l", input="x" * 65536 + "\nlast\n")
    assert (sent.wait(), sent.stderr) == (0, "")
    assert bob.wait() == 0
    messages = [json.loads(line) for line in bob.stdout.splitlines()]
    texts = [(one["text"][:10], one["private"]) for one in messages if one["type"] == "message"]
    assert texts == [("for you", True), ("x" * 10, True), ("last", True)]
    assert cyd.interrupt() == 0
    assert '"type":"message"' not in cyd.stdout


def test_whom_a_private_message_does_not_reach_is_told(pair: Pair, group: str) -> None:
    sent = pair[0].mcast("send", "-g", group, "--to", "bob", "for you")
    assert sent.wait() == 4
    assert sent.stderr == "mcast: nobody here is called 'bob': look with: mcast browse -t\n"
    cyd = pair[0].mcast("announce", "-g", group, "--name", "cyd", "--profile", "cyd")
    cyd.wait_for("announcing in", stream="stderr")
    announce = ["announce", "-g", group, "--name", "bob", "--profile"]
    bobs = [pair[1].mcast(*announce, profile) for profile in ("b1", "b2")]
    for bob in bobs:
        bob.wait_for("announcing in", stream="stderr")
    cyd.wait_lines(2)  # it has heard both, and so tells the sender of them
    sent = pair[0].mcast("send", "-g", group, "--to", "bob", "for you")
    assert sent.wait() == 2
    assert sent.stderr.startswith("mcast: 'bob' can be bob·")
    named = sent.stderr.split("can be ")[1].split(",")[0]
    bobs[0].signal(19)  # stopped: it confirms nothing
    bobs[1].signal(19)
    sent = pair[0].mcast("send", "-g", group, "--to", named, "--linger", "500ms", "for you")
    assert sent.wait() == 27
    assert sent.stderr == f"mcast: {named} did not confirm the message\n"
    for bob in bobs:
        bob.signal(18)


def test_thirty_answer(pair: Pair, group: str, tmp_path: Path) -> None:
    """Thirty real repliers on two hosts; their answers come together."""
    program = tmp_path / "repliers.py"
    program.write_text(
        f"""
import asyncio, sys
from mcast import aio
async def one(number, others):
    group = aio.join({group!r}, name=f"r{{number}}")
    group.on_ask(lambda question: (question.text + str(number)) * 100)
    async with group:
        while len(group.peers()) < others:
            await asyncio.sleep(0.1)
        print("ready", flush=True)
        await asyncio.sleep(600)
async def all(first):
    await asyncio.gather(*(one(number, first + 14) for number in range(first, first + 15)))
asyncio.run(all(int(sys.argv[1])))
"""
    )
    for host, first in zip(pair, ("0", "15"), strict=True):
        repliers = host.spawn([sys.executable, str(program), first], cwd=str(lab.REPOSITORY))
        repliers.wait_lines(15, 60)  # all who are here know each other
    asker = """
import asyncio, sys
from mcast import aio
async def main():
    async with aio.join(sys.argv[1], name="ada") as group:
        async with asyncio.timeout(60):
            while sum(peer.answers for peer in group.peers()) < 30:
                await asyncio.sleep(0.1)
        answers = await group.ask("q", timeout=20)
        print(len(answers.silent), *sorted(answer.name for answer in answers))
asyncio.run(main())
"""
    process = pair[0].spawn([sys.executable, "-c", asker, group])
    assert process.wait(90) == 0
    silent, *names = process.stdout.split()
    assert silent == "0"
    assert set(names) == {f"r{number}" for number in range(30)}


def test_the_port_of_plain_questions_may_be_taken(here: lab.Host, group: str) -> None:
    port = int(group.split(":")[1])
    holder = here.spawn(
        [
            sys.executable,
            "-c",
            f"import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
            f"s.bind(('{address_of(here)}', {port})); print('ready', flush=True); time.sleep(60)",
        ]
    )
    holder.wait_for("ready", stream="stdout")
    replier = here.mcast("reply", "--plain", "-g", group, "--echo")
    replier.wait_for("is taken: only questions to the group are answered", stream="stderr")


def test_a_reader_that_ends_early_is_no_error(pair: Pair, group: str) -> None:
    for name in ("ada", "bob", "cyd"):
        reply(pair[1], group, name, "--echo")
    line = f"set -euo pipefail; {sys.executable} -m mcast ask -g {group} -W 8s hi | head -1"
    shell = pair[0].spawn(["bash", "-c", line])
    assert shell.wait() == 0
    assert (shell.stdout.count("\n"), shell.stderr) == (1, "")


def test_commands_that_show_no_messages_show_private_ones(pair: Pair, group: str) -> None:
    bob = reply(pair[1], group, "bob", "--echo")
    cyd = pair[1].mcast("announce", "-g", group, "--name", "cyd", "--profile", "cyd")
    cyd.wait_for("announcing in", stream="stderr")
    for process, name in ((bob, "bob"), (cyd, "cyd")):
        sent = pair[0].mcast("send", "-g", group, "--to", name, "--name", "ada", "psst \x1b[31m")
        assert (sent.wait(), sent.stderr) == (0, "")
        process.wait_for(r"(private): psst \x1b[31m", stream="stderr")


ASKER = """
import asyncio, sys
from mcast import aio
async def main():
    async with aio.join(sys.argv[1], name="ada") as group:
        async with asyncio.timeout(30):
            while not any(peer.answers for peer in group.peers()):
                await asyncio.sleep(0.1)
        answers = await group.ask("up?", timeout=20)
        print(len(answers), [len(answer.data) for answer in answers])
asyncio.run(main())
"""


@pytest.mark.parametrize("walled", [0, 1])
def test_where_unicast_is_dropped_answers_come_through_the_group(pair: Pair, group: str, walled: int) -> None:
    reply(pair[1], group, "bob", "--command", "head -c 20000 /dev/zero")
    rules = ["ip daddr != 224.0.0.0/4 meta l4proto udp drop", "ip6 daddr != ff00::/8 meta l4proto udp drop"]
    wall = pair[walled].firewall(*rules)
    try:
        process = pair[0].spawn([sys.executable, "-c", ASKER, group])
        assert (process.wait(60), process.stdout) == (0, "1 [20000]\n")
        # Visitors are not told who is here: they have to ask, and hear no answer that is for them alone.
        visitor = pair[0].mcast("ask", "-g", group, "-W", "25s", "up?")
        assert visitor.wait(60) == 0, visitor.stderr
        assert visitor.stdout.startswith("bob·")
        lab.snapshot(
            pair[0].mcast, "browse", "-g", group, "-t", complete=lambda seen: "\tbob\t" in seen.stdout
        )
    finally:
        wall.remove()


def test_msg_in_a_chat_speaks_to_one(pair: Pair, group: str) -> None:
    bob = pair[1].mcast("chat", "-g", group, "--name", "bob")
    cyd = pair[1].mcast("chat", "-g", group, "--name", "cyd", "--profile", "cyd")
    for process in (bob, cyd):
        process.wait_for("chatting in", stream="stderr")
    chat = [sys.executable, "-m", "mcast", "chat", "-g", group, "--name", "ada"]
    terminal = pair[0].terminal(chat, columns=120)
    terminal.wait_for_screen("chatting in")
    for process in (bob, cyd):
        process.wait_for("ada", stream="stderr")  # they know each other
    terminal.type("/msg bob psst  汉字\r")
    bob.wait_for("(private): psst  汉字\n", stream="stdout")
    terminal.wait_for_screen("you to bob·")
    for typed, says in (
        ("/msg zoe hello", "nobody here is called 'zoe'"),
        ("/msg bob", "/msg needs a name and a text"),
        ("\x1b[200~one\n/msg bob two\x1b[201~", "a line after the first begins with /msg"),
    ):
        terminal.type(f"{typed}\r")
        terminal.wait_for_screen(says)
    terminal.type("to all\r")
    cyd.wait_for(": to all\n", stream="stdout")
    assert [line.split(": ")[-1] for line in cyd.lines()] == ["to all"]
    terminal.type("/quit\r")
    assert terminal.wait() == 0
