"""An extra that is not installed: one line that says what to do."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from mcast.cli import extras
from mcast.errors import UsageError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ("dnssd", "--dnssd needs the package zeroconf: install it with: {} zeroconf"),
        ("web", "the web page needs the package aiohttp: install it with: {} aiohttp segno"),
        ("qr", "--qr needs the package segno: install it with: {} segno"),
    ],
)
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, extra: str, says: str) -> None:
    """The command fits this Python: it needs no release of mcast, and no clone of it."""
    extras.require(extra)
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    monkeypatch.setattr(sys, "executable", "/opt/my tools/python3")
    with pytest.raises(UsageError) as raised:
        extras.require(extra)
    assert str(raised.value) == says.format('"/opt/my tools/python3" -m pip install')


def test_all_that_an_extra_needs_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    del listed["dev"]
    for extra, requirements in listed.items():
        packages = [re.split("[>=]", requirement)[0] for requirement in requirements]
        assert extras.command(extra).partition(" install ")[2].split() == packages
