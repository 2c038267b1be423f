"""The asyncio API on real sockets; the cases are in programs/aio_cases.py, run with warnings as errors."""

from __future__ import annotations

import pytest

from tests.lan.api import Api, api  # noqa: F401  (a fixture)

CASES = (
    "many_at_once",
    "talk",
    "private",
    "questions",
    "misuse",
    "failed_entry",
    "overflow",
    "two_consumers",
    "stopping_early_loses_nothing",
    "idle_messages",
    "cancellation",
    "cancelled_while_entering",
    "cancelled_while_closing",
    "closing_under_others",
    "exception_in_the_body",
    "gap_timeout",
    "loop_closed",
    "sending_without_a_pause",
)


@pytest.mark.parametrize("case", CASES)
def test_case(api: Api, case: str) -> None:  # noqa: F811  (the fixture)
    api.run("aio_cases", case)
