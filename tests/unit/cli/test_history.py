"""What `mcast history` prints of kept messages: what somebody did is told as in a chat."""

from __future__ import annotations

import re

import pytest

from mcast.cli.history import event, page, report
from mcast.store.history import Entry, Room

LOBBY = Room(b"L" * 16, "230.0.0.1:28003", "", False)


def entry(text: str, *, own: bool = False, to: str = "") -> Entry:
    return Entry("1-1", b"\xbb" * 16, "bob", 0.0, 0.0, text.encode(), own, bool(to), to, LOBBY)


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (entry("hello"), "bob·bbbb: hello"),
        (entry("hello", own=True), "you: hello"),
        (entry("/me waves"), "* bob·bbbb waves"),
        (entry("/me waves", own=True), "* bob·bbbb waves"),
        (entry("/me waves", own=True, to="eve·7d20"), "* bob·bbbb to eve·7d20 waves"),
        (entry("/topic lunch"), "* bob·bbbb set the topic: lunch"),
        (entry("/meeting at noon"), "bob·bbbb: /meeting at noon"),
        (entry("see /me waves"), "bob·bbbb: see /me waves"),
        (entry("/me \x1b[31m"), "* bob·bbbb \\x1b[31m"),
    ],
)
def test_a_line(entry: Entry, line: str) -> None:
    _, shown = report([entry])
    assert re.sub(r"^\d\d:\d\d:\d\d ", "", shown) == line
    (row,) = re.findall("<p>.*</p>", "\n".join(page([entry])))
    assert re.sub(r"<time.*?</time> |<[^>]*>", "", row) == line
    assert event(entry)["text"] == entry.text


def test_further_lines_are_indented() -> None:
    _, first, second = report([entry("/me waves\n/me leaves")])
    assert first.endswith(" * bob·bbbb waves")
    assert second == f"{' ' * 9}/me leaves"
