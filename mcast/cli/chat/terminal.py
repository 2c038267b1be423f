"""A chat on a terminal: lines of others appear above the line that is being typed and never break it."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Iterable
from typing import TextIO, cast

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.output.defaults import create_output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style

from mcast.cli.items import ChatLine
from mcast.cli.output import FINISH, clock, escape, fitted
from mcast.cli.streams import ROOM, Writer

Parts = list[tuple[str, str]]


class Terminal:
    """Reads with prompt_toolkit; lines of others are printed above the prompt.

    The terminal stays in raw mode throughout. prompt_toolkit's own way to print above a prompt turns echo on
    for a moment, and keys pressed in that moment appear in the middle of the screen.
    """

    def __init__(self) -> None:
        self._writer = Writer(sys.stdout)
        output = create_output()
        if isinstance(output, Vt100_Output):
            # A slow terminal reports the position of the cursor only after another line was printed. The
            # prompt is then drawn too high and pushes the screen up.
            output.enable_cpr = False
            # A terminal that is stopped must not stop the protocol.
            output.stdout = cast(TextIO, _Background(self._writer))
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
        # What is typed is UTF-8, even in a locale with another encoding.
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    def show(self, lines: Iterable[ChatLine]) -> None:
        """Print lines of others, all at once."""
        self.print([part for line in lines for part in _parts(line)])

    def start(self, lines: Iterable[ChatLine | str]) -> None:
        """Print lines of before, and headings between them, all at once."""
        parts: Parts = []
        for line in lines:
            parts += [("ansibrightblack", f"--- {line}\n")] if isinstance(line, str) else _parts(line)
        self.print(parts)

    async def room(self) -> None:
        """Wait until the terminal has taken what was printed, but for a little."""
        await self._writer.room()

    def sent(self, text: str) -> None:
        """Print our own line."""
        self.print(_parts(ChatLine(time.time(), "you", escape(text), own=True)))

    def close(self) -> None:
        """Restore the terminal and standard error."""
        self._stack.close()
        self._writer.finish(FINISH)

    @property
    def full(self) -> bool:
        """Whether the terminal is stopped and so much waits that notes are left out."""
        return self._writer.waiting > ROOM

    def print(self, parts: Parts) -> None:
        """Print above the prompt, which is drawn again below."""
        app = self._session.app
        if app.is_running:
            app.renderer.erase()
        print_formatted_text(app.output, FormattedText(parts), Style([]), color_depth=app.color_depth)
        app.output.flush()
        if app.is_running:
            app.invalidate()


class _Background:
    """Standard output for prompt_toolkit, which writes and flushes."""

    def __init__(self, writer: Writer) -> None:
        self.encoding = writer.encoding
        self.write = writer.put

    def flush(self) -> None:
        """Nothing: what is written is flushed."""


class _Above(io.TextIOBase):
    """Standard error while there is a prompt."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._line = ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in [] if self._terminal.full else lines:
            self._terminal.print([("", f"{fitted(line, sys.stdout)}\n")])
        return len(text)

    def isatty(self) -> bool:
        return True


def _parts(line: ChatLine) -> Parts:
    color = "ansigreen" if line.own else "ansicyan"
    return [
        ("ansibrightblack", f"{clock(line.seconds)} "),
        (color, fitted(line.sender, sys.stdout)),
        ("ansiyellow", f" ({line.mark})" if line.mark else ""),
        ("", f": {fitted(line.text, sys.stdout)}\n"),
    ]
