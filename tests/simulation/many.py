"""Many bad afternoons on all cores: what scripts/simulate runs."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from mcast import simulation

from .guests import visits
from .lies import lies
from .scenario import afternoon, deaf

Kind = Callable[[int], simulation.Lan]

WORST = 5


class Outcome(NamedTuple):
    """What came of one seed: messages sent, seconds of this computer, and what went wrong if anything."""

    seed: int
    sent: int
    seconds: float
    wrong: str


def play(kind: Kind, seed: int) -> Outcome:
    """One afternoon."""
    start = time.perf_counter()
    try:
        lan = kind(seed)
    except Exception:
        return Outcome(seed, 0, time.perf_counter() - start, traceback.format_exc())
    return Outcome(seed, lan.sent, time.perf_counter() - start, "")


def main() -> int:
    """Play the seeds on all cores until they or the minutes are used up."""
    parser = argparse.ArgumentParser(
        prog="scripts/simulate", description="Bad afternoons on a simulated LAN."
    )
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="how many (1000)")
    parser.add_argument("--from", dest="first", type=int, default=0, metavar="SEED", help="the first (0)")
    parser.add_argument("--minutes", type=float, default=180.0, metavar="M", help="stop after this (180)")
    parser.add_argument("--guests", action="store_true", help="people who come and go, and ask what was said")
    parser.add_argument("--lies", action="store_true", help="members that lie, and records that are stuck")
    parser.add_argument("--deaf", action="store_true", help="switches that drop multicast")
    chosen = parser.parse_args()
    start = time.monotonic()
    outcomes: list[Outcome] = []
    kinds = {"guests": visits, "lies": lies, "deaf": deaf}
    name = next((name for name in kinds if getattr(chosen, name)), "")
    kind, flag = (kinds[name], f" --{name}") if name else (afternoon, "")
    for outcome in _outcomes(kind, range(chosen.first, chosen.first + chosen.seeds)):
        outcomes.append(outcome)
        if outcome.wrong:
            print(f"seed {outcome.seed} failed:\n{outcome.wrong}", flush=True)
        elif len(outcomes) % 100 == 0:
            print(f"{len(outcomes)} of {chosen.seeds}", file=sys.stderr, flush=True)
        if time.monotonic() - start > 60 * chosen.minutes:
            break
    if len(outcomes) < chosen.seeds:
        print(f"{chosen.minutes:g} minutes were over before {chosen.seeds} seeds were: --minutes allows more")
    return _summary(outcomes, time.monotonic() - start, flag)


def _outcomes(kind: Kind, seeds: range) -> Iterator[Outcome]:
    with multiprocessing.get_context("spawn").Pool() as pool:
        yield from pool.imap_unordered(partial(play, kind), seeds)


def _summary(outcomes: list[Outcome], seconds: float, flag: str) -> int:
    failed = sorted(outcome.seed for outcome in outcomes if outcome.wrong)
    sent = sum(outcome.sent for outcome in outcomes)
    print(f"{len(outcomes)} seeds, {len(failed)} failed, {sent} datagrams sent, {seconds:.0f} s")
    slowest = sorted(outcomes, key=lambda outcome: -outcome.seconds)[:WORST]
    print("slowest:", ", ".join(f"seed {outcome.seed} {outcome.seconds:.1f} s" for outcome in slowest))
    for seed in failed:
        print(f"again: scripts/simulate{flag} --from {seed} --seeds 1")
    return 1 if failed or not outcomes else 0
