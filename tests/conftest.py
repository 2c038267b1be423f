"""What holds for every test: nothing leaks, nothing of the user's is read or written, and in CI nothing is
skipped."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

# A shell that starts us with & ignores the one, nohup the other.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)

REFUSE_SKIPS = os.environ.get("MCAST_REFUSE_SKIPS") == "1"
LEAK_SECONDS = 3.0
_refused: list[str] = []
LONGEST = (
    "cli/test_readme.py",
    "cli/test_exit_codes.py",
    "lan/test_soak.py",
    "simulation/test_safety.py",
    "cli/test_chat_terminal.py",
    "cli/test_scripts.py",
    "lan/test_confirmations.py",
    "lan/test_links.py",
    "lan/test_slow_reader.py",
    "lan/test_history.py",
    "lan/test_dnssd.py",
    "fuzz/test_guided.py",
)
"""Files that take half a minute and more. They begin first, so that no worker is left with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    ranks = {here / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def _refuse(report: Report) -> Report:
    """With MCAST_REFUSE_SKIPS=1 a skipped test has failed; an expected failure is no skip."""
    if REFUSE_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"skipped, and MCAST_REFUSE_SKIPS=1: {reason}"
        _refused.append(f"{report.nodeid}: {reason}")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _refuse((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _refuse((yield))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _refused:
        terminalreporter.section("skips refused (MCAST_REFUSE_SKIPS=1)")
        for line in _refused:
            terminalreporter.line(line)


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test meets the user's files or settings of mcast; pip and git keep theirs."""
    home, users = tmp_path_factory.mktemp("home"), Path.home()
    kept = {
        "PIP_CACHE_DIR": users / ".cache/pip",
        "PIP_CONFIG_FILE": users / ".config/pip/pip.conf",
        "GIT_CONFIG_GLOBAL": users / ".gitconfig",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("MCAST_", "XDG_"))]:
            patch.delenv(name)
        # Test runners in worker processes set these; a terminal of the lab has its own size.
        for name in ("COLUMNS", "LINES"):
            patch.delenv(name, raising=False)
        for name, path in kept.items():
            if path.exists() and name not in os.environ:
                patch.setenv(name, str(path))
        for kind in ("CONFIG", "DATA", "STATE", "CACHE"):
            patch.setenv(f"XDG_{kind}_HOME", str(home / kind.lower()))
        patch.setenv("HOME", str(home))
        yield


@pytest.fixture(autouse=True)
def _no_leaks() -> Iterator[None]:
    """A test that leaves a thread or a socket behind has failed, and so has one that forgets a task."""
    threads, sockets = set(threading.enumerate()), _sockets()
    complaints = _Complaints()
    logging.getLogger("asyncio").addHandler(complaints)
    try:
        yield
    finally:
        logging.getLogger("asyncio").removeHandler(complaints)
    deadline = time.monotonic() + LEAK_SECONDS
    while (left := _left(threads, sockets)) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.02)
    assert not left, f"left behind: {left}"
    assert not complaints.texts, complaints.texts


class _Complaints(logging.Handler):
    """What asyncio says of tasks destroyed while pending and of errors nobody asked for."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _left(threads: set[threading.Thread], sockets: set[str]) -> list[str]:
    names = [thread.name for thread in set(threading.enumerate()) - threads]
    return names + sorted(_sockets() - sockets)


def _sockets() -> set[str]:
    """The sockets this process has open, by the kernel's names; nothing where it has no /proc."""
    found = set()
    for entry in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(entry))
    return {name for name in found if name.startswith("socket:")}
