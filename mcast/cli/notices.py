"""Notices with a budget of lines: a flood of them is summed up and pushes nothing off the screen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LINES = 10
"""Notices that are shown in SPAN. The attack is a thousand invented peers that join and leave."""
SPAN = 10.0
"""Seconds after which those beyond are summed up in one line. As long as they go on, only such lines come."""
FEW = 3
"""Notices that are shown late rather than summed up."""


class Notices:
    """Shows `lines` notices with `say`, and sums up the rest: "1,137 joined, 1,130 left in 10 s"."""

    def __init__(self, say: Callable[[str], None], lines: int = LINES) -> None:
        self._say = say
        self._lines = self._budget = lines
        self._put_off: list[str] = []
        self._put_off_count = 0
        self._counts: dict[str, int] = {}
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, text: str, summary: str, count: int = 1) -> None:
        """Show `text`, or count it; `summary` says what `count` adds to, as in "{} joined"."""
        if self._timer is None:
            self._begin(self._lines)
        self._counts[summary] = self._counts.get(summary, 0) + count
        if self._budget:
            self._budget -= 1
            self._say(text)
            return
        self._put_off_count += 1
        if len(self._put_off) < FEW:
            self._put_off.append(text)

    def close(self) -> None:
        """Sum up what was not shown yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._tell()
            self._timer = None

    def _begin(self, budget: int) -> None:
        loop = asyncio.get_running_loop()
        self._budget, self._since = budget, loop.time()
        self._put_off, self._put_off_count, self._counts = [], 0, {}
        self._timer = loop.call_later(SPAN, self._end)

    def _end(self) -> None:
        self._timer = None
        if self._tell():
            self._begin(0)

    def _tell(self) -> bool:
        """Tell what was put off. Returns whether that was a flood."""
        if self._put_off_count <= FEW:
            for text in self._put_off:
                self._say(text)
            return False
        seconds = max(1, round(asyncio.get_running_loop().time() - self._since))
        counted = ", ".join(summary.format(f"{count:,}") for summary, count in self._counts.items())
        self._say(f"{counted} in {seconds} s")
        return True
