"""`mcast gateway`: the clients of textbooks, nc, telnet and a browser's requests in one room with members."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from tests import lab
from tests.lan.programs.phones import XSS

Pair = tuple[lab.Host, lab.Host]

CHAT_CLIENT = """
import socket, sys, threading
client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
client.connect((sys.argv[1], int(sys.argv[2])))
def receive():
    while True:
        try:
            message = client.recv(1024).decode()
            if not message:
                break
            print(message, flush=True)
        except OSError:
            break
threading.Thread(target=receive, daemon=True).start()
while True:
    line = sys.stdin.readline()
    if not line:
        break
    client.send(line.strip().encode())
client.close()
"""
"""The TCP chat client of a textbook: it prints what comes and sends bare lines, without newline."""
LINE_CLIENT = (
    CHAT_CLIENT.replace(
        "def receive", "reader = client.makefile(encoding='utf-8', newline='\\n')\ndef receive"
    )
    .replace("client.recv(1024).decode()", "reader.readline().rstrip()")
    .replace("line.strip()", "line")
)
"""The same with whole lines: 1,024 bytes at a time tear a line, and a torn letter ends the textbook's."""
ECHO_CLIENT = """
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
client.connect((sys.argv[1], int(sys.argv[2])))
for text in ("hello, world", "你好 世界", "x" * 1000):
    client.sendall(text.encode())
    data = b""
    while len(data) < len(text.encode()):
        data += client.recv(1024)
    print(data.decode() == text, flush=True)
client.close()
"""
"""The TCP echo client of a textbook."""
FLOOD = """
import socket, sys, time
idle = socket.create_connection((sys.argv[1], int(sys.argv[2])))
idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
time.sleep(1)
rude = socket.create_connection((sys.argv[1], int(sys.argv[2])))
rude.sendall(b"x" * 70000 + b"\\n\\xff\\xfb\\x18\\x1b[31mred\\xff\\xfa\\x01\\xff\\xf0\\n/nick bob\\n/nope\\n")
print("rude", flush=True)
sys.stdin.readline()
got = b""
while b"too slowly" not in got:
    got += idle.recv(65536)
print("told", flush=True)
"""
"""One guest who does not read until it is told to, and one who sends what nobody should."""


def gateway(host: lab.Host, group: str, *arguments: str) -> tuple[lab.Process, list[str]]:
    """A gateway, and where its doors are."""
    process = host.mcast("gateway", *arguments, "-g", group)
    doors = sum(argument in ("lines", "web") for argument in arguments)
    process.wait_lines(doors)
    return process, [line.split()[1] for line in process.stdout.splitlines()]


def texts(process: lab.Process) -> list[tuple[str, str]]:
    """Who said what, as `listen --json` printed it."""
    found = [json.loads(line) for line in process.stdout.splitlines()]
    return [(one["from"]["name"], one["text"]) for one in found if one["type"] == "message"]


def test_textbook_client_nc_telnet_and_members_talk(pair: Pair, group: str) -> None:
    h1, h2 = pair
    member = h2.mcast("listen", "-g", group, "--json", "--name", "bob", "--last", "1")
    member.wait_for("listening", stream="stderr")
    gate, (address,) = gateway(h1, group, "lines", "--listen", "10.9.0.1:3000")
    gate.wait_for("WARNING: whoever can reach 10.9.0.1:3000 can read and write", stream="stderr")
    host, port = address.split(":")
    textbook = h2.spawn([sys.executable, "-u", "-c", CHAT_CLIENT, host, port])
    textbook.wait_for("you are guest 1, a guest of gate")
    netcat = h2.terminal(["nc", host, port])
    netcat.wait_for_screen("you are guest 2")
    telnet = h1.terminal(["telnet", host, port])
    telnet.wait_for_screen("you are guest 3")

    textbook.write("你好 from the book\n")
    netcat.wait_for_screen("guest 1 (guest): 你好 from the book")
    netcat.type("/nick ada\n")
    netcat.wait_for_screen("you are ada now")
    netcat.type("hello from nc\n")
    telnet.wait_for_screen("ada (guest): hello from nc")
    telnet.type("hello from telnet\r")
    textbook.wait_for("guest 3 (guest): hello from telnet")
    assert h2.mcast("send", "-g", group, "--name", "eve", "two\nlines \x1b[31m").wait() == 0
    textbook.wait_for(re.compile(r"eve·\w+: two\n  lines \\x1b\[31m"))
    member.wait_for("hello from telnet")
    assert texts(member)[:3] == [
        ("guest 1 via gate", "你好 from the book"),
        ("ada via gate", "hello from nc"),
        ("guest 3 via gate", "hello from telnet"),
    ]
    assert '"via":{"guest":"ada"}' in member.stdout
    netcat.type("/who\n")
    netcat.wait_for_screen("ada (guest), guest 1 (guest), guest 3 (guest)")
    telnet.type("/quit\r")
    assert telnet.wait() is not None
    # A gateway lets nothing back in that it let through.
    other, (second,) = gateway(h2, group, "lines", "--listen", "127.0.0.1:0", "--name", "gate2")
    through = h2.spawn([sys.executable, "-u", "-c", CHAT_CLIENT, *second.split(":")])
    through.wait_for("a guest of gate2")
    textbook.write("once\n")
    through.wait_for("guest 1 via gate·")
    through.write("and once more\n")
    textbook.wait_for("guest 1 via gate2·")
    # With a fifth of all datagrams lost, every guest gets each message once.
    one, three = (h2.spawn([sys.executable, "-u", "-c", LINE_CLIENT, host, port]) for _ in range(2))
    two, four = (h2.spawn([sys.executable, "-u", "-c", LINE_CLIENT, *second.split(":")]) for _ in range(2))
    for guest, its in ((one, "gate"), (three, "gate"), (two, "gate2"), (four, "gate2")):
        guest.wait_for(f"a guest of {its};")
    for lossy in (h1, h2):
        lossy.loss(20)
    lines = [f"{number} of many" for number in range(20)]
    for line in lines:
        one.write(f"{line} from one\n")
        two.write(f"{line} from two\n")
    for guest, there in ((one, "two"), (three, "two"), (two, "one"), (four, "one")):
        guest.wait_for(f"19 of many from {there}")
    for lossy in (h1, h2):
        lossy.loss(0)
    for guest, there in ((one, "two"), (three, "two"), (two, "one"), (four, "one")):
        assert re.findall(f"via gate.*: (.*) from {there}", guest.stdout) == lines
    assert gate.interrupt() == 0
    textbook.wait_for("the gateway closes")
    assert other.interrupt() == 0
    assert [text for _, text in texts(member)].count("once") == 1


def test_rude_and_slow_guests_do_not_disturb_others(pair: Pair, group: str) -> None:
    h1, h2 = pair
    _, (address,) = gateway(h1, group, "lines", "--listen", "10.9.0.1:3001")
    host, port = address.split(":")
    guest = h2.spawn([sys.executable, "-u", "-c", LINE_CLIENT, host, port])
    guest.wait_for("you are guest 1")
    rude = h2.spawn([sys.executable, "-u", "-c", FLOOD, host, port])
    rude.wait_for("rude")
    guest.wait_for("guest 3 (guest): \\x1b[31mred")
    flood = "".join(f"{number} {'x' * 2000}\n" for number in range(800))
    # On a busy machine a guest is told that it reads too slowly, and misses the last lines of the flood.
    for lines in (flood, "the end\n"):
        assert h2.mcast("send", "-g", group, "--name", "eve", "-l", input=lines).wait(120.0) == 0
    guest.wait_for("the end", timeout=60.0)
    rude.write("\n")
    rude.wait_for("told", timeout=60.0)


def test_the_echo_client_of_a_textbook(here: lab.Host) -> None:
    server = here.mcast("gateway", "lines", "--echo", "--listen", "127.0.0.1:3002")
    server.wait_lines(1)
    client = here.spawn([sys.executable, "-u", "-c", ECHO_CLIENT, "127.0.0.1", "3002"])
    assert client.wait() == 0
    assert client.stdout.split() == ["True"] * 3
    taken = here.mcast("gateway", "lines", "--echo", "--listen", "127.0.0.1:3002")
    assert taken.wait() == 1
    assert "TCP port 3002 is taken by another program: choose another one with --listen" in taken.stderr
    assert server.interrupt() == 0


def test_what_cannot_be_opened_is_said(here: lab.Host, group: str, tmp_path: Path) -> None:
    for arguments, words in (
        (["door"], "there is no door 'door'"),
        (["lines", "lines"], "a door is named twice"),
        (["web", "--echo"], "--echo is for lines only"),
        (["lines", "--listen", "10.77.0.1:3000", "-g", group], "'10.77.0.1' is no address of this computer"),
        (["lines", "--listen", ":1", "-g", group], "names no address to listen on"),
    ):
        process = here.mcast("gateway", *arguments)
        assert process.wait() == 2, process.stderr
        assert words in process.stderr
        assert process.stderr.count("\n") <= 2
    key = tmp_path / "key"
    key.write_text("11" * 32)
    key.chmod(0o600)
    keyed = here.mcast("gateway", "lines", "-g", group, "--key-file", str(key))
    assert keyed.wait() == 2
    assert "this room has a key, and guests would read and write in it without" in keyed.stderr


def test_pages_of_guests_come_and_go(pair: Pair, group: str) -> None:
    """What a browser asks for, from tests/lan/programs/web_guest.py: it checks each answer."""
    h1, h2 = pair
    member = h1.mcast("listen", "-g", group, "--json", "--name", "bob", "--last", "1")
    member.wait_for("listening", stream="stderr")
    gate, (link,) = gateway(h1, group, "web", "--listen", "10.9.0.1:8080")
    assert link.startswith("http://10.9.0.1:8080/#k=")
    gate.wait_for(re.compile("needs the PIN [0-9]{6}"), stream="stderr")
    pin = gate.stderr.split("needs the PIN ")[1][:6]
    guest = h2.spawn([sys.executable, "-m", "tests.lan.programs.web_guest", link, pin])
    guest.wait_for("ready", timeout=60.0)
    assert h1.mcast("send", "-g", group, "--name", "eve", "<b>hi</b>").wait() == 0
    assert guest.wait(60) == 0, guest.stdout + guest.stderr
    member.wait_for("report.txt")
    said = texts(member)
    assert said[0] == ("iada via gate", "<script>alert(1)</script>")
    assert said[-1][1].startswith("report.txt (5.0 kB): http://10.9.0.1:8080/file/")
    assert gate.interrupt() == 0


def test_two_phones_and_a_member_talk(pair: Pair, group: str, tmp_path: Path) -> None:
    """Real pages in a headless Chromium, from tests/lan/programs/phones.py."""
    h1, h2 = pair
    member = h1.mcast("announce", "-g", group, "--name", "eve")
    member.wait_for("announcing in", stream="stderr")
    listen = ("web", "--listen", "10.9.0.1:8081", "--profile", "phones")
    gate, (link,) = gateway(h1, group, *listen)
    phones = h2.spawn([sys.executable, "-m", "tests.lan.programs.phones", link, str(tmp_path)])
    phones.wait_lines(1, 100.0)
    assert h1.mcast("send", "-g", group, "--name", "eve", XSS).wait() == 0
    phones.wait_lines(2, 60.0)
    gate.signal(9)
    gate.wait()
    again, (same,) = gateway(h1, group, *listen)
    assert same == link
    assert phones.wait(90.0) == 0, phones.stdout + phones.stderr
    assert (tmp_path / "phone.png").read_bytes().startswith(b"\x89PNG")
    assert again.interrupt() == 0
