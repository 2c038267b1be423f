"""`--on EVENT[,EVENT]=COMMAND`: run a program on an event. No shell ever sees what a peer wrote."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterable, Mapping
from typing import Annotated, Self

import typer

from mcast.errors import UsageError

from .render import note

EVENTS = ("ready", "message", "join", "update", "leave", "gap")
WAITING = 1000
"""Events that wait for their commands; then whoever tells of one more waits."""
TIME_LIMIT = 60.0
"""Seconds a command may take before it is ended, so that one that hangs cannot stop the watch for ever."""

On = Annotated[
    list[str] | None,
    typer.Option(
        "--on",
        metavar="EVENT=COMMAND",
        help="Run COMMAND on ready, message, join, leave …; payload on stdin, a minute at most; repeatable.",
    ),
]


class Hooks:
    """The commands of `--on`, run one after the other in the order of events."""

    def __init__(self, texts: Iterable[str] | None) -> None:
        self._commands: dict[str, list[list[str]]] = {event: [] for event in EVENTS}
        self._waiting: asyncio.Queue[tuple[str, Mapping[str, str], bytes]] = asyncio.Queue(WAITING)
        self._worker: asyncio.Task[None] | None = None
        for text in texts or ():
            events, command = _parse(text)
            for event in events:
                self._commands[event].append(command)

    def wants_any(self) -> bool:
        """Whether any command waits for an event of the group."""
        return any(self._commands[event] for event in EVENTS if event != "ready")

    async def __aenter__(self) -> Self:
        self._worker = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        if left := self._waiting.qsize():
            note(f"--on was not run for the last {left}: what it runs takes longer than they took to come")

    async def hand(self, event: str, variables: Mapping[str, str], payload: bytes) -> None:
        """Have run() do it after all before; who hands over waits only while WAITING others wait."""
        await self._waiting.put((event, variables, payload))

    async def done(self) -> None:
        """Wait until all that was handed over was run."""
        await self._waiting.join()

    async def _work(self) -> None:
        while True:
            try:
                await self.run(*await self._waiting.get())
            finally:
                self._waiting.task_done()

    async def run(self, event: str, variables: Mapping[str, str], payload: bytes = b"") -> None:
        """Run the commands for `event` with `variables` in their environment and `payload` on stdin."""
        for command in self._commands.get(event, ()):
            inherited = {name: value for name, value in os.environ.items() if name != "MCAST_KEY"}
            await _run(command, {**inherited, "MCAST_EVENT": event, **variables}, payload)

    async def ready(self, group: str) -> None:
        """Tell the ready commands, and the service manager if there is one (sd_notify(3))."""
        _notify_manager()
        await self.run("ready", {"MCAST_GROUP": group})


def _parse(text: str) -> tuple[list[str], list[str]]:
    names, equals, command_line = text.partition("=")
    events = [name.strip() for name in names.split(",")]
    unknown = [event for event in events if event not in EVENTS]
    if not equals or unknown:
        raise UsageError(f"--on {text!r} names no event", f"write EVENT=COMMAND with {' or '.join(EVENTS)}")
    try:
        command = shlex.split(command_line)
    except ValueError as error:
        raise UsageError(f"--on {text!r}: {error}", "close the quotes") from None
    if not command or shutil.which(command[0]) is None:
        raise UsageError(f"--on {text!r}: there is no such program", "give a program's name or path")
    return events, command


async def _run(command: list[str], environment: Mapping[str, str], payload: bytes) -> None:
    # In a thread: not every event loop of asyncio can run programs (Windows' selector loop cannot).
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)  # noqa: S603, ASYNC220 - no shell
    except (OSError, ValueError) as error:
        note(f"--on {command[0]}: {getattr(error, 'strerror', None) or error}")
        return
    try:
        await asyncio.to_thread(process.communicate, payload, TIME_LIMIT)
    except subprocess.TimeoutExpired:
        note(f"--on {command[0]}: still running after {TIME_LIMIT:g} s, ended")
    finally:
        await asyncio.to_thread(_end, process)
    if process.returncode:
        note(f"--on {command[0]}: exit code {process.returncode}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it if it runs: ask, and after two seconds insist."""
    for stop in (process.terminate, process.kill):
        if process.poll() is None:
            stop()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(2.0)


def _notify_manager() -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or not hasattr(socket, "AF_UNIX"):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.send(b"READY=1")
