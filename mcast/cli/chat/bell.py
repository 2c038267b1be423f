"""What calls a person who looks elsewhere: the bell of the terminal, and a notification of the desktop."""

from __future__ import annotations

import asyncio
import html
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec

from mcast.cli import extras
from mcast.cli.items import ChatLine
from mcast.errors import UsageError

MODES = {
    "off": "never rings",
    "pm": "rings at private messages and where your name is said",
    "all": "rings at every message",
}
PAUSE = 2.0
"""Seconds between two calls, at least. The attack is somebody who says a name again and again."""
MOST = 200
"""Characters of a message that a notification shows."""
_KNOWN = (
    "xterm",
    "rxvt",
    "screen",
    "tmux",
    "foot",
    "alacritty",
    "wezterm",
    "ghostty",
    "konsole",
    "contour",
    "vte",
)
"""Terminals that leave out what they do not understand."""


class Bell:
    """Decides when to call. `ring` gets a title and a text, both safe to print.

    Nobody is called for what was said before, or for one's own words.
    """

    def __init__(self, ring: Callable[[str, str], None]) -> None:
        self.mode = "pm"
        self._ring = ring
        self._desktop = Desktop()
        self._rang = float("-inf")

    def choose(self, mode: str) -> str:
        """Change the mode if one is given, and say which it is. UsageError for an unknown one."""
        if mode and mode not in MODES:
            raise UsageError(f"/bell {mode} is unknown", f"use one of {', '.join(MODES)}")
        self.mode = mode or self.mode
        return f"the bell {MODES[self.mode]}; {self._desktop.words}"

    def heard(self, line: ChatLine, *, private: bool, named: bool) -> None:
        """Call, if this message of somebody else is a reason to."""
        if self.mode == "off" or not (private or named or self.mode == "all"):
            return
        if (now := time.monotonic()) < self._rang + PAUSE:
            return
        self._rang = now
        self._ring(line.sender, line.text[:MOST])
        self._desktop.show(line.sender, line.text[:MOST])

    async def close(self) -> None:
        """End what still shows a notification."""
        await self._desktop.close()


class Desktop:
    """Notifications of the desktop, by the package desktop-notifier, unless somebody sits elsewhere (ssh)."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._remote = "SSH_CONNECTION" in environ or "SSH_TTY" in environ
        silent = sys.platform == "linux" and "DBUS_SESSION_BUS_ADDRESS" not in environ
        self._there = find_spec("desktop_notifier") is not None
        self._usable = self._there and not self._remote and not silent
        self._showing: asyncio.Task[object] | None = None

    @property
    def words(self) -> str:
        """Whether the desktop shows notifications, and if not, why."""
        if self._usable:
            return "the desktop shows a notification, too"
        if self._remote:
            return "over ssh it depends on your terminal whether the desktop shows it"
        if not self._there:
            return f"for notifications of the desktop: {extras.command('notify')}"
        return "there is no desktop here to show notifications"

    def show(self, title: str, text: str) -> None:
        """Show a notification soon, unless one is just being shown."""
        if self._usable and (self._showing is None or self._showing.done()):
            self._showing = asyncio.create_task(self._show(title, text))

    async def close(self) -> None:
        """Do not wait for a desktop that does not answer."""
        if self._showing is not None:
            self._showing.cancel()
            await asyncio.gather(self._showing, return_exceptions=True)

    async def _show(self, title: str, text: str) -> None:
        from desktop_notifier import DesktopNotifier

        logging.getLogger("desktop_notifier").setLevel(logging.CRITICAL)  # it would write on the screen
        if sys.platform == "linux":
            text = html.escape(text)  # the freedesktop specification allows markup in the text
        try:
            await DesktopNotifier(app_name="mcast").send(title=title, message=text)
        except Exception:
            # Whatever the desktop lacks, the chat goes on; /bell says so.
            self._usable = False


def sequences(title: str, text: str, environ: Mapping[str, str] = os.environ) -> str:
    """What to write to a terminal: the bell, and what many terminals show as a notification (OSC 9 and 777).

    `title` and `text` are escaped already. A semicolon would begin another field, and a number at the start
    would be a command to some terminals.
    """
    if not environ.get("TERM", "").startswith(_KNOWN):
        return "\a"
    title, text = title.replace(";", ","), text.replace(";", ",")
    return f"\x1b]9;mcast: {title}: {text}\x1b\\\x1b]777;notify;{title};{text}\x1b\\\a"
