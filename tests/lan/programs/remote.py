"""Steers `member` programs on hosts of the lab."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from typing import Any

from tests.lab import Host, until
from tests.lab.process import WAIT_SECONDS

Options = Any
PROGRAM = ["-m", "tests.lan.programs.member"]


class Member:
    """A member on a host; `options` as in `member`. It is asked by calling: `member("send", "hello")`.

    With `wait=False` the constructor does not wait until it has joined: call ready() later.
    """

    def __init__(self, host: Host, *, wait: bool = True, **options: Options) -> None:
        self.host = host
        argv = [sys.executable, *PROGRAM, json.dumps({"name": host.name, **options})]
        self.process = host.spawn(argv)
        self._asked = 0
        if wait:
            self.ready()

    def ready(self) -> float:
        """Wait until it has joined; when it began to."""
        self._asked = max(1, self._asked)
        return float(json.loads(self.process.wait_lines(1, 30.0)[0]))

    def __call__(self, command: str, *arguments: Any) -> Any:
        self.ready()
        self.process.write(json.dumps([command, *arguments]) + "\n")
        self._asked += 1
        return json.loads(self.process.wait_lines(self._asked, 30.0)[self._asked - 1])

    def texts(self) -> list[str]:
        """The first word of every message heard, in order."""
        return [str(text) for text in self("texts")]

    def events(self, kind: str = "") -> list[dict[str, str]]:
        """Events of one kind, or all."""
        return [dict(event) for _, name, event in self("events") if kind in ("", name)]

    def hears(self, count: int, timeout: float = WAIT_SECONDS) -> list[str]:
        """Wait for at least so many messages; the first words of all."""
        until(lambda: self("count") >= count, timeout)
        return self.texts()

    def hears_last(self, text: str, times: int) -> list[str]:
        """Wait until the last of at least `times` messages is `text`; the first words of all."""
        until(lambda: (texts := self.texts())[-1:] == [text] and len(texts) >= times)
        return self.texts()

    def sees(self, *names: str, timeout: float = WAIT_SECONDS) -> None:
        """Wait until exactly these are its peers."""
        until(lambda: sorted(self("peers").values()) == sorted(names), timeout)

    def leave(self) -> None:
        """Let it say goodbye and end."""
        self.process.close_stdin()
        assert self.process.wait() == 0, self.process.stderr

    def kill(self) -> None:
        """End it without a word."""
        self.process.close()


def members(hosts: Iterable[Host], **options: Options) -> list[Member]:
    """A member on each host, all of whom know all."""
    made = [Member(host, wait=False, **options) for host in hosts]
    for member in made:
        member.ready()
    meet(made)
    return made


def meet(made: list[Member], timeout: float = 20.0) -> None:
    """Wait until all of them know all others."""
    for member in made:
        member.sees(*(other.host.name for other in made if other is not member), timeout=timeout)


def finished(sender: Member, timeout: float = 60.0) -> tuple[float, float]:
    """Wait for the end of a burst; when it began and ended."""
    deadline = time.monotonic() + timeout
    while (times := sender("burst_done")) is None:
        assert time.monotonic() < deadline, "the burst does not end"
        time.sleep(0.05)
    return times[0], times[1]


def numbers(count: int, first: int = 0) -> list[str]:
    """The texts of a burst."""
    return [str(number) for number in range(first, first + count)]
