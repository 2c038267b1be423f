"""Whatever the arguments: an exit code of the documented ones, at most one line of error, never a traceback.

The table of interfaces is made up, so that no test here reaches a network.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import mcast
from mcast import cli
from mcast.interfaces import Interface

DOWN = Interface("eth0", 2, ("10.9.0.1",), ("fe80::1",), up=False)
LOOPBACK = Interface("lo", 1, ("127.0.0.1",), ("::1",), 65536, multicast=False, loopback=True)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interface that is down and has an address: nothing to use, and no retreat to loopback."""
    table = (LOOPBACK, DOWN, Interface("wan0", 3, ("192.0.2.1",), tunnel=True))
    monkeypatch.setattr("mcast.interfaces.read", lambda: table)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    monkeypatch.setenv("MCAST_DEBUG", "")


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    try:
        code = cli.main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    return code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("send --plain -g 1.2.3.4 x", 2, "224.0.0.0-239.255.255.255 or ff00::/8"),
        ("chat --plain -g fe80::1", 2, "ff00::/8"),
        ("listen --plain -g 230.0.0.1:99999", 2, "from 1 to 65535"),
        ("listen --plain --port zero", 2, "from 1 to 65535"),
        ("chat --plain -g 230.0.0.1:1 --port 2", 2, "the group says port 1, --port says 2"),
        ("send --plain -i eth9 x", 2, "known are:"),
        ("interfaces -i eth9", 2, "known are:"),
        ("send --plain x", 3, "eth0: down"),
        ("send --plain -i eth0 x", 3, "eth0: down"),
        ("listen --plain -W 1", 3, "; run `mcast interfaces`"),
        ("chat --plain", 3, "; run `mcast interfaces`"),
        ("listen --plain -C 0", 2, "see: mcast listen --help"),
        ("listen --plain -C many", 2, "'many' is not a whole number of at least 1; see: mcast listen --help"),
        ("send --plain --ttl 256 x", 2, "'256' is not a whole number from 0 to 255; see"),
        ("bench send --rate -1", 2, "'-1' is not a number of at least 0; see"),
        ("browse --tag foo", 2, "write --tag KEY=GLOB"),
        ("announce --tag foo", 2, "write --tag KEY=VALUE"),
        ("announce a b", 2, "too many arguments: a b: to run a command, write --exec COMMAND"),
        ("announce --exec", 2, "--exec has no command: write --exec COMMAND at the end"),
        ("announce --exec nosuch -x", 2, "program 'nosuch' not found: give the name"),
        ("announce --json --exec true", 2, "--json cannot be used with --exec"),
        ("browse -t --passive", 2, "use -W TIME instead of -t"),
        ("browse --format xml", 2, "'xml' is not a format: use avahi, or -F"),
        ("browse --json -F %n", 2, "use either -F or --json, not both"),
        ("browse -F %q", 2, "'%q' is not a field: known are %n (name), "),
        ("listen -F %q", 2, "'%q' is not a field: known are %t (time), "),
        ("listen -F %m --json", 2, "use either -F or --json, not both"),
        (
            "listen --events",
            2,
            "--events needs --json or --record: add --json, or see joins and leaves with -v",
        ),
        ("listen --passive --last 3", 2, "--passive sends nothing, so it cannot be used with --last"),
        (
            "listen --source 10.0.0.1 --since 1h",
            2,
            "--source sends nothing, so it cannot be used with --since",
        ),
        ("listen --plain --gap-timeout 3", 2, "--plain cannot be used with --gap-timeout"),
        ("send -m a -f b", 2, "use either -m or -f, not both"),
        ("send x -l -s", 2, "use only one of TEXT, -l, -s"),
        ("send --wait-acks 0 x", 2, "--wait-acks must be 1 or more, or \"all\", not '0'"),
        ("send -f /dev/null", 2, "the message is empty: give it some text"),
        ("listen --group=", 2, "'' is not a group address: use one in 224."),
        ("send -g ff02::1%eth0 x", 2, "leave out %eth0, and name the interface with -i"),
        ("listen --name=", 2, "the name is empty: give one with --name, or leave --name out"),
        ("listen --name " + "n" * 65, 2, "the name has 65 bytes: use at most 64 with --name"),
        ("listen --key-file=", 2, "cannot read the key file '' (No such file"),
        ("listen --on message=nosuch", 2, "program 'nosuch' not found: "),
        ("listen --debug", 2, "--debug goes before the command: mcast --debug listen"),
        ("chta", 2, "No such command 'chta' (did you mean 'chat'?); see: mcast --help"),
        ("chat a b", 2, "Too many arguments: a b; see: mcast chat --help"),
        ("send -f /", 1, "cannot read / (Is a directory): "),
        ("listen --source 10.0.0.1 --source fe80::1", 2, "once for each IP version"),
        ("listen -6 --source 10.0.0.1", 2, "-6 cannot be used with --source 10.0.0.1"),
        ("listen --plain -W soon", 2, "300ms, 10s, 5m, 2h"),
        ("listen --plain --on never=true", 2, "EVENT is one of ready, message, join"),
        ("listen --plain -g 232.1.1.1", 2, "name the sender with --source ADDRESS"),
        ("chat --plain -g 232.1.1.1", 2, "use another group"),
        ("send --plain -g 232.1.1.1 x", 3, "eth0: down"),
        ("send --plain", 2, "-l (lines of stdin)"),
        ("send --plain -l -s", 2, "use either -l or -s, not both"),
        ("-x", 2, "see: mcast --help"),
        ("nonsense", 2, "see: mcast --help"),
        ("chat --nonsense", 2, "see: mcast chat --help"),
        ("send --linger", 2, "see: mcast send --help"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_what_to_do(
    arguments: str, code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    got, out, err = run(arguments.split(), capsys)
    assert (got, out) == (code, "")
    assert err.startswith("mcast: ")
    assert err.count("\n") == 1
    assert says in err


def test_without_arguments_it_is_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run([], capsys)
    assert (code, err) == (2, "")
    assert "listen" in out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"], capsys) == (0, f"mcast {mcast.__version__}\n", "")


@pytest.mark.parametrize("command", ["chat", "listen", "send", "interfaces"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run([command, "--help"], capsys)
    assert (code, err) == (0, "")
    assert f"Usage: mcast {command}" in out


def test_a_fault_of_our_own_is_a_line_and_a_traceback_only_with_debug(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr("mcast.interfaces.read", broken)
    code, _, err = run(["interfaces"], capsys)
    assert code == 1
    assert err.startswith("mcast: internal error, ZeroDivisionError: a b")
    assert err.count("\n") == 1
    code, _, err = run(["--debug", "interfaces"], capsys)
    assert code == 1
    assert "Traceback" in err


def test_completion_for_a_user_without_home_is_explained(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> None:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("mcast.interfaces.read", homeless)
    said = "mcast: this user has no home directory: set HOME\n"
    assert run(["interfaces"], capsys) == (1, "", said)


WORDS = """
    chat listen send interfaces --plain --json -q -v -4 -6 -i eth0 lo eth9 -g 230.0.0.1 ff12::1 232.0.0.1:5
    --port 3000 -p 0 --ttl 1 -1 -C 2 -W 1ms --idle 5s --on message=true ready= --source 10.0.0.1 -m -l -f -s
    /nonexistent / /dev/null --interval 1 --help -h --version --debug -- - = hello
"""
ARGUMENT = st.sampled_from(WORDS.split()) | st.text(st.characters(exclude_characters="\x00"), max_size=8)
CODES = {0, 1, 2, 3, 4, 27, 130}


class _Streams:
    """What main() prints, for a test that hypothesis repeats."""

    def __enter__(self) -> _Streams:
        self.kept = sys.stdout, sys.stderr
        self.out = sys.stdout = io.TextIOWrapper(io.BytesIO(), "utf-8")
        self.err = sys.stderr = io.TextIOWrapper(io.BytesIO(), "utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout, sys.stderr = self.kept

    def errors(self) -> str:
        self.err.seek(0)
        return self.err.read()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ARGUMENT, max_size=7))
@example(["send", "-f", "\ud800"])
@example(["send", "-f", "a\x01b"])
@example(["listen", "-g", "[ff12::1]:\ud800"])
@example(["interfaces", "-i", "\ud800"])
def test_no_arguments_make_a_traceback(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    # No interface at all: one that is asked for and down would be waited for.
    monkeypatch.setattr("mcast.interfaces.read", lambda: ())
    monkeypatch.setenv("MCAST_DEBUG", "")  # an example with --debug sets it, for the rest of a process
    if {"--install-completion", "--show-completion"} & set(arguments):
        return
    with _Streams() as streams:
        try:
            code: object = cli.main(arguments)
        except SystemExit as end:
            code = end.code or 0
    told = streams.errors()
    assert code in CODES, (arguments, told)
    assert "internal error" not in told, (arguments, told)
    if "--debug" not in arguments:
        assert "Traceback" not in told
        assert told.count("\n") <= 1, told


@pytest.fixture(autouse=True)
def _same_streams() -> Iterator[None]:
    before = sys.stdin, sys.stdout, sys.stderr
    yield
    sys.stdin, sys.stdout, sys.stderr = before
