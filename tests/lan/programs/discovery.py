"""Measure discovery on a real LAN: a newcomer among hosts that have been there for a while.

    python -m tests.lan.programs.discovery [--times 5] [HOSTS …]

The newcomer is a process that runs already: the time starts with join(). Prints, in ms, medians over the
newcomers: until an old member was told of it (median and last of the old ones), until it was told of all.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

from tests import lab
from tests.lan.programs.remote import Member, meet

SETTLE = 12.0


def measure(hosts: int, times: int) -> list[tuple[float, float, float]]:
    """(median old member, last old member, knows all), in ms, for each of `times` newcomers."""
    results = []
    with lab.Lan(hosts + 1) as lan:
        *homes, home = lan.hosts
        old = []
        for host in homes:
            old.append(Member(host, wait=False))
            time.sleep(0.1)
        meet(old, 60.0)
        time.sleep(SETTLE)
        for number in range(times):
            newcomer = Member(home, name=f"new{number}")
            start, peer_id = newcomer.ready(), newcomer("peer_id")
            newcomer.sees(*(member.host.name for member in old), timeout=30.0)
            told = [max(at for at, _ in newcomer("joins")) - start]
            seen = sorted(at - start for member in old for at, joined in member("joins") if joined == peer_id)
            results.append((1000 * median(seen), 1000 * seen[-1], 1000 * told[0]))
            newcomer.leave()
            time.sleep(2.0)
    return results


def main() -> None:
    """Measure as told on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("hosts", nargs="*", type=int, default=[10, 50])
    parser.add_argument("--times", type=int, default=5)
    chosen = parser.parse_args()
    for hosts in chosen.hosts:
        rows = measure(hosts, chosen.times)
        middle, last, knows = (median(column) for column in zip(*rows, strict=True))
        print(
            f"{hosts} hosts: an old member sees the newcomer after {middle:.1f} ms (the last {last:.1f}), "
            f"it knows all after {knows:.1f} ms; all: {[tuple(round(v, 1) for v in row) for row in rows]}",
            flush=True,
        )


if __name__ == "__main__":
    main()
