"""What a conversation leaves out."""

from __future__ import annotations

from mcast.cli.chat.conversation import RESTLESS, RESTLESS_PEERS, RESTLESS_SPAN, Restless


def test_who_comes_and_goes_is_told_some_times_only() -> None:
    restless = Restless()
    told = [restless.tells(b"bob", float(number)) for number in range(RESTLESS + 3)]
    assert told == [True] * (RESTLESS - 1) + [None] + [False] * 3
    assert restless.tells(b"cyd", 0.0) is True
    assert restless.tells(b"bob", RESTLESS_SPAN + RESTLESS) is True


def test_few_who_come_and_go_are_remembered() -> None:
    restless = Restless()
    for _ in range(RESTLESS):
        restless.tells(b"bob", 0.0)
    for number in range(RESTLESS_PEERS):
        restless.tells(number.to_bytes(4, "big"), 1.0)
    assert restless.tells(b"bob", 2.0) is True
