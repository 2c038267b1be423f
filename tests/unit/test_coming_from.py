"""docs/coming-from.md: every command of mcast in it is one that mcast understands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from mcast.cli import LazyCommand, app

PAGE = Path(__file__).parents[2] / "docs" / "coming-from.md"
COMMANDS = re.findall(r"`(mcast [^`…]+)`", PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("line", dict.fromkeys(COMMANDS))
def test_a_command_is_understood(line: str) -> None:
    group: Any = get_command(app)
    _, name, *arguments = shlex.split(line)
    command = group.commands[name]
    loaded: Any = command.load() if isinstance(command, LazyCommand) else command
    context = loaded.make_context(name, arguments)
    assert context.params


def test_all_five_are_there() -> None:
    assert len(COMMANDS) > 25
    text = PAGE.read_text(encoding="utf-8")
    for other in ("avahi-browse", "dns-sd", "serf", "mosquitto_sub", "nats"):
        assert re.search(rf"^\| `{other} ", text, re.MULTILINE), other
