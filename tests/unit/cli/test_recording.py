"""Recordings: what is read from them, and what is wrong with a line."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mcast.cli import recording
from mcast.cli.output import Output, finish_outputs
from mcast.cli.recording import Recorded, Recording
from mcast.cli.replay import _paced
from mcast.errors import McastError, MessageTooLarge, UsageError

NOON = 1_777_888_800.0
"""2026-05-04T10:00:00Z"""


def message(second: int, **fields: Any) -> str:
    made = {"v": 1, "type": "message", "ts": f"2026-05-04T10:00:{second:02}.000Z", "text": "x", **fields}
    return json.dumps({name: value for name, value in made.items() if value is not None})


def read(tmp_path: Path, *lines: str, end: str = "\n") -> list[Recorded]:
    file = tmp_path / "made.ndjson"
    file.write_text("\n".join(lines) + end)
    return list(Recording(str(file)).messages())


def test_bodies_and_times(tmp_path: Path) -> None:
    binary = base64.b64encode(b"\xff\x00").decode()
    gap = json.dumps({"type": "gap", "ts": "2026-05-04T10:00:02.000Z", "state": "opened"})
    earlier = message(5, text="早\n", sent="2026-05-04T09:59:00.000Z", history=True)
    assert read(tmp_path, earlier, "", message(1), gap, message(3, text=None, data_b64=binary)) == [
        Recorded("早\n".encode(), NOON - 60),
        Recorded(b"x", NOON + 1),
        Recorded(b"\xff\x00", NOON + 3),
    ]


def test_private_messages_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "made.ndjson"
    file.write_text(message(1, private=True) + "\n")
    made = Recording(str(file))
    assert (list(made.messages()), made.private) == ([], 1)


def test_a_last_line_that_was_cut_off_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(read(tmp_path, message(1), message(2)[:30], end="")) == 1
    assert "made.ndjson, line 2: cut off, so it is left out" in capsys.readouterr().err
    assert len(read(tmp_path, message(1), message(2), end="")) == 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("hello", "line 2: not a line of JSON"),
        ("[" * 100_000, "line 2: not a line of JSON"),
        ("[]", "line 2: not an event of mcast"),
        ("{}", "line 2: not an event of mcast"),
        (message(1, text=None), "line 2: a message without text or data_b64"),
        (message(1, text=5), "line 2: a message without text or data_b64"),
        (message(1, text=None, data_b64="~"), "line 2: a message that cannot be decoded"),
        (message(1, text="\ud800"), "line 2: a message that cannot be decoded"),
        (message(1, ts=None), r"line 2: a message without a time \(ts\)"),
        (message(1, ts="noon"), r"line 2: a message without a time \(ts\)"),
        (message(1, history=True), r"line 2: a message without a time \(sent\)"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read(tmp_path, message(1), line)


def test_a_message_that_is_too_large_is_named(tmp_path: Path) -> None:
    with pytest.raises(MessageTooLarge, match="line 1: the message is too large"):
        read(tmp_path, message(1, text="x" * 65_537))


@pytest.mark.parametrize(("name", "says"), [("nowhere", "No such file"), (".", "not a regular file")])
def test_what_cannot_be_read(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        list(Recording(str(tmp_path / name)).messages())


def test_nothing_is_written_over(tmp_path: Path) -> None:
    file = tmp_path / "made.ndjson"
    print_to(recording.create(str(file)))
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="has something in it"):
        recording.create(str(file))
    with pytest.raises(UsageError, match="cannot write"):
        recording.create(str(tmp_path / "no" / "folder"))


def print_to(output: Output) -> None:
    output.lines([message(1)])
    finish_outputs()


def test_a_full_disk_names_the_file() -> None:
    output = recording.create("/dev/full")
    with pytest.raises(McastError, match="cannot write /dev/full: No space left on device: free some disk"):
        print_to(output)


@pytest.mark.parametrize(
    ("times", "pace", "waits"),
    [
        ([0, 4, 5], 1.0, [0, 4, 5]),
        ([0, 4, 5], 2.0, [0, 2, 2.5]),
        ([0, 4, 5], float("inf"), [0, 0, 0]),
        ([60, 0, 61], 1.0, [0, 0, 1]),
    ],
)
def test_pauses(times: list[float], pace: float, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that runs backwards, as between the clocks of two senders of history, is no pause."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def messages() -> AsyncIterator[Recorded]:
        for at in times:
            yield Recorded(b"x", NOON + at)

    async def paces() -> list[bytes]:
        monkeypatch.setattr(asyncio, "sleep", sleep)
        return [body async for body in _paced(messages(), pace)]

    assert len(asyncio.run(paces())) == len(times)
    assert slept == pytest.approx(waits, abs=1.0)
