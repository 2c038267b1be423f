"""What is shown of events."""

from __future__ import annotations

import json
import time

import pytest

from mcast.cli.items import PlainItem, head_of
from mcast.cli.output import json_line
from mcast.net.address import GroupAddress
from mcast.net.plain_text import Line, decode

GROUP = GroupAddress("230.0.0.1", 3000)


def plain(data: bytes, received: float) -> PlainItem:
    return PlainItem(Line(data, decode(data), ("10.0.0.1", 5), GROUP, "eth0", 1, received))


@pytest.mark.parametrize(
    ("data", "chat", "listen"),
    [
        (b"plain", "plain", "plain"),
        (b"a\tb\nc\\d\n", r"a\x09b\x0ac\d", r"a\tb\nc\\d"),
        (b"line\r\n", "line", "line"),
        (b"\xff\x1b", r"\xff\x1b", r"\xff\x1b"),
        ("\u202eé".encode(), "\\u202eé", "\\u202eé"),
    ],
)
def test_a_text_is_safe_in_a_chat_and_can_be_undone_in_a_script(data: bytes, chat: str, listen: str) -> None:
    item = plain(data, 0.0)
    assert item.chat_line().text == chat
    assert item.chat_line(exact=True).text == listen


def test_json_says_how_far_its_reader_is_behind() -> None:
    now = time.time()
    assert "behind" not in plain(b"x", now).json()
    late = json.loads(json_line(plain(b"x", now - 100.0).json()))
    assert 100.0 <= late["behind"] < 110.0
    assert list(head_of("join", now - 5.0)) == ["v", "type", "ts", "behind"]
