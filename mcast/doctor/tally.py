"""What became of a series of questions: loss, round trips, jitter, duplicates, order."""

from __future__ import annotations

from statistics import median
from typing import Any, NamedTuple

KEPT = 100_000
"""Round trips that are kept for the percentiles; the first ones, so that memory has a bound."""


class RoundTrip(NamedTuple):
    """Of one question and its answer: seconds on the way, and seconds that the other end held it."""

    time: float
    held: float


class Tally:
    """One way to one peer. Times in seconds."""

    def __init__(self) -> None:
        self.sent = self.received = self.duplicates = self.reordered = 0
        self.first: float | None = None
        self._asked: dict[int, float] = {}
        self._answered: set[int] = set()
        self._highest = -1
        self._times: list[float] = []
        self._last: float | None = None
        self._differences, self._jitter_sum = 0, 0.0

    def asked(self, sequence: int, at: float) -> None:
        """A question has left."""
        self.sent += 1
        self._asked[sequence] = at

    def answered(self, sequence: int, at: float, held: float = 0.0) -> RoundTrip | None:
        """An answer came to a question that the other end held for so long; None if it was never asked for or
        is a duplicate.

        The attack: an answer that claims to have been held for longer than it took.
        """
        asked = self._asked.get(sequence)
        if asked is None:
            return None
        if sequence in self._answered:
            self.duplicates += 1
            return None
        self._answered.add(sequence)
        self.received += 1
        self.reordered += sequence < self._highest
        self._highest = max(self._highest, sequence)
        held = max(0.0, min(held, at - asked))
        time = max(0.0, at - asked - held)
        if self.first is None:
            self.first = time
        if self._last is not None:
            self._differences += 1
            self._jitter_sum += abs(time - self._last)
        self._last = time
        if len(self._times) < KEPT:
            self._times.append(time)
        return RoundTrip(time, held)

    @property
    def loss(self) -> float:
        """The share of questions without an answer, in percent."""
        return 100.0 * (self.sent - self.received) / self.sent if self.sent else 0.0

    def fields(self) -> dict[str, Any]:
        """The numbers for JSON, times in milliseconds."""
        counts = {
            "asked": self.sent,
            "answered": self.received,
            "loss_percent": round(self.loss, 2),
            "duplicates": self.duplicates,
            "reordered": self.reordered,
        }
        if not self._times:
            return counts
        ordered = sorted(self._times)
        times = {
            "min_ms": ordered[0],
            "median_ms": median(ordered),
            "p99_ms": ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))],
            "max_ms": ordered[-1],
            "jitter_ms": self._jitter_sum / self._differences if self._differences else 0.0,
            "first_ms": self.first or 0.0,
        }
        return {**counts, **{name: round(value * 1000, 3) for name, value in times.items()}}

    def text(self) -> str:
        """The numbers for a person."""
        fields = self.fields()
        words = f"{self.sent} sent, {self.received} received, {self.loss:.0f} % lost"
        if "min_ms" in fields:
            names = ("min_ms", "median_ms", "p99_ms", "max_ms")
            times = "/".join(f"{fields[name]:.3f}" for name in names)
            words += f", min/median/p99/max {times} ms, jitter {fields['jitter_ms']:.3f} ms"
            words += f", first {fields['first_ms']:.3f} ms"
        return f"{words}, {self.duplicates} duplicates, {self.reordered} reordered"
