"""Reports: what we hold of others, and what others confirmed of ours."""

from __future__ import annotations

from collections.abc import Iterable

from mcast.wire.frames import Heard

from .backoff import backoff
from .events import Address
from .generator import Generator
from .peer_id import PeerId

EARLIEST, LATEST = 0.02, 0.2  # seconds after a lone record in which one member reports
REQUESTS = 64  # report requests answered later; the attack is a flood of them, the newest are refused
PAGE = 16  # runs a report
RECORDS = 2048  # of one run after which everyone reports: the author must not outrun who stands still
SOONEST = 0.25  # seconds between two reports that records or losses hasten
ELECTED = 64  # runs that may have elected us at a time, oldest out; the attack is a flood of them


def gap(members: int, rate: float) -> float:
    """Seconds between two hastened reports of one member, all together making `rate` a second."""
    return max(SOONEST, members / rate)


class Reporter:
    """When to report what we hold, if nobody asks for it.

    After new records one member, by chance the first, reports at once; the others keep quiet about what
    it covered. Everyone reports at most once a second, less in a large group, but sooner after many records
    and losses. Who was elected by a run reports on it every `interval` seconds while records come.
    """

    def __init__(self, generator: Generator, rate: float, interval: float) -> None:
        self._generator, self._rate, self._interval = generator, rate, interval
        self._elected: dict[PeerId, float] = {}  # by whom, and when the last report for it left
        self._elected_due: dict[PeerId, float] = {}
        self._early: dict[PeerId, None] = {}
        self._fresh: dict[PeerId, int] = {}
        self._early_at: float | None = None
        self._regular_at: float | None = None
        self._last = float("-inf")
        self._requests: dict[tuple[PeerId, Address], float] = {}
        self._stranger = float("-inf")  # when the one stranger is answered

    def news(self, run: PeerId, now: float, members: int, records: int = 1) -> None:
        """New records of `run` arrived."""
        if run in self._elected:
            self._elected_due.setdefault(run, max(now, self._elected[run] + self._interval))
            return
        self._early[run] = None
        before = self._fresh.get(run, 0)
        self._fresh[run] = before + records
        if before < RECORDS <= before + records:
            self.hasten(run, now, members)
        if self._early_at is None:
            self._early_at = now + EARLIEST + backoff(self._generator, LATEST - EARLIEST, members)
        if self._regular_at is None:
            interval = max(1.0, members / self._rate)
            spread = interval * (0.5 + self._generator.random())
            self._regular_at = max(now, self._last) + spread

    def hasten(self, run: PeerId, now: float, members: int) -> None:
        """We lack records of `run`, or got many: it should hear of that soon."""
        if run in self._fresh and self._regular_at is not None:
            self._regular_at = min(self._regular_at, max(now, self._last + gap(members, self._rate)))

    def elected(self, run: PeerId, now: float) -> None:
        """`run` elected us, or says so again: it wants to hear from us now."""
        self._elected[run] = self._elected.pop(run, float("-inf"))
        self._elected_due[run] = now
        if len(self._elected) > ELECTED:
            self.dismissed(next(iter(self._elected)))

    def has(self, run: PeerId) -> bool:
        """Whether `run` elected us."""
        return run in self._elected

    def dismissed(self, run: PeerId) -> None:
        """`run` elected somebody else."""
        self._elected.pop(run, None)
        self._elected_due.pop(run, None)

    def asked(self, run: PeerId, now: float, spread: float, members: int) -> None:
        """Somebody wants the group to hear of `run`: one member will do."""
        self._early[run] = None
        if self._early_at is None:
            self._early_at = now + EARLIEST + backoff(self._generator, spread, members)

    def overheard(self, run: PeerId) -> None:
        """Somebody else reported on `run`: no need to be the first any more."""
        self._early.pop(run, None)
        if not self._early:
            self._early_at = None

    def requested(self, run: PeerId, source: Address, now: float, spread: float, *, known: bool) -> bool:
        """`source` asks for a report on `run` within `spread` seconds; False when there are too many.

        Unless it is `known` that the run is there, one at a time: it may be the address of a victim.
        """
        if len(self._requests) >= REQUESTS or not (known or self._stranger <= now):
            return False
        when = self._requests.setdefault((run, source), now + spread * self._generator.random())
        if not known:
            self._stranger = when
        return True

    def when(self) -> float | None:
        """When something has to be reported."""
        times = [*self._requests.values(), *self._elected_due.values()]
        times.extend(when for when in (self._early_at, self._regular_at) if when is not None)
        return min(times, default=None)

    def due(self, now: float) -> list[PeerId]:
        """The runs to report on to the group now."""
        runs: dict[PeerId, object] = {}
        for run in [run for run, when in self._elected_due.items() if when <= now]:
            del self._elected_due[run]
            self._elected[run] = now
            runs[run] = None
        if self._early_at is not None and now >= self._early_at:
            runs.update(self._early)
            self._early.clear()
            self._early_at = None
        if self._regular_at is not None and now >= self._regular_at:
            runs.update(self._fresh)
            self._fresh.clear()
            self._regular_at = None
            self._last = now
        return list(runs)

    def all(self, now: float) -> list[PeerId]:
        """Every run that is still to be reported on, as we leave."""
        self._early_at = self._regular_at = now
        self._elected_due.update(dict.fromkeys(self._elected_due, now))
        return self.due(now)

    def answers(self, now: float) -> list[tuple[PeerId, Address]]:
        """The requests to answer now."""
        due = [request for request, when in self._requests.items() if when <= now]
        for request in due:
            del self._requests[request]
        return due


class Confirmations:
    """How far each run has confirmed our records; at most `limit` runs, oldest first out."""

    def __init__(self, limit: int) -> None:
        self._contiguous: dict[PeerId, int] = {}
        self._limit = limit

    def take(self, run: PeerId, heard: Heard) -> None:
        """`run` reported on us."""
        self._contiguous[run] = max(heard.contiguous, self._contiguous.get(run, 0))
        if len(self._contiguous) > self._limit:
            del self._contiguous[next(iter(self._contiguous))]

    def by(self, sequence: int) -> list[PeerId]:
        """Who confirmed everything up to `sequence`."""
        return [run for run, contiguous in self._contiguous.items() if contiguous >= sequence]

    def lacking(self, runs: Iterable[PeerId], sequence: int) -> list[PeerId]:
        """Which of `runs` have not."""
        return [run for run in runs if self._contiguous.get(run, 0) < sequence]
