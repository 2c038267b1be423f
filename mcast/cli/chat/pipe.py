"""A chat in a pipe, with --json, or on a terminal that cannot move its cursor."""

from __future__ import annotations

from collections.abc import Iterable

from mcast.cli import stdin
from mcast.cli.items import ChatLine
from mcast.cli.output import Output


class PipeScreen:
    """Reads lines from standard input and prints those of others; the counterpart of terminal.Terminal."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._lines = stdin.Lines()

    async def read(self) -> str | None:
        """The next line; None at the end of input. UsageError if it is not UTF-8."""
        line = await self._lines.next()
        return None if line is None else stdin.text_of(line)

    def show(self, lines: Iterable[ChatLine]) -> None:
        """Print lines of others."""
        self._output.lines(line.full() for line in lines)

    async def room(self) -> None:
        """Wait until what was printed has been read, but for a little."""
        await self._output.room()

    def start(self, lines: Iterable[ChatLine | str]) -> None:
        """Print lines of before, and headings between them."""
        self._output.lines(f"--- {line}" if isinstance(line, str) else line.full() for line in lines)

    def sent(self, text: str) -> None:
        """Nothing: a filter does not repeat its input, and a terminal has shown it."""

    def close(self) -> None:
        """Nothing to restore."""
