"""What a person sees of a chat: messages in rows, headings between the days, long messages in pages.

In a pipe, and with --json, programs read lines instead.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING

from mcast.cli import stdin
from mcast.cli.items import ChatLine
from mcast.cli.output import Output, day
from mcast.errors import UsageError

from .render import (
    DIM,
    HEAD_CHARS,
    HEAD_LINES,
    PAGE_CHARS,
    PAGE_LINES,
    Look,
    Parts,
    cut,
    is_long,
    lines_of,
    text_of,
)

if TYPE_CHECKING:
    from .talk import Talk

HELD = 20
"""Long messages of which the rest can be shown. The attack is many of them, of 64 KiB each: oldest out."""


class Screen:
    """Shows messages in rows. What shows the rows, and reads what is typed, is up to those that inherit it.

    `me` are the words that others call this user by. `talk` gives the prompt and the line below.
    """

    def __init__(self) -> None:
        self.me: tuple[str, ...] = ()
        self.talk: Talk | None = None
        self._day = day(time.time())
        self._long: dict[int, list[str]] = {}
        self._longs = 0

    async def read(self) -> str | None:
        """What was typed or pasted; None if the user leaves. UsageError if it is no text."""
        raise NotImplementedError

    async def read_secret(self, question: str) -> str | None:
        """What was typed as the answer without being shown; None if nothing was."""
        raise UsageError("this terminal would show what you type", "use mcast key add ROOM")

    async def room(self) -> None:
        """Wait until what was shown has been read, but for a little."""
        raise NotImplementedError

    def look(self) -> Look:
        """What this screen can show just now."""
        raise NotImplementedError

    def put(self, rows: Sequence[Parts]) -> None:
        """Show rows, all at once."""
        raise NotImplementedError

    def open(self) -> None:
        """Take the terminal, once there is a room; does nothing if that was done."""

    def close(self) -> None:
        """Give the terminal back."""

    def mark(self, message_id: str, mark: str) -> None:
        """Change the mark of a line of one's own, if it can still be reached."""

    def change(self, key: str, text: str) -> bool:
        """Show a line of ours, or change it where it stands; False if it cannot be reached any more."""
        return False

    def refresh(self) -> None:
        """The prompt or the line below has changed."""

    def ring(self, title: str, text: str) -> None:
        """Call a person who looks elsewhere; both texts are escaped."""

    def show(self, lines: Iterable[ChatLine]) -> None:
        """Show messages, all at once."""
        rows: list[Parts] = []
        for line in lines:
            rows += self.rows(line, len(rows))
        self.put(rows)

    def sent(self, line: ChatLine) -> None:
        """Show a line of one's own that was sent."""
        self.show([line])

    def start(self, lines: Iterable[ChatLine | str]) -> None:
        """Show messages of before, and headings between them, all at once."""
        rows: list[Parts] = []
        for line in lines:
            if isinstance(line, str):
                rows.append([(DIM, f"--- {line}")])
            else:
                self._day = day(line.seconds)  # a heading has said it
                rows += self.rows(line, len(rows))
        self._day = day(time.time())
        self.put(rows)

    def rows(self, line: ChatLine, before: int) -> list[Parts]:
        """The rows of a message, with a heading if a new day has begun; `before` rows come first."""
        rows: list[Parts] = []
        if self._day < (today := day(time.time())) == day(line.seconds):
            self._day = today
            rows.append([(DIM, f"--- {date.fromisoformat(today):%A %Y-%m-%d}")])
        look = self.look()
        lines = lines_of(line.data) if line.data else [line.text]
        if not is_long(lines):
            return rows + look.rows(line, lines)
        head, rest = cut(lines, HEAD_LINES, HEAD_CHARS)
        return [*rows, *look.rows(line, head), look.more(self._hold(rest), rest)]

    def more(self, words: str) -> None:
        """Show more of a long message: that with the number in `words`, or the last one."""
        number = int(words) if words.isdecimal() else 0 if words else max(self._long, default=0)
        if number not in self._long:
            raise UsageError(f"there is no more of {words or 'a message'}", "give the number: /more N")
        shown, rest = cut(self._long.pop(number), PAGE_LINES, PAGE_CHARS)
        rows = self.look().further(shown)
        if rest:
            self._long[number] = rest
            rows.append(self.look().more(number, rest))
        self.put(rows)

    def _hold(self, lines: list[str]) -> int:
        self._longs += 1
        self._long[self._longs] = lines
        if len(self._long) > HELD:
            del self._long[min(self._long)]
        return self._longs


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
