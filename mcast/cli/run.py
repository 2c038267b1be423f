"""How a command runs and ends: signals, time limits, a closed output, and the exit code they make."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any

from . import exits
from .render import Output, OutputClosed, fault, note

INSIST = 0.1
"""Seconds after a signal in which a write may still begin to block."""


class Ending:
    """The first reason to stop: `signal`, `timeout`, `idle` or `closed` (nobody reads our output)."""

    def __init__(self, *, timeout: float | None = None, idle: float | None = None) -> None:
        self.reason: str | None = None
        self.signal = 0
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._idle = idle
        self._idle_timer: asyncio.TimerHandle | None = None
        if timeout is not None:
            self._loop.call_later(timeout, self.end, "timeout")
        self.touch()

    def touch(self) -> None:
        """Something came: the idle limit starts anew."""
        if self._idle is not None:
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            self._idle_timer = self._loop.call_later(self._idle, self.end, "idle")

    def end(self, reason: str) -> None:
        """Stop for `reason`, unless there was one already."""
        if self.reason is None:
            self.reason = reason
        self._ended.set()

    async def during(self, work: Coroutine[Any, Any, None]) -> bool:
        """Run `work` until it is done (True) or there is a reason to stop (False); its errors are raised."""
        task = asyncio.ensure_future(work)
        end = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            end.cancel()
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            return False
        task.result()
        return True

    @contextlib.contextmanager
    def on_signals(self, output: Output) -> Iterator[None]:
        """SIGINT, SIGTERM and SIGHUP end it; a second one, or one in a blocked write, interrupts at once."""
        over = threading.Event()

        def insist(number: int) -> None:
            """The signal once more, should a write block before the loop gets to see that it is to end."""
            while not over.wait(INSIST):
                if output.blocked:
                    signal.pthread_kill(threading.main_thread().ident or 0, number)
                    return

        def handle(number: int, _: FrameType | None) -> None:
            if self.signal or output.blocked:
                self.signal = self.signal or number
                raise KeyboardInterrupt
            self.signal = number
            self._loop.call_soon_threadsafe(self.end, "signal")
            if hasattr(signal, "pthread_kill"):  # where there is none, as on Windows, any write is blocked
                threading.Thread(target=insist, args=(number,), daemon=True).start()

        before = {number: signal.signal(number, handle) for number in _signals()}
        try:
            yield
        finally:
            over.set()
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def on_closed_output(self) -> Iterator[None]:
        """End when the reader of our pipe goes, not only when the next line finds it gone."""
        if not _is_pipe(sys.stdout):
            yield
            return
        self._loop.add_reader(sys.stdout.fileno(), self.end, "closed")
        try:
            yield
        finally:
            self._loop.remove_reader(sys.stdout.fileno())


def run(command: Callable[[Ending, Output], Coroutine[Any, Any, int]], **limits: float | None) -> int:
    """Run an asynchronous command with its limits (`timeout`, `idle`, seconds) and return its exit code."""
    ending: Ending | None = None

    async def main() -> int:
        nonlocal ending
        output = Output()
        ending = Ending(**limits)
        asyncio.get_running_loop().set_exception_handler(_unexpected)
        with ending.on_signals(output), ending.on_closed_output():
            return await command(ending, output)

    collect()
    try:
        # Windows' default loop, the Proactor, has no add_reader and dies on ICMP errors.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            return runner.run(main())
    except OutputClosed:
        return exits.DONE
    except KeyboardInterrupt:
        return exits.INTERRUPTED + ((ending.signal if ending else 0) or signal.SIGINT)


def collect() -> None:
    """Collect garbage from now on, if `mcast.__main__` put that off; what was imported stays unsearched."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _unexpected(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Instead of asyncio's traceback in the middle of a chat."""
    if os.environ.get("MCAST_DEBUG"):
        loop.default_exception_handler(context)
    elif error := context.get("exception"):
        note(fault(error))


def _signals() -> list[signal.Signals]:
    """Those to end at: also when the terminal goes away, unless nohup(1) said otherwise."""
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN:
        return [signal.SIGINT, signal.SIGTERM]
    return [signal.SIGINT, signal.SIGTERM, hangup]


def _is_pipe(stream: Any) -> bool:
    """Whether it is the writing end of a pipe (`1<>fifo`, open for both, would seem closed when filled)."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        number = stream.fileno()
        writing = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
        return writing and stat.S_ISFIFO(os.fstat(number).st_mode)
    except (OSError, ValueError, AttributeError):
        return False
