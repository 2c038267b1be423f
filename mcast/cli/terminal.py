"""A chat on a terminal: lines of others appear above the one being typed and never tear it."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator

from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.patch_stdout import StdoutProxy

from .items import Said
from .render import clock, escape

Parts = list[tuple[str, str]]


class Terminal:
    """Reads with prompt_toolkit; what is printed meanwhile goes above the prompt."""

    def __init__(self) -> None:
        self._session: PromptSession[str] = PromptSession(erase_when_done=True, enable_suspend=True)
        self._above = _standard_error_above()
        self._above.__enter__()

    async def read(self) -> str | None:
        """What was typed or pasted, up to Enter; None after Ctrl-D or Ctrl-C."""
        try:
            return await self._session.prompt_async("> ", handle_sigint=False)
        except (EOFError, KeyboardInterrupt):
            return None

    def show(self, said: Iterable[Said]) -> None:
        """Lines of others, in one go."""
        self._print([part for one in said for part in _parts(*one, color="ansicyan")])

    def sent(self, text: str) -> None:
        """A line of our own."""
        self._print(_parts(time.time(), "you", escape(text), color="ansigreen"))

    def close(self) -> None:
        """Give standard error back."""
        self._above.__exit__(None, None, None)

    @staticmethod
    def _print(parts: Parts) -> None:
        print_formatted_text(FormattedText(parts[:-1]))


@contextlib.contextmanager
def _standard_error_above() -> Iterator[None]:
    """While the prompt is there, print what goes to standard error above it, unless that is a file."""
    before = sys.stderr
    if not before.isatty():
        yield
        return
    with StdoutProxy(sleep_between_writes=0.05) as proxy:
        sys.stderr = proxy
        try:
            yield
        finally:
            sys.stderr = before


def _parts(seconds: float, sender: str, text: str, mark: str = "", *, color: str) -> Parts:
    kind = f" ({mark})" if mark else ""
    return [
        ("ansibrightblack", f"{clock(seconds)} "),
        (color, sender),
        ("ansiyellow", kind),
        ("", f": {text}"),
        ("", "\n"),
    ]
