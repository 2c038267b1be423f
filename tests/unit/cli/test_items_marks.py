"""How messages are shown."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from mcast.aio import Group
from mcast.cli.items import GroupContext, MessageItem
from mcast.core.events import Message, PeerId

NOON = 1_800_000_000.0
SAID = Message(bytes(16), 1, 1, 0, b"hello", round(NOON * 1000), "ada")


def item(**changes: object) -> MessageItem:
    me = PeerId(bytes(16), 1)
    group = cast(Group, SimpleNamespace(groups=["230.0.0.1:28003"], peer_id=me))
    return MessageItem(msgspec.structs.replace(SAID, **changes), GroupContext(group, ""), NOON + 5.0)


@pytest.mark.parametrize(
    ("changes", "mark"),
    [
        ({}, ""),
        ({"late": True}, "late"),
        ({"late": True, "history": True}, "history"),
        ({"skew": 3600.0}, "clock off"),
        ({"skew": -90.0, "history": True}, "history, clock off"),
    ],
)
def test_a_line_says_what_is_special_about_it_and_has_the_time_of_our_clock(
    changes: dict[str, float], mark: str
) -> None:
    line = item(**changes).chat_line()
    assert line.mark == mark
    assert line.seconds == NOON - changes.get("skew", 0.0)


def test_json_has_the_time_of_the_author_and_how_far_it_is_off() -> None:
    shown = item(skew=-90.12345).json()
    assert (shown["sent"], shown["skew"]) == ("2027-01-15T08:00:00.000Z", -90.123)
    assert "skew" not in item().json()
