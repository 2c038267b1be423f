"""One file for several hosts: how soon all have it whole, and what it costs on the wire."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator
from typing import Any

from tests import lab
from tests.bench.options import Options, say
from tests.bench.rows import Row

RECEIVERS = 4
MIB = 1 << 20
CASES = ((0, 256 * MIB, 4.0, 1.1), (5, 256 * MIB, 8.0, 1.35), (30, 64 * MIB, None, 2.6))
"""Loss in percent at each receiver, bytes, and the goals: seconds, and bytes on the wire by the file's."""
PATIENCE = 400.0


def measure(options: Options) -> Iterator[Row]:
    """mcast and, without loss, TCP: with loss TCP would be measured for its congestion control."""
    for loss, size, seconds, ratio in CASES:
        size = size // 8 if options.quick else size
        with lab.Lan(RECEIVERS + 1, offload=not loss) as lan:
            for host in lan.hosts[1:]:
                if loss:
                    host.loss(loss)
            for how in ("mcast", "tcp") if not loss else ("mcast",):
                runs = []
                for turn in range(options.rounds):
                    say(f"files: {size // MIB} MiB, {loss} % loss, {how}, round {turn + 1}")
                    runs.append(_run(lan, how, size))
                goals = (seconds, ratio) if how == "mcast" and not options.quick else (None, None)
                yield from _rows(f"{size // MIB} MiB, 1->{RECEIVERS}, {loss} % loss", how, runs, goals)


def _run(lan: lab.Lan, how: str, size: int) -> dict[str, Any]:
    """One transfer: what the sender told, and what left its host."""
    giver, takers = lan.hosts[0], lan.hosts[1:]
    program = [sys.executable, "-m", "tests.bench.contenders.transfer"]
    rest = [how, str(size), str(len(takers)), "10.9.0.1"]
    taking = [host.spawn([*program, "take", *rest]) for host in takers]
    giving = giver.spawn([*program, "give", *rest])
    processes = [giving, *taking]
    try:
        for process in processes:
            process.wait_lines(1, 60)
        before = giver.counters()
        for process in processes:
            process.write("\n")
        told: dict[str, Any] = json.loads(giving.wait_lines(2, PATIENCE)[1])
        told["wire"] = (giver.counters() - before).sent_bytes / size
        took = [json.loads(process.wait_lines(2, PATIENCE)[1]) for process in taking]
        told["right"] = told["complete"] and all(one["digest"] == told["digest"] for one in took)
        told["took"] = took
        return told
    finally:
        for process in processes:
            process.close()


def _rows(
    case: str, how: str, runs: list[dict[str, Any]], goals: tuple[float | None, float | None]
) -> Iterator[Row]:
    wrong = sum(not run["right"] for run in runs)
    cpu = statistics.median(run["cpu"] for run in runs)
    taken = statistics.median(one["cpu"] for run in runs for one in run["took"])
    most = max(max(run["rss_peak"], *(one["rss_peak"] for one in run["took"])) for run in runs)
    note = f"{wrong} OF {len(runs)} NOT WHOLE" if wrong else "all whole"
    note += f", CPU {cpu:.1f} s out, {taken:.1f} s in, at most {most / MIB:.0f} MiB of memory"
    seconds = tuple(run["seconds"] for run in runs)
    yield Row("files", case, how, seconds, "s", target=goals[0], at_most=True, note=note)
    wire = tuple(run["wire"] for run in runs)
    yield Row("files", case, how, wire, "Ethernet bytes by the file's", target=goals[1], at_most=True)
