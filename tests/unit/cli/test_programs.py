"""Programs that mcast runs end with it, and take along what they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mcast.cli import programs
from mcast.errors import UsageError

TWO = "sh -c 'sleep 600 & echo $! > \"$OUT\"; wait'"
"""A program that starts another one."""
PARENT = f"""
import os, signal, subprocess, sys
from mcast.cli import programs
done = programs.start(["true"], {{}}, output=False)
programs.reap(done)
programs.start(programs.words_of({TWO!r}, "x"), {{"OUT": sys.argv[1]}}, output=False)
while not (os.path.exists(sys.argv[1]) and open(sys.argv[1]).read().endswith("\\n")):
    pass
os.kill(os.getpid(), signal.SIGKILL)
"""


def until_gone(pid: int) -> None:
    """Wait until a process has ended; it may be a zombie that nobody waits for."""
    limit = time.monotonic() + 20.0
    while time.monotonic() < limit:
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.02)
    raise AssertionError(f"process {pid} still runs")


def written(file: Path) -> int:
    """The number in a file, once it is there."""
    limit = time.monotonic() + 20.0
    while not (file.exists() and file.read_text().endswith("\n")):
        assert time.monotonic() < limit
        time.sleep(0.02)
    return int(file.read_text())


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_what_a_program_started_ends_with_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with programs.start(programs.words_of(TWO, "x"), {"OUT": str(out)}, output=False) as process:
        inner = written(out)
        programs.end(process)
    until_gone(inner)
    assert process.returncode == -signal.SIGTERM


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_what_ignores_that_it_shall_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "PATIENCE", 0.1)
    out = tmp_path / "out"
    code = "trap '' TERM; sleep 600 & echo $! > \"$OUT\"; wait"
    with programs.start(["sh", "-c", code], {"OUT": str(out)}, output=False) as process:
        inner = written(out)
        programs.end(process)
    until_gone(inner)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_nothing_outlives_mcast_that_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed = subprocess.run([sys.executable, "-c", PARENT, str(out)], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    until_gone(written(out))


def test_what_a_program_left_running_on_purpose_goes_on(tmp_path: Path) -> None:
    code = 'sleep 600 & echo $! > "$OUT"'
    process = programs.start(["sh", "-c", code], {"OUT": str(tmp_path / "out")}, output=False)
    process.communicate(timeout=20)
    programs.end(process)
    inner = written(tmp_path / "out")
    os.kill(inner, signal.SIGKILL)


@pytest.mark.parametrize(
    ("line", "says"),
    [("", "has no command"), ("echo 'x", "close the quotes"), ("/no/such", "program '/no/such' not found")],
)
def test_what_is_no_program_is_refused(line: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        programs.words_of(line, "--command")
