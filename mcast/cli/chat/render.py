"""How a message looks on a screen: rows that nobody can forge, and colours that can be read everywhere.

A row begins with a gutter, which shows who has got a line of one's own, and the time. Further rows of a
message are indented under its speaker, so that no text stands where a time, a name or the prompt could be.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence

import msgspec
from wcwidth import wcwidth

from mcast.cli.actions import action_in
from mcast.cli.items import ChatLine
from mcast.cli.output import clock, day, decoded, escape

Parts = list[tuple[str, str]]
"""Pieces of text, each with the style that prompt_toolkit gives it."""

GUTTER = 3
"""Columns before the time."""
NARROW = 60
"""Columns below which the time has no seconds, and further rows are indented less."""
TAB = 8
MOST_LINES, MOST_CHARS = 40, 4096
"""A message that has more is shown in part."""
HEAD_LINES, HEAD_CHARS = 20, 2048
"""What is shown of it."""
PAGE_LINES, PAGE_CHARS = 200, 16 * 1024
"""What /more shows of it."""
DIM = "ansibrightblack"
ALERT = "ansired"
MENTION = "bold reverse"
REFUSED, UNHEARD, SOME, ALL = "!", "?", "✓", "✓✓"
"""Marks of a line of one's own: not sent, not confirmed by anybody, heard by some, by all."""

PALETTE = (
    "#d70000", "#d75f00", "#af8700", "#878700", "#5f8700", "#008700", "#00875f", "#008787", "#0087af",
    "#0087ff", "#005fff", "#5f5fff", "#875fff", "#8700ff", "#af00ff", "#d700ff", "#d700af", "#ff0087",
    "#d7005f", "#af5f5f", "#5f87af", "#875faf", "#af5faf", "#af875f",
)  # fmt: skip
"""Colours of xterm's 256 that have a contrast of 3:1 at least on black and on white."""
PALETTE_16 = ("ansired", "ansimagenta", "ansibrightblue", "ansibrightred", "ansibrightmagenta")
"""The same of the 16 colours."""


def gutter(mark: str, *, plain: bool = False) -> tuple[str, str]:
    """What stands before the time of a line with this mark; `plain` if the terminal has ASCII only."""
    style = f"bold {ALERT}" if mark in (REFUSED, UNHEARD) else DIM
    return style, (mark.replace("✓", "+") if plain else mark).ljust(GUTTER)


def reflowed(widths: Sequence[int], column: int, columns: int) -> int:
    """How many more rows are above the cursor when a terminal has wrapped rows of these widths."""
    return sum(max(0, width - 1) // columns for width in widths) + column // columns


def color_of(origin: bytes, colors: int = 256) -> str:
    """The style of an identity, the same everywhere and every day; only bold where there are no colours."""
    if not origin or colors < 16:
        return "bold" if origin else ""
    palette = PALETTE if colors >= 256 else PALETTE_16
    return palette[int.from_bytes(hashlib.blake2b(origin, digest_size=4).digest(), "big") % len(palette)]


def cells(text: str) -> int:
    """Columns that a terminal gives to an escaped text. It knows newer characters than Python does."""
    return len(text) if text.isascii() else sum(max(0, wcwidth(char)) for char in text)


def lines_of(data: bytes) -> list[str]:
    """The lines of a message, escaped, tabs as spaces. What is no text is one line that says so."""
    if b"\0" in data or "\udc80" <= max(text := decoded(data), default="") <= "\udcff":
        return [f"({_size(len(data))} that are no text)"]
    text = text.removesuffix("\n").removesuffix("\r").replace("\r\n", "\n")
    return [escape(_expanded(line)) for line in text.split("\n")]


def _expanded(line: str) -> str:
    """`line` with spaces for its tabs."""
    head, *rest = line.split("\t")
    for part in rest:
        head += " " * (TAB - cells(escape(head)) % TAB) + part
    return head


def _size(count: int) -> str:
    return f"{count:,} bytes" if count < 10_000 else f"{count // 1000:,} kB"


def cut(lines: Sequence[str], most_lines: int, most_chars: int) -> tuple[list[str], list[str]]:
    """The first of the lines, and the rest. A long line is cut in two."""
    shown: list[str] = []
    room = most_chars
    for at, line in enumerate(lines):
        if at >= most_lines or not room:
            return shown, list(lines[at:])
        if len(line) > room:
            return [*shown, line[:room]], [line[room:], *lines[at + 1 :]]
        shown.append(line)
        room -= len(line)
    return shown, []


def is_long(lines: Sequence[str]) -> bool:
    """Whether only the head of a message is to be shown."""
    return len(lines) > MOST_LINES or sum(map(len, lines)) > MOST_CHARS


def wrapped(line: str, first: int, width: int) -> Iterator[str]:
    """The rows of a line: `first` columns for the first one, `width` for the others. Words stay whole."""
    room = first
    while (at := _fitting(line, room)) < len(line):
        space = line.rfind(" ", at // 2, at + 1)
        if space > 0 and not line[:space].isspace():
            yield line[:space]
            line = line[space + 1 :]
        else:
            yield line[:at]
            line = line[at:]
        room = width
    yield line


def _fitting(line: str, room: int) -> int:
    """How many characters of `line` fit, at least one."""
    if line.isascii():
        return max(1, room)
    used = 0
    for at, char in enumerate(line):
        used += max(0, wcwidth(char))
        if used > room and at:
            return at
    return len(line)


class Look(msgspec.Struct, frozen=True):
    """What a screen can show: its columns (0: any number), its colours, and the day that was shown last.

    `me` are words to highlight: the names of this user.
    """

    columns: int = 80
    colors: int = 256
    day: str = ""
    me: tuple[str, ...] = ()

    @property
    def narrow(self) -> bool:
        """Whether there is little room."""
        return 0 < self.columns < NARROW

    @property
    def indent(self) -> int:
        """Columns before the further rows of a message."""
        return GUTTER + 2 if self.narrow else GUTTER + 9

    def rows(self, line: ChatLine, body: Sequence[str], mark: str = "") -> list[Parts]:
        """The rows of a message whose shown lines are `body`; `mark` is for the gutter."""
        if (action := action_in("\n".join(body))) is not None:
            body = action.split("\n")
        time = clock(line.seconds)[: 5 if self.narrow else 8]
        if self.day and (date := day(line.seconds)) != self.day:
            time = f"{date[5:]} {time[:5]}"
        head: Parts = [
            gutter(mark),
            (DIM, f"{time} "),
            ("", "* " if action is not None else ""),
            ("bold" if line.own else color_of(line.origin, self.colors), self._shortened(line.sender)),
            (DIM, f" ({line.mark})" if line.mark else ""),
            ("", " " if action is not None else ": "),
        ]
        used = sum(cells(text) for _, text in head)
        first = self._room(used)
        if len(body) > 1 or (self.columns and first < min(12, self.columns // 3)):
            body, first = ["", *body], self._room(self.indent)
        rows: list[Parts] = []
        for number, text in enumerate(body):
            for row in self._wrapped(text, first if number == 0 else self._room(self.indent)):
                start = head if not rows else [("", " " * self.indent)]
                rows.append([*start, *self._highlighted(row, line)])
        return rows

    def more(self, number: int, rest: Sequence[str]) -> Parts:
        """The row that tells what is left of a message, and how to see it."""
        lines, size = len(rest), sum(map(len, rest))
        what = f"{lines:,} more line{'' if lines == 1 else 's'}, {size:,} characters: /more {number}"
        return [(DIM, f"{' ' * self.indent}[{what}]")]

    def further(self, lines: Sequence[str]) -> list[Parts]:
        """The rows of lines of which a message's head was shown before."""
        indent = ("", " " * self.indent)
        return [[indent, ("", row)] for line in lines for row in self._wrapped(line, self._room(self.indent))]

    def note(self, text: str, style: str = "") -> list[Parts]:
        """The rows of a line of ours, which begins in the first column, and whose further rows do not."""
        rows = self._wrapped(text, self._room(0), self._room(2))
        return [[(style, row if not number else f"  {row}")] for number, row in enumerate(rows)]

    def one_row(self, text: str, part: int = 1) -> str:
        """So much of a line of ours as fits into one row, or into a `part` of it, such as half of it."""
        room = self._room(0) // part
        return text if cells(text) <= room else f"{text[: _fitting(text, room - 1)]}…"

    def _shortened(self, sender: str) -> str:
        """The label, with the identity at its end even if the name is longer than the window is wide."""
        if not self.columns or cells(sender) <= (most := max(14, self.columns // 2 - 6)):
            return sender
        name, dot, rest = sender.rpartition("·")
        return f"{name[: _fitting(name, most - 1 - len(dot + rest))]}…{dot}{rest}"

    def _room(self, used: int) -> int:
        return self.columns - used if self.columns else 1 << 20

    def _wrapped(self, text: str, first: int, width: int | None = None) -> Iterator[str]:
        return wrapped(text, first, self._room(self.indent) if width is None else width)

    def _highlighted(self, row: str, line: ChatLine) -> Parts:
        """The row, with the names of this user made visible."""
        if line.own or not self.me:
            return [("", row)]
        parts: Parts = []
        end = 0
        for found in mentions(row, self.me):
            parts += [("", row[end : found.start()]), (MENTION, found.group())]
            end = found.end()
        return [*parts, ("", row[end:])]


def mentions(text: str, names: Sequence[str]) -> Iterator[re.Match[str]]:
    """Where one of the names stands in a text as a word, with an @ or without."""
    words = "|".join(re.escape(name) for name in names if name)
    return re.finditer(rf"(?<!\w)@?(?:{words})(?!\w)", text, re.IGNORECASE) if words else iter(())


def text_of(parts: Parts) -> str:
    """The row without its styles."""
    return "".join(text for _, text in parts)
