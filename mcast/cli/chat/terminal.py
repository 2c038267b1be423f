"""A chat on a terminal: lines of others appear above the line that is being typed and never break it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import select
import sys
import time
from collections.abc import Sequence
from typing import TextIO, cast

from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.output.color_depth import ColorDepth
from prompt_toolkit.output.defaults import create_output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style

from mcast.cli.items import ChatLine
from mcast.cli.output import FINISH, fitted
from mcast.cli.streams import ROOM, Writer

from .bell import sequences
from .completion import ChatCompleter
from .composer import Composer
from .render import Look, Parts, gutter, reflowed
from .screen import Screen

PAUSE = 0.04
"""Seconds, at least, between two times that rows are printed: each time, the prompt is drawn again."""
MARKED = 100
"""Lines of one's own, and of transfers, whose place on the screen is known."""
REFLOWS = not (
    "XTERM_VERSION" in os.environ
    or os.environ.get("TERM", "").startswith(("linux", "vt", "cons"))
    or (os.environ.get("TERM", "").startswith("screen") and "TMUX" not in os.environ)
)
"""Whether the terminal wraps what is on it when it becomes narrower, as nearly all do."""
_COLORS = {ColorDepth.DEPTH_1_BIT: 2, ColorDepth.DEPTH_4_BIT: 16}


class Terminal(Screen):
    """Reads with prompt_toolkit; lines of others are printed above the prompt.

    The terminal stays in raw mode throughout. prompt_toolkit's own way to print above a prompt turns echo on
    for a moment, and keys pressed in that moment appear in the middle of the screen.

    Rows are as wide as the window, and the terminal may not wrap them: it may think that a character is wider
    than we do, and what it wraps would stand in the first column, where only our lines begin. So it is known
    how many rows above the prompt a line is, too, and its mark can be changed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._writer = Writer(sys.stdout)
        output = create_output()
        if isinstance(output, Vt100_Output):
            # A slow terminal reports the position of the cursor only after another line was printed. The
            # prompt is then drawn too high and pushes the screen up.
            output.enable_cpr = False
            # A terminal that is stopped must not stop the protocol.
            output.stdout = cast(TextIO, _Background(self._writer))
        self._plain = fitted("✓", sys.stdout) != "✓"
        self._undrawn: Parts = []
        self._drawn = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._printed = 0
        self._places: dict[str, int] = {}
        self._changing: dict[str, None] = {}
        self._tallest = 1
        self._size = output.get_size()
        self._composer = Composer(output, ChatCompleter(self), self._prompt, self._status, self._moved)
        self._app = self._composer.app
        self._app.after_render += lambda _: self._rendered()
        self._resize = self._app._on_resize
        self._app._on_resize = self._resized  # type: ignore[method-assign]  # nothing else comes before it erases
        self._stack = contextlib.ExitStack()
        self._opened = False

    def open(self) -> None:
        if self._opened:
            return
        self._opened = True
        self._stack.enter_context(self._app.input.raw_mode())
        self._composer.typed_before(_waiting())
        if sys.stderr.isatty():
            self._stack.enter_context(contextlib.redirect_stderr(_Above(self)))

    async def read(self) -> str | None:
        return await self._composer.read()

    async def read_secret(self, question: str) -> str | None:
        return await self._composer.read_secret(question)

    async def room(self) -> None:
        await self._writer.room()

    def look(self) -> Look:
        colors = _COLORS.get(self._app.color_depth, 256)
        return Look(self._app.output.get_size().columns, colors, self._day, self.me)

    def rows(self, line: ChatLine, before: int) -> list[Parts]:
        rows = super().rows(line, before)
        if line.own and line.id:
            # A heading may come first.
            self._remember(line.id, self._printed + before + (rows[0][0][1].startswith("---")))
        return rows

    def put(self, rows: Sequence[Parts]) -> None:
        self._undrawn += (part for row in rows for part in [*row, ("", "\n")])
        self._printed += len(rows)
        if (wait := self._drawn + PAUSE - time.monotonic()) <= 0:
            self._draw()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(wait, self._draw)

    def note(self, text: str) -> None:
        """Show a line of ours."""
        self.put(self.look().note(text))

    def mark(self, message_id: str, mark: str) -> None:
        self._rewrite(message_id, [gutter(mark, plain=self._plain)])

    def change(self, key: str, text: str) -> bool:
        look = self.look()
        row = look.note(look.one_row("mcast: " + text))[0]
        if key in self._changing:
            return self._rewrite(key, [*row, ("[ZeroWidthEscape]", "\x1b[K")])
        self._changing[key] = None
        if len(self._changing) > MARKED:
            del self._changing[next(iter(self._changing))]
        self._remember(key, self._printed)
        self.put([row])
        return True

    def _remember(self, key: str, place: int) -> None:
        self._places[key] = place
        if len(self._places) > MARKED:
            del self._places[next(iter(self._places))]

    def _rewrite(self, key: str, parts: Parts) -> bool:
        """Write over the begin of a row; False if it cannot be reached any more."""
        self._draw()
        self._rendered()
        place = self._places.get(key)
        if place is None:
            return False
        up = self._printed - place
        # What is higher up has left the screen, and the cursor would stop at its edge.
        if up > self._size.rows - self._tallest:
            del self._places[key]
            return False
        escape = "[ZeroWidthEscape]"
        self._print([(escape, f"\x1b[{up}A"), *parts, (escape, f"\r\x1b[{up}B")])
        return True

    def refresh(self) -> None:
        if self._app.is_running:
            self._app.invalidate()

    def ring(self, title: str, text: str) -> None:
        self._writer.put(sequences(fitted(title, sys.stdout), fitted(text, sys.stdout)))

    def close(self) -> None:
        self._draw()
        self._stack.close()
        self._writer.finish(FINISH)

    @property
    def full(self) -> bool:
        """Whether the terminal is stopped and so much waits that notes are left out."""
        return self._writer.waiting > ROOM

    def _prompt(self) -> Parts:
        return self.talk.prompt() if self.talk else []

    def _status(self) -> Parts:
        return self.talk.status() if self.talk else []

    def _draw(self) -> None:
        """Print what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._undrawn:
            parts, self._undrawn = self._undrawn, []
            self._print(parts)
            self._drawn = time.monotonic()

    def _print(self, parts: Parts) -> None:
        """Print above the prompt, which is drawn again below."""
        app = self._app
        if app.is_running:
            app.renderer.erase()
        fitting = [(style, text if "Escape" in style else fitted(text, sys.stdout)) for style, text in parts]
        # print_formatted_text() lets the terminal wrap.
        start = ("[ZeroWidthEscape]", "\x1b[?7l")
        print_formatted_text(
            app.output, FormattedText([start, *fitting]), Style([]), color_depth=app.color_depth
        )
        app.output.enable_autowrap()
        app.output.flush()
        if app.is_running:
            app.invalidate()

    def _rendered(self) -> None:
        """Look how tall the prompt is, and whether the window has another size."""
        screen = self._app.renderer.last_rendered_screen
        self._tallest = max(self._tallest, screen.height if screen else 1)
        if (size := self._app.output.get_size()) != self._size:
            self._size = size
            self._moved()

    def _resized(self) -> None:
        """Go to the first row of the prompt, which a narrower window may have wrapped, and draw it again."""
        screen = self._app.renderer.last_rendered_screen
        if screen is not None and REFLOWS:
            cursor = screen.get_cursor_position(self._app.layout.current_window)
            widths = [
                max(
                    (x + cell.width for x, cell in screen.data_buffer[y].items() if cell.char != " "),
                    default=0,
                )
                for y in range(cursor.y)
            ]
            if more := reflowed(widths, cursor.x, self._app.output.get_size().columns):
                self._app.output.cursor_up(more)
        self._moved()
        self._resize()

    def _moved(self) -> None:
        """Nobody knows any more where lines are."""
        self._places.clear()
        self._tallest = 1


def _waiting() -> str:
    """What was typed before the chat could read it."""
    if sys.platform == "win32" or not select.select([sys.stdin], [], [], 0)[0]:
        return ""
    return os.read(sys.stdin.fileno(), 4096).decode("utf-8", "surrogateescape")


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
            self._terminal.note(line)
        return len(text)

    def isatty(self) -> bool:
        return True
