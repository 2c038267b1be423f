"""File names from the network: none leads elsewhere, hides, deceives, or replaces what is there."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable

from mcast.net.escaping import replaced
from mcast.net.lookalikes import looks

NAME_MAX = 255
"""Bytes of a name, which is what file systems take."""

_DEVICES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
    + [f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"]
)
"""Windows opens a device for these, also with an extension.

https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
"""
_LONGEST = " (99999)"
"""As many bytes as the number takes that is added to one of many names."""
_NOT_ON_WINDOWS = str.maketrans(dict.fromkeys('<>:"|?*', "_"))


def wire_name(name: str) -> str:
    """What to call a file of this computer in a manifest.

    A backslash, which Windows takes for a separator, and bytes that are not UTF-8 are written as %XX.
    """
    return "".join(_as_hex(char) if char == "\\" or "\ud800" <= char <= "\udfff" else char for char in name)


def _as_hex(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape"))


def is_safe(name: str) -> bool:
    """Whether it is one name, neither a path nor a way up, of a length that file systems take."""
    if name in ("", ".", "..") or not {"/", "\\", "\0"}.isdisjoint(name):
        return False
    return len(name.encode("utf-8", "surrogatepass")) <= NAME_MAX


def local_name(name: str, *, top: bool, windows: bool = os.name == "nt") -> str:
    """What to call a file with this name here.

    Invisible characters are replaced, and so is what Windows would drop, or take for a device.

    top: whether it lies in the user's own directory. There a first dot is replaced, because programs read
    files such as .profile by themselves.
    """
    name = replaced(name, lambda _: "_")
    if windows:
        name = name.translate(_NOT_ON_WINDOWS)
    kept = name.rstrip(". ")
    name = kept + "_" * (len(name) - len(kept))
    if top and name.startswith("."):
        name = "_" + name[1:]
    if name.partition(".")[0].rstrip(" ").upper() in _DEVICES:
        name = "_" + name
    return shortened(name, "")


def shortened(name: str, addition: str, most: int = NAME_MAX) -> str:
    """The name with `addition` before its extension, and without so much of its stem that it fits."""
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > NAME_MAX // 4:
        stem, dot, extension = name, "", ""
    end = addition + dot + extension
    kept = stem.encode()[: most - len(end.encode())].decode(errors="ignore")
    return kept + end


class Siblings:
    """The names in one directory. One that could be taken for another gets a number.

    Such names are equal once Unicode is normalised, or look the same while one of them is not plain ASCII, or
    differ in case only where `case` does not matter.
    """

    def __init__(self, names: Iterable[str] = (), *, case: bool = True) -> None:
        self._case = case
        self._exact: set[str] = set()
        self._plain: list[str] = []
        self._plain_looks: set[str] = set()
        self._other_looks: set[str] = set()
        self._numbers: dict[str, int] = {}
        for name in names:
            self._enter(name)

    def add(self, name: str) -> str:
        """The name under which to enter it: itself, or with a number if there is one like it."""
        if self._clashes(name):
            # Names that become alike once they have a number count on. The attack: thousands that look alike.
            longest = shortened(name, _LONGEST)
            families = {self._key(longest), *looks(longest)}
            number = max(self._numbers.get(family, 1) for family in families)
            while True:
                number += 1
                if not self._clashes(other := shortened(name, f" ({number})")):
                    break
            self._numbers |= dict.fromkeys(families, number)
            name = other
        self._enter(name)
        return name

    def _key(self, name: str) -> str:
        normal = unicodedata.normalize("NFC", name)
        return normal if self._case else unicodedata.normalize("NFC", normal.casefold())

    def _clashes(self, name: str) -> bool:
        if self._key(name) in self._exact:
            return True
        if name.isascii():
            return bool(self._other_looks) and not self._other_looks.isdisjoint(looks(name))
        for plain in self._plain:
            self._plain_looks |= looks(plain)
        self._plain.clear()
        look = looks(name)
        return not (self._other_looks.isdisjoint(look) and self._plain_looks.isdisjoint(look))

    def _enter(self, name: str) -> None:
        self._exact.add(self._key(name))
        if name.isascii():
            self._plain.append(name)
        else:
            self._other_looks |= looks(name)


def place(paths: Iterable[tuple[str, ...]], *, case: bool = True) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Where each path of a manifest goes here, and each directory above it."""
    local: dict[tuple[str, ...], tuple[str, ...]] = {(): ()}
    siblings: dict[tuple[str, ...], Siblings] = {}
    for path in paths:
        for depth in range(1, len(path) + 1):
            part = path[:depth]
            if part not in local:
                above = local[part[:-1]]
                names = siblings.setdefault(part[:-1], Siblings(case=case))
                local[part] = (*above, names.add(local_name(part[-1], top=depth == 1)))
    del local[()]
    return local
