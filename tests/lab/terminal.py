"""A process on a pseudo-terminal, and what a person would see on it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import termios
from collections.abc import Callable, Mapping, Sequence

import pyte

from tests.lab.namespaces import Namespaces
from tests.lab.process import WAIT_SECONDS, Capture, Pattern, Running


class _AnsweringScreen(pyte.Screen):
    """A program may ask where the cursor is; a terminal answers."""

    def __init__(self, columns: int, rows: int, answer: Callable[[str], None]) -> None:
        super().__init__(columns, rows)
        self._answer = answer

    def write_process_input(self, data: str) -> None:
        self._answer(data)

    def reflow(self, columns: int) -> None:
        """Wrap the rows that are wider than `columns`. What no longer fits scrolls away at the top."""
        rows: list[dict[int, pyte.screens.Char]] = []
        for y in range(self.lines):
            row = self.buffer[y]
            used = max((x + 1 for x, char in row.items() if char.data != " "), default=0)
            if y == self.cursor.y:
                cursor = len(rows) + self.cursor.x // columns, self.cursor.x % columns
            starts = range(0, max(1, used), columns)
            rows.extend({x - start: row[x] for x in range(start, start + columns)} for start in starts)
        last = max(y for y, row in enumerate(rows) if any(char.data != " " for char in row.values()))
        gone = max(0, max(last, cursor[0]) + 1 - self.lines)
        for y, cells in enumerate(rows[gone : gone + self.lines]):
            self.buffer[y].clear()
            for x, char in cells.items():
                self.buffer[y][x] = char
        self.cursor.y, self.cursor.x = cursor[0] - gone, cursor[1]


class Terminal(Running):
    """A process whose standard streams are a terminal of `columns` by `rows`; `raw` is all it wrote."""

    def __init__(
        self,
        namespaces: Namespaces,
        host: str | None,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str,
        columns: int = 100,
        rows: int = 30,
    ) -> None:
        super().__init__(namespaces, host, argv)
        self._screen = _AnsweringScreen(columns, rows, self.type)
        self._stream = pyte.ByteStream(self._screen)
        self.unreadable: list[bytes] = []
        self._master, slave = os.openpty()
        self._resize_kernel(columns, rows)
        try:
            self._start([slave] * 3, env, cwd, terminal=True)
        except BaseException:
            os.close(self._master)
            raise
        self._output = Capture(self._master, self._changed, self._show)

    def _show(self, chunk: bytes) -> None:
        """Draw what was written. pyte fails on rare sequences: what follows up to the next is not drawn."""
        for piece in re.split(rb"(?=\x1b)", chunk):
            try:
                self._stream.feed(piece)
            except Exception:
                self.unreadable.append(piece)
                self._stream = pyte.ByteStream(self._screen)

    def type(self, text: str | bytes) -> None:
        """Press keys: Enter is "\\r" or "\\n", Ctrl-C "\\x03", Ctrl-D "\\x04"."""
        os.write(self._master, text.encode() if isinstance(text, str) else text)

    def pause(self) -> None:
        """Take nothing more of what is written, but for what is being taken: a terminal that hangs."""
        self._output.reading.clear()

    def resume(self) -> None:
        """Go on."""
        self._output.reading.set()

    def screen(self) -> list[str]:
        """The lines now on the screen, without trailing blanks."""
        with self._changed:
            return [line.rstrip() for line in self._screen.display]

    def cells(self) -> list[list[pyte.screens.Char]]:
        """The characters now on the screen, with their colours. A wide one has an empty one behind it."""
        with self._changed:
            return [[row[x] for x in range(self._screen.columns)] for row in self._rows()]

    def _rows(self) -> list[dict[int, pyte.screens.Char]]:
        return [self._screen.buffer[y] for y in range(self._screen.lines)]

    def cursor(self) -> tuple[int, int]:
        """Row and column of the cursor, from 0."""
        with self._changed:
            return self._screen.cursor.y, self._screen.cursor.x

    @property
    def raw(self) -> bytes:
        """Every byte the process wrote, in order."""
        return self._output.bytes()

    def wait_for_screen(self, pattern: Pattern, timeout: float = WAIT_SECONDS) -> re.Match[str]:
        """Wait until a text or regular expression is on the screen (its lines joined by newlines)."""
        wanted = re.compile(re.escape(pattern)) if isinstance(pattern, str) else pattern
        found = self._until(
            lambda: wanted.search("\n".join(self.screen())), timeout, f"{wanted.pattern!r} on the screen"
        )
        match: re.Match[str] = found
        return match

    def wait_for_raw(self, data: bytes, timeout: float = WAIT_SECONDS) -> None:
        """Wait until these bytes have been written to the terminal."""
        self._until(lambda: data in self.raw, timeout, f"{data!r} written")

    def resize(self, columns: int, rows: int, *, reflow: bool = False) -> None:
        """Change the window's size, as a person dragging its corner does.

        reflow: wrap what is on the screen if it becomes narrower, as most terminals do and xterm does not.
        """
        with self._changed:
            if reflow:
                self._screen.reflow(columns)
            self._screen.resize(rows, columns)
        self._resize_kernel(columns, rows)

    def _resize_kernel(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def captures(self) -> list[Capture]:
        return [self._output]

    def shown(self) -> str:
        unread = f"\n--- not drawn: {self.unreadable}" if self.unreadable else ""
        return "--- screen\n" + "\n".join(self.screen()).rstrip() + unread

    def release(self) -> None:
        self.resume()
        if self._master >= 0 and self._output.finished(1.0):
            with contextlib.suppress(OSError):
                os.close(self._master)
            self._master = -1
