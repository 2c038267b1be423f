"""`--on EVENT[,EVENT]=COMMAND` runs a program on an event. No shell ever sees text from the network."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from mcast.errors import UsageError

from . import programs
from .notices import Notices
from .output import note

if TYPE_CHECKING:
    from .items import Item

EVENTS = ("ready", "message", "join", "update", "leave", "gap")
WAITING, WAITING_BYTES = 10_000, 64 << 20
"""Events in the queue, and the bytes of their messages. Then the oldest are skipped: the attack is a flood of
events for a slow command."""
TIME_LIMIT = 60.0
"""Seconds after which a command is stopped, so that one that hangs does not block all others."""


def _on_option(more: str = "") -> Any:
    events = f"{', '.join(EVENTS[:-1])} or {EVENTS[-1]}"
    return typer.Option("--on", metavar="EVENT=COMMAND", help=f"Run COMMAND on {events}{more}.")


On = Annotated[list[str] | None, _on_option("; it gets the message on stdin")]
OnPeers = Annotated[list[str] | None, _on_option()]
"""Of commands that are about peers."""


class Hooks:
    """The commands of --on, run one after the other in the order of the events. Nobody waits for them."""

    def __init__(self, texts: Iterable[str] | None) -> None:
        self._commands: dict[str, list[list[str]]] = {event: [] for event in EVENTS}
        self._queue: asyncio.Queue[tuple[str, Mapping[str, str], bytes]] = asyncio.Queue()
        self._bytes = 0
        self._worker: asyncio.Task[None] | None = None
        self._failures, self._skipped = Notices(note), Notices(note, lines=1)
        for text in texts or ():
            events, command = _parse(text)
            for event in events:
                self._commands[event].append(command)

    async def __aenter__(self) -> Self:
        self._worker = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        if left := self._queue.qsize():
            events = "event" if left == 1 else f"{left} events"
            note(f"--on did not run for the last {events}: its command is too slow")
        self._failures.close()
        self._skipped.close()

    def put(self, item: Item) -> None:
        """Queue the commands for an item, if there are any."""
        if self._commands.get(item.type):
            self._put(item.type, item.environment(), item.data)

    def _put(self, event: str, variables: Mapping[str, str], payload: bytes) -> None:
        self._queue.put_nowait((event, variables, payload))
        self._bytes += len(payload)
        while self._queue.qsize() > WAITING or self._bytes > WAITING_BYTES:
            self._bytes -= len(self._queue.get_nowait()[2])
            self._queue.task_done()
            told = "--on is too slow for what happens: the events that have waited longest are skipped"
            self._skipped.add(told, "--on is too slow: {} events were skipped")

    async def done(self) -> None:
        """Wait until the commands of all queued events have ended."""
        await self._queue.join()

    async def _work(self) -> None:
        while True:
            event, variables, payload = await self._queue.get()
            self._bytes -= len(payload)
            try:
                await self.run(event, variables, payload)
            finally:
                self._queue.task_done()

    async def run(self, event: str, variables: Mapping[str, str], payload: bytes = b"") -> None:
        """Run the commands for `event` with `variables` in the environment and `payload` on stdin."""
        for command in self._commands.get(event, ()):
            problem = await _run(command, {"MCAST_EVENT": event, **variables}, payload)
            if problem:
                self._failures.add(f"--on {command[0]}: {problem}", "{} commands of --on failed")

    def ready(self, group: str) -> None:
        """Queue the ready commands and notify the service manager, if there is one (sd_notify(3))."""
        address = os.environ.get("NOTIFY_SOCKET", "")
        if address.startswith("@"):
            address = "\0" + address[1:]
        if address and hasattr(socket, "AF_UNIX"):
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.connect(address)
                sock.send(b"READY=1")
        if self._commands["ready"]:
            self._put("ready", {"MCAST_GROUP": group}, b"")


def _parse(text: str) -> tuple[list[str], list[str]]:
    names, equals, command_line = text.partition("=")
    events = [name.strip() for name in names.split(",")]
    unknown = [event for event in events if event not in EVENTS]
    if not equals or unknown:
        remedy = f"write EVENT=COMMAND; EVENT is one of {', '.join(EVENTS)}"
        raise UsageError(f"--on {text!r} does not start with an event", remedy)
    return events, programs.words_of(command_line, f"--on {text!r}")


async def _run(command: list[str], variables: Mapping[str, str], payload: bytes) -> str:
    """Run a command to its end. Returns what went wrong, empty if nothing."""
    # In a thread, because the selector loop of Windows cannot run programs.
    try:
        process = programs.start(command, variables, output=False)
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    try:
        await asyncio.to_thread(process.communicate, payload, TIME_LIMIT)
    except subprocess.TimeoutExpired:
        return f"still running after {TIME_LIMIT:g} s, stopped"
    finally:
        await asyncio.to_thread(programs.end, process)
    return f"exit code {process.returncode}" if process.returncode else ""
