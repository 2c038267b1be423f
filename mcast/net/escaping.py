"""Text from the network, made safe to print."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

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


def escape(text: str) -> str:
    """`text` safe to print: control, invisible and bidirectional characters become `\\xNN` or `\\uNNNN`."""
    return text if _is_clean(text) else replaced(text.translate(_CONTROLS), _escaped)


def escape_exactly(text: str) -> str:
    """Like escape(), but `printf %b` gives back the text: a backslash is doubled, a line break is `\\n`."""
    if _is_clean(text) and "\\" not in text:
        return text
    return replaced(text.translate(_CONTROLS_EXACTLY), _escaped)


def _is_clean(text: str) -> bool:
    """Whether nothing need be escaped, as in most texts."""
    return text.isprintable() and (text.isascii() or not _DOUBTFUL.search(text))


def replaced(text: str, escaped: Callable[[str], str]) -> str:
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
