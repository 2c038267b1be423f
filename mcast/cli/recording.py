"""Recordings: what `listen --record` writes, one line of JSON each, and `replay` reads."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from mcast.errors import MessageTooLarge, UsageError
from mcast.wire.limits import MESSAGE_MAX

from . import stdin
from .files import BINARY
from .output import Output, note


def create(name: str) -> Output:
    """A new recording to write to. UsageError if the file cannot be made or has something in it."""
    try:
        # Messages may be secret.
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | BINARY, 0o600)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot write {name!r} ({why})", "check the name and permissions") from None
    if os.fstat(descriptor).st_size:
        os.close(descriptor)
        raise UsageError(f"{name} has something in it", "record into a new file, or remove this one")
    return Output(open(descriptor, "w", encoding="utf-8", newline="\n"), name)


class Recorded(msgspec.Struct, frozen=True):
    """A message of a recording: its body, and when it came, in unix seconds."""

    body: bytes
    at: float


class Recording:
    """Understands the lines of a recording. What is no message, such as a gap, is passed over.

    `private` counts the messages that are left out because they went to one peer only.
    """

    def __init__(self, name: str) -> None:
        self.name, self.private = name, 0

    def messages(self) -> Iterator[Recorded]:
        """The messages in the file. UsageError with the number of a line that is wrong.

        A last line that was cut off is left out: the program that wrote it was killed, or the disk was full.
        """
        try:
            if not Path(self.name).is_file():
                Path(self.name).stat()
                raise UsageError(f"{self.name} is not a regular file", "write - to read standard input")
            with Path(self.name).open("rb") as file:
                lines = iter(lambda: file.readline(stdin.LONGEST_LINE), b"")
                for number, line in enumerate(lines, 1):
                    if recorded := self.message(number, line, last=not file.peek(1)):
                        yield recorded
        except OSError as error:
            raise UsageError(f"cannot read {self.name} ({error.strerror})", "check the name") from None

    def message(self, number: int, line: bytes, *, last: bool = False) -> Recorded | None:
        """The message in a line, if there is one to send."""
        if not line.strip():
            return None
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            if last and not line.endswith(b"\n"):
                note(f"{self.name}, line {number}: cut off, so it is left out")
                return None
            raise self._wrong(number, "not a line of JSON") from None
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            raise self._wrong(number, "not an event of mcast, as it has no type")
        if event["type"] != "message":
            return None
        recorded = Recorded(self._body(number, event), self._time(number, event))
        if event.get("private"):
            self.private += 1
            return None
        return recorded

    def _body(self, number: int, event: dict[str, Any]) -> bytes:
        text, data = event.get("text"), event.get("data_b64")
        if not isinstance(text, str) and not isinstance(data, str):
            raise self._wrong(number, "a message without text or data_b64")
        try:
            body = text.encode() if isinstance(text, str) else base64.b64decode(str(data), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            raise self._wrong(number, "a message that cannot be decoded") from None
        if len(body) > MESSAGE_MAX:
            problem = f"{self.name}, line {number}: the message is too large ({len(body)} bytes)"
            raise MessageTooLarge(problem, f"a message has at most {MESSAGE_MAX} bytes")
        return body

    def _time(self, number: int, event: dict[str, Any]) -> float:
        """When it was sent, if it was history, which comes all at once; else when it came."""
        name = "sent" if event.get("history") else "ts"
        try:
            return datetime.fromisoformat(str(event.get(name))).timestamp()
        except (ValueError, OverflowError):
            raise self._wrong(number, f"a message without a time ({name})") from None

    def _wrong(self, number: int, problem: str) -> UsageError:
        return UsageError(f"{self.name}, line {number}: {problem}", "give a file of mcast listen --record")
