"""Soak mcast on a LAN of six hosts that goes wrong all the time.

Prints the seed, which fixes the schedule of faults, and what was not as promised. If there was anything, it
returns 1, and .soak/SEED holds the schedule and what every command printed.
"""

from __future__ import annotations

import argparse
import random
import sys
from functools import partial

from tests.lab import REPOSITORY
from tests.soak.schedule import Mix
from tests.soak.soak import soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0, help="how long things go wrong (default: 15)")
    parser.add_argument("--seed", type=int, help="the schedule to repeat (default: a new one)")
    wanted = parser.parse_args()
    seed = random.randrange(1_000_000) if wanted.seed is None else wanted.seed
    say = partial(print, flush=True)
    say(f"soak of {wanted.minutes:g} minutes, seed {seed}")
    result = soak(seed, 60 * wanted.minutes, Mix(), keep=REPOSITORY / ".soak" / str(seed), say=say)
    print(result.summary)
    for line in result.wrong:
        print(line)
    print(f"{len(result.wrong)} broken promises" if result.wrong else "every promise held")
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
