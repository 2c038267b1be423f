"""Measure repair on a real LAN: four receivers, each losing a share of what comes.

    python -m tests.lan.programs.loss_recovery [--count 10000] [--rate 2000] [--size 1024] [LOSS …]

Prints, for each loss in percent: whether all came once and in order, the seconds from the last send to the
last delivery, and the Ethernet bytes of everybody divided by the payload.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

from tests import lab
from tests.lan.programs.remote import Member, finished, members, numbers

RECEIVERS = 4


@dataclass(frozen=True)
class Result:
    """What came of it; `tail` is seconds, `ratio` Ethernet bytes by payload bytes."""

    right: bool
    tail: float
    ratio: float
    sending: float
    stats: list[dict[str, int]]


def measure(loss: float, *, count: int, rate: float, size: int, settings: dict[str, float]) -> Result:
    """One run on a LAN of its own."""
    with lab.Lan(RECEIVERS + 1, offload=False) as lan:
        sender, *receivers = members(lan.hosts, settings=settings)
        time.sleep(2.0)
        for receiver in receivers:
            receiver.host.loss(loss)
        before = lan.traffic()
        sender("burst", count, rate, size)
        start, end = finished(sender)
        right = all(_complete(receiver, count) for receiver in receivers)
        tail = max(receiver("last_at") for receiver in receivers) - end
        time.sleep(1.0)
        ratio = (lan.traffic() - before).sent_bytes / (count * size)
        return Result(right, tail, ratio, end - start, [member("stats") for member in (sender, *receivers)])


def _complete(receiver: Member, count: int) -> bool:
    return receiver.hears(count, 60.0) == numbers(count) and not receiver.events("GapAbandoned")


def main() -> None:
    """Measure as told on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("loss", nargs="*", type=float, default=[10.0, 30.0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=2000.0)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--verbose", action="store_true")
    chosen = parser.parse_args()
    for loss in chosen.loss:
        result = measure(
            loss,
            count=chosen.count,
            rate=chosen.rate,
            size=chosen.size,
            settings={},
        )
        print(
            f"loss {loss:g} %: {'all, once, in order' if result.right else 'NOT COMPLETE OR NOT IN ORDER'}; "
            f"sent in {result.sending:.2f} s, complete {result.tail:.3f} s after the last send; "
            f"Ethernet bytes {result.ratio:.2f} x payload",
            flush=True,
        )
        for stats in result.stats if chosen.verbose else ():
            print("   ", {name: value for name, value in stats.items() if value})


if __name__ == "__main__":
    main()
