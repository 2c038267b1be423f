"""Runs of mcast on the plain wire, and what they said, for the tests of chat, listen, send and links."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests import lab

PORT = 3000
GROUP, GROUP6, SITE6 = "239.9.9.9", "ff12::9:9", "ff05::9:9"
READY = {"listen": "listening to", "chat": "chatting in"}
NOTICED = 30.0
"""Seconds: a change of the interfaces is noticed within 3; the rest is for a slow machine."""


def run(host: lab.Host, command: str, *arguments: str, **options: Any) -> lab.Process:
    """Start `mcast COMMAND --plain …` and wait until it says that it has joined."""
    process = host.mcast(command, "--plain", *arguments, **options)
    process.wait_for(READY[command], stream="stderr")
    return process


def send(host: lab.Host, *arguments: str, input: str | bytes = "") -> lab.Process:
    """Run `mcast send --plain …` to its end."""
    with host.mcast("send", "--plain", *arguments, input=input) as process:
        process.wait()
    return process


def texts(process: lab.Process) -> list[str]:
    """The texts that a `--json` run has printed so far."""
    return [event["text"] for event in process.objects() if event["type"] == "message"]


def states(process: lab.Process) -> list[tuple[str, str]]:
    """The interfaces that came and went, as a `--json` run told."""
    events = [event for event in process.objects() if event["type"] == "interface"]
    return [(event["interface"], event["state"]) for event in events]


def until(condition: Callable[[], object], timeout: float = NOTICED) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.02)
