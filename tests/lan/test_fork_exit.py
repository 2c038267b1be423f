"""Forks, ends and Ctrl-C with a group open: others see a goodbye, the user no warning and no traceback."""

from __future__ import annotations

import pytest

from tests.lan.api import Api, api  # noqa: F401  (a fixture)

MODULES = ("aio_cases", "blocking_cases")


@pytest.mark.parametrize("module", MODULES)
def test_a_forked_child_disturbs_nobody(api: Api, module: str) -> None:  # noqa: F811  (the fixture)
    with api.watch() as watcher:
        api.run(module, "forked")
        watcher.wait_for("left ada goodbye", stream="stdout")
        assert watcher.stdout.count("left ada") == 1
        assert watcher.stdout.count("joined ada") == 1


@pytest.mark.parametrize(
    ("module", "case", "code"),
    [
        ("aio_cases", "left_open", 0),
        ("blocking_cases", "left_open", 0),
        ("blocking_cases", "left_open_by_an_error", 3),
    ],
)
def test_a_group_left_open_says_goodbye(api: Api, module: str, case: str, code: int) -> None:  # noqa: F811  (the fixture)
    with api.watch() as watcher:
        api.run(module, case, code)
        watcher.wait_for("left ada goodbye", stream="stdout")
        assert "message ada hello" in watcher.stdout


@pytest.mark.parametrize("module", MODULES)
def test_control_c(api: Api, module: str) -> None:  # noqa: F811  (the fixture)
    with api.watch() as watcher:
        with api.start(module, "interrupted") as process:
            process.wait_lines(1)  # with its newline, which print() may write after the text
            assert process.interrupt() == 0
        assert (process.stdout, process.stderr) == ("ready\ninterrupted\nok\n", "")
        watcher.wait_for("left ada goodbye", stream="stdout")
