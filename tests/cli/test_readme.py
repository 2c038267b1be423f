"""README.md and the user pages are true: every command in them runs, on a LAN with other people, and does
what it says.

Each line of a `sh` block has its case in CASES, each `python` block its case in PROGRAMS. A new one without a
case fails, and so does a case that no page has any more. `toml`, `text` and `json` blocks are used or made
again too. What needs no network to be checked is in tests/unit/test_documents.py.
"""

from __future__ import annotations

import configparser
import contextlib
import json
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import mcast
from tests import lab
from tests.cli import test_scripts

ROOT = lab.REPOSITORY
README = ROOT / "README.md"
SCRIPTS, SETTINGS = ROOT / "docs" / "scripts.md", ROOT / "docs" / "settings.md"
TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"
PAGES = [
    README,
    ROOT / "CONTRIBUTING.md",
    *(
        ROOT / "docs" / f"{name}.md"
        for name in ("chat", "files", "gateway", "keyed-rooms", "python", "security", "troubleshooting")
    ),
    SCRIPTS,
    SETTINGS,
]
CHINESE = ROOT / "docs" / "README.zh.md"
IDENTITY = r"·[0-9a-f]{4}(/\d+)?"
KNOWN_BLOCKS = {"sh", "python", "toml", "ini", "json message"}
KNOWN_BLOCKS |= {f"text {kind}" for kind in ("chat", "lines", "interfaces", "stats", "doctor")}

pytestmark = pytest.mark.lan


def blocks(file: Path) -> list[tuple[str, str]]:
    """The fenced blocks: what stands behind the fence, and the text."""
    return re.findall(r"^```([^\n]*)\n(.*?)^```$", file.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def of_kind(file: Path, kind: str) -> list[str]:
    return [text for name, text in blocks(file) if name == kind]


def commands(*files: Path) -> list[str]:
    """Each line of the `sh` blocks, once."""
    texts = [text for file in files for text in of_kind(file, "sh")]
    return list(dict.fromkeys(line for text in texts for line in text.splitlines() if line.strip()))


def programs(*files: Path) -> list[str]:
    """Each `python` block, once."""
    return list(dict.fromkeys(code for file in files for code in of_kind(file, "python")))


class Scene:
    """h1 is the reader's computer. On h2 bob chats, by the protocol and in plain text; h3 is for others."""

    def __init__(self, lan: lab.Lan) -> None:
        self.lan = lan
        self.reader, self.other, self.third = lan.hosts
        self.directory = self.reader.home / "mcast"
        for folder in ("scripts", "bin"):
            (self.directory / folder).mkdir(parents=True)
            test_scripts.write_command(
                self.directory / folder / "mcast", f'exec {sys.executable} -m mcast "$@"'
            )
        (self.directory / "notes.txt").write_text("from a file")
        self.bob = self.other.mcast("chat", "--name", "bob")
        self.plain_bob = self.other.mcast("chat", "--plain", "--group", "230.0.0.1")
        for process in (self.bob, self.plain_bob):
            process.wait_for("chatting in", stream="stderr")

    def start(self, command: str, *, input: str | None = None) -> lab.Process:
        """The reader types a command; input and output are pipes."""
        return self.reader.spawn(
            ["bash", "-c", command], input=input, env=self._path(), cwd=str(self.directory)
        )

    def type(self, command: str) -> lab.Terminal:
        """The reader types a command on a terminal."""
        return self.reader.terminal(["bash", "-c", command], env=self._path(), cwd=str(self.directory))

    def _path(self) -> dict[str, str]:
        return {"PATH": f"{self.directory}/bin:{self.reader.environment()['PATH']}"}

    def joined(self, *arguments: str) -> lab.Process:
        """Somebody else on the third computer, once he is in the group."""
        process = self.third.mcast(*arguments)
        process.wait_for(" on eth0", stream="stderr")
        return process

    def bob_has_said(self, text: str) -> None:
        """Bob says it, and has said it for so long that a newcomer gets it as history."""
        self.bob.write(f"{text}\n")
        witness = self.joined("listen", "--last", "100")
        witness.wait_for(text, stream="stdout")
        assert witness.interrupt() == 0


@pytest.fixture(scope="module")
def made() -> Iterator[Scene]:
    if lacking := lab.missing():
        pytest.skip("a LAN in namespaces needs " + ", ".join(lacking))
    with lab.Lan(3) as lan:
        yield Scene(lan)


@pytest.fixture
def scene(made: Scene) -> Iterator[Scene]:
    """The scene; what the test started in it ends with the test."""
    before = len(made.lan.running)
    yield made
    for process in made.lan.running[before:]:
        if process.poll() is None:
            process.terminate()
    for process in made.lan.running[before:]:
        with contextlib.suppress(lab.LabTimeout):
            process.wait(5.0)  # it says goodbye: the next test does not meet it
        process.close()
    del made.lan.running[before:]


Case = Callable[[Scene, str], None]


def elsewhere(name: str) -> Case:
    """The command is run by a test in test_scripts.py, which installs."""

    def case(scene: Scene, command: str) -> None:
        assert callable(getattr(test_scripts, name))

    return case


def chats(with_whom: list[str] | None = None, name: str = "", *, plain: bool = False) -> Case:
    """A chat on a terminal: what is typed arrives, an answer appears, /quit ends it with 0.

    `with_whom`: arguments of a chat that must hear it while bob does not.
    """

    def case(scene: Scene, command: str) -> None:
        bob = scene.plain_bob if plain else scene.bob
        hearer = scene.joined(*with_whom) if with_whom else bob
        terminal = scene.type(command)
        terminal.wait_for_screen("chatting in")
        text = f"typed into {command}"
        terminal.type(f"{text}\r")
        sender = r"10\.9\.0\.1:\d+" if plain else rf"{name}[^ ]*{IDENTITY}"
        hearer.wait_for(re.compile(rf"\d\d:\d\d:\d\d {sender}: {re.escape(text)}"), stream="stdout")
        hearer.write("an answer\n")
        terminal.wait_for_screen("an answer")
        terminal.type("/quit\r")
        assert terminal.wait() == 0
        assert hearer is bob or text not in bob.stdout

    return case


def chats_after_history(scene: Scene, command: str) -> None:
    """A chat on a terminal shows what was said before it came."""
    scene.bob_has_said("said before the chat")
    terminal = scene.type(command)
    terminal.wait_for_screen(re.compile(r"\(history\): said before the chat"))
    terminal.type("/quit\r")
    assert terminal.wait() == 0


def chats_in_a_pipe(scene: Scene, command: str) -> None:
    assert scene.start(command).wait() == 0
    scene.bob.wait_for(re.compile(rf"{IDENTITY}: first line\n\d\d:\d\d:\d\d \S+{IDENTITY}: second line"))


def sends(*texts: str) -> Case:
    """Others get `texts` (regular expressions), the sender learns that they did: at one of three times, as on
    a slow machine some confirm too late.
    """

    def case(scene: Scene, command: str) -> None:
        assert any(all_confirm(scene, command, texts) for _ in range(3))

    return case


UNCONFIRMED = re.compile(
    r"mcast: (nobody confirmed that they heard it|\d+ peers? confirmed, .+ did not)"
    r"(; raise --linger to wait longer)?\n"
)


def all_confirm(scene: Scene, command: str, texts: Sequence[str]) -> bool:
    """What is sent is heard; whether the sender learnt in time that everybody heard it."""
    listener = scene.joined("listen")
    sender = scene.start(command)
    code = sender.wait()
    lines = listener.wait_lines(len(texts))
    assert len(lines) == len(texts), lines
    assert [line for line, text in zip(lines, texts, strict=True) if not re.fullmatch(text, line)] == []
    assert listener.interrupt() == 0
    assert all(one["type"] in ("ack", "missing") for one in sender.objects())
    if UNCONFIRMED.fullmatch(sender.stderr):
        return False
    assert (code, sender.stderr) == (0, "")
    return True


def sends_plain(scene: Scene, command: str) -> None:
    sender = scene.start(command)
    assert (sender.wait(), sender.stderr) == (0, "")
    scene.plain_bob.wait_for(re.compile(r" 10\.9\.0\.1:\d+: hello, thirty lines\n"))


def sends_in_private(scene: Scene, command: str) -> None:
    third = scene.joined("listen", "--json")
    sender = scene.start(command)
    assert (sender.wait(), sender.stdout, sender.stderr) == (0, "", "")
    scene.bob.wait_for(re.compile(rf"{IDENTITY} \(private\): the door code is 4711\n"), stream="stdout")
    assert third.interrupt() == 0
    assert "4711" not in third.stdout


def replies(scene: Scene, command: str) -> None:
    test_scripts.write_command(scene.directory / "free-space.sh", "echo 42 GB")
    replier = scene.start(command)
    replier.wait_for("answering in", stream="stderr")
    asker = scene.third.mcast("ask", "-W", "8s", "how much?")
    assert (asker.wait(), asker.stderr) == (0, "")
    assert re.fullmatch(r"nas·[0-9a-f]{4}\t42 GB\n", asker.stdout)
    assert replier.interrupt() == 0


def asks(printed: str) -> Case:
    """Somebody on the third computer answers."""

    def case(scene: Scene, command: str) -> None:
        scene.joined("reply", "--name", "nas", "--command", "echo 42 GB")
        asker = scene.start(command)
        assert (asker.wait(), asker.stderr) == (0, "")
        assert re.fullmatch(printed, asker.stdout)

    return case


def asks_for_a_variable(scene: Scene, command: str) -> None:
    scene.joined("reply", "--name", "nas", "--command", "echo 42 GB")
    shell = scene.start(f'{command}; printf "got %s" "$best"')
    assert (shell.wait(), shell.stdout) == (0, "got 42 GB")


UDP_CLIENT = """
import socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(10)
client.sendto("thirty lines".encode(), ("10.9.0.1", 3000))
print(client.recvfrom(2048)[0].decode())
"""
UDP_SERVER = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("10.9.0.2", 3000))
print("ready", flush=True)
message, client = server.recvfrom(2048)
server.sendto(message.decode().upper().encode(), client)
"""


def replies_plain(scene: Scene, command: str) -> None:
    replier = scene.start(command)
    replier.wait_for("answering in", stream="stderr")
    client = scene.third.python(UDP_CLIENT)
    assert (client.wait(), client.stdout) == (0, "thirty lines\n")
    assert replier.interrupt() == 0


def asks_a_textbook_server(scene: Scene, command: str) -> None:
    scene.other.python(UDP_SERVER).wait_for("ready", stream="stdout")
    asker = scene.start(command)
    assert (asker.wait(), asker.stderr) == (0, "")
    assert asker.stdout == "10.9.0.2:3000\tHELLO, THIRTY LINES\n"


def listens(printed: str, *, plain: bool = False, ends: bool = False) -> Case:
    """What bob says is printed as `printed` (a regular expression); Ctrl-C ends it with 0, or it `ends`."""

    def case(scene: Scene, command: str) -> None:
        listener = printing(scene, command, printed, plain=plain)
        assert (listener.wait() if ends else listener.interrupt()) == 0

    return case


def printing(scene: Scene, command: str, printed: str, *, plain: bool = False) -> lab.Process:
    """The command, once it has printed what bob says."""
    listener = scene.start(command)
    listener.wait_for(" on eth0", stream="stderr")
    (scene.plain_bob if plain else scene.bob).write("to all who listen\n")
    listener.wait_for(re.compile(printed), stream="stdout")
    return listener


def recalls(scene: Scene, command: str) -> None:
    """What bob said before it came is printed, and it ends by itself."""
    scene.bob.write("said before\n")
    witness = scene.joined("listen", "-C", "1")
    scene.bob.write("and again\n")
    assert witness.wait() == 0
    said = ["said before", "and again"]
    listener = lab.snapshot(scene.start, command, complete=lambda process: process.lines()[-2:] == said)
    assert (listener.returncode, listener.stderr.count("Error")) == (0, 0)


def captures_a_message(scene: Scene, command: str) -> None:
    shell = scene.start(f'{command}; printf "got %s" "$msg"')
    shell.wait_for(" on eth0", stream="stderr")
    scene.bob.write("for a variable\n")
    assert shell.wait() == 0
    assert shell.stdout == "got for a variable"


def records(scene: Scene, command: str) -> None:
    file = scene.directory / "meeting.ndjson"
    file.unlink(missing_ok=True)
    listener = printing(scene, command, "^to all who listen\n")
    assert listener.interrupt() == 0
    assert json.loads(file.read_text())["text"] == "to all who listen"


def replays(scene: Scene, command: str) -> None:
    (record,) = (line for line, case in CASES.items() if case is records)
    records(scene, record)
    sends("to all who listen")(scene, command)


def undoes_the_escapes(scene: Scene, command: str) -> None:
    shell = scene.start(command)
    shell.wait_for(" on eth0", stream="stderr")
    scene.bob.write("a\ttab and a \\t\n")
    assert (shell.wait(), shell.stdout) == (0, "a\ttab and a \\t\n")


def runs_a_program(scene: Scene, command: str) -> None:
    listener = printing(scene, command, "to all who listen\n")
    latest = scene.directory / "latest.txt"
    lab.until(lambda: latest.exists() and latest.read_text() == "to all who listen")
    assert listener.interrupt() == 0
    assert listener.stdout == "to all who listen\n"


def greets_by_a_program(scene: Scene, command: str) -> None:
    test_scripts.write_command(
        scene.directory / "greet.sh", 'printf "%s %s\\n" "$MCAST_EVENT" "$MCAST_FROM" >> greeted.txt'
    )
    announcer = scene.start(command)
    greeted = scene.directory / "greeted.txt"
    lab.until(lambda: greeted.exists() and "join " in greeted.read_text())
    assert re.search(r"^join [0-9a-f]{16} bob$", greeted.read_text(), re.MULTILINE)
    assert announcer.interrupt() == 0


def drops_a_file(scene: Scene, command: str) -> None:
    dropping = scene.start(command)
    dropping.wait_for("offering notes.txt (11 B)", stream="stderr")
    inbox = scene.third.home / "inbox"
    getting = scene.third.mcast("get", "--into", str(inbox))
    assert getting.wait() == 0
    assert dropping.wait() == 0
    assert (inbox / "notes.txt").read_text() == "from a file"


def gets_a_file(scene: Scene, command: str) -> None:
    getting = scene.start(command)
    getting.wait_for("waiting for files in", stream="stderr")
    dropping = scene.third.mcast("drop", str(scene.directory / "notes.txt"))
    assert getting.wait() == 0
    assert dropping.wait() == 0
    assert (scene.directory / "inbox" / "notes.txt").read_text() == "from a file"


def announces(scene: Scene, command: str) -> None:
    announcer = scene.start(command)
    announcer.wait_for(re.compile(r"^\+\tbob\t", re.MULTILINE), stream="stdout")
    seen = lab.snapshot(scene.third.mcast, "browse", "-t", complete=shows_the_printer)
    assert seen.returncode == 0
    assert announcer.interrupt() == 0


PRINTER = re.compile(
    r"^\+\tprinter\t[0-9a-f]{16}\t_ipp\._tcp\t10\.9\.0\.\d\t631\teth0\t\d+s\tfloor=2 host=\w+$", re.MULTILINE
)


def shows_the_printer(process: lab.Process) -> bool:
    return PRINTER.search(process.stdout) is not None


OFFER = ["announce", "--name", "printer", "--service", "_ipp._tcp:631", "--tag", "floor=2"]


def browses(scene: Scene, command: str) -> None:
    browser = scene.start(command)
    browser.wait_for(re.compile(r"^\+\tbob\t", re.MULTILINE), stream="stdout")
    scene.joined(*OFFER)
    browser.wait_for(PRINTER, stream="stdout")
    assert browser.interrupt() == 0


def takes_a_snapshot(scene: Scene, command: str) -> None:
    scene.joined(*OFFER)
    browser = lab.snapshot(
        scene.start,
        command,
        complete=lambda process: shows_the_printer(process) and "\tbob\t" in process.stdout,
    )
    assert browser.returncode == 0


def filters(scene: Scene, command: str) -> None:
    scene.joined(*OFFER)
    browser = lab.snapshot(scene.start, command, complete=lab.Process.lines)
    assert browser.returncode == 0
    (peer,) = browser.objects()
    assert peer["from"]["name"] == "printer"
    assert peer["tags"].keys() == {"floor", "host"}


def announces_by_dns_sd(scene: Scene, command: str) -> None:
    announcer = scene.start(command)
    announcer.wait_for("announcing in", stream="stderr")
    assert announcer.interrupt() == 0


def browses_by_dns_sd(scene: Scene, command: str) -> None:
    scene.joined(*OFFER, "--dnssd")
    browser = scene.start(command)
    browser.wait_for(re.compile("mcast.*mdns"), stream="stdout")
    assert browser.interrupt() == 0


def takes_a_snapshot_by_dns_sd(scene: Scene, command: str) -> None:
    scene.joined(*OFFER, "--dnssd")
    browser = lab.snapshot(scene.start, command, complete=lambda browse: "\tmcast+mdns\n" in browse.stdout)
    assert browser.returncode == 0


def runs_a_server(scene: Scene, command: str) -> None:
    test_scripts.write_command(scene.directory / "bin" / "python3", f'exec {sys.executable} "$@"')
    server = scene.start(command)
    server.wait_for("Serving HTTP", timeout=60)
    seen = lab.snapshot(
        scene.third.mcast, "browse", "-t", complete=lambda browse: "\t8000\t" in browse.stdout
    )
    assert seen.returncode == 0
    assert server.interrupt() == 0


def prints_fields(scene: Scene, command: str) -> None:
    scene.joined(*OFFER)
    browser = lab.snapshot(scene.start, command, complete=lab.Process.lines)
    assert re.fullmatch(r"printer 10\.9\.0\.3 631\n", browser.stdout)


def finds_a_server(scene: Scene, command: str) -> None:
    browser = scene.start(command)
    browser.wait_for("browsing", stream="stderr")
    scene.joined("announce", "--service", "_ssh._tcp:22", "--service", "_http._tcp:8000")
    assert browser.wait() == 0
    assert browser.lines() == ["10.9.0.3:8000"]


def measures_what_comes(scene: Scene, command: str) -> None:
    receiver = scene.start(command)
    receiver.wait_for(" on eth0", stream="stderr")
    sender = scene.third.mcast("bench", "send", "--rate", "100", "-W", "1")
    assert (sender.wait(), receiver.wait()) == (0, 0)
    assert re.search(r"^ +0\.0-\d\.\d +\d+ +0\.\d\d ", receiver.lines()[-1])


def measures_what_it_sends(scene: Scene, command: str) -> None:
    receiver = scene.joined("bench", "receive")
    sender = scene.start(command)
    assert (sender.wait(60), receiver.wait(60)) == (0, 0)
    assert len(sender.lines()) >= 4


def shows_interfaces(scene: Scene, command: str) -> None:
    process = scene.start(command)
    assert process.wait() == 0
    assert [process.stdout] == of_kind(SETTINGS, "text interfaces")


def pings(scene: Scene, command: str) -> None:
    process = scene.start(command)
    assert process.wait(60) == 0, process.stderr
    shown = process.stdout
    assert all(way in shown for way in ("unicast", "to-group", "from-group"))
    assert "100 % lost" not in shown


def pings_a_textbook_server(kind: str) -> Case:
    """A server that sends back what it gets, once for each question."""

    def case(scene: Scene, command: str) -> None:
        server = scene.other.python(
            """
            import socket, sys
            kind = getattr(socket, sys.argv[1])
            server = socket.socket(socket.AF_INET, kind)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("10.9.0.2", 3000))
            if kind is socket.SOCK_STREAM:
                server.listen()
                print("ready")
                server, _ = server.accept()
                while data := server.recv(65535):
                    server.sendall(data)
            else:
                print("ready")
                while True:
                    data, source = server.recvfrom(65535)
                    server.sendto(data, source)
            """,
            kind,
        )
        server.wait_for("ready")
        process = scene.start(command)
        assert process.wait() == 0
        assert "3 sent, 3 received, 0 % lost" in process.stdout
        server.close()

    return case


def finds_nothing_wrong(scene: Scene, command: str) -> None:
    process = scene.start(command)
    assert process.wait(90) == 0, process.stdout
    assert process.lines()[0] == "Nothing is wrong as far as can be seen from here."


def makes_a_key(scene: Scene, command: str) -> None:
    assert scene.start(command).wait() == 0
    key = scene.directory / "lab.key"
    assert re.fullmatch("[0-9a-f]{64}\n", key.read_text())
    assert key.stat().st_mode & 0o777 == 0o600


def chats_with_a_key(scene: Scene, command: str) -> None:
    (make,) = (line for line, case in CASES.items() if case is makes_a_key)
    makes_a_key(scene, make)
    chats(["chat", "--key-file", f"{scene.directory}/lab.key"])(scene, command)


def has_talked(scene: Scene) -> None:
    """The reader has said something in a chat, and bob has heard it."""
    scene.start("mcast history --forget --yes").wait()
    scene.start("echo lunch at noon | mcast chat").wait()


def looks_back(scene: Scene, command: str) -> None:
    has_talked(scene)
    run = scene.start(f"{command}; cat history.html 2>/dev/null || true")
    assert run.wait() == 0
    assert re.search("you(</b>)?: (<bdi>)?lunch at noon", run.stdout), run.stdout
    (scene.directory / "history.html").unlink(missing_ok=True)


def forgets(scene: Scene, command: str) -> None:
    has_talked(scene)
    run = scene.start(f"{command}; {command.replace('--before 30d ', '')}")
    assert run.wait() == 0
    assert re.search("removed 0 messages of lobby.*\\nmcast: removed [1-9]", run.stderr), run.stderr


SAYS_A_LINE = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as client:
    client.sendall("a line of a guest\\n".encode())
    client.shutdown(socket.SHUT_WR)
    while data := client.recv(4096):
        print(data.decode())
"""


def opens_doors(*doors: str) -> Case:
    """Somebody says a line at the door for lines, and bob hears it; a page is loaded at that for web."""

    def check(scene: Scene, command: str) -> None:
        gate = scene.start(command)
        gate.wait_lines(len(doors))
        for line, door in zip(gate.stdout.splitlines(), doors, strict=True):
            assert line.startswith(f"{door} ")
            host, _, port = line.partition(" ")[2].removeprefix("http://").partition("/")[0].rpartition(":")
            if door == "web":
                page = scene.reader.spawn(
                    [
                        sys.executable,
                        "-c",
                        f"from urllib.request import *; print(urlopen('http://{host}:{port}').read())",
                    ]
                )
                assert page.wait() == 0, page.stderr
                assert "Join the chat" in page.stdout
                continue
            guest = scene.reader.spawn([sys.executable, "-c", SAYS_A_LINE, host, port])
            assert guest.wait() == 0
            if door == "lines":
                scene.bob.wait_for("guest 1 via gate")
                assert "you are guest 1, a guest of gate" in guest.stdout
            else:
                assert guest.stdout == "a line of a guest\n\n"
        assert gate.interrupt() == 0

    return check


def shows_the_identity(scene: Scene, command: str) -> None:
    has_talked(scene)
    run = scene.start(command)
    assert run.wait() == 0
    assert re.search(r"^others see you as \S+·[0-9a-f]{4}", run.stdout)


def moves_an_identity(scene: Scene, command: str) -> None:
    """It is exported with a passphrase, and imported again."""
    has_talked(scene)
    words = "echo five words that nobody guesses"
    run = scene.start(
        f"rm -f me.identity; {words} | {EXPORT}; mcast identity show; {words} | {IMPORT} --replace"
    )
    assert run.wait() == 0
    before, after = run.stdout.split("others see you as ")[1:]
    assert before == after
    assert command in (EXPORT, IMPORT)


EXPORT, IMPORT = "mcast identity export me.identity", "mcast identity import me.identity"


def knows_bob(scene: Scene, command: str) -> None:
    """The reader has met bob in a chat. The command prints a line: of bob, or eight words."""
    has_talked(scene)
    run = scene.start(command)
    assert run.wait() == 0
    assert re.search(r"^(bob·[0-9a-f]{4}  not verified|([a-z]+ ){7}[a-z]+$)", run.stdout, re.MULTILINE)


def makes_words(scene: Scene, command: str) -> None:
    """A key is made, kept, and printed as words."""
    scene.start("mcast key remove lab").wait()
    run = scene.start(command)
    assert run.wait() == 0
    assert len(run.stdout.split()) == 11
    assert "the key of the room lab is saved; its fingerprint is: " in run.stderr


def types_words(scene: Scene, command: str) -> None:
    """The words of somebody else, typed on a terminal, make the same key; they are not shown."""
    friend = scene.third.mcast("key", "new", "lab", "--replace")
    assert friend.wait() == 0
    scene.start("mcast key remove lab").wait()
    terminal = scene.type(f"{command}; mcast key show lab")
    terminal.wait_for_screen("The words:")
    terminal.type(f"{friend.stdout.strip()}\r")
    fingerprint = friend.stderr.splitlines()[0].rpartition(": ")[2]
    assert terminal.wait() == 0
    assert terminal.raw.decode().endswith(f"{fingerprint}\r\n")
    assert " ".join(friend.stdout.split()[:3]) not in terminal.shown()


def replaces_the_key(scene: Scene, command: str) -> None:
    """The words of the new key are printed."""
    scene.start("mcast key new lab --replace").wait()
    run = scene.start(command)
    assert run.wait() == 0
    assert len(run.stdout.split()) == 11
    assert "the key of the room lab is replaced" in run.stderr


def chats_by_the_name_of_a_room_with_a_key(scene: Scene, command: str) -> None:
    types_words(scene, "mcast key add lab")
    chat = scene.type(command)
    chat.wait_for_screen("room lab, sealed with a key")
    friend = scene.joined("chat", "--room", "lab", "--name", "friend")
    chat.type("only for us\r")
    friend.wait_for("only for us", stream="stdout")
    assert "only for us" not in scene.bob.stdout
    chat.type("/quit\r")
    assert chat.wait() == 0


def links_the_command(scene: Scene, command: str) -> None:
    shell = scene.start(
        f"rm bin/mcast; mkdir -p ~/.local/bin; PATH=~/.local/bin:$PATH\n{command}\nsh -c 'mcast --version'"
    )
    try:
        assert (shell.wait(), shell.stdout) == (0, f"mcast {mcast.__version__}\n")
    finally:
        (scene.directory / "bin" / "mcast").symlink_to(scene.directory / "scripts" / "mcast")


def completes(scene: Scene, command: str) -> None:
    # The list keeps bash from becoming mcast: its parent tells mcast which shell it is for.
    installing = scene.start(f"{command} && true")
    assert installing.wait() == 0, installing.stdout
    line = "COMP_WORDS='mcast br' COMP_CWORD=1 _MCAST_COMPLETE=complete_bash mcast"
    completed = scene.start(f"grep -q mcast ~/.bashrc && {line}")
    completed.wait()
    assert completed.stdout.strip() == "browse"


def installs(first: str = "") -> Case:
    """In an environment of its own, from the package index, after the `first` command."""

    def case(scene: Scene, command: str) -> None:
        checkout = scene.directory / "a copy"
        if not checkout.exists():
            test_scripts.copy_checkout(checkout)
        environment = scene.directory / f"environment {command}"
        subprocess.run([test_scripts.PYTHON, "-m", "venv", environment], check=True)
        env = test_scripts.environment(
            PATH=f"{environment}/bin:/usr/bin:/bin",
            PIPX_HOME=f"{environment}/pipx",
            PIPX_BIN_DIR=f"{environment}/bin",
            PIPX_DEFAULT_PYTHON=test_scripts.PYTHON,
        )
        line = f"{first or 'true'} >&2 && {command} >&2 && mcast --version"
        if not first:  # the schema comes with the package
            packages = f"{shlex.quote(str(environment))}/lib/python3*/site-packages"
            line += f" && test -s {packages}/mcast/events.schema.json"
        done = subprocess.run(
            ["bash", "-c", line], cwd=checkout, env=env, capture_output=True, text=True, timeout=200
        )
        assert (done.returncode, done.stdout) == (0, f"mcast {mcast.__version__}\n"), done.stderr

    return case


CASES: dict[str, Case] = {
    "scripts/mcast chat --group 230.0.0.1": chats(),
    "scripts/mcast chat": chats(),
    "scripts/check": elsewhere("test_check_runs_everything_and_names_what_failed"),
    "scripts/test": elsewhere("test_test_hands_its_arguments_to_pytest"),
    "scripts/bench --quick": elsewhere("test_bench_hands_its_arguments_to_the_measurements"),
    'ln -s "$PWD/scripts/mcast" ~/.local/bin/mcast': links_the_command,
    "mcast chat --name ada": chats(name="ada"),
    "mcast chat --last 500 --since 8h": chats_after_history,
    'mcast chat --profile work --name "ada (work)"': chats(name=r"ada \(work\)"),
    "printf 'first line\\nsecond line\\n' | mcast chat": chats_in_a_pipe,
    'mcast send "lunch at noon"': sends("lunch at noon"),
    "mcast send -m one -m two": sends("one", "two"),
    "date | mcast send -l": sends(r".*\d\d:\d\d:\d\d.*"),
    "mcast send -f notes.txt": sends("from a file"),
    "date | mcast send -s": sends(r".*\d\d:\d\d:\d\d.*"),
    'mcast send --wait-acks all "shutting down in a minute"': sends("shutting down in a minute"),
    'mcast send --wait-acks 2 --linger 5s "backup done"': sends("backup done"),
    'mcast send --to bob "the door code is 4711"': sends_in_private,
    "mcast reply --name nas --command ./free-space.sh": replies,
    'mcast ask "how much space is left?"': asks(r"nas·[0-9a-f]{4}\t42 GB\n"),
    'best=$(mcast ask --first "who has the printer?" | cut -f 2)': asks_for_a_variable,
    "mcast reply --plain --echo": replies_plain,
    'mcast ask --plain 10.9.0.2:3000 "hello, thirty lines"': asks_a_textbook_server,
    'mcast send --wait-for bob "your turn"': sends("your turn"),
    'mcast send --json --wait-acks all "done"': sends("done"),
    "mcast listen": listens("^to all who listen\n"),
    "mcast listen -v": listens(rf"\d\d:\d\d:\d\d\tbob{IDENTITY}\tto all who listen\n"),
    "msg=$(mcast listen -C 1 -W 10m)": captures_a_message,
    """printf '%b\\n' "$(mcast listen -C 1)\"""": undoes_the_escapes,
    "mcast listen --json --idle 5s": listens('"name":"bob".*"text":"to all who listen"', ends=True),
    "mcast listen --json -C 1 | jq -r .text": listens("^to all who listen\n$", ends=True),
    "mcast listen --record meeting.ndjson": records,
    "mcast replay meeting.ndjson --speed 2": replays,
    "mcast listen --since 1h --last 20 -W 2s": recalls,
    "mcast listen -F '%t %n %m' -C 1": listens(r"^\d\d:\d\d:\d\d bob to all who listen\n$", ends=True),
    "mcast listen --on 'message=dd of=latest.txt status=none'": runs_a_program,
    "mcast announce --name printer --service _ipp._tcp:631 --tag floor=2": announces,
    "mcast announce --name door --on 'join,leave=./greet.sh'": greets_by_a_program,
    "mcast announce --service _http._tcp:8000 --exec python3 -m http.server 8000": runs_a_server,
    "mcast announce --name web --service _http._tcp:8000 --dnssd": announces_by_dns_sd,
    "mcast browse -t --dnssd": takes_a_snapshot_by_dns_sd,
    "mcast browse --dnssd --ssdp --json": browses_by_dns_sd,
    "mcast browse": browses,
    "mcast browse -t --match 'print*' -F '%n %a %p'": prints_fields,
    "mcast browse --service '_http._tcp' -C 1 -W 1m -F '%a:%p'": finds_a_server,
    "mcast browse -t": takes_a_snapshot,
    "mcast drop notes.txt": drops_a_file,
    "mcast get --into inbox": gets_a_file,
    "mcast browse -t --service '_ipp.*' --tag 'floor=*' --json": filters,
    "mcast bench receive": measures_what_comes,
    "mcast bench send --size 64 -W 2s": measures_what_it_sends,
    "mcast ping -C 3": pings,
    "mcast ping bob -C 3 --interval 200ms": pings,
    "mcast ping 10.9.0.2 -C 2 --size 1400 --json": pings,
    "mcast ping bob --mtu": pings,
    "mcast ping --plain 10.9.0.2:3000 -C 3": pings_a_textbook_server("SOCK_DGRAM"),
    "mcast ping --tcp 10.9.0.2:3000 -C 3": pings_a_textbook_server("SOCK_STREAM"),
    "mcast doctor": finds_nothing_wrong,
    "mcast doctor --with bob": finds_nothing_wrong,
    "mcast doctor --with 10.9.0.2": finds_nothing_wrong,
    "mcast interfaces": shows_interfaces,
    "mcast --debug interfaces": shows_interfaces,
    "mcast chat -i eth0": chats(),
    "mcast chat -x docker0": chats(),
    "mcast chat --peer 10.9.0.2": chats(),
    "mcast chat -4 --ttl 2 --peer 10.9.0.2": chats(),
    "mcast chat --room kitchen": chats(["chat", "--room", "kitchen"]),
    "mcast history": looks_back,
    "mcast history --search lunch": looks_back,
    "mcast history --room lobby --since 8h": looks_back,
    "mcast history --html > history.html": looks_back,
    "mcast history --forget --before 30d --yes": forgets,
    "mcast identity show": shows_the_identity,
    EXPORT: moves_an_identity,
    IMPORT: moves_an_identity,
    "mcast identity list": knows_bob,
    "mcast identity verify bob": knows_bob,
    "mcast gateway lines": opens_doors("lines"),
    "mcast gateway lines --listen 10.9.0.1:3000": opens_doors("lines"),
    "mcast gateway lines --echo": opens_doors("echo"),
    "mcast gateway web": opens_doors("web"),
    "mcast gateway lines web": opens_doors("lines", "web"),
    "mcast key new lab": makes_words,
    "mcast key add lab": types_words,
    "mcast key rotate lab": replaces_the_key,
    "mcast chat --room lab": chats_by_the_name_of_a_room_with_a_key,
    "(umask 077; python3 -c 'import secrets; print(secrets.token_hex(32))' > lab.key)": makes_a_key,
    "mcast chat --key-file lab.key": chats_with_a_key,
    "mcast chat --plain --group 230.0.0.1": chats(plain=True),
    "mcast listen --plain": listens("^to all who listen\n", plain=True),
    'mcast send --plain "hello, thirty lines"': sends_plain,
    "MCAST_NAME=bob mcast chat": chats(name="bob"),
    "pip install .": installs(),
    "pipx install .": installs("pip install pipx"),
    "scripts/bundle": elsewhere("test_the_bundle_holds_mcast_and_what_it_needs"),
    "MCAST_BUNDLE=/media/usb/bundle scripts/mcast chat": elsewhere(
        "test_two_first_runs_at_once_make_one_environment"
    ),
    "mcast --install-completion": completes,
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("command", commands(*PAGES))
def test_a_command(scene: Scene, command: str) -> None:
    assert command in CASES, "a command of README.md or a page that no case here runs"
    CASES[command](scene, command)


def test_every_case_is_of_a_command_and_every_block_of_a_known_kind() -> None:
    assert set(CASES) == set(commands(*PAGES))
    for page in [*PAGES, CHINESE]:
        assert {kind for kind, _ in blocks(page)} <= KNOWN_BLOCKS, page.name
        assert page.read_text(encoding="utf-8").count("```") == 2 * len(blocks(page)), page.name


def talks(scene: Scene, code: str) -> None:
    """Says hello as ada, prints an answer, and ends by itself."""
    carl = carl_who_chats(scene)
    program = scene.reader.python(code)
    carl.wait_for(re.compile(rf"ada{IDENTITY}: hello"), stream="stdout")
    carl.write("hello yourself\n")
    program.wait_for("carl hello yourself", stream="stdout")
    assert (program.wait(), program.stderr) == (0, "")


def carl_who_chats(scene: Scene) -> lab.Process:
    carl = scene.other.mcast("chat", "--name", "carl")
    carl.wait_for("chatting in", stream="stderr")
    return carl


def follows_events(scene: Scene, code: str) -> None:
    scene.bob_has_said("said before the program")
    program = scene.reader.python(code)
    program.wait_for(re.compile(r"^earlier: bob said before the program$", re.MULTILINE), stream="stdout")
    carl = carl_who_chats(scene)
    program.wait_for("carl joined", stream="stdout")
    carl.write("hello yourself\n")
    program.wait_for("carl hello yourself", stream="stdout")
    carl.close_stdin()
    program.wait_for("carl left: goodbye", stream="stdout")
    assert (program.wait(), program.stderr) == (0, "")


def prints(pattern: str, *, attempts: int = 1) -> Case:
    """Ends by itself and has printed what matches `pattern`, at one of so many attempts."""

    def case(scene: Scene, code: str) -> None:
        carl_who_chats(scene)
        for _ in range(attempts):
            program = scene.reader.python(code)
            assert (program.wait(), program.stderr) == (0, "")
            if re.search(pattern, program.stdout, re.MULTILINE):
                return
        raise AssertionError(f"{program.stdout!r} does not match {pattern!r}")

    return case


def hears_in_private(scene: Scene, code: str) -> None:
    program = scene.reader.python(code)
    carl = scene.other.mcast("send", "--to", "ada", "psst", "--linger", "8s")
    program.wait_for("says to me alone: psst", stream="stdout")
    assert carl.wait() == 0
    assert (program.wait(), program.stderr) == (0, "")
    assert "bob has it: True" in program.stdout


def answers_questions(scene: Scene, code: str) -> None:
    program = scene.reader.python(code)
    lab.until(lambda: "42 GB" in asked(scene, "how much space is left?"))
    assert "42 GB" not in asked(scene, "something else")
    program.interrupt()  # with a goodbye: the next case asks all who are here


def asked(scene: Scene, question: str) -> str:
    """What comes of a question."""
    asker = scene.third.mcast("ask", question)
    asker.wait()
    return asker.stdout


def asks_by_program(scene: Scene, code: str) -> None:
    scene.joined("reply", "--name", "nas", "--command", "echo 42 GB")
    program = scene.reader.python(code)
    assert (program.wait(), program.stderr) == (0, "")
    assert program.stdout == "nas 42 GB\n\ndid not answer: []\n"


def browses_by_program(scene: Scene, code: str) -> None:
    scene.joined("announce", "--name", "web", "--service", "_http._tcp:8000")
    program = scene.reader.python(code)
    program.wait_for("here now: ['web']", stream="stdout")
    late = scene.other.mcast("announce", "--name", "late", "--service", "_http._tcp:81", "--profile", "late")
    # It announces itself in both IP versions: which of them comes first is chance.
    either = "|".join(re.escape(scene.other.address(family)) for family in (4, 6))
    program.wait_for(re.compile(rf"PeerJoined late \('({either})',\) \(Service\("), stream="stdout")
    late.interrupt()
    program.wait_for("PeerLeft late", stream="stdout")
    program.interrupt()
    assert "bob" not in program.stdout


def announces_by_program(scene: Scene, code: str) -> None:
    watcher = scene.joined("browse", "--service", "_http._tcp", "-F", "%m %p %T")
    program = scene.reader.python(code)
    program.wait_for("PeerJoined bob", stream="stdout")
    watcher.wait_for("+ 8000 load=", stream="stdout")
    watcher.wait_for("load=high", stream="stdout")
    program.interrupt()
    watcher.wait_for("- 8000 load=high", stream="stdout")


def speaks_for_a_guest(scene: Scene, code: str) -> None:
    prints(r"^delivered: True$", attempts=3)(scene, code)
    scene.bob.wait_for(re.compile(r"printer via gate·\w+: the third floor has no more paper"))
    shown = scene.bob.stdout
    assert shown.index("I am the gateway") < shown.index("the third floor has no more paper")


TELLS_OF_NOTICES = """
from mcast.runtime.bulk.transfers import Bulk
on_notice = Bulk.on_notice
def tell(bulk, notice):
    events = on_notice(bulk, notice)
    print("told:", events)
    return events
Bulk.on_notice = tell
"""
"""What a program does not print of itself: that it has been told of an offer."""


def transfers(give: str, take: str, printed: str) -> Case:
    """A program that has functions to give and to take: somebody else gives, the reader takes.

    He is told first of what somebody offered who has left.
    """

    def case(scene: Scene, code: str) -> None:
        (scene.third.home / "notes.txt").write_text("from a file")
        (scene.third.home / "gone.txt").write_text("from somebody who has left")
        getting = scene.other.mcast("get", "--match", "gone.txt", "--into", str(scene.other.home / "inbox"))
        assert scene.third.mcast("drop", str(scene.third.home / "gone.txt"), "--wait-acks", "1").wait() == 0
        assert getting.wait() == 0
        ends = "import os; os.chdir(os.environ['HOME'])"
        taker = scene.reader.python(f"{code}\n{ends}\n{TELLS_OF_NOTICES}\n{take}")
        taker.wait_for("gone.txt", stream="stdout")
        giver = scene.third.python(f"{code}\n{ends}\n{give}")
        taker.wait_for(printed, stream="stdout")
        assert giver.wait(60) == 0
        assert giver.stdout == "['bob'] and not: []\n"

    return case


PROGRAMS: dict[str, Case] = {
    "    for message in group.messages(timeout=5):": talks,
    "    async with mcast.aio.join(": talks,
    "            case mcast.PeerJoined():": follows_events,
    "    receipt = group.send(": prints(r"^everybody here has it: \[.*'bob'.*\]$", attempts=3),
    '        receipt = group.send("between': hears_in_private,
    "    @group.on_ask": answers_questions,
    "    answers = group.ask(": asks_by_program,
    "    receipt = group.send_many(": prints(r"^delivered: True$", attempts=3),
    "    group.announce(tags=": prints(r"^here: \[.*'carl'.*\]$(.|\n)*^ada PeerId\(", attempts=3),
    "with mcast.browse(": browses_by_program,
    "    said = group.send(": speaks_for_a_guest,
    "    async with mcast.aio.announce(": announces_by_program,
    "def give(path": transfers("give('notes.txt')", "take('inbox')", "inbox/notes.txt"),
    "async def give(content": transfers("asyncio.run(give(b'12345'))", "asyncio.run(take())", "5 bytes"),
    "lan = simulation.Lan(": prints(r"^\['hello'\]$"),
    "@pytest.mark.mcast_lan(seed=7": prints("^$"),
    "patient = msgspec.structs.replace(": talks,
    "with multicast.Receiver(": prints("data=b'hello'"),
}
"""By a line that only programs of that kind have; the last one that fits counts."""


def case_of(code: str) -> str:
    """The key in PROGRAMS; the program fails where there is none."""
    found = [start for start in PROGRAMS if f"\n{start}" in f"\n{code}"]
    assert found, "a program of README.md or a page that no case here runs"
    return found[-1]


@pytest.mark.parametrize("code", programs(*PAGES))
def test_a_program(scene: Scene, code: str) -> None:
    PROGRAMS[case_of(code)](scene, code)


def test_every_case_is_of_a_program() -> None:
    assert {case_of(code) for code in programs(*PAGES)} == set(PROGRAMS)


def test_the_json_is_what_listen_prints(scene: Scene) -> None:
    (text,) = of_kind(SCRIPTS, "json message")
    listener = printing(scene, "mcast listen --json", '"type":"message"')
    assert listener.interrupt() == 0
    (line,) = [line for line in listener.lines() if '"type":"message"' in line]
    assert _shape(json.loads(text)) == _shape(json.loads(line))
    assert text == json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":")) + "\n"


def test_the_counters_are_what_stats_prints(scene: Scene) -> None:
    (text,) = of_kind(TROUBLESHOOTING, "text stats")
    command, line = text.splitlines()
    listener = scene.start(command.replace("10s", "1s"))
    told = listener.wait_for(re.compile(r"^mcast: .* eth0 sent .*$", re.MULTILINE), stream="stderr")
    assert _numberless(told[0]) == _numberless(line)
    listener.interrupt()


def _numberless(line: str) -> str:
    """The line with other numbers, of bytes in one unit and of one peer."""
    return re.sub(r"\d+(\.\d+)?( k?B)?", "0", line).removesuffix("s")


def _shape(value: object) -> object:
    """Names, order and kinds; of a text its marks, numbers and words taken together."""
    if isinstance(value, dict):
        return [(key, _shape(inner)) for key, inner in value.items() if key not in ("text", "name")]
    return re.sub(r"[0-9a-f]+", "0", value) if isinstance(value, str) else type(value).__name__


def test_the_service_is_ready_when_it_says_so(scene: Scene) -> None:
    (text,) = of_kind(SCRIPTS, "ini")
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign] # as its documentation says
    unit.read_string(text)
    service = unit["Service"]
    assert (service["Type"], service["StandardOutput"]) == ("notify", "append:%h/lan-chat.ndjson")
    command = service["ExecStart"].replace("%h/.local/bin/", "")
    path = scene.third.home / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(30.0)
        running = scene.third.mcast(*command.split()[1:], env={"NOTIFY_SOCKET": str(path)})
        assert manager.recv(100) == b"READY=1"
    scene.bob.write("for the log\n")
    running.wait_for('"text":"for the log"', stream="stdout")
    assert running.terminate() == 0


def test_the_settings_are_understood(scene: Scene) -> None:
    (text,) = of_kind(SETTINGS, "toml")
    file = scene.third.home / "settings.toml"
    file.write_text(text)
    hearer = scene.other.mcast("listen", "-v")
    hearer.wait_for("listening to", stream="stderr")
    env = {"MCAST_CONFIG": str(file)}
    listener = scene.third.mcast("listen", env=env)
    listener.wait_for("listening to", stream="stderr")
    assert scene.third.mcast("chat", input="by file\n", env=env).wait() == 0
    hearer.wait_for(re.compile(rf"\tada{IDENTITY}\tby file\n"), stream="stdout")
    listener.wait_for(re.compile(rf"\tada{IDENTITY}\tby file\n"), stream="stdout")


def test_the_chinese_readme_has_the_same_blocks() -> None:
    assert blocks(CHINESE) == blocks(README)


def test_the_picture_is_what_a_chat_looks_like(scene: Scene) -> None:
    """The last test: bob leaves."""
    scene.bob.close_stdin()
    assert scene.bob.wait() == 0
    bob = scene.other.mcast("chat", "--name", "bob")
    bob.wait_for("chatting in", stream="stderr")
    assert scene.start("mcast history --forget --yes").wait() in (0, 4)
    ada = in_time_to_greet_bob(scene, "scripts/mcast chat --group 230.0.0.1")
    ada.type("hello, LAN\r")
    bob.wait_for("hello, LAN", stream="stdout")
    bob.write("hi! 你好\n")
    ada.wait_for_screen("hi!")
    eve = scene.third.mcast("chat", "--name", "eve")
    ada.wait_for_screen(re.compile(f"eve{IDENTITY} joined"))
    eve.wait_for(re.compile("here: | joined"), stream="stderr")
    eve.write("lunch at noon?\n")
    ada.wait_for_screen(re.compile(r"lunch at noon\?\n>"))
    ada.type("yes!\r")
    ada.wait_for_screen(re.compile(r"✓✓ \d\d:\d\d:\d\d you: yes!\n>\n.*heard by all 2 here"))
    (picture,) = of_kind(README, "text chat")
    assert _timeless("\n".join(ada.screen()).rstrip() + "\n") == _timeless(picture)
    ada.type("/quit\r")
    assert ada.wait() == 0


def in_time_to_greet_bob(scene: Scene, command: str) -> lab.Terminal:
    """A chat on a terminal, one of three: bob's answer may come too late for the line of who is here."""
    for _ in range(3):
        terminal = scene.type(command)
        if terminal.wait_for_screen(re.compile("here: bob|nobody else is here yet"))[0] == "here: bob":
            return terminal
        terminal.type("/quit\r")
        assert terminal.wait() == 0
    raise AssertionError("bob was never there in time")


def _timeless(text: str) -> str:
    # pyte leaves a blank cell behind each wide character.
    text = re.sub(r"(?<=[\u4e00-\u9fff]) (?=[\u4e00-\u9fff])", "", text)
    text = re.sub(r"you are \S+·", "you are ada·", text)
    return re.sub(r"·[0-9a-f]{4}", "·a3f2", re.sub(r"\d\d:\d\d:\d\d", "12:00:00", text))
