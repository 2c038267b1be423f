"""What a contender is to do, and what it tells about it on standard output. Standard library only."""

from __future__ import annotations

import itertools
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

CYCLE = 8192
"""Messages differ within this many: what is lost, twice or out of order in between is noticed."""
CLOCK_EVERY = 32
"""Messages between two looks at the clock."""
LOSSY_SILENCE, SILENCE = 1.0, 15.0
"""Seconds without a message after which nothing more is expected; who repairs may need a while for it."""


def cycle(size: int) -> list[bytes]:
    """The messages that are sent over and over, each beginning with its number."""
    return [b"%07d " % number + b"." * (size - 8) for number in range(CYCLE)]


def resident() -> dict[str, int]:
    """Bytes of memory held now and at most."""
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return {"rss": now, "rss_peak": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


class Sending:
    """The sender's job: for `seconds`, or `count` messages."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.size: int = options["size"]
        self.receivers: int = options["receivers"]
        self._seconds: float = options.get("seconds", float("inf"))
        self._count: int | None = options.get("count")
        self.settle: float = options.get("settle", 1.0)
        """Seconds to wait after all have met: round-trip times are measured in them."""
        self.sent = 0
        self._messages = cycle(self.size)
        self._start = self._cpu = 0.0

    def wait_for_go(self) -> None:
        """Say that all is open, and wait until everybody is."""
        print("ready", flush=True)
        sys.stdin.readline()
        self._cpu = time.process_time()
        self._start = time.monotonic()

    def flood(self) -> Iterator[bytes]:
        """The messages, until the time is over or all were sent."""
        limit = self._start + self._seconds
        for message in itertools.islice(itertools.cycle(self._messages), self._count):
            if self.sent % CLOCK_EVERY == 0 and time.monotonic() >= limit:
                return
            self.sent += 1
            yield message

    def told(self, **more: Any) -> None:
        """Tell the result, then wait until nobody needs us any more (as for repairs)."""
        self.tell(**more)
        sys.stdin.readline()

    def tell(self, **more: Any) -> None:
        """Tell the result."""
        result = {
            "sent": self.sent,
            "start": self._start,
            "end": time.monotonic(),
            "cpu": time.process_time() - self._cpu,
            **resident(),
            **more,
        }
        print(json.dumps(result), flush=True)


class Receiving:
    """A receiver's job: count. The end is told from outside, as a lossy library never knows it."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.size: int = options["size"]
        self.silence = SILENCE
        self.received = 0
        self.wrong = 0
        self.last = 0.0
        # Twice, so that a stretch over the end of the cycle is one slice.
        self._expected = cycle(self.size) * 2
        self._cpu = 0.0
        self.more: dict[str, Any] = {}

    def ready(self) -> None:
        """Say that all is open; from now on the end may be told."""
        threading.Thread(target=self._until_the_end, name="bench-end", daemon=True).start()
        self._cpu = time.process_time()
        print("ready", flush=True)

    def took(self, messages: list[bytes]) -> None:
        """Messages in the order in which they came; those not in the sender's order are counted as wrong."""
        for first in range(0, len(messages), CYCLE):
            self._check(messages[first : first + CYCLE])
        self.last = time.monotonic()

    def _check(self, messages: list[bytes]) -> None:
        place = self.received % CYCLE
        if messages != self._expected[place : place + len(messages)]:
            self.wrong += 1
        self.received += len(messages)

    def took_one(self) -> None:
        """One message of a library that promises no order."""
        self.received += 1
        self.last = time.monotonic()

    def _until_the_end(self) -> None:
        """Tell the result when all have come or nothing comes any more. The process ends here, in the middle
        of receive(): the libraries share no way to be stopped from another thread."""
        expected = int(sys.stdin.readline() or 0)
        told = time.monotonic()
        while self.received < expected and time.monotonic() - max(told, self.last) < self.silence:
            time.sleep(0.02)
        result = {
            "received": self.received,
            "wrong": self.wrong,
            "last": self.last,
            "cpu": time.process_time() - self._cpu,
            **resident(),
            **self.more,
        }
        print(json.dumps(result), flush=True)
        os._exit(0)
