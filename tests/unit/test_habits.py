"""Habits of CONTRIBUTING.md that a program can check."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MARK = r"# ?(?:type: ?ignore(?:\[[\w, -]*\])?|noqa(?:: ?[A-Z]+\d+(?:, ?[A-Z]+\d+)*)?)"


@pytest.mark.parametrize("folder", ["mcast", "tests", "scripts"])
def test_what_a_checker_is_told_to_ignore_has_its_reason_on_the_line(folder: str) -> None:
    for file in sorted((ROOT / folder).rglob("*.py")):
        for line in file.read_text(encoding="utf-8").splitlines():
            *_, after = re.split(MARK, line)
            assert after == line or re.search(r"\w{2}", after), f"{file.relative_to(ROOT)}: {line.strip()}"
