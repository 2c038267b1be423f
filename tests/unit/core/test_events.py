"""What the application is told."""

from __future__ import annotations

from mcast.core.events import Message, Question


def test_data_that_is_no_text_has_none() -> None:
    assert Message(b"", 1, 1, 0, b"\xff", 0).text is None
    assert Question(b"", 1, 1, b"\xff", 0).text is None
