"""A program on a host: is in a group and does nothing, then tells what that cost.

    python -m tests.bench.idle SETTLE SECONDS

Prints JSON: bytes resident, the share of a core, wake-ups a second (voluntary context switches).
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time

import mcast
from tests.bench.contenders.job import resident


async def idle(settle: float, seconds: float) -> None:
    """Look at what the kernel counted, twice."""
    async with mcast.aio.join(name="idle"):
        await asyncio.sleep(settle)
        before, cpu = resource.getrusage(resource.RUSAGE_SELF), time.process_time()
        await asyncio.sleep(seconds)
        after, spent = resource.getrusage(resource.RUSAGE_SELF), time.process_time() - cpu
    wakes = (after.ru_nvcsw - before.ru_nvcsw) / seconds
    print(json.dumps({"core": spent / seconds, "wakes": wakes, **resident()}), flush=True)


if __name__ == "__main__":
    asyncio.run(idle(*map(float, sys.argv[1:3])))
