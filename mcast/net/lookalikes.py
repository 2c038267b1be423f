"""Which names can be taken for each other."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any


def looks(name: str) -> frozenset[str]:
    """How a name looks to a reader: two names can be taken for each other if they have a look in common.

    These are skeletons as in https://www.unicode.org/reports/tr39/, of the name as it is written and in small
    letters: a capital I looks like a small l. A name that shows nothing looks like no other.
    """
    shown = "".join(char for char in unicodedata.normalize("NFKC", name) if _shows(char))
    return frozenset(filter(None, (_skeleton(shown).casefold(), _skeleton(shown.casefold()).casefold())))


def _shows(char: str) -> bool:
    """Whether it is part of how a name looks: no control, no space, nothing invisible."""
    return unicodedata.category(char) not in ("Cc", "Cf", "Zs", "Zl", "Zp") and not (
        "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef" or char in "\u115f\u1160\u3164"
    )


def _skeleton(text: str) -> str:
    prototypes = _prototypes()
    decomposed = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFD", "".join(prototypes.get(char, char) for char in decomposed))


@cache
def _prototypes() -> dict[str, str]:
    """What each character that can be taken for others is replaced by."""
    from confusable_homoglyphs.confusables import confusables_data

    # A character that stands for others lists all of them, each of those lists just that one. Of a pair,
    # which list each other, one stands for both. Hebrew and Arabic ones are framed by direction marks.
    listed: dict[str, Sequence[Any]] = confusables_data
    prototypes = {}
    for char, others in listed.items():
        other = others[0]["c"]
        if len(others) == 1 and (len(listed.get(other, ())) != 1 or other < char):
            prototypes[char.strip("\u200e")] = other.strip("\u200e")
    return prototypes
