"""`--on EVENT=COMMAND` runs programs, and no shell."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from pathlib import Path

import pytest

from mcast.cli import hooks
from mcast.cli.hooks import Hooks
from mcast.cli.items import Item, PlainItem
from mcast.cli.notices import LINES
from mcast.errors import UsageError
from mcast.net.address import GroupAddress
from mcast.net.plain_text import Line

GROUP = GroupAddress("230.0.0.1", 3000)


def command(code: str) -> str:
    return f'{sys.executable} -c "{code}"'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("message", "write EVENT=COMMAND; EVENT is one of ready, message"),
        ("=true", "write EVENT=COMMAND"),
        ("nonsense=true", "write EVENT=COMMAND"),
        ("message,nonsense=true", "write EVENT=COMMAND"),
        ("message=", "has no command"),
        ("message=/no/such/program", "program '/no/such/program' not found"),
        ("message=echo 'x", "close the quotes"),
    ],
)
def test_a_wrong_one_is_refused_before_anything_runs(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Hooks([text])


def test_the_payload_comes_on_stdin_and_the_variables_in_the_environment(tmp_path: Path) -> None:
    code = (
        "import os,sys; open(os.environ['OUT'],'ab').write(sys.stdin.buffer.read()"
        " + os.environ['MCAST_EVENT'].encode() + b' ')"
    )
    made = Hooks([f"ready,message={command(code)}"])
    out = tmp_path / "out"
    asyncio.run(made.run("message", {"OUT": str(out)}, b"\xff$(exit); "))
    asyncio.run(made.run("ready", {"OUT": str(out)}))
    assert out.read_bytes() == b"\xff$(exit); message ready "


def test_what_looks_like_shell_is_an_argument(capfd: pytest.CaptureFixture[str]) -> None:
    asyncio.run(Hooks(["message=echo a;b '$(c)' > d | e"]).run("message", {}))
    assert capfd.readouterr().out == "a;b $(c) > d | e\n"


def test_a_command_that_fails_or_reads_nothing_is_noted_and_no_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = Hooks([f"message={command('raise SystemExit(3)')}"])
    asyncio.run(made.run("message", {}, b"x" * 1_000_000))
    assert capsys.readouterr().err == f"mcast: --on {sys.executable}: exit code 3\n"


def test_a_program_that_has_gone_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    made = Hooks([f"message={program}"])
    program.unlink()
    asyncio.run(made.run("message", {}))
    assert capsys.readouterr().err == f"mcast: --on {program}: No such file or directory\n"


def test_a_command_that_hangs_is_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hooks, "TIME_LIMIT", 0.2)
    asyncio.run(Hooks([f"message={command('import time; time.sleep(60)')}"]).run("message", {}))
    assert "still running after 0.2 s, stopped" in capsys.readouterr().err


def test_what_is_cancelled_ends_its_command(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = f"import time; open('{mark}','w'); time.sleep(60)"

    async def cancel() -> None:
        task = asyncio.create_task(Hooks([f"message={command(code)}"]).run("message", {}))
        deadline = time.monotonic() + 10.0
        while not mark.exists():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 10.0)

    asyncio.run(cancel())


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_a_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        Hooks(None).ready("230.0.0.1:3000")
        assert manager.recv(100) == b"READY=1"


def test_a_service_manager_that_has_gone_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "@mcast-test-nobody")
    Hooks(None).ready("230.0.0.1:3000")


def said(number: int) -> Item:
    return PlainItem(Line(b"%d" % number, str(number), ("10.0.0.1", 1), GROUP, "eth0", 1, 0.0))


def test_what_is_handed_over_is_run_in_its_order(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = f"import os,sys; open('{out}','ab').write(sys.stdin.buffer.read() or b'ready ')"

    async def main() -> None:
        async with Hooks([f"ready,message={command(code)}"]) as made:
            made.ready("230.0.0.1:3000")
            for number in range(5):
                made.put(said(number))
            assert not out.exists(), "nobody waited"
            await made.done()

    asyncio.run(main())
    assert out.read_bytes() == b"ready 01234"


def test_what_was_not_run_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        async with Hooks(["message=sleep 60"]) as made:
            for number in range(3):
                made.put(said(number))
            await asyncio.sleep(0.2)

    start = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - start < 30.0
    assert "--on did not run for the last 2 events" in capsys.readouterr().err


@pytest.mark.parametrize(("limit", "value"), [("WAITING", 3), ("WAITING_BYTES", 3)])
def test_a_command_that_is_too_slow_skips_the_oldest_and_says_so(
    limit: str,
    value: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(hooks, limit, value)
    out = tmp_path / "out"
    code = f"import sys; open('{out}','ab').write(sys.stdin.buffer.read())"

    async def main() -> None:
        async with Hooks([f"message={command(code)}"]) as made:
            for number in range(10):
                made.put(said(number))
            await made.done()

    asyncio.run(main())
    assert out.read_bytes() == b"789"
    first, last = capsys.readouterr().err.splitlines()
    assert "the events that have waited longest are skipped" in first
    assert last.startswith("mcast: --on is too slow: 7 events were skipped in ")


def test_a_thousand_failures_are_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        async with Hooks(["message=false"]) as made:
            for number in range(20):
                made.put(said(number))
            await made.done()

    asyncio.run(main())
    lines = capsys.readouterr().err.splitlines()
    assert lines[:-1] == ["mcast: --on false: exit code 1"] * LINES
    assert lines[-1].startswith("mcast: 20 commands of --on failed in ")


def test_an_event_without_a_command_is_not_kept() -> None:
    made = Hooks(["join=true"])
    made.put(said(1))
    assert made._queue.empty()
