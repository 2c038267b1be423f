"""How long a lone line is under way: in an idle group, and while another sender fills the group."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Iterator

from tests import lab
from tests.bench.options import Options, say
from tests.bench.rows import Row
from tests.bench.throughput import START_SECONDS, contenders
from tests.lan.programs import latency

IDLE_TARGET = 6.0
"""Median of the asyncio API, as a ratio to the raw socket's."""
LOADED_TARGET = 50.0
"""ms at the 99th percentile while another sender fills the group."""
RATE = 100.0
LOADED_RATE = 50.0


def measure(options: Options) -> Iterator[Row]:
    """One-way, on one machine's clock."""
    yield from _idle(options)
    for contender in contenders(options):
        if contender.name == "mcast batches()":
            yield _loaded(options, contender.name, contender.job())


def _idle(options: Options) -> Iterator[Row]:
    count = 100 if options.quick else 300
    for shared in (False, True):
        where = latency.where(shared)
        say(f"latency: {options.rounds} x {count} lines at {RATE:g}/s in an idle group, {where}")
        times = latency.measure(options.rounds, count, RATE, shared)
        case = f"one line at {RATE:g}/s, idle group, 1->1, {where}"
        base = statistics.median(_medians(times.plain))
        rows = zip(("raw socket", "signed, asyncio", "mcast asyncio"), times, strict=True)
        for name, rounds in rows:
            target = IDLE_TARGET if rounds is times.ours else None
            medians = tuple(_medians(rounds))
            note = f"p99 {_ms(percentile(rounds, 99)):.2f} ms, worst {_ms(percentile(rounds, 100)):.2f} ms"
            ratio = statistics.median(medians) / base
            yield Row("latency", case, name, medians, "us", "raw", ratio, target, at_most=True, note=note)


def _loaded(options: Options, name: str, job: str) -> Row:
    took = []
    for turn in range(options.rounds):
        say(f"latency while another sender fills the group, round {turn + 1}: {name}")
        took.append(_lines_in_a_flood(max(2.0, options.seconds), json.loads(job)))
    return Row(
        "latency",
        f"one line at {LOADED_RATE:g}/s, another sender floods 64 B",
        name,
        tuple(_ms(percentile([lines], 99)) for lines in took),
        "ms (p99)",
        target=LOADED_TARGET,
        at_most=True,
        note=f"median {_ms(percentile(took, 50)):.2f} ms, worst {_ms(percentile(took, 100)):.2f} ms",
    )


def _lines_in_a_flood(seconds: float, job: dict[str, object]) -> list[float]:
    """Seconds each line was under way: from h1 to h2, while h3 sends as fast as it may."""
    count = round(seconds * LOADED_RATE)
    with lab.Lan(3) as lan:
        program = [sys.executable, "-m", "tests.bench.line"]
        hearing = lan.hosts[1].spawn([*program, "hear", str(count)])
        saying = lan.hosts[0].spawn([*program, "say", str(count), str(LOADED_RATE)])
        flood = json.dumps({**job, "size": 64, "receivers": 2, "seconds": seconds + 1.0})
        flooding = lan.hosts[2].spawn(
            [sys.executable, "-m", "tests.bench.contenders", "group", "send", flood]
        )
        for process in (hearing, saying, flooding):
            process.wait_lines(1, START_SECONDS)
        flooding.write("\n")
        saying.write("\n")
        return [float(took) for _, took in json.loads(hearing.wait_lines(2, 20 * seconds + 20.0)[1])]


def _medians(rounds: Iterable[list[float]]) -> list[float]:
    return [1e6 * statistics.median(lines) for lines in rounds]


def percentile(rounds: Iterable[list[float]], share: float) -> float:
    """Of all rounds together; 100 is the largest."""
    values = sorted(value for lines in rounds for value in lines)
    return values[min(len(values) - 1, int(len(values) * share / 100))]


def _ms(seconds: float) -> float:
    return 1000 * seconds
