"""Every Python program of the pages passes mypy --strict."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.heavy
def test_every_program_of_the_pages_has_the_right_types(tmp_path: Path) -> None:
    for page in ("README.md", "docs/python.md", "docs/gateway.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for match in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start(1)) + 1
            name = f"{Path(page).stem}_line_{line}.py".lower()
            (tmp_path / name).write_text(match[1], encoding="utf-8")
    found = subprocess.run(
        # With the configuration of scripts/check, so that what it has found of mcast is not found again.
        [sys.executable, "-m", "mypy", "--strict", *map(str, sorted(tmp_path.glob("*.py")))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 0, found.stdout + found.stderr
