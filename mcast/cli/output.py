"""Standard output and standard error. Text from the network is escaped, and no console makes it fail."""

from __future__ import annotations

import base64
import errno
import io
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO

from mcast.errors import McastError

from .streams import ROOM, Patient, Writer

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""str.isprintable() accepts them, but they show nothing."""
_DOUBTFUL = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""These, and the variation selectors."""
_SIGNS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
"""Format characters that can be seen: Arabic, Syriac and Kaithi signs around a number."""
_JOINERS = frozenset("\u200c\u200d")
"""Persian, Hindi and emoji need them."""
_SOFT_HYPHEN = "\u00ad"
_TAGS = frozenset(map(chr, range(0xE0020, 0xE0080)))
"""The letters of _FLAG, which are not shown."""
_MARKS = frozenset("\u200e\u200f\u061c")
"""Left-to-right mark, right-to-left mark, Arabic letter mark."""
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f")
"""A black flag and the name of a region: the flag of Scotland."""
_FLAG_SIZE = 8


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_CONTROLS_EXACTLY = (
    _CONTROLS
    | {code: f"\\u{code:04x}" for code in range(0x80, 0xA0)}  # \xNN would be a byte
    | {ord("\\"): "\\\\", ord("\n"): "\\n", ord("\t"): "\\t", ord("\r"): "\\r"}
)
EARLIEST, LATEST = 0.0, 253_402_214_399.0
"""Unix seconds that every system has a date for, in every time zone."""


def escape(text: str) -> str:
    """`text` safe to print: control, invisible and bidirectional characters become `\\xNN` or `\\uNNNN`."""
    return text if _is_clean(text) else _replaced(text.translate(_CONTROLS), _escaped)


def escape_exactly(text: str) -> str:
    """Like escape(), but `printf %b` gives back the text: a backslash is doubled, a line break is `\\n`."""
    if _is_clean(text) and "\\" not in text:
        return text
    return _replaced(text.translate(_CONTROLS_EXACTLY), _escaped)


def _is_clean(text: str) -> bool:
    """Whether nothing need be escaped, as in most texts."""
    return text.isprintable() and (text.isascii() or not _DOUBTFUL.search(text))


def _replaced(text: str, escaped: Callable[[str], str]) -> str:
    """`text` with each character that is not safe to print replaced by what `escaped` makes of it."""
    if _is_clean(text):
        return text
    marks = not _MARKS.isdisjoint(text) and any(map(_is_right_to_left, text))
    shown, before = [], ""
    for at, char in enumerate(text):
        safe = _is_safe(char)
        if safe is None:
            safe = _belongs(text, at, before, marks)
        before = char if safe else ""
        shown.append(char if safe else escaped(char))
    return "".join(shown)


@lru_cache(maxsize=4096)
def _is_safe(char: str) -> bool | None:
    """Whether the character may be printed; None if that depends on where it stands."""
    if char in _INVISIBLE:
        return False
    if _DOUBTFUL.match(char) or char in _JOINERS or char in _MARKS or char == _SOFT_HYPHEN or char in _TAGS:
        return None
    return char.isprintable() or char in _SIGNS or unicodedata.category(char) == "Zs" or _is_new(char)


def _belongs(text: str, at: int, before: str, marks: bool) -> bool:
    """Whether a character that shows nothing belongs to the script or emoji in which it stands.

    before: the character before it, empty if that is not shown. marks: whether to allow _MARKS.
    """
    char = text[at]
    if char in _MARKS:
        return marks
    if char in _JOINERS:
        return before > "~" and before not in _JOINERS
    if char == _SOFT_HYPHEN:
        after = text[at + 1 : at + 2]
        return before.isalpha() and after.isalpha() and after not in _INVISIBLE
    if char in _TAGS:
        start = text.rfind("\U0001f3f4", max(0, at - _FLAG_SIZE), at)
        flag = _FLAG.match(text, start) if start >= 0 else None
        return flag is not None and at < flag.end()
    # One variation selector chooses a form of the character before it. Several would hide a text.
    return before > " " and not _DOUBTFUL.match(before)


def _is_right_to_left(char: str) -> bool:
    return char.isalpha() and unicodedata.bidirectional(char) in ("R", "AL")


def _is_new(char: str) -> bool:
    """Whether Python's table lacks it, as it lacks the newest emoji. The terminal may know it.

    Code points that will never be characters or that are reserved for invisible ones do not count.
    """
    code = ord(char)
    never = 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE
    invisible = code == 0x2065 or 0xFFF0 <= code <= 0xFFF8 or 0xE0000 <= code <= 0xE0FFF
    return unicodedata.category(char) == "Cn" and not never and not invisible


@lru_cache(maxsize=4096)
def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as "surrogateescape" reads it
        code -= 0xDC00
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def fitted(text: str, stream: TextIO) -> str:
    """`text` with `\\uNNNN` for characters that the encoding of `stream` lacks."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def decoded(data: bytes) -> str:
    """Bytes as text to escape: every byte that is not UTF-8 becomes `\\xNN` then."""
    return data.decode("utf-8", "surrogateescape")


def json_line(event: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """One line of JSON, without raw control or invisible characters in its strings."""
    # Imported here because most commands print no JSON.
    import json

    line = json.dumps(event, ensure_ascii=ascii_only, separators=(",", ":"))
    return _replaced(line, lambda char: json.dumps(char)[1:-1])


def _bounded(seconds: float) -> float:
    """`seconds`, or the nearest that Python has a date for in every time zone: clocks may say anything."""
    return min(max(seconds, EARLIEST), LATEST)


def rfc3339(seconds: float) -> str:
    """Unix seconds as RFC 3339, UTC, milliseconds."""
    return (
        datetime.fromtimestamp(_bounded(seconds), UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def clock(seconds: float) -> str:
    """Unix seconds as local time of day, HH:MM:SS."""
    return datetime.fromtimestamp(_bounded(seconds)).astimezone().strftime("%H:%M:%S")


def payload(data: bytes, text: str | None) -> dict[str, str]:
    """The `text` or `data_b64` field of a JSON event."""
    return {"text": text} if text is not None else {"data_b64": base64.b64encode(data).decode()}


class Output:
    """Standard output as UTF-8 lines, written at once in the background. No reader can stop the program.

    What prints or waits raises OutputClosed if nobody reads any more, McastError if nothing can be written.
    Without a `stream`, finish_outputs() waits for it at the end of the program.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        if stream is None:
            _outputs.append(self)
            stream = sys.stdout
        # UTF-8 for pipes and files in any locale, unless PYTHONIOENCODING is set.
        chosen = stream.isatty() or "PYTHONIOENCODING" in os.environ
        self._writer = Writer(stream, None if chosen else "utf-8")
        self._ascii_json = self._writer.encoding.lower().replace("-", "") != "utf8"

    @property
    def waiting(self) -> int:
        """Bytes that are still to be written."""
        return self._writer.waiting

    def on_failure(self, call: Callable[[], None]) -> None:
        """Have `call` called, in another thread, when nothing can be written any more."""
        self._writer.on_failure = call

    def lines(self, lines: Iterable[str]) -> None:
        """Print lines. Use room() between many of them."""
        self._writer.put("".join(f"{line}\n" for line in lines))
        self.check()

    def events(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Print each event as a line of JSON."""
        self.lines(json_line(event, ascii_only=self._ascii_json) for event in events)

    async def room(self, most: int = ROOM) -> None:
        """Wait until at most `most` bytes are still to be written."""
        await self._writer.room(most)
        self.check()

    def finish(self) -> None:
        """Wait until everything is written."""
        self._writer.finish()
        self.check()

    def check(self) -> None:
        """Raise the error of a line that could not be written."""
        error = self._writer.error
        if isinstance(error, BrokenPipeError | ConnectionResetError):
            raise OutputClosed
        if error is not None:
            raise write_error(error)


class OutputClosed(Exception):
    """The reader of our output has ended, as in `| head -1`."""


_outputs: list[Output] = []


def finish_outputs() -> None:
    """Wait until all that was printed is written. Raises what Output.lines() raises."""
    while _outputs:
        _outputs.pop().finish()


NOTES = 64 * 1024
"""Bytes of notes that wait to be written. The attack is a flood of them at a terminal that is stopped."""
FINISH = 1.0
"""Seconds that the last notes may take to be written."""


class Notes:
    """Lines on standard error. If they are read too slowly, some are left out, and a line says how many."""

    def __init__(self, stream: TextIO) -> None:
        self.writer = Writer(stream)
        self._left_out = 0

    def add(self, text: str) -> None:
        """Write the line `text`, escaped. Does nothing if standard error is closed."""
        if self.writer.waiting > NOTES:
            self._left_out += 1
            return
        if self._left_out:
            told = f"{self._left_out} lines were left out here, as they were read too slowly"
            self.writer.put(f"mcast: {told}\n")
            self._left_out = 0
        self.writer.put(f"mcast: {escape(text)}\n")


_notes: list[Notes] = []
"""The notes on sys.stderr, once there are any."""


def note(text: str) -> None:
    """Print an escaped line on standard error, in the background. Does nothing if that is closed."""
    if not _notes or _notes[0].writer.stream is not sys.stderr:
        _notes[:] = [Notes(sys.stderr)]
    _notes[0].add(text)


def finish_notes() -> None:
    """Give what was noted a second to be written."""
    for notes in _notes:
        notes.writer.finish(FINISH)


def internal_error(error: BaseException) -> str:
    """The line about an error that is a bug in mcast."""
    return f"internal error, {type(error).__name__}: {error}; run mcast --debug … and report this"


def prepare_console() -> None:
    """Make every standard stream usable: missing characters become `\\uNNNN`, a closed stream is empty.

    Writing to a stream that is non-blocking waits instead of failing.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        stream = getattr(sys, name)
        if stream is None:
            # Otherwise the next socket gets this descriptor, and child processes write to that socket.
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115 - lives as long as the program
            if stream.fileno() == number:
                os.set_inheritable(number, True)
            setattr(sys, name, stream)
        if mode == "w" and stream is getattr(sys, f"__{name}__") and sys.platform != "win32":
            buffer = io.BufferedWriter(Patient(stream.fileno()))
            setattr(sys, name, io.TextIOWrapper(buffer, stream.encoding, line_buffering=True))
        if mode == "w" and hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="backslashreplace")


def discard(stream: TextIO) -> None:
    """Drop what is buffered and all that follows, because Python would complain about it at exit."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):
        return


def write_error(error: Exception) -> McastError:
    """The error to raise when standard output cannot be written."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "free some disk space" if full else "check where it is redirected to"
    return McastError(f"cannot write the output: {getattr(error, 'strerror', None) or error}", remedy)
