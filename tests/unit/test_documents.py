"""What README.md and the pages for users say can be checked without a network: names, defaults, links."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import mcast
from mcast import errors, events, settings
from mcast.cli import LazyCommand, app, exits

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *(DOCS / f"{name}.md" for name in ("README.zh", "chat", "keyed-rooms", "scripts", "python", "settings")),
    *(DOCS / f"{name}.md" for name in ("troubleshooting", "security", "recipes")),
]
OF_SCRIPTS = {
    "--quick",
    "--peers",
    "--guests",
    "--seeds",
    "--minutes",
    "--seed",
    "--install-completion",
    "--help",
    "--user",
    "--now",
}
"""Flags of what is no command of mcast, and those that typer adds."""
UNITS = {
    "": 1.0,
    "bytes": 1.0,
    "bytes/s": 1.0,
    "KiB": 1024.0,
    "KiB/s": 1024.0,
    "MiB": 1024.0**2,
    "MiB/s": 1024.0**2,
    "ms": 0.001,
    "s": 1.0,
    "h": 3600.0,
    "%": 0.01,
    "records": 1.0,
    "peers": 1.0,
    "reports/s": 1.0,
    "checks/s": 1.0,
}


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def rows(page: Path, heading: str) -> Iterator[list[str]]:
    """The rows of the tables under a heading, as cells."""
    section = text_of(page).split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    for table in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE):
        for line in table.splitlines()[2:]:
            yield [cell.strip() for cell in line.strip("|").split("|")]


def names(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def parameters() -> Iterator[Any]:
    """Of every command, and of mcast itself."""
    group: Any = get_command(app)
    yield from group.params
    for command in group.commands.values():
        yield from (command.load() if isinstance(command, LazyCommand) else command).params


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_flag_is_one_that_there_is(page: Path) -> None:
    known = {flag for parameter in parameters() for flag in parameter.opts}
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text_of(page)))
    assert used <= known | OF_SCRIPTS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def anchors(file: Path) -> set[str]:
    """Those that a forge makes of headings."""
    headings = re.findall(r"^#+ (.*)$", text_of(file), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_package_is_called_what_readme_says() -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    for page in (ROOT / "README.md", DOCS / "README.zh.md"):
        assert f"`pipx install {project['name']}`" in text_of(page)


def test_readme_is_short() -> None:
    assert len(text_of(ROOT / "README.md").splitlines()) <= 130


def test_every_variable_of_the_environment_is_listed() -> None:
    variables = [parameter.envvar for parameter in parameters() if parameter.envvar]
    listed = [name for row in rows(DOCS / "settings.md", "Environment variables") for name in names(row[0])]
    assert sorted(listed) == sorted({*variables, "MCAST_KEY", "MCAST_CONFIG"})


def test_every_protocol_setting_is_listed_with_its_default() -> None:
    listed = {names(row[0])[0]: row[1] for row in rows(DOCS / "settings.md", "Protocol settings")}
    defaults = settings.lan()
    assert set(listed) == set(defaults.__struct_fields__)
    for name, text in listed.items():
        assert number(text) == pytest.approx(getattr(defaults, name)), name


def number(text: str) -> float | None:
    """`20 ms`, `10,000 records`, `25 %` in the units of Settings."""
    if text == "none":
        return None
    amount, _, unit = text.partition(" ")
    return float(amount.replace(",", "")) * UNITS[unit]


def test_every_argument_of_join_is_listed() -> None:
    listed = [name for row in rows(DOCS / "python.md", "Arguments of join()") for name in names(row[0])]
    assert sorted(listed) == sorted(inspect.signature(mcast.join).parameters)


def test_every_event_is_listed() -> None:
    listed = [name for row in rows(DOCS / "python.md", "Messages and events") for name in names(row[0])]
    assert sorted(listed) == sorted(set(events.__all__) - {"Event", "PeerView", "RoomView"})


def test_every_error_is_listed() -> None:
    listed = {
        name
        for row in rows(DOCS / "python.md", "Errors")
        for cell in row
        for name in names(cell)
        if name[0].isupper()
    }
    raised = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert listed - {"ValueError", "OSError"} == raised


def test_every_exit_code_is_listed() -> None:
    listed = {int(code) for row in rows(DOCS / "scripts.md", "Exit codes") for code in row[0].split(",")}
    named = {value for name, value in vars(exits).items() if name.isupper()}
    assert listed == named - {exits.INTERRUPTED} | {exits.INTERRUPTED + 2, exits.INTERRUPTED + 15}
