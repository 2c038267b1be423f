"""How a command ends, and the exit code it ends with."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from mcast import __main__ as program
from mcast import cli
from mcast.cli import exits
from mcast.cli.output import Output, OutputClosed
from mcast.cli.runner import Ending, collect, run
from mcast.errors import InvalidPort, McastError, NoInterface, PermissionRefused, PortTaken


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidPort("x"), 2),
        (NoInterface("x"), 3),
        (PermissionRefused("x"), 3),
        (PortTaken("x"), 1),
        (McastError("x"), 1),
    ],
)
def test_every_kind_of_error_has_its_code(error: McastError, code: int) -> None:
    assert exits.of_error(error) == code


@pytest.mark.parametrize(
    ("reason", "complete", "printed", "count", "code"),
    [
        (None, True, 2, 2, 0),
        ("closed", False, 0, 2, 0),
        ("timeout", False, 1, 2, 27),
        ("idle", False, 0, 1, 27),
        ("timeout", False, 2, 2, 0),
        ("timeout", False, 1, None, 0),
        ("timeout", False, 0, None, 4),
        ("idle", False, 0, None, 4),
        ("signal", False, 0, None, 0),
        ("signal", False, 1, 2, 130),
    ],
)
def test_what_a_watch_ends_with(
    reason: str | None, complete: bool, printed: int, count: int | None, code: int
) -> None:
    async def main() -> int:
        ending = Ending()
        ending.reason, ending.signal = reason, signal.SIGINT
        return ending.exit_code(complete, printed, count)

    assert asyncio.run(main()) == code


def test_work_that_is_done_ends_it_and_its_errors_are_raised() -> None:
    async def done(ending: Ending, _: Output) -> int:
        assert await ending.during(asyncio.sleep(0))
        return 5

    async def failing() -> None:
        raise NoInterface("gone")

    async def fails(ending: Ending, _: Output) -> int:
        await ending.during(failing())
        return 0

    assert run(done) == 5
    with pytest.raises(NoInterface, match="gone"):
        run(fails)


@pytest.mark.parametrize("limit", ["timeout", "idle"])
def test_limits_end_work_and_the_first_reason_stays(limit: str) -> None:
    async def main(ending: Ending, _: Output) -> int:
        assert not await ending.during(asyncio.sleep(60))
        ending.end("closed")
        return int(ending.reason == limit)

    assert run(main, **{limit: 0.01}) == 1


@pytest.mark.parametrize(("limit", "left"), [("timeout", True), ("idle", True), (None, False)])
def test_what_came_in_time_is_shown_after_the_time_is_over(limit: str | None, left: bool) -> None:
    async def main(ending: Ending, _: Output) -> int:
        over = asyncio.Event()
        shown = []

        async def leave() -> None:
            over.set()

        async def work() -> None:
            await over.wait()
            await asyncio.sleep(0.1)
            shown.append(1)

        if limit is None:
            asyncio.get_running_loop().call_later(0.01, ending.end, "signal")
        assert not await ending.during(work(), leave)
        return int(over.is_set() and shown == [1])

    assert run(main, **({limit: 0.01} if limit else {})) == int(left)


def test_a_signal_ends_what_is_still_to_be_shown() -> None:
    async def main(ending: Ending, _: Output) -> int:
        async def leave() -> None:
            asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), signal.SIGTERM)

        assert not await ending.during(asyncio.sleep(60), leave)
        return ending.signal

    assert run(main, timeout=0.01) == signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_handlers_are_put_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    async def main(ending: Ending, _: Output) -> int:
        asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), number)
        assert not await ending.during(asyncio.sleep(60))
        return ending.signal

    assert run(main) == number
    assert signal.getsignal(number) == before


def test_a_signal_that_another_thread_gets_ends_it_too() -> None:
    async def main(ending: Ending, _: Output) -> int:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            began = time.monotonic()
            await ending.during(asyncio.sleep(5))
            assert time.monotonic() < began + 4
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        return ending.signal

    assert run(main) == signal.SIGINT


def test_a_second_signal_ends_a_farewell_and_breaks_no_callback() -> None:
    done = []

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        done.append("interrupted")

    async def main(ending: Ending, _: Output) -> int:
        loop = asyncio.get_running_loop()
        loop.call_soon(interrupt)
        try:
            await ending.during(asyncio.sleep(60))
        finally:
            loop.call_soon(interrupt)
            await asyncio.sleep(60)
        return 0

    began = time.monotonic()
    assert run(main) == 130
    assert done == ["interrupted"] * 2
    assert time.monotonic() < began + 5


def test_two_signals_at_once_leave_nothing_running() -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("work")

    async def main(ending: Ending, _: Output) -> int:
        for _number in range(2):
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
        try:
            await ending.during(work())
        finally:
            await asyncio.sleep(0.1)
            ended.append("command")
        return 0

    assert run(main) == 130
    assert ended == ["work", "command"]


def test_a_third_signal_interrupts_what_never_looks_at_the_loop() -> None:
    async def main(ending: Ending, _: Output) -> int:
        for after in (0.1, 0.2, 0.3):
            threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT)).start()
        time.sleep(10)  # noqa: ASYNC251 - that is what is tested
        return 0

    began = time.monotonic()
    assert run(main) == 130
    assert time.monotonic() < began + 5


BLOCKED = """
import os, signal, sys, threading
from mcast.cli.runner import run

async def main(ending, output):
    if seconds := float(sys.argv[1]):
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        os.kill(os.getpid(), signal.SIGINT)
    output.lines(["x" * 1000] * 200)

sys.exit(run(main))
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("seconds", [0.5, 0], ids=["while it blocks", "before it blocks"])
def test_a_pipe_that_nobody_empties_does_not_outlive_a_signal(seconds: float, unbuffered: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BLOCKED, str(seconds)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    ) as process:
        assert process.wait(20) == 130


def test_a_fault_in_the_background_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> None:
        raise ZeroDivisionError("oh")

    async def main(_: Ending, __: Output) -> int:
        asyncio.get_running_loop().call_soon(broken)
        await asyncio.sleep(0)
        return 0

    assert run(main) == 0
    told = capsys.readouterr().err
    assert told.startswith("mcast: internal error, ZeroDivisionError: oh")
    assert told.count("\n") == 1


def test_an_output_that_nobody_reads_is_a_quiet_end() -> None:
    async def main(_: Ending, __: Output) -> int:
        raise OutputClosed

    assert run(main) == 0


def test_a_command_with_more_to_do_than_to_print_has_its_own_code_for_that() -> None:
    async def main(ending: Ending, _: Output) -> int:
        ending.unread = 27
        raise OutputClosed

    assert run(main) == 27


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def main(ending: Ending, _: Output) -> int:
        os.kill(os.getpid(), signal.SIGHUP)
        return ending.signal

    try:
        assert run(main) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.fixture
def undone() -> Iterator[None]:
    """What the program does to the garbage collector and to Ctrl-C is undone."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)
    gc.enable()
    gc.unfreeze()


@pytest.mark.usefixtures("undone")
def test_no_garbage_is_collected_until_a_command_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    async def command(ending: Ending, output: Output) -> int:
        seen.append(gc.isenabled())
        return exits.DONE

    def main() -> int:
        seen.append(gc.isenabled())
        return run(command)

    monkeypatch.setattr(cli, "main", main)
    assert program.main() == exits.DONE
    assert seen == [False, True]


@pytest.mark.usefixtures("undone")
def test_plain_text_is_sent_with_garbage_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcast.interfaces.read", lambda: ())
    gc.disable()
    assert cli.main(["send", "--plain", "x"]) == exits.NO_NETWORK
    assert gc.isenabled()


def test_who_collects_garbage_already_has_nothing_frozen() -> None:
    frozen = gc.get_freeze_count()
    collect()
    assert gc.get_freeze_count() == frozen


@pytest.mark.usefixtures("undone")
def test_an_interrupt_outside_of_commands_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main", interrupted)
    assert program.main() == 130


INTERRUPTED = """
import os, signal, sys, weakref
from mcast.__main__ import main

class Finder:
    @staticmethod
    def find_spec(name, path, target=None):
        if name == wanted:
            gone = type("Gone", (), {})
            # What a callback raises is printed, and the program goes on.
            finder.told = weakref.ref(gone(), lambda _: os.kill(os.getpid(), signal.SIGINT))

finder = Finder()
sys.meta_path.insert(0, finder)
wanted, disposition = sys.argv.pop(), sys.argv.pop()
signal.signal(signal.SIGINT, getattr(signal, disposition))
sys.exit(main())
"""


@pytest.mark.parametrize("disposition", ["default_int_handler", "SIG_IGN"])
@pytest.mark.parametrize("module", ["typer", "mcast.cli.interfaces"])
def test_an_interrupt_while_modules_are_imported_is_never_lost(module: str, disposition: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, "interfaces", disposition, module],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


INTERRUPTED_AFTER = """
import atexit, os, signal, sys
from mcast.__main__ import main

atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))
sys.argv[1:] = ["--version"]
sys.exit(main())
"""


def test_an_interrupt_at_the_very_end_is_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AFTER], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
