"""The figures of docs/scale.md: a group of any size joins at once and is then left alone.

    python -m tests.simulation.scale [--seed N] [--records N] [SIZE …]

Up to WHOLE members all are whole engines with rosters of their own, beyond that some are (see crowd.py).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

from .crowd import Crowd
from .safety import holdings

WHOLE = 100  # members up to which each has a roster of its own
WITNESSES = 4
MINUTE = 60
RATE = 2000.0  # bytes a second of all announcements
STEP = 5.0  # seconds between two looks at the rosters
EARLY = 5.0  # seconds after joining at which something is said, if at all


@dataclass(frozen=True)
class Figures:
    """What was measured. Rates are a second; `busiest` is of the minute with most bytes, from 60 s on.

    `storm` is the datagrams of the first second, answers included; `announcements` and `answers` are the most
    of any second after the immediate announcements.
    """

    size: int
    whole: int
    storm: int
    announcements: int
    answers: int
    known: float
    interval: float
    bytes: float
    datagrams: float
    busiest: float
    lost: int
    digests: float
    seconds: float

    def check(self) -> None:
        """The bounds that docs/scale.md promises."""
        assert self.known <= self.size * 362 / RATE + 60.0, f"rosters complete only after {self.known} s"
        assert self.announcements <= 100, f"{self.announcements} announcements in a second"
        assert self.answers <= 20, f"{self.answers} answers in a second"
        assert self.busiest <= 2500.0, f"{self.busiest} bytes/s"
        assert self.lost == 0, f"{self.lost} peers taken for gone"


def measure(
    size: int, *, seed: int = 0, cycles: float = 2.0, whole: int = WHOLE, records: int = 0
) -> Figures:
    """Let `size` members join at once, and watch them for so many intervals, 5 minutes at least.

    From EARLY on some publish so many records, which all hold then.
    """
    start = time.perf_counter()
    crowd = Crowd(size, size if size <= whole else WITNESSES, seed)
    crowd.publish(records, EARLY)
    known = 0.0
    while not crowd.complete():
        crowd.run(STEP)
        known = crowd.now
        assert known < 100 * size + 600, "the rosters never become complete"
    crowd.run(max(1.0, 5.0 - crowd.now))
    interval = crowd.members[0].engine._presence.timer.settled
    crowd.run(max(5.0 * MINUTE, cycles * interval) - crowd.now)
    assert crowd.complete()
    assert holdings(crowd.members) == {member.name: records for member in crowd.members}
    end = int(crowd.now)
    minutes = [crowd.between_seconds(at, at + MINUTE) for at in range(MINUTE, end - MINUTE + 1, 10)]
    steady = crowd.between_seconds(MINUTE, end)
    # The immediate announcement of each is not counted, nor is what answers it within that second.
    first = crowd.second(0)
    seconds = [first._replace(announcements=first.announcements - size, answers=0)]
    seconds += [crowd.second(at) for at in range(1, end)]
    return Figures(
        size,
        len(crowd.members),
        first.datagrams,
        max(second.announcements for second in seconds),
        max(second.answers for second in seconds),
        known,
        interval,
        steady.bytes / (end - MINUTE),
        steady.datagrams / (end - MINUTE),
        max(minute.bytes / MINUTE for minute in minutes),
        crowd.departures(),
        steady.digests / (end - MINUTE),
        time.perf_counter() - start,
    )


HEAD = (
    "| peers | whole engines | datagrams in the first second | announcements/s, most | answers/s, most "
    "| all known after | interval | bytes/s | datagrams/s | bytes/s in the busiest minute |"
)


def row(figures: Figures) -> str:
    """A line of the page's table."""
    return (
        f"| {figures.size:,} | {figures.whole} | {figures.storm:,} | {figures.announcements} "
        f"| {figures.answers} | {figures.known:.0f} s | {figures.interval:.0f} s | {figures.bytes:,.0f} "
        f"| {figures.datagrams:.2f} | {figures.busiest:,.0f} |"
    )


def main() -> None:
    """Measure the sizes named on the command line."""
    parser = argparse.ArgumentParser(prog="scripts/scale", description="How quiet a group of N peers is.")
    parser.add_argument("sizes", nargs="*", type=int, default=[2, 10, 100, 1000, 10_000], metavar="SIZE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--records", type=int, default=0, help="said early and held by all from then on (0)")
    parser.add_argument("--whole", type=int, default=WHOLE, help=f"engines with own rosters ({WHOLE})")
    chosen = parser.parse_args()
    head = HEAD + " digests/s |" * bool(chosen.records)
    print(head)
    print("|" + "---:|" * (head.count("|") - 1))
    for size in chosen.sizes:
        figures = measure(size, seed=chosen.seed, whole=chosen.whole, records=chosen.records)
        print(row(figures) + f" {figures.digests:.3f} |" * bool(chosen.records), flush=True)
        figures.check()


if __name__ == "__main__":
    main()
