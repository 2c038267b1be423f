"""Standard output and standard error. Text from the network is escaped, and no console makes it fail."""

from __future__ import annotations

import base64
import errno
import io
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from mcast.errors import McastError
from mcast.net.escaping import escape as escape
from mcast.net.escaping import escape_exactly as escape_exactly
from mcast.net.escaping import replaced

from .streams import ROOM, Patient, Writer

EARLIEST, LATEST = 0.0, 253_402_214_399.0
"""Unix seconds that every system has a date for, in every time zone."""


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
    return replaced(line, lambda char: json.dumps(char)[1:-1])


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


def day(seconds: float) -> str:
    """Unix seconds as a local date, YYYY-MM-DD."""
    return datetime.fromtimestamp(_bounded(seconds)).astimezone().strftime("%Y-%m-%d")


def payload(data: bytes, text: str | None) -> dict[str, str]:
    """The `text` or `data_b64` field of a JSON event."""
    return {"text": text} if text is not None else {"data_b64": base64.b64encode(data).decode()}


class Output:
    """Standard output as UTF-8 lines, written at once in the background. No reader can stop the program.

    What prints or waits raises OutputClosed if nobody reads any more, McastError if nothing can be written.
    Without a `stream`, or if it has a name, finish_outputs() waits for it at the end of the program.
    """

    def __init__(self, stream: TextIO | None = None, name: str = "") -> None:
        if stream is None or name:
            _outputs.append(self)
        stream = stream or sys.stdout
        self._name = name
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
        """Wait until everything is written. A file that has a name is closed."""
        self._writer.finish()
        if self._name:
            self._writer.stream.close()
        self.check()

    def check(self) -> None:
        """Raise the error of a line that could not be written."""
        error = self._writer.error
        if isinstance(error, BrokenPipeError | ConnectionResetError):
            raise OutputClosed
        if error is not None:
            raise write_error(error, self._name)


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


def ask(question: str) -> None:
    """Print the prompt `question` on standard error behind all notes. The line does not end."""
    notes = _notes[0] if _notes else Notes(sys.stderr)
    notes.writer.put(f"{escape(question)} ")


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


def write_error(error: Exception, name: str = "") -> McastError:
    """The error to raise when standard output, or the file `name`, cannot be written."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "check the file" if name else "check where it is redirected to"
    remedy = "free some disk space" if full else remedy
    why = getattr(error, "strerror", None) or error
    return McastError(f"cannot write {name or 'the output'}: {why}", remedy)
