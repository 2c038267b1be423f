"""A flood of notices is summed up, a few are shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from mcast.cli import notices
from mcast.cli.notices import LINES, Notices


def said(scenario: Callable[[Notices], object], *, lines: int = LINES) -> list[str]:
    """What is said while the scenario runs in an event loop, and at the end."""
    shown: list[str] = []

    async def main() -> None:
        made = Notices(shown.append, lines)
        done = scenario(made)
        if asyncio.iscoroutine(done):
            await done
        made.close()

    asyncio.run(main())
    return shown


def join(made: Notices, count: int) -> None:
    for number in range(count):
        made.add(f"{number} joined", "{} joined")


def test_a_few_are_shown_as_they_are() -> None:
    assert said(lambda made: join(made, LINES)) == [f"{number} joined" for number in range(LINES)]


def test_some_more_are_shown_late() -> None:
    assert said(lambda made: join(made, LINES + 3)) == [f"{number} joined" for number in range(LINES + 3)]


def test_a_flood_is_one_line_more() -> None:
    def flood(made: Notices) -> None:
        join(made, 1137)
        for _ in range(1130):
            made.add("left", "{} left")
        for _ in range(3):
            made.add("gave up", "gave up waiting for {} records", 500)

    shown = said(flood)
    assert len(shown) == LINES + 1
    assert shown[-1] == "1,137 joined, 1,130 left, gave up waiting for 1,500 records in 1 s"


def test_a_flood_that_goes_on_is_a_line_each_time_and_then_all_is_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notices, "SPAN", 0.05)

    async def flood(made: Notices) -> None:
        join(made, 100)
        await asyncio.sleep(0.07)
        join(made, 50)
        await asyncio.sleep(0.15)
        join(made, 2)

    shown = said(flood)
    assert shown[LINES:] == ["100 joined in 1 s", "50 joined in 1 s", "0 joined", "1 joined"]


def test_the_first_of_a_kind_can_be_enough() -> None:
    assert said(lambda made: join(made, 9), lines=1) == ["0 joined", "9 joined in 1 s"]


def test_nothing_was_said() -> None:
    assert said(lambda made: None) == []
