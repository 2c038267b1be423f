"""Measure an idle group on a real LAN: bytes a peer and in all, and how often a process wakes.

    python -m tests.lan.programs.idle [--hosts 10] [--each 5] [--seconds 60] [--settle 30]

All processes are in the default group, in both IP versions. Bytes are those of Ethernet frames, as the
hosts' cables count them; a wake-up is a voluntary context switch, of all threads of a process.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from statistics import median

from tests import lab
from tests.lan.programs.remote import Member


@dataclass(frozen=True)
class Idle:
    """Bytes and Ethernet frames a second of the whole group, wake-ups a second of each process."""

    peers: int
    bytes: float
    datagrams: float
    wakeups: list[float]
    known: set[int]


def measure(hosts: int, each: int, settle: float, seconds: float) -> Idle:
    """One run on a LAN of its own, in which everybody has known everybody for `settle` seconds."""
    with lab.Lan(hosts) as lan:
        made = [
            Member(host, wait=False, name=f"{host.name}-{place}")
            for host in lan.hosts
            for place in range(each)
        ]
        for member in made:
            member.ready()
        lab.until(lambda: all(len(member("peers")) == len(made) - 1 for member in made), 60.0)
        time.sleep(settle)
        before, woken, start = lan.traffic(), [member("wakeups") for member in made], time.monotonic()
        time.sleep(seconds)
        took, sent = time.monotonic() - start, lan.traffic() - before
        after = [member("wakeups") for member in made]
        return Idle(
            len(made),
            sent.sent_bytes / took,
            sent.sent_units / took,
            [(now - then) / took for then, now in zip(woken, after, strict=True)],
            {len(member("peers")) + 1 for member in made},
        )


def main() -> None:
    """Measure as told on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hosts", type=int, default=10)
    parser.add_argument("--each", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--settle", type=float, default=30.0)
    chosen = parser.parse_args()
    idle = measure(chosen.hosts, chosen.each, chosen.settle, chosen.seconds)
    print(
        f"{idle.peers} peers, each knows {sorted(idle.known)}: {idle.bytes:.0f} bytes/s and "
        f"{idle.datagrams:.1f} Ethernet frames/s in all, {idle.bytes / idle.peers:.0f} bytes/s a peer; "
        f"wake-ups/s a process: median {median(idle.wakeups):.2f}, most {max(idle.wakeups):.2f}"
    )


if __name__ == "__main__":
    main()
