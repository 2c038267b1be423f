"""Chats that are killed at random moments lose nothing that they had shown. With 200 kills:
python -m tests.lan.programs.killed"""

from __future__ import annotations

import pytest

from tests.lan.programs import killed

pytestmark = pytest.mark.lan


@pytest.mark.timeout(300)
def test_what_was_shown_survives_kills_and_no_incarnation_comes_twice() -> None:
    messages, runs = killed.run(kills=5, seed=7)
    assert messages > 0
    assert runs == 8
