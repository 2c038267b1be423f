"""A pytest plugin: the unit tests of wire/, crypto/ and core/ must take every branch of them.

    python -m pytest -p tests.coverage_gate …        with or without -n

It measures while those tests run and not during the others, nor during those marked as heavy, so that it
costs seconds; a run in which one of them was left out, or failed, is not judged. The missing lines are
shown, and the exit code is a failure.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Generator
from pathlib import Path

import coverage
import pytest

MEASURED = ("mcast.wire", "mcast.crypto", "mcast.core")
MEASURING = re.compile(r"tests/unit/((wire|crypto|core)/(\w+/)*test_\w+|test_core_\w+)\.py")
DIRECTORY = "MCAST_COVERAGE_DIRECTORY"


def _make(name: str) -> coverage.Coverage:
    made = coverage.Coverage(
        data_file=str(Path(os.environ[DIRECTORY]) / name), branch=True, source=MEASURED, config_file=False
    )
    # A worker may run none of these tests, and who started the workers runs none at all.
    made.set_option("run:disable_warnings", ["module-not-imported", "no-data-collected"])
    return made


def _measuring() -> set[str]:
    tests = Path(__file__).parent
    names = {f"tests/{file.relative_to(tests).as_posix()}" for file in tests.glob("unit/**/test_*.py")}
    return set(filter(MEASURING.fullmatch, names))


class Gate:
    """Measures in one process; judges in the one that started the others."""

    def __init__(self, config: pytest.Config) -> None:
        self._worker = hasattr(config, "workerinput")
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        if not self._worker:
            self._directory = tempfile.TemporaryDirectory(prefix="coverage-")
            os.environ[DIRECTORY] = self._directory.name
        self._coverage = _make(f"part.{os.getpid()}")
        self._ran: set[str] = set()
        self._running = False
        self._report = ""
        self._measure(True)

    def _measure(self, wanted: bool) -> None:
        if wanted != self._running:
            self._running = wanted
            (self._coverage.start if wanted else self._coverage.stop)()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        light = item.get_closest_marker("heavy") is None
        self._measure(light and MEASURING.fullmatch(item.location[0]) is not None)
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Also of what ran in the workers, when this is the process that started them."""
        self._ran.add(report.location[0])

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._measure(False)
        self._coverage.save()
        if self._directory is not None:
            if session.exitstatus == pytest.ExitCode.OK and self._ran >= _measuring():
                self._judge(session)
            self._directory.cleanup()

    def _judge(self, session: pytest.Session) -> None:
        folder = Path(os.environ[DIRECTORY])
        whole = _make("whole")
        whole.combine([str(part) for part in folder.glob("part.*")])
        with (folder / "report").open("w+", encoding="utf-8") as file:
            percent = whole.report(show_missing=True, skip_covered=True, file=file)
            file.seek(0)
            self._report = file.read()
        if percent < 100:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._report:
            terminalreporter.section("branches of wire/, crypto/ and core/ that unit tests take")
            terminalreporter.write(self._report)


def pytest_configure(config: pytest.Config) -> None:
    """In each process, before anything of mcast is imported."""
    config.pluginmanager.register(Gate(config), "coverage gate")
