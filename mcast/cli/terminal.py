"""A chat on a terminal: lines of others appear above the one being typed and never tear it."""

from __future__ import annotations

import time

from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.patch_stdout import patch_stdout

from mcast.plain import Line

from .lines import source_text, text_of
from .render import clock, escape


class Terminal:
    """Reads with prompt_toolkit; what is printed meanwhile goes above the prompt."""

    def __init__(self) -> None:
        self._session: PromptSession[str] = PromptSession(erase_when_done=True)
        self._patch = patch_stdout()
        self._patch.__enter__()

    async def read(self) -> str | None:
        """The next line; None after Ctrl-D or Ctrl-C."""
        try:
            return await self._session.prompt_async("> ", handle_sigint=False)
        except (EOFError, KeyboardInterrupt):
            return None

    def show(self, lines: list[Line]) -> None:
        """Lines of others, in one go."""
        parts: list[tuple[str, str]] = []
        for line in lines:
            parts += _parts(line.received, source_text(line.source), text_of(line), "ansicyan")
        self._print(parts)

    def sent(self, text: str) -> None:
        """A line of our own."""
        self._print(_parts(time.time(), "you", escape(text), "ansigreen"))

    def close(self) -> None:
        """Give standard output back."""
        self._patch.__exit__(None, None, None)

    @staticmethod
    def _print(parts: list[tuple[str, str]]) -> None:
        print_formatted_text(FormattedText(parts[:-1]))


def _parts(seconds: float, sender: str, text: str, color: str) -> list[tuple[str, str]]:
    return [("ansibrightblack", f"{clock(seconds)} "), (color, sender), ("", f": {text}"), ("", "\n")]
