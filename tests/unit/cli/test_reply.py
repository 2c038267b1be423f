"""The program that answers questions: what it gets, and what becomes of one that misbehaves."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from typing import Any

import pytest

from mcast.cli.items import Item
from mcast.cli.reply import Runner
from mcast.errors import McastError


class Asked(Item):
    """A question."""

    def json(self) -> Mapping[str, Any]:
        return {}

    def environment(self) -> dict[str, str]:
        return {"MCAST_FROM": "a3f2 ada"}


def run(code: str, question: bytes = b"q", limit: float = 20.0) -> bytes:
    runner = Runner([sys.executable, "-c", code], limit)
    try:
        return asyncio.run(runner.answer(question, Asked()))
    finally:
        assert not runner._running


def test_question_in_answer_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCAST_KEY", "secret")
    code = """
import os, sys
env = os.environ
print(sys.stdin.read().upper(), env["MCAST_FROM"], env["MCAST_EVENT"], env.get("MCAST_KEY"))
"""
    assert run(code) == b"Q a3f2 ada question None\n"


def test_a_program_need_not_read_its_question() -> None:
    assert run("print('ok')", b"x" * 65536) == b"ok\n"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise SystemExit(3)", "ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by signal 9"),
        ("while True: print('x' * 4096)", "larger than 65536 bytes"),
    ],
)
def test_what_went_wrong_is_said(code: str, says: str) -> None:
    with pytest.raises(McastError, match=says):
        run(code)


def test_one_that_takes_too_long_is_ended_with_its_children() -> None:
    code = "import subprocess; subprocess.run(['sleep', '60'])"
    start = time.monotonic()
    with pytest.raises(McastError, match="no answer within 300ms"):
        run(code, limit=0.3)
    assert time.monotonic() - start < 30.0  # the child held the pipe


def test_one_that_does_not_start_is_named() -> None:
    runner = Runner(["/nonexistent/program"], 1.0)
    with pytest.raises(McastError, match="does not start"):
        asyncio.run(runner.answer(b"", Asked()))


def test_all_are_ended_when_the_command_ends() -> None:
    runner = Runner(["sleep", "60"], 60.0)

    async def stop_soon() -> None:
        answering = asyncio.ensure_future(runner.answer(b"", Asked()))
        while not runner._running:  # noqa: ASYNC110 - a thread starts it
            await asyncio.sleep(0.01)
        runner.stop()
        with pytest.raises(McastError, match="killed by signal 9"):
            await answering

    asyncio.run(stop_soon())


def test_a_program_that_leaves_its_output_to_another_one_is_stopped_too() -> None:
    """The other one holds the pipe that the answer is read from."""
    code = "import subprocess; subprocess.Popen(['sleep', '600'])"
    with pytest.raises(McastError, match="no answer within"):
        run(code, limit=1.0)
