"""The gate fails a run that leaves out a branch, and no other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLE = "def sign(number):\n    if number < 0:\n        return -1\n    return 1\n"
PATCH = """
from tests import coverage_gate
coverage_gate.MEASURED = ["sample"]
coverage_gate._measuring = lambda: {"tests/unit/test_core_sample.py"}
"""


@pytest.mark.parametrize(
    ("numbers", "mark", "workers", "code"),
    [([1, -1], "", "0", 0), ([1], "", "0", 1), ([1], "", "1", 1), ([1, -1], "@pytest.mark.heavy\n", "0", 1)],
    ids=["all branches", "one left out", "one left out in a worker", "taken by a heavy test alone"],
)
def test_a_branch_left_out_fails_the_run(
    tmp_path: Path, numbers: list[int], mark: str, workers: str, code: int
) -> None:
    (tmp_path / "tests/unit").mkdir(parents=True)
    (tmp_path / "sample.py").write_text(SAMPLE)
    (tmp_path / "patch.py").write_text(PATCH)
    (tmp_path / "tests/unit/test_core_sample.py").write_text(
        f"import pytest\nimport sample\n\n{mark}def test_sign():\n"
        f"    for one in {numbers}:\n        assert sample.sign(one)\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = heavy\n")
    plugins = ["-p", "no:cacheprovider", "-p", "patch", "-p", "tests.coverage_gate"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, "-n", workers],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert ("sample.py" in done.stdout) == bool(code)
