"""The blocking API on real sockets; the cases are in programs/blocking_cases.py, warnings are errors."""

from __future__ import annotations

import pytest

from tests.lan.api import Api, api  # noqa: F401  (a fixture)

CASES = (
    "many_at_once",
    "talk",
    "private",
    "files",
    "questions",
    "misuse",
    "failed_entry",
    "many_threads",
    "pressed",
    "overflow",
    "two_consumers",
    "idle_messages",
    "closed_by_another_thread",
    "exception_in_the_body",
)


@pytest.mark.parametrize("case", CASES)
def test_case(api: Api, case: str) -> None:  # noqa: F811  (the fixture)
    api.run("blocking_cases", case)
