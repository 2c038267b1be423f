"""The only place that prints what a peer wrote: everything is escaped, and no console can make it fail."""

from __future__ import annotations

import base64
import errno
import io
import os
import re
import select
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from mcast.errors import McastError

# Printable by Unicode's word, yet invisible (Hangul fillers); not printable, yet part of honest writing:
# no-break and ideographic space, and the joiners that Persian, Indic scripts and emoji need.
_BLANK = "\u115f\u3164"
_WELCOME = "\u00a0\u3000\u200c\u200d"


def escape(text: str) -> str:
    """`text` safe to print: control, invisible, bidirectional characters become `\\xNN` or `\\uNNNN`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _is_safe(char) else _escaped(char) for char in text)


def _is_safe(char: str) -> bool:
    return (char.isprintable() and char not in _BLANK) or char in _WELCOME


def _escaped(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def fitted(text: str, stream: TextIO) -> str:
    """`text` with `\\uNNNN` for what the encoding of `stream` lacks."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def escape_bytes(data: bytes) -> str:
    """Bytes that are no UTF-8, as text: what decodes is shown, every other byte as `\\xNN`."""
    return escape(data.decode("utf-8", "backslashreplace"))


def json_line(event: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """One line of JSON, whose strings hold no raw control or invisible character either."""
    # Imported by who prints JSON: reading and writing it is no part of most runs.
    import json

    line = json.dumps(event, ensure_ascii=ascii_only, separators=(",", ":"))
    return line if line.isascii() and line.isprintable() else re.sub(r"[^ -~]", _json_char, line)


def _json_char(match: re.Match[str]) -> str:
    import json

    char = match.group()
    return char if _is_safe(char) else json.dumps(char)[1:-1]


def rfc3339(seconds: float) -> str:
    """Unix seconds as RFC 3339, UTC, milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(seconds: float) -> str:
    """Unix seconds as local time of day, HH:MM:SS."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S")


def payload(data: bytes, text: str | None) -> dict[str, str]:
    """The `text` or `data_b64` field of a JSON event."""
    return {"text": text} if text is not None else {"data_b64": base64.b64encode(data).decode()}


class Output:
    """Standard output as UTF-8 lines: flushed at once, closed pipes and full disks told apart."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or _utf8(sys.stdout)
        self._ascii_json = (self._stream.encoding or "").lower().replace("-", "") != "utf8"
        self._writing = False

    @property
    def blocked(self) -> bool:
        """Whether a write waits for room, as in a pipe that nobody empties: a signal must then interrupt it.

        One that only has not returned yet is left alone: what it wrote may have been read already.
        """
        return self._writing and not _has_room(self._stream)

    def lines(self, lines: Iterable[str]) -> None:
        """Print the lines and flush. OutputClosed when nobody reads, McastError when it cannot be written."""
        text = "".join(f"{line}\n" for line in lines)
        self._writing = True
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            discard(self._stream)
            raise OutputClosed from None
        except OSError as error:
            discard(self._stream)
            raise write_error(error) from error
        finally:
            self._writing = False

    def events(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Print events as lines of JSON."""
        self.lines(json_line(event, ascii_only=self._ascii_json) for event in events)


def _has_room(stream: TextIO) -> bool:
    """Whether it takes a byte now. Taken as full where it cannot be asked, as on Windows."""
    try:
        return bool(select.select([], [stream], [], 0)[1])
    except (OSError, ValueError):
        return False


class OutputClosed(Exception):
    """Whoever read our output has had enough, as in `| head -1`."""


def note(text: str) -> None:
    """A line on standard error, escaped. Nothing happens when that is closed or full."""
    stream = sys.stderr
    try:
        stream.write(f"mcast: {escape(text)}\n")
        stream.flush()
    except (OSError, ValueError):
        discard(stream)


def fault(error: BaseException) -> str:
    """What to say of an error that nobody thought of."""
    return f"a fault of mcast itself, {type(error).__name__}: {error}; run mcast --debug … and report it"


def prepare_console() -> None:
    """Let no console make us fail: what its encoding lacks is shown as `\\uNNNN`, what is closed is empty."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        stream = getattr(sys, name)
        if stream is None:
            # In its own place: the next socket opened would get this number, and our children with it.
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115 - lives as long as the program
            if stream.fileno() == number:
                os.set_inheritable(number, True)
            setattr(sys, name, stream)
        if mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def discard(stream: TextIO) -> None:
    """Send what is still buffered, and all that follows, nowhere: Python would complain about it at exit."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):
        return


def _utf8(stream: TextIO) -> TextIO:
    """Pipes and files get UTF-8 whatever the locale, unless PYTHONIOENCODING says otherwise."""
    if isinstance(getattr(stream, "buffer", None), io.RawIOBase):
        # PYTHONUNBUFFERED: what a signal cuts short would be lost without a word.
        plain = io.FileIO(stream.fileno(), "w", closefd=False)
        stream = io.TextIOWrapper(io.BufferedWriter(plain), stream.encoding, stream.errors)
    if not stream.isatty() and "PYTHONIOENCODING" not in os.environ and hasattr(stream, "reconfigure"):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    return stream


def write_error(error: OSError) -> McastError:
    """What it means when standard output cannot be written."""
    remedy = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "check where it goes"
    return McastError(f"cannot write the output: {error.strerror}", remedy)
