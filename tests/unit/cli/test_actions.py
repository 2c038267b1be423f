"""What a message says that its author does."""

from __future__ import annotations

import pytest

from mcast.cli.actions import action_in


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/me waves", "waves"),
        ("/me waves\nand goes", "waves\nand goes"),
        ("/topic lunch", "set the topic: lunch"),
        ("/topic a\nb", None),
        ("/topic  ", None),
        ("hello", None),
    ],
    ids=["action", "of several lines", "topic", "no topic of several lines", "no empty topic", "words"],
)
def test_only_what_sets_a_topic_is_shown_as_one(text: str, shown: str | None) -> None:
    assert action_in(text) == shown
