"""The rules of tests/conftest.py hold: a skip is refused on demand, and what is left behind is found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import LONGEST

ROOT = Path(__file__).resolve().parents[2]
SKIPPING = """
import pytest
def test_fine(): pass
def test_skipped(): pytest.skip("no such thing here")
@pytest.mark.xfail
def test_expected(): raise ValueError
"""
MODULE = "import pytest\npytest.skip('not on this system', allow_module_level=True)\n"
LEAKING = """
import socket, threading, time
kept = []
def test_socket(): kept.append(socket.socket())
def test_thread(): threading.Thread(target=time.sleep, args=[60], name="forgotten", daemon=True).start()
"""


def run(directory: Path, text: str, **environment: str) -> tuple[int, str]:
    (directory / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    env = {name: value for name, value in os.environ.items() if name != "MCAST_REFUSE_SKIPS"} | environment
    options = ["-W", "ignore", "--rootdir", str(directory), "-c", os.devnull]
    done = subprocess.run(
        [*command, *options, str(directory)], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout


def test_skips_are_refused_on_demand_and_named(tmp_path: Path) -> None:
    assert run(tmp_path, SKIPPING)[0] == 0
    code, out = run(tmp_path, SKIPPING, MCAST_REFUSE_SKIPS="1")
    assert code == 1
    assert "1 failed, 1 passed, 1 xfailed" in out
    assert "test_it.py::test_skipped: Skipped: no such thing here" in out


def test_a_skipped_module_is_refused_too(tmp_path: Path) -> None:
    code, out = run(tmp_path, MODULE, MCAST_REFUSE_SKIPS="1")
    assert code not in (0, 5)
    assert "not on this system" in out


def test_leaks_are_found(tmp_path: Path) -> None:
    code, out = run(tmp_path, LEAKING)
    assert code == 1
    assert "left behind: ['forgotten" in out
    assert "left behind: ['socket:[" in out


def test_the_longest_files_are_there() -> None:
    assert [name for name in LONGEST if not (ROOT / "tests" / name).exists()] == []
