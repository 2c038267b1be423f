"""A group in three parts for ten minutes, in which much is said on each side; then it is healed.

    python -m tests.simulation.partition [--records 3000] [--minutes 10] [--seed N]

What was missing is, for each member, what the others held at the moment of healing and it did not: the
bytes of those records with their proofs, as they travel, summed over all members. A record that four members
lack counts four times, though one multicast may bring it to all four.
"""

from __future__ import annotations

import argparse
import time
from typing import NamedTuple

from mcast import simulation

from .safety import held_sizes, holds_the_same

SIDES = 3
SECONDS = 128  # of virtual time until all hold the same
ALLOWANCE = 64 * 1024  # bytes a member on top
SHARE = 1.5  # of what was missing
BODY = 100  # bytes of text a record


class Figures(NamedTuple):
    """What was measured. `sent` are all bytes of the SECONDS after healing, announcements included."""

    members: int
    records: int
    died: int
    same: int
    missing: int
    sent: int
    seconds: float

    @property
    def share(self) -> float:
        """Bytes sent for a byte that was missing."""
        return self.sent / self.missing

    def check(self) -> None:
        """The bounds that docs/scale.md promises."""
        assert self.missing > 0
        assert self.sent <= SHARE * self.missing + ALLOWANCE * self.members, f"{self.share} of the missing"


def measure(records: int, minutes: float, *, a_side: int = 2, die: bool = False, seed: int = 0) -> Figures:
    """Let each side publish so many records in so many minutes; of each, one author dies before it heals.

    AssertionError when the members do not hold the same SECONDS after that.
    """
    start = time.perf_counter()
    lan = simulation.Lan(seed)
    members = [lan.join(f"m{number}", history=True) for number in range(SIDES * a_side)]
    sides = [members[at::SIDES] for at in range(SIDES)]
    lan.run(10.0)
    lan.partition(*sides)
    for number in range(records):
        for side in sides:
            side[number % 2].send(b"%05d" % number + bytes(BODY - 5))
        lan.run(60.0 * minutes / records)
    lan.run(1.0)
    dead = [side[0] for side in sides] if die else []
    for member in dead:
        member.crash()
    alive = [member for member in members if member.alive]
    missing = _missing(alive)
    before = lan.sent_bytes
    lan.heal()
    same = _until_the_same(lan, alive)
    lan.run(SECONDS - same)
    sent = lan.sent_bytes - before
    return Figures(len(alive), records, len(dead), same, missing, sent, time.perf_counter() - start)


def _until_the_same(lan: simulation.Lan, members: list[simulation.Member]) -> int:
    for second in range(1, SECONDS + 1):
        lan.run(1.0)
        if holds_the_same(members):
            return second
    raise AssertionError(f"after {SECONDS} s the members do not hold the same")


def _missing(members: list[simulation.Member]) -> int:
    """Bytes of what each lacks of what any of them holds."""
    held = [held_sizes(member) for member in members]
    everything = {record: size for one in held for record, size in one.items()}
    return sum(sum(everything.values()) - sum(one.values()) for one in held)


HEAD = (
    "| members | records a side | authors that died | all hold the same after | missing, all members "
    "| bytes sent in 128 s | of the missing |"
)


def row(figures: Figures) -> str:
    """A line of the page's table."""
    return (
        f"| {figures.members} | {figures.records:,} | {figures.died} | {figures.same} s "
        f"| {figures.missing / 1e6:.1f} MB | {figures.sent / 1e6:.1f} MB | {figures.share:.2f} |"
    )


def main() -> None:
    """Print the table of docs/scale.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--records", type=int, default=3000, help="a side (3000)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the partition (10)")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    print(HEAD)
    print("|" + "---:|" * (HEAD.count("|") - 1))
    for a_side, die in ((2, False), (3, False), (3, True)):
        figures = measure(chosen.records, chosen.minutes, a_side=a_side, die=die, seed=chosen.seed)
        print(row(figures), flush=True)
        figures.check()


if __name__ == "__main__":
    main()
