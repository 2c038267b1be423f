"""Standard output and standard error. Text from the network is escaped, and no console makes it fail."""

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

_INVISIBLE = "\u115f\u3164"
"""Hangul fillers: str.isprintable() accepts them, but they show nothing."""
EARLIEST, LATEST = 0.0, 253_402_214_399.0
"""Unix seconds that every system has a date for, in every time zone."""
_ALLOWED = "\u00a0\u3000\u200c\u200d"
"""Not printable for Python, but needed: two spaces, and the joiners of Persian, Hindi and emoji."""


def escape(text: str) -> str:
    """`text` safe to print: control, invisible and bidirectional characters become `\\xNN` or `\\uNNNN`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _is_safe(char) else _escaped(char) for char in text)


def _is_safe(char: str) -> bool:
    return (char.isprintable() and char not in _INVISIBLE) or char in _ALLOWED


def _escaped(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def fitted(text: str, stream: TextIO) -> str:
    """`text` with `\\uNNNN` for characters that the encoding of `stream` lacks."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def escape_bytes(data: bytes) -> str:
    """Bytes as text: UTF-8 is shown as it is, every other byte as `\\xNN`."""
    return escape(data.decode("utf-8", "backslashreplace"))


def json_line(event: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """One line of JSON, without raw control or invisible characters in its strings."""
    # Imported here because most commands print no JSON.
    import json

    line = json.dumps(event, ensure_ascii=ascii_only, separators=(",", ":"))
    return line if line.isascii() and line.isprintable() else re.sub(r"[^ -~]", _json_char, line)


def _json_char(match: re.Match[str]) -> str:
    import json

    char = match.group()
    return char if _is_safe(char) else json.dumps(char)[1:-1]


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
    """Standard output as UTF-8 lines, flushed at once. A closed pipe and a full disk are different errors."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or _utf8(sys.stdout)
        self._ascii_json = (self._stream.encoding or "").lower().replace("-", "") != "utf8"
        self._writing = False

    @property
    def blocked(self) -> bool:
        """Whether a write waits because nobody empties the pipe. A signal must then interrupt it.

        A write that just has not returned yet is not blocked: its text may have been read already.
        """
        return self._writing and not _has_room(self._stream)

    def lines(self, lines: Iterable[str]) -> None:
        """Print lines and flush. OutputClosed if nobody reads them, McastError if they cannot be written."""
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
        """Print each event as a line of JSON."""
        self.lines(json_line(event, ascii_only=self._ascii_json) for event in events)


def _has_room(stream: TextIO) -> bool:
    """Whether a byte can be written now. False where the system cannot tell, as on Windows."""
    try:
        return bool(select.select([], [stream], [], 0)[1])
    except (OSError, ValueError):
        return False


class OutputClosed(Exception):
    """The reader of our output has ended, as in `| head -1`."""


def note(text: str) -> None:
    """Print an escaped line on standard error. Does nothing if that is closed or full."""
    stream = sys.stderr
    try:
        stream.write(f"mcast: {escape(text)}\n")
        stream.flush()
    except (OSError, ValueError):
        discard(stream)


def internal_error(error: BaseException) -> str:
    """The line about an error that is a bug in mcast."""
    return f"internal error, {type(error).__name__}: {error}; run mcast --debug … and report this"


def prepare_console() -> None:
    """Make every standard stream usable: missing characters become `\\uNNNN`, a closed stream is empty."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        stream = getattr(sys, name)
        if stream is None:
            # Otherwise the next socket gets this descriptor, and child processes write to that socket.
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115 - lives as long as the program
            if stream.fileno() == number:
                os.set_inheritable(number, True)
            setattr(sys, name, stream)
        if mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def discard(stream: TextIO) -> None:
    """Drop what is buffered and all that follows, because Python would complain about it at exit."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):
        return


def _utf8(stream: TextIO) -> TextIO:
    """`stream` with UTF-8 for pipes and files in any locale, unless PYTHONIOENCODING is set."""
    if isinstance(getattr(stream, "buffer", None), io.RawIOBase):
        # PYTHONUNBUFFERED: a write that a signal interrupts would lose the rest of the text.
        plain = io.FileIO(stream.fileno(), "w", closefd=False)
        stream = io.TextIOWrapper(io.BufferedWriter(plain), stream.encoding, stream.errors)
    if not stream.isatty() and "PYTHONIOENCODING" not in os.environ and hasattr(stream, "reconfigure"):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    return stream


def write_error(error: OSError) -> McastError:
    """The error to raise when standard output cannot be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "free some disk space" if full else "check where it is redirected to"
    return McastError(f"cannot write the output: {error.strerror}", remedy)
