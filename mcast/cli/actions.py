"""Messages that tell what somebody does: how they begin, and what is shown instead."""

from __future__ import annotations

ACTION = "/me "
"""A message that begins with it tells what its author does: https://xmpp.org/extensions/xep-0245.html"""
TOPIC = "/topic "
"""How a message begins that sets the topic of its room."""
_SHOWN = {ACTION: "", TOPIC: "set the topic: "}


def action_in(text: str) -> str | None:
    """What a text says that its author does, to stand behind the name; None if it is an ordinary message."""
    for start, words in _SHOWN.items():
        if text.startswith(start) and (start != TOPIC or topic_of(text.encode("utf-8", "replace"))):
            return words + text.removeprefix(start)
    return None


def topic_of(data: bytes) -> str:
    """The topic that a message sets; empty if it sets none."""
    if not data.startswith(TOPIC.encode()) or b"\n" in data:
        return ""
    return data.decode(errors="replace").removeprefix(TOPIC).strip()
