"""The configuration file: what it sets, what beats it, and one line with a number for all that is wrong."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from mcast import cli
from mcast.cli import config, files
from mcast.cli.options import duration
from mcast.errors import UsageError

Write = Callable[..., Path]
Call = Callable[..., dict[str, Any]]


class Sample:
    """A command line with a root option, two commands and one inside a family, that notes what they got."""

    def __init__(self) -> None:
        self.got: dict[str, Any] = {}
        self.app = typer.Typer(pretty_exceptions_enable=False)
        family = typer.Typer()
        self.app.add_typer(family, name="key")

        @self.app.callback()
        def root(debug: bool = False, version: Annotated[bool, typer.Option(is_eager=True)] = False) -> None:
            self.got["debug"] = debug

        @self.app.command()
        def chat(
            context: typer.Context,
            group: Annotated[list[str] | None, typer.Option("--group", "-g", envvar="SAMPLE_GROUP")] = None,
            ttl: Annotated[int, typer.Option(min=0, max=255, envvar="SAMPLE_TTL")] = 1,
            quiet: Annotated[bool, typer.Option("--quiet", "-q", envvar="SAMPLE_QUIET")] = False,
            only4: Annotated[bool, typer.Option("-4")] = False,
            key_file: Annotated[str | None, typer.Option("--key-file")] = None,
        ) -> None:
            self.got |= {"group": group, "ttl": ttl, "quiet": quiet, "only4": only4, "key_file": key_file}
            self.got["flags"] = {name for name in self.got if config.from_command_line(context, name)}

        @self.app.command()
        def listen(
            text: str = "",
            timeout: Annotated[float | None, typer.Option("--timeout", "-W", parser=duration)] = None,
            ttl: Annotated[int, typer.Option(max=9)] = 1,
        ) -> None:
            self.got |= {"text": text, "timeout": timeout, "ttl": ttl}

        @family.command()
        def new(word: Annotated[str, typer.Argument()] = "", bits: int = 256, quiet: bool = False) -> None:
            self.got |= {"word": word, "bits": bits, "quiet": quiet}

        @family.command()
        def show() -> None: ...


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Make this the configuration file."""

    def make(text: str | bytes) -> Path:
        file = tmp_path / "config.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        monkeypatch.setenv("MCAST_CONFIG", str(file))
        return file

    return make


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the sample with these arguments and environment: what its command got."""

    def run(arguments: str, **environment: str) -> dict[str, Any]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        sample = Sample()
        sample.app(arguments.split(), standalone_mode=False, default_map=config.defaults(sample.app))
        return sample.got

    return run


def refused(text: str | bytes, write: Write, app: typer.Typer | None = None) -> str:
    """The one line said of this file, without its name."""
    file = write(text)
    with pytest.raises(UsageError) as caught:
        config.defaults(app or Sample().app)
    line = str(caught.value)
    assert line.startswith(f"{file}, line ")
    assert caught.value.remedy
    assert len(line.splitlines()) == 1
    assert len(line) < 600
    return line.removeprefix(f"{file}, line ")


def test_top_level_keys_apply_to_every_command_that_has_the_option(write: Write, call: Call) -> None:
    write("ttl = 3\nquiet = true\ndebug = true\n")
    chat, listen, new = call("chat"), call("listen"), call("key new")
    assert (chat["ttl"], chat["quiet"], chat["debug"]) == (3, True, True)
    assert (listen["ttl"], listen["debug"]) == (3, True)
    assert (new["quiet"], new["bits"]) == (True, 256)


def test_a_table_beats_the_top_level_wherever_it_stands(write: Write, call: Call) -> None:
    write("chat.ttl = 7\nttl = 3\nkey = { quiet = true, new.bits = 8 }\n[listen]\nttl = 5\n")
    assert [call(command)["ttl"] for command in ("chat", "listen")] == [7, 5]
    new = call("key new")
    assert (new["quiet"], new["bits"]) == (True, 8)
    assert call("chat")["quiet"] is False


def test_file_environment_flags_in_rising_order(write: Write, call: Call) -> None:
    write("ttl = 3\ngroup = '230.0.0.1'\nquiet = true\n")
    assert call("chat")["ttl"] == 3
    assert call("chat --ttl 9")["ttl"] == 9
    environment = {"SAMPLE_TTL": "5", "SAMPLE_GROUP": "230.0.0.2 230.0.0.3", "SAMPLE_QUIET": "0"}
    got = call("chat", **environment)
    assert (got["ttl"], got["group"], got["quiet"]) == (5, ["230.0.0.2", "230.0.0.3"], False)
    got = call("chat --ttl 9 -g 230.0.0.4 -q", **environment)
    assert (got["ttl"], got["group"], got["quiet"]) == (9, ["230.0.0.4"], True)


def test_from_command_line_knows_flags_from_all_else(write: Write, call: Call) -> None:
    write("quiet = true\n")
    assert call("chat --ttl 9 -4", SAMPLE_GROUP="230.0.0.2")["flags"] == {"ttl", "only4"}


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("chat.group = '230.0.0.1'", "group", ["230.0.0.1"]),
        ("chat.group = ['230.0.0.1', 'ff12::1']", "group", ["230.0.0.1", "ff12::1"]),
        ("chat.ttl = '3'", "ttl", 3),
        ("chat.4 = true", "only4", True),
        ("chat.key-file = '/k'", "key_file", "/k"),
        ("'chat'.\"k\\u0065y-file\" = 5", "key_file", "5"),
        ("listen.timeout = '1m'", "timeout", 60.0),
        ("listen.timeout = 1.5", "timeout", 1.5),
        ("listen.text = ''", "text", ""),
        ("listen.text = '''a\nb'''", "text", "a\nb"),
        ("\ufefflisten.text = 'a'\r\n", "text", "a"),
    ],
)
def test_values(text: str, name: str, value: object, write: Write, call: Call) -> None:
    write(text)
    assert call("listen" if "listen" in text else "chat")[name] == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gruop = 1", "1: unknown key 'gruop': did you mean group?"),
        ("\n# ttl\n\nkey_fil = 1", "4: unknown key 'key_fil': did you mean key-file?"),
        ("TTL = 1", "1: unknown key 'TTL': did you mean ttl?"),
        ("group = '''\nx = 1\n'''\nx = 1", "4: unknown key 'x': known keys are 4, bits, debug, group"),
        ("a.b = 1", "1: unknown table [a]: known tables are chat, key, listen"),
        ("[chat]\nttl = 1\n[chta]\nttl = 1", "3: unknown table [chta]: did you mean chat?"),
        ("[chat]\n  [chat.x]", "2: unknown table [chat.x]: no tables are possible here"),
        (
            "ttl = 1\n[listen]\nttl = 1\ntimeot = 1",
            "4: unknown key 'timeot' in [listen]: did you mean timeout?",
        ),
        ("[chat]\ntimeout = 1", "2: unknown key 'timeout' in [chat]: known keys are 4, group"),
        ("key = { new = {\tbit = 1 } }", "1: unknown key 'bit' in [key.new]: did you mean bits?"),
        ("[key.show]\nbits = 1", "2: unknown key 'bits' in [key.show]: no keys are possible here"),
        ("ttl = 1\nchat = 1", "2: 'chat' is a table, not a setting: write [chat]"),
        ("ttl = 1\n[[chat]]\nttl = 1", "2: 'chat' is a table, not a setting: write [chat]"),
        ("[listen]\n[chat.ttl]", "2: unknown table [chat.ttl]"),
        ("key.new.word = 'x'", "1: unknown key 'word' in [key.new]"),
        ("version = true", "1: unknown key 'version'"),
        ("help = true", "1: unknown key 'help'"),
        ("install-completion = true", "1: unknown key 'install-completion'"),
        ('"a\\nb\\u001b" = 1', "1: unknown key 'a\\nb\\x1b'"),
        ("x" * 5000 + " = 1", "1: unknown key 'xxx"),
        ("quiet = 1", "1: quiet: expected true or false: see: mcast chat --help"),
        ("key.quiet = 'yes'", "1: quiet: expected true or false: see: mcast key new --help"),
        ("debug = 'x'", "1: debug: expected true or false: see: mcast --help"),
        ("ttl = true", "1: ttl: expected text or a number"),
        ("ttl = 2000-01-01", "1: ttl: expected text or a number"),
        ("ttl = [1]", "1: ttl: expected text or a number"),
        ("group = ['230.0.0.1', true]", "1: group: expected text or a number"),
        ("ttl = 'high'", "1: ttl: "),
        ("ttl = 1.5", "1: ttl: "),
        ("ttl = 0x" + "f" * 5000, "1: ttl: "),
        ("group = [\n'230.0.0.1',\n]\nttl = 99", "4: ttl: "),
        ("[listen]\n\ntimeout = inf", "3: timeout: 'inf' is not a duration"),
        ("group = '10.0.0.1'", "1: group: 10.0.0.1 is not a multicast group: use"),
    ],
)
def test_what_means_nothing_is_said_with_its_line(text: str, said: str, write: Write) -> None:
    assert refused(text, write).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ttl = 1\nttl = \n", "2: Invalid value: "),
        ("ttl = 1\nttl = 2\n", "2: Cannot overwrite a value: "),
        ("ttl = 1\n\ngroup = [1,\n2\n\n", "4: Unclosed array: "),
        (b"ttl = 1\n# \xff", "2: not UTF-8: "),
        ("a = 1\n\nx = [\n" + "[" * 5000, "4: too long or too deeply nested: "),
        ("a = 1\nx = " + "9" * 5000 + "\nb = 1", "2: too long or too deeply nested: "),
    ],
)
def test_what_is_no_toml_is_said_with_its_line(text: str | bytes, said: str, write: Write) -> None:
    assert refused(text, write).startswith(said)


def test_a_file_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCAST_CONFIG", "/dev/zero")
    with pytest.raises(UsageError, match="/dev/zero is larger than 65536 bytes"):
        config.defaults(Sample().app)


@pytest.mark.parametrize("name", ["none", "config.toml/none"])
def test_a_named_file_must_be_there(name: str, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write("ttl = 1").parent / name
    monkeypatch.setenv("MCAST_CONFIG", str(file))
    with pytest.raises(UsageError, match=f"MCAST_CONFIG={file}: .*unset the variable"):
        config.defaults(Sample().app)


def test_a_file_that_cannot_be_read_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCAST_CONFIG", str(tmp_path))
    with pytest.raises(UsageError, match=rf"cannot read {tmp_path} \(Is a directory\)"):
        config.defaults(Sample().app)


@pytest.mark.parametrize("named", ["/dev/null", ""])
def test_no_file_is_no_configuration(named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCAST_CONFIG", named)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config.defaults(Sample().app) == {}


def test_the_users_own_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    monkeypatch.delenv("MCAST_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "mcast").mkdir()
    (tmp_path / "mcast" / "config.toml").write_text("ttl = 4")
    assert call("chat")["ttl"] == 4


def test_without_a_home_there_is_no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MCAST_CONFIG", raising=False)
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_, **__: Path("~/.config/mcast"))
    assert config.defaults(Sample().app) == {}


@pytest.mark.parametrize(("owner", "goes_on"), [(4711, True), (os.geteuid(), False)])
def test_only_a_file_of_another_user_is_done_without(
    owner: int,
    goes_on: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = tmp_path / "mcast" / "config.toml"
    file.parent.mkdir()
    file.write_text("ttl = 2")
    monkeypatch.setattr(files, "read", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: owner)
    monkeypatch.setattr(Path, "stat", lambda _: SimpleNamespace(st_uid=os.getuid()))
    if goes_on:
        assert config.defaults(cli.app) == {}
        said = f"mcast: cannot read {file} (Permission denied): going on without settings\n"
        assert capsys.readouterr().err == said
    else:
        with pytest.raises(UsageError, match="check its permissions"):
            config.defaults(cli.app)


def test_completion_is_not_disturbed(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("nonsense")
    monkeypatch.setenv("_MCAST_COMPLETE", "complete_bash")
    assert config.defaults(Sample().app) == {}


TOML = st.recursive(
    st.sampled_from(["1", "-0.5", "true", "'x'", "nan", "1979-05-27", '"\\u0000"', "'230.0.0.1'", "''"]),
    lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    max_leaves=5,
)
KEYS = st.sampled_from(["group", "ttl", "quiet", "4", "chat", "listen", "key.new", "chat.ttl", "''", "x"])


@given(
    st.lists(
        st.one_of(
            st.tuples(KEYS, TOML).map(" = ".join),
            KEYS.map("[{}]".format),
            KEYS.map("[[{}]]".format),
            st.text(max_size=8),
        ),
        max_size=6,
    )
)
def test_any_file_is_a_map_or_one_line(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    try:
        made = config.defaults(Sample().app, {"MCAST_CONFIG": str(file)})
        said = f"{file}, line "
    except UsageError as error:
        made, said = {}, str(error)
    assert said.startswith(f"{file}, line ")
    assert len(said.splitlines()) == 1
    assert made.keys() <= {"debug", "chat", "listen", "key"}


def test_the_real_commands(write: Write) -> None:
    write("group = ['230.0.0.1:4000', 'ff12::1']\nport = 4000\n[listen]\ntimeout = '10s'\ncount = 3\n")
    made = config.defaults(cli.app)
    assert made["chat"] == {"group": ["230.0.0.1:4000", "ff12::1"], "port": "4000"}
    assert made["listen"] == made["chat"] | {"timeout": "10s", "count": "3"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[listen]\nport = 0", "2: port: '0' is not a port: use a number from 1 to 65535"),
        ("[listen]\ntimeuot = 1", "2: unknown key 'timeuot' in [listen]: did you mean timeout?"),
        ("group = '230.0.0.1'\n[interface]", "2: unknown table [interface]: did you mean interfaces?"),
    ],
)
def test_the_real_commands_refuse(text: str, said: str, write: Write) -> None:
    assert refused(text, write, cli.app) == said


@pytest.mark.parametrize(
    ("problem", "typed", "added"),
    [
        ("'abc' is not a port", ["listen"], " (MCAST_PORT is set)"),
        ("'abc' is not a port", ["listen", "-p", "abc"], ""),
        ("'99999' is not a port", ["chat"], " (MCAST_PEER is set)"),
        ("-6 cannot be used with the group 230.0.0.1", ["chat", "-6"], " (MCAST_GROUP is set)"),
        ("'1' is not a group", ["chat", "-g", "1"], ""),
        ("nothing to send", ["send"], ""),
    ],
)
def test_an_error_tells_of_a_value_nobody_typed(problem: str, typed: list[str], added: str) -> None:
    environ = {
        "MCAST_PORT": "abc",
        "MCAST_PEER": "foo:99999",
        "MCAST_GROUP": "230.0.0.1:4000",
        "MCAST_JSON": "1",
        "PORT": "abc",
    }
    assert config.set_in_environment(problem, typed, environ) == added
