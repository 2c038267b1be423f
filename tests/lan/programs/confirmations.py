"""Measure what `mcast send --wait-acks all` claims on a real LAN with loss.

    python -m tests.lan.programs.confirmations [--listeners 4] [--count 50] [--fresh] [LOSS …]

Each host loses a share of what comes, the sender's too. Prints for each loss in percent with which exit codes
`send` ended, how often with 0 although somebody did not have the message (false), and how many messages never
came. With --fresh the listeners are started anew for each message and have heard nobody before.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field

from tests import lab

GRACE = 0.3  # seconds for a line to get from a listener's pipe to us
AFTER = 5.0  # seconds in which what was lost is repaired


@dataclass
class Result:
    """What came of it; `false` are those that ended with 0 although a listener did not have the message."""

    codes: Counter[int] = field(default_factory=Counter)
    false: int = 0
    missing: int = 0
    seconds: list[float] = field(default_factory=list)


def measure(loss: float, *, listeners: int, count: int, fresh: bool) -> Result:
    """One run on a LAN of its own."""
    result = Result()
    with lab.Lan(listeners + 1) as lan:
        sender, *others = lan.hosts
        for host in lan.hosts:
            host.loss(loss)
        processes: list[lab.Process] = []
        for number in range(count):
            group = f"230.0.0.1:{5000 + number if fresh else 5000}"
            if fresh or not processes:
                processes = _listen(others, group)
            text = f"message {number}"
            _send(sender, group, text, processes, result)
            if fresh:
                result.missing += _missing(processes, {text})
                for process in processes:
                    process.close()
        if not fresh:
            result.missing = _missing(processes, {f"message {number}" for number in range(count)})
    return result


def _listen(hosts: list[lab.Host], group: str) -> list[lab.Process]:
    processes = [host.mcast("listen", "-g", group) for host in hosts]
    for process in processes:
        process.wait_for("listening to", stream="stderr")
    return processes


def _send(host: lab.Host, group: str, text: str, listeners: list[lab.Process], result: Result) -> None:
    start = time.monotonic()
    sending = host.mcast("send", "-g", group, "--wait-acks", "all", text)
    code = sending.wait()
    result.seconds.append(time.monotonic() - start)
    result.codes[code] += 1
    time.sleep(GRACE)
    if code == 0 and not all(text in process.lines() for process in listeners):
        result.false += 1
    assert (code == 0) == (sending.stderr == ""), sending.stderr


def _missing(listeners: list[lab.Process], texts: set[str]) -> int:
    limit = time.monotonic() + AFTER
    while True:
        missing = sum(len(texts - set(process.lines())) for process in listeners)
        if not missing or time.monotonic() > limit:
            return missing
        time.sleep(0.1)


def main() -> None:
    """Measure as told on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("loss", nargs="*", type=float, default=[0.0, 5.0, 10.0, 30.0])
    parser.add_argument("--listeners", type=int, default=4)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--fresh", action="store_true")
    chosen = parser.parse_args()
    for loss in chosen.loss:
        result = measure(loss, listeners=chosen.listeners, count=chosen.count, fresh=chosen.fresh)
        codes = ", ".join(f"{count} x {code}" for code, count in sorted(result.codes.items()))
        print(
            f"loss {loss:g} %: exit codes {codes}; {result.false} false; {result.missing} messages missing; "
            f"median {statistics.median(result.seconds):.2f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
