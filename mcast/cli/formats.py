"""`--format` and `-F`: a line for a script, made of the fields that it asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from mcast.errors import UsageError

_PARTS = re.compile(r"%(.?)|\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\"}


class LineFormat:
    """A text such as `%n %a`, in which %LETTER stands for a field. UsageError if there is no such field.

    `letters` maps letters to the names of fields. `%%` is a percent sign, `\\t` a tab, `\\n` a line end.
    """

    def __init__(self, text: str, letters: Mapping[str, str]) -> None:
        self._text, self._letters = text, letters
        for part in _PARTS.finditer(text):
            if part[1] is not None and part[1] not in (*letters, "%"):
                known = ", ".join(f"%{letter} ({name})" for letter, name in letters.items())
                raise UsageError(f"-F {text!r}: {part[0]!r} is not a field", f"known are {known} and %%")

    def line(self, fields: Mapping[str, str]) -> str:
        """The line for these fields, which are escaped. An empty one is `-`."""

        def fill(part: re.Match[str]) -> str:
            if part[1] is None:
                return _ESCAPES.get(part[2], part[0])
            return "%" if part[1] == "%" else fields[self._letters[part[1]]] or "-"

        return _PARTS.sub(fill, self._text)


def avahi_name(text: str) -> str:
    """A name as avahi-browse(1) prints it: bytes that are no letter, digit, `-` or `_` are `\\NNN`."""
    return re.sub(rb"[^A-Za-z0-9_-]", _avahi_byte, text.encode("utf-8", "replace")).decode()


def avahi_texts(texts: Iterable[bytes]) -> str:
    """Strings of a TXT record as avahi-browse(1) prints them: in quotes, `\\NNN` for bytes beyond ASCII."""
    return " ".join(f'"{_avahi_text(text)}"' for text in texts)


def _avahi_byte(match: re.Match[bytes]) -> bytes:
    byte = match[0]
    return b"\\" + byte if byte in (b".", b"\\") else _decimal(match)


def _decimal(match: re.Match[bytes]) -> bytes:
    return b"\\%03d" % match[0][0]


def _avahi_text(text: bytes) -> str:
    data = re.sub(rb'["\\]', rb"\\\g<0>", text)
    return re.sub(rb"[^ -~]", _decimal, data).decode()
