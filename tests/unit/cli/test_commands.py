"""The table of commands, and what each command imports."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from mcast.cli import SUMMARIES, LazyCommand, app, exits, main


@pytest.mark.parametrize("name", SUMMARIES)
def test_the_line_of_a_command_is_the_first_of_its_help(name: str) -> None:
    function = getattr(importlib.import_module(f"mcast.cli.{name}"), name)
    assert (function.__doc__ or "").splitlines()[0] == SUMMARIES[name]
    assert LazyCommand(name).load().params


def test_help_names_every_command_and_imports_none() -> None:
    code = """if 1:
        import sys
        from mcast.cli import main
        main(["--help"])
        print(*sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *shown, loaded = done.stdout.splitlines()
    named = [line.split()[0] for line in shown[shown.index("Commands:") + 1 :]]
    assert named == list(SUMMARIES)
    unwanted = {
        "asyncio",
        "cryptography",
        "msgspec",
        "rich",
        "pydantic",
        "tomllib",
        *(f"mcast.cli.{name}" for name in SUMMARIES),
    }
    assert unwanted & set(loaded.split()) == set()


def test_the_group_is_what_the_table_says() -> None:
    assert app.info.cls is not None
    assert list(app.info.cls().commands) == list(SUMMARIES)


NEEDED = (
    "asyncio, cryptography.hazmat.primitives.ciphers.aead, msgspec, netifaces, platformdirs, psutil, typer"
)
"""What brings in modules of its own that are not for us to choose."""


@pytest.mark.parametrize(
    ("name", "unwanted"),
    [
        ("send", {"prompt_toolkit", "mcast.cli.chat", "mcast.cli.items", "subprocess"}),
        ("chat", {"prompt_toolkit", "mcast.cli.chat.terminal", "subprocess"}),
        ("interfaces", {"prompt_toolkit", "mcast.core.engine", "mcast.cli.runner", "mcast.cli.session"}),
    ],
)
def test_a_command_imports_nothing_that_it_may_not_need(name: str, unwanted: set[str]) -> None:
    code = f"""if 1:
        import sys
        import {NEEDED}
        before = set(sys.modules)
        from mcast.cli import LazyCommand
        LazyCommand("{name}").load()
        print(*set(sys.modules) - before)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    slow = {"dataclasses", "json", "nacl.bindings", "statistics", "tomllib", "uuid"}
    rare = {"mcast.cli.config_parser", "mcast.cli.hooks", "mcast.cli.key_files", "mcast.simulation"}
    rare |= {"mcast.blocking"}
    assert (slow | rare | unwanted) & set(done.stdout.split()) == set()


@pytest.mark.parametrize("name", SUMMARIES)
def test_typer_need_not_evaluate_annotations(name: str) -> None:
    function = getattr(importlib.import_module(f"mcast.cli.{name}"), name)
    assert not any(isinstance(annotation, str) for annotation in function.__annotations__.values())


@pytest.mark.parametrize(("typed", "blamed"), [([], True), (["--ttl", "abc"], False)])
def test_typers_own_errors_blame_the_environment_for_what_nobody_typed(
    typed: list[str], blamed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MCAST_TTL", "abc")
    assert main(["chat", *typed]) == exits.USAGE
    said = capsys.readouterr().err
    assert "'abc' is not a whole number" in said
    assert said.endswith("(MCAST_TTL is set); see: mcast chat --help\n") == blamed
    assert ("MCAST_TTL" in said) == blamed


def test_whoever_may_name_an_interface_may_leave_one_out() -> None:
    options = {name: {one.name for one in LazyCommand(name).load().params} for name in SUMMARIES}
    able = {name for name, names in options.items() if "interface" in names}
    assert len(able) > 9
    assert able == {name for name, names in options.items() if "exclude" in names}
