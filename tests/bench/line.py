"""A program on a host: says numbered lines now and then, or hears them among whatever else arrives.

    python -m tests.bench.line say COUNT RATE | hear COUNT

`hear` prints a JSON list of [number, seconds under way] when COUNT lines came.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import mcast
from tests.bench.contenders.group import GROUP

NAME = "line"


async def say(count: int, rate: float) -> None:
    """Say `count` lines, `rate` a second, when told to; stay until told again."""
    async with mcast.aio.join(GROUP, name=NAME) as group:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        start = time.monotonic()
        for number in range(count):
            await asyncio.sleep(start + number / rate - time.monotonic())
            await group.send(f"{number} {time.monotonic():.6f}")
        await asyncio.to_thread(sys.stdin.readline)


async def hear(count: int) -> None:
    """Hear `count` lines."""
    heard = []
    async with mcast.aio.join(GROUP, name="hearer") as group:
        print("ready", flush=True)
        async for message in group.messages():
            if message.name != NAME:
                continue
            number, sent = (message.text or "").split()
            heard.append([int(number), time.monotonic() - float(sent)])
            if len(heard) == count:
                break
    print(json.dumps(heard), flush=True)


def main() -> None:
    """Do what the command line tells."""
    role, count, *rate = sys.argv[1:]
    asyncio.run(say(int(count), float(rate[0])) if role == "say" else hear(int(count)))


if __name__ == "__main__":
    main()
