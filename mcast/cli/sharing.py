"""Secrets between a person and mcast: typed without being shown, and codes that a camera reads."""

from __future__ import annotations

import getpass
import io
import sys

import typer

from mcast.errors import UsageError

from .extras import require


def ask_secret(prompt: str) -> str:
    """A secret, which is not shown on a terminal. In a pipe, the first line of standard input."""
    if sys.stdin.isatty():
        try:
            return getpass.getpass(prompt).strip()
        except EOFError:
            raise typer.Abort from None
    return sys.stdin.readline().strip()


def ask_new_secret(prompt: str) -> str:
    """The same for a secret that is new: on a terminal it is typed twice."""
    secret = ask_secret(prompt)
    if sys.stdin.isatty() and ask_secret("Again: ") != secret:
        raise UsageError("the two passphrases differ", "type the same one twice")
    return secret


def qr(text: str) -> list[str]:
    """The lines of a QR code. UsageError if the package that draws it is missing."""
    require("qr")
    import segno

    drawing = io.StringIO()
    segno.make(text, micro=False).terminal(drawing, compact=True)
    return drawing.getvalue().splitlines()
