"""Loss at every receiver: how soon all is there, and what it costs in bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.options import Changes, Options, say
from tests.bench.rows import Row
from tests.lan.programs.loss_recovery import RECEIVERS, Result
from tests.lan.programs.loss_recovery import measure as lose

SIZE = 1024
RATE = 2000.0
FLAT_OUT = 1e9
"""Messages a second that no backlog ever allows: `send()` waits, and that alone is the pace."""


@dataclass(frozen=True)
class Target:
    """Seconds from the last send until complete, and Ethernet bytes by payload."""

    tail: float
    ratio: float


TARGETS = {10.0: Target(0.3, 1.9), 30.0: Target(0.6, 3.0)}
FLAT_OUT_TARGET = 1.6
"""Seconds from the first send until complete, 10 % loss."""


def measure(options: Options) -> Iterator[Row]:
    """At 2,000/s for each loss, then flat out with 10 %."""
    count = 2000 if options.quick else options.count
    for loss in options.loss:
        results = _rounds(options, loss, count, RATE, options.settings)
        target = TARGETS.get(loss)
        case = f"{count:,} x 1 KiB at {RATE:g}/s, 1->{RECEIVERS}, {loss:g} % loss"
        tails = tuple(result.tail for result in results)
        yield Row(
            "recovery",
            case,
            "mcast asyncio",
            tails,
            "s after the last send",
            target=target.tail if target else None,
            at_most=True,
            note=_note(results),
        )
        yield Row(
            "recovery",
            case,
            "mcast asyncio",
            tuple(result.ratio for result in results),
            "Ethernet bytes by payload",
            target=target.ratio if target else None,
            at_most=True,
        )
    results = _rounds(options, 10.0, count, FLAT_OUT, options.settings)
    yield Row(
        "recovery",
        f"{count:,} x 1 KiB flat out, 1->{RECEIVERS}, 10 % loss",
        "mcast asyncio",
        tuple(result.sending + result.tail for result in results),
        "s",
        target=FLAT_OUT_TARGET if count == options.count else None,
        at_most=True,
        note=_note(results),
    )


def _rounds(options: Options, loss: float, count: int, rate: float, changes: Changes) -> list[Result]:
    results = []
    for turn in range(options.rounds):
        say(f"recovery from {loss:g} % loss at {rate:g}/s, round {turn + 1}")
        results.append(lose(loss, count=count, rate=rate, size=SIZE, settings=changes))
    return results


def _note(results: list[Result]) -> str:
    wrong = sum(not result.right for result in results)
    bytes_ = ", ".join(f"{result.ratio:.2f}" for result in results)
    complete = f"{wrong} OF {len(results)} NOT COMPLETE OR NOT IN ORDER" if wrong else "all once and in order"
    return f"{complete}; {bytes_} Ethernet bytes by payload"
