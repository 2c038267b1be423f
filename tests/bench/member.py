"""What a member costs that does nothing: memory, processor, wake-ups."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from tests import lab
from tests.bench.options import Options, say
from tests.bench.rows import Row

MOST_MIB = 40.0
MOST_CORE = 0.1
"""Percent of a core."""
MOST_WAKES = 2.0
"""A second."""


def measure(options: Options) -> Iterator[Row]:
    """A lone member, and one of two."""
    settle, seconds = (2.0, 5.0) if options.quick else (6.0, 20.0)
    for members in (1,) if options.quick else (1, 2):
        say(f"an idle member of {members}, {seconds:g} s")
        with lab.Lan(members) as lan:
            program = [sys.executable, "-m", "tests.bench.idle", str(settle), str(seconds)]
            processes = [host.spawn(program) for host in lan.hosts]
            told = [json.loads(process.wait_lines(1, settle + seconds + 20.0)[0]) for process in processes]
        case = "a lone idle member" if members == 1 else f"an idle member of {members}"
        wakes, core = [one["wakes"] for one in told], [100 * one["core"] for one in told]
        target = members == 1
        yield _row(case, wakes, "wake-ups/s", MOST_WAKES if target else None)
        yield _row(case, core, "% of a core", MOST_CORE if target else None)
        yield _row(case, [one["rss"] / 2**20 for one in told], "MiB resident", MOST_MIB)


def _row(case: str, samples: list[float], unit: str, target: float | None) -> Row:
    return Row("idle", case, "mcast asyncio", tuple(samples), unit, target=target, at_most=True)
