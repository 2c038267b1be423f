"""Runs a command and decides how it ends: signals, time limits, a closed output, and the exit code."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import selectors
import signal
import socket
import stat
import sys
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any

from . import exits
from .output import Output, OutputClosed, internal_error, note

GRACE = 0.5
"""Seconds for the rest of the output after a signal. Whoever stopped the program waits for it to end."""
LOOK = 0.05
"""Seconds between two looks whether a signal came, while the rest is shown."""


class Ending:
    """Why a command stops: `reason` is signal, timeout, idle or closed (nobody reads the output).

    The first reason counts. `timeout` and `idle` are limits in seconds.
    """

    def __init__(self, *, timeout: float | None = None, idle: float | None = None) -> None:
        self.reason: str | None = None
        self.signal = 0
        self.unread = exits.DONE
        """The exit code if nobody reads the output any more: of some commands it is not all they do."""
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._idle = idle
        self._idle_timer: asyncio.TimerHandle | None = None
        if timeout is not None:
            self._loop.call_later(timeout, self.end, "timeout")
        self.touch()

    def touch(self) -> None:
        """Start the idle limit again, because a message arrived."""
        if self._idle is not None:
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            self._idle_timer = self._loop.call_later(self._idle, self.end, "idle")

    def end(self, reason: str) -> None:
        """Stop for `reason`, unless there already is one."""
        if self.reason is None:
            self.reason = reason
        self._ended.set()

    def failed(self) -> None:
        """Stop because something can be written no more. Any thread may call it."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self.end, "closed")

    def exit_code(self, complete: bool, found: int, wanted: int | None) -> int:
        """The exit code of a command that found so many messages or peers and may have `wanted` a number."""
        if complete or self.reason == "closed" or found == wanted:
            return exits.DONE
        if self.reason == "signal":
            return exits.INTERRUPTED + self.signal if wanted else exits.DONE
        if wanted:
            return exits.TIMED_OUT
        return exits.DONE if found else exits.NOTHING_FOUND

    async def during(
        self, work: Coroutine[Any, Any, None], leave: Callable[[], Coroutine[Any, Any, None]] | None = None
    ) -> bool:
        """Run `work` until it is done (True) or there is a reason to stop (False). Its errors are raised.

        leave: called when a time limit is over. Then `work` ends by itself, once all that came is shown.
        """
        task = asyncio.ensure_future(work)
        end = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            end.cancel()
        complete = task.done()
        if leave is not None and self.reason in ("timeout", "idle") and not complete:
            await leave()
            while not task.done() and not self.signal:
                await asyncio.wait({task}, timeout=LOOK)
        if not task.done():
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                if _cancelled():  # by another signal
                    raise
            return False
        task.result()
        return complete

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """End at SIGINT, SIGTERM or SIGHUP. A second one cancels the task that calls this, in a farewell too.

        A third one raises KeyboardInterrupt, for what never looks at the loop. In the loop itself that loses
        the step that was due, and what waits for it waits for ever.
        """
        main, hurry = asyncio.current_task(), False

        def came(number: int) -> None:
            self.signal = self.signal or number
            self.end("signal")

        def handle(number: int, _: FrameType | None) -> None:
            nonlocal hurry
            if hurry:
                raise KeyboardInterrupt
            if self.signal and main is not None:
                hurry = True
                self._loop.call_soon_threadsafe(main.cancel)
                return
            self.signal = number
            self._loop.call_soon_threadsafe(came, number)

        before = {number: signal.getsignal(number) for number in _signals()}
        for number in before:
            # So that it wakes the loop: if another thread gets it, or we do just before we wait for events,
            # Python calls no handler until something else happens. Windows has no such method.
            with contextlib.suppress(NotImplementedError):
                self._loop.add_signal_handler(number, came, number)
            signal.signal(number, handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                with contextlib.suppress(NotImplementedError):
                    self._loop.remove_signal_handler(number)
                signal.signal(number, handler)

    @contextlib.contextmanager
    def on_closed_output(self) -> Iterator[None]:
        """End as soon as the reader of our pipe is gone, not only at the next line."""
        if not _is_pipe(sys.stdout):
            yield
            return
        self._loop.add_reader(sys.stdout.fileno(), self.end, "closed")
        try:
            yield
        finally:
            self._loop.remove_reader(sys.stdout.fileno())


def run(command: Callable[[Ending, Output], Coroutine[Any, Any, int]], **limits: float | None) -> int:
    """Run an asynchronous command and return its exit code. `limits` are those of Ending, in seconds."""
    ending: Ending | None = None

    async def main() -> int:
        nonlocal ending
        loop = asyncio.get_running_loop()
        output, ending = Output(sys.stdout), Ending(**limits)
        output.on_failure(ending.failed)
        loop.set_exception_handler(_unexpected)
        with ending.on_signals(), ending.on_closed_output():
            try:
                code = await command(ending, output)
            finally:
                printed = await _finished(output, ending)
            if not printed:
                note("interrupted before everything was printed: nobody reads the output")
            return code if printed else exits.INTERRUPTED + ending.signal

    collect()
    try:
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            return runner.run(main())
    except OutputClosed:
        return ending.unread if ending else exits.DONE
    except (KeyboardInterrupt, asyncio.CancelledError):
        return exits.INTERRUPTED + ((ending.signal if ending else 0) or signal.SIGINT)


def _cancelled() -> bool:
    """Whether the running task itself is cancelled, not only what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _finished(output: Output, ending: Ending) -> bool:
    """Wait until all is printed, as long as that takes; False if a signal ended the wait."""
    interrupted = 0.0
    while output.waiting and interrupted < GRACE:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK):
                await output.room(0)
        interrupted += LOOK if ending.signal else 0.0
    output.check()
    return not output.waiting


def _new_loop() -> asyncio.AbstractEventLoop:
    """A loop. OSError if there are no descriptors for it.

    The default one of Windows, the Proactor, has no add_reader and fails on ICMP errors.
    """
    selector = selectors.DefaultSelector()
    try:
        # The loop opens such a pair. One that cannot complains again when it is collected.
        for end in socket.socketpair():
            end.close()
    except OSError:
        selector.close()
        raise
    return asyncio.SelectorEventLoop(selector)


def collect() -> None:
    """Collect garbage from now on, if mcast.__main__ had switched it off. Imported modules are left out."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _unexpected(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Print one line instead of asyncio's traceback."""
    if os.environ.get("MCAST_DEBUG"):
        loop.default_exception_handler(context)
    elif error := context.get("exception"):
        note(internal_error(error))


def _signals() -> list[signal.Signals]:
    """The signals that end a command. SIGHUP is one, unless nohup(1) set it to be ignored."""
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN:
        return [signal.SIGINT, signal.SIGTERM]
    return [signal.SIGINT, signal.SIGTERM, hangup]


def _is_pipe(stream: Any) -> bool:
    """Whether it is the writing end of a pipe. A FIFO open for both (`1<>fifo`) seems closed when full."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        number = stream.fileno()
        writing = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
        return writing and stat.S_ISFIFO(os.fstat(number).st_mode)
    except (OSError, ValueError, AttributeError):
        return False
