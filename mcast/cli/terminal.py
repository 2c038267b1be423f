"""A chat on a terminal: lines of others appear above the one being typed and never tear it."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Iterable

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.output.defaults import create_output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style

from .items import Said
from .render import clock, escape, fitted

Parts = list[tuple[str, str]]


class Terminal:
    """Reads with prompt_toolkit; what is printed meanwhile goes above the prompt.

    The terminal stays raw from first to last. prompt_toolkit's own way to print above a prompt turns echo on
    for that moment, and what is typed in it lands in the middle of the screen.
    """

    def __init__(self) -> None:
        output = create_output()
        if isinstance(output, Vt100_Output):
            # Asked where the cursor is, a slow terminal answers when a line has been printed meanwhile, and
            # the prompt, taken to stand higher than it does, pushes the screen up.
            output.enable_cpr = False
        self._session: PromptSession[str] = PromptSession(
            erase_when_done=True, enable_suspend=True, output=output
        )
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(self._session.app.input.raw_mode())
        if sys.stderr.isatty():
            self._stack.enter_context(contextlib.redirect_stderr(_Above(self)))

    async def read(self) -> str | None:
        """What was typed or pasted, up to Enter; None after Ctrl-D or Ctrl-C."""
        try:
            text = await self._session.prompt_async("> ", handle_sigint=False, set_exception_handler=False)
        except (EOFError, KeyboardInterrupt):
            return None
        # Under a locale that cannot say so, what is typed is UTF-8 all the same.
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    def show(self, said: Iterable[Said]) -> None:
        """Lines of others, in one go."""
        self.print(
            [
                part
                for one in said
                for part in _parts(one.seconds, one.sender, one.text, one.mark, color="ansicyan")
            ]
        )

    def sent(self, text: str) -> None:
        """A line of our own."""
        self.print(_parts(time.time(), "you", escape(text), color="ansigreen"))

    def close(self) -> None:
        """Give the terminal and standard error back."""
        self._stack.close()

    def print(self, parts: Parts) -> None:
        """Print above the prompt, which is drawn anew below."""
        app = self._session.app
        if app.is_running:
            app.renderer.erase()
        print_formatted_text(app.output, FormattedText(parts), Style([]), color_depth=app.color_depth)
        app.output.flush()
        if app.is_running:
            app.invalidate()


class _Above(io.TextIOBase):
    """Standard error while the prompt is there."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._line = ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._terminal.print([("", f"{fitted(line, sys.stdout)}\n")])
        return len(text)

    def isatty(self) -> bool:
        return True


def _parts(seconds: float, sender: str, text: str, mark: str = "", *, color: str) -> Parts:
    return [
        ("ansibrightblack", f"{clock(seconds)} "),
        (color, fitted(sender, sys.stdout)),
        ("ansiyellow", f" ({mark})" if mark else ""),
        ("", f": {fitted(text, sys.stdout)}\n"),
    ]
