"""A chat in a pipe: standard input is sent line by line, what arrives is printed."""

from __future__ import annotations

from collections.abc import Iterable

from . import stdin
from .input import Lines
from .items import Said, chat_text
from .render import Output


class Filter:
    """Standard input and output as they are."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._lines = Lines()

    async def read(self) -> str | None:
        """The next line; None at the end of input. UsageError for a line that is not UTF-8."""
        line = await self._lines.next()
        return None if line is None else stdin.text_of(line)

    def show(self, said: Iterable[Said]) -> None:
        """Lines of others."""
        self._output.lines(map(chat_text, said))

    def sent(self, text: str) -> None:
        """Nothing: a filter does not repeat its input, and a terminal has shown it."""

    def close(self) -> None:
        """Nothing to give back."""
