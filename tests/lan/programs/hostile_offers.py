"""Offers transfers with lists of files that no honest sender makes, until it is ended."""

from __future__ import annotations

import asyncio

import msgspec

from mcast import aio
from mcast.runtime.bulk.streams import BytesSource

LISTS: list[list[object]] = [
    [[["..", "escaped"], False, 1]],
    [[["/escaped"], False, 1]],
    [[["a\\..\\..\\escaped"], False, 1]],
    [[["a"], False, 1], [["a", "b"], True, 0]],
    [[["a"], False, 1 << 50]],
]


async def main() -> None:
    """Offer all of them."""
    async with aio.join("230.0.0.1", name="eve") as group:
        for number, entries in enumerate(LISTS):
            source = BytesSource(b"%d" % number, msgspec.msgpack.encode(entries))
            await group.drop(source, title=f"../{number}\x1b[31m", count=1)
        print("offered", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
