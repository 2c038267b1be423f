"""Pictures for the documents: of chats, from what they wrote to a terminal, and of a page in a browser.

    python -m tests.pictures

writes docs/chat.svg, docs/chat-paste.svg and, if there is a Chromium, docs/gateway.png.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
from html import escape
from itertools import groupby
from pathlib import Path

from tests import lab

CELL, ROW, MARGIN = 8.4, 18, 12
"""Size of a character, and what is left free around the text."""
GROUND, INK = "#1c1c1c", "#e4e4e4"
COLORS = {"brightblack": "#8a8a8a", "red": "#ff5f5f", "default": INK}
"""Colours of pyte that are no numbers."""


def svg(terminal: lab.Terminal) -> str:
    """What is on the screen, as an SVG picture."""
    rows = terminal.cells()
    used = max(y for y, row in enumerate(rows) if any(cell.data.strip() for cell in row)) + 1
    width, height = CELL * len(rows[0]) + 2 * MARGIN, ROW * used + 2 * MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}">',
        f'<rect width="100%" height="100%" rx="8" fill="{GROUND}"/>',
        '<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" xml:space="preserve">',
    ]
    for y, row in enumerate(rows[:used]):
        at = 0
        for (color, bold, reverse), run in groupby(row, lambda cell: (cell.fg, cell.bold, cell.reverse)):
            cells = [cell.data for cell in run]
            x, at = MARGIN + CELL * at, at + len(cells)
            while cells and cells[-1] == " ":
                cells.pop()
            if not cells:
                continue
            size, text = CELL * len(cells), "".join(cells)
            ink = COLORS.get(color, f"#{color}")
            if reverse:
                place = f'x="{x:.1f}" y="{MARGIN + ROW * y}" width="{size:.1f}" height="{ROW}"'
                lines.append(f'<rect {place} fill="{ink}"/>')
                ink = GROUND
            weight = ' font-weight="bold"' if bold else ""
            lines.append(
                f'<text x="{x:.1f}" y="{MARGIN + ROW * y + 14}" textLength="{size:.1f}" fill="{ink}"{weight}>'
                f"{escape(text)}</text>"
            )
    return "\n".join([*lines, "</g></svg>"]) + "\n"


CODE = """\x1b[200~def area(radius):
\t# who has got a better pi?
\treturn 3.14 * radius ** 2
\x1b[201~"""


def page(docs: Path) -> None:
    """Let two phones and a member talk."""
    with lab.Lan(2) as lan:
        inside, phones = lan.hosts
        carol = inside.mcast("chat", "--name", "carol")
        carol.wait_for("chatting in")
        gate = inside.mcast("gateway", "web", "--listen", f"{inside.address()}:8080", "--name", "gate")
        link = gate.wait_lines(1)[0].split()[1]
        drawing = phones.spawn(
            [sys.executable, "-m", "tests.lan.programs.phones", link, str(docs), "picture"]
        )
        drawing.wait_lines(1, 100.0)
        carol.write("welcome! does anybody know where the projector is?\n")
        if drawing.wait(100.0):
            sys.exit(drawing.stderr)


def main() -> None:
    """Let people talk."""
    docs = lab.REPOSITORY / "docs"
    if shutil.which("chromium"):
        page(docs)
    with lab.Lan(3) as lan:
        ada, bob, eve = (
            host.mcast_terminal("chat", "--name", name, columns=92, rows=24)
            for host, name in zip(lan.hosts, ("ada", "bob", "eve"), strict=True)
        )
        for terminal in (ada, bob, eve):
            terminal.wait_for_screen("2 others here")
        time.sleep(1.0)  # until all have said who is here
        ada.type("hello, LAN\r")
        bob.wait_for_screen("hello")
        bob.type("hi! 你好\r")
        ada.wait_for_screen("hi!")
        eve.type(CODE)
        eve.wait_for_screen("send 3 lines")
        eve.type("\r")
        ada.wait_for_screen("radius")
        bob.type("ada has, I think\r")
        ada.wait_for_screen("I think")
        bob.type("/me is hungry\r")
        ada.wait_for_screen("hungry")
        ada.type("math.pi. @bob lunch at noon?\r")
        ada.wait_for_screen(re.compile(r"✓✓ \S+ you: math.*heard by all 2 here", re.DOTALL))
        (docs / "chat.svg").write_text(svg(ada), encoding="utf-8")
        ada.type("/join kitchen\r")
        ada.wait_for_screen("kitchen>")
        bob.type("where are you?\r")
        ada.wait_for_screen("unread: lobby 1")
        ada.type("\x1b[200~" + "\n".join(f"line {number}" for number in range(1, 51)) + "\x1b[201~")
        ada.wait_for_screen("send 50 lines")
        (docs / "chat-paste.svg").write_text(svg(ada), encoding="utf-8")
        for terminal in (ada, bob, eve):
            terminal.close()


if __name__ == "__main__":
    main()
