"""A chat in a pipe or with --json, and on a terminal that cannot move its cursor."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence

from mcast.cli import stdin
from mcast.cli.items import ChatLine
from mcast.cli.output import Output

from .render import Look, Parts, text_of
from .screen import Screen


class DumbScreen(Screen):
    """Shows rows one below the other, and reads lines, which the terminal has shown."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output
        self._lines = stdin.Lines()

    async def read(self) -> str | None:
        line = await self._lines.next()
        return None if line is None else stdin.text_of(line)

    async def room(self) -> None:
        await self._output.room()

    def look(self) -> Look:
        columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
        return Look(columns, 0, self._day, self.me)

    def put(self, rows: Sequence[Parts]) -> None:
        self._output.lines(text_of(row).rstrip() for row in rows)

    def sent(self, line: ChatLine) -> None:
        """Nothing: a terminal has shown what was typed, and a filter does not repeat its input."""


class PipeScreen(DumbScreen):
    """The same for programs: a line for each message."""

    def show(self, lines: Iterable[ChatLine]) -> None:
        self._output.lines(line.full() for line in lines)

    def start(self, lines: Iterable[ChatLine | str]) -> None:
        self._output.lines(f"--- {line}" if isinstance(line, str) else line.full() for line in lines)
