"""Millions of small messages to receivers that lose one in a hundred: all once, in order; the memory."""

from __future__ import annotations

from collections.abc import Iterator

from tests import lab
from tests.bench.options import Options, say
from tests.bench.rows import Row
from tests.bench.throughput import contenders, flood

RECEIVERS, SIZE, LOSS = 4, 64, 1.0


def measure(options: Options) -> Iterator[Row]:
    """Once; with offloads off, so that single datagrams are lost."""
    contender = next(one for one in contenders(options) if one.name == "mcast batches()")
    say(f"endurance: {options.endurance:,} messages, {contender.name}")
    with lab.Lan(RECEIVERS + 1, offload=False) as lan:
        for host in lan.hosts[1:]:
            host.loss(LOSS)
        run = flood(lan.hosts, contender, options, size=SIZE, count=options.endurance)
    case = f"{options.endurance:,} x {SIZE} B, 1->{RECEIVERS}, {LOSS:g} % loss"
    complete = all(told["received"] == options.endurance for told in run.receivers) and not run.wrong
    note = "every one once and in order" if complete else f"{run.lost:.2%} LOST, {run.wrong} NOT IN ORDER"
    yield Row("endurance", case, contender.name, (run.rate,), "messages/s", note=note)
    peaks = [told["rss_peak"] / 2**20 for told in (run.sender, *run.receivers)]
    yield Row("endurance", case, "sender", (peaks[0],), "MiB at most")
    yield Row(
        "endurance", case, "receivers", tuple(peaks[1:]), "MiB at most", note=f"worst {max(peaks[1:]):.0f}"
    )
