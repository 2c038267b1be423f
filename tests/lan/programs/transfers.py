"""One peer of a bulk transfer: `drop KEY SIZE COUNT` or `get KEY`, with what it did as JSON."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sys
from collections.abc import Iterable

from mcast import aio
from mcast.events import TransferOffered
from mcast.runtime.bulk.streams import BytesSink, BytesSource
from mcast.runtime.bulk.transfers import Drop

GROUP = "239.9.9.9"
MANIFEST = b"what is in it"


def _tell(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


async def drop(key: bytes | None, size: int, count: int) -> None:
    """Offer random bytes until so many have them."""
    content = random.Random(size).randbytes(size)
    async with aio.join(GROUP, name="ada", key=key) as group:
        await group.acquaint()
        dropped: Drop = await group.drop(BytesSource(content, MANIFEST), title="bytes")
        verdict = await dropped.wait(receivers=count, timeout=60)
        progress = dropped.progress()
        _tell(
            complete=verdict.complete,
            whole=sorted(one.name for one in verdict.whole),
            sent=progress.sent,
            sha=hashlib.sha256(content).hexdigest(),
        )


class Interrupted(BytesSink):
    """A sink that has nine tenths of it from a run before, with a wrong byte in between."""

    def begin(self, manifest: bytes, size: int, root: bytes) -> Iterable[tuple[int, int]]:
        """All of it may be here."""
        super().begin(manifest, size, root)
        whole = bytearray(random.Random(size).randbytes(size))
        whole[size // 2] ^= 1
        part = size * 9 // 10
        self.content[:part] = whole[:part]
        return [(0, size)]


async def get(key: bytes | None, name: str, leave: bool, interrupted: bool) -> None:
    """Fetch what is offered, now or before."""
    async with aio.join(GROUP, name=name, key=key, history=True) as group:
        print("ready", flush=True)
        async for event in group.events():
            if isinstance(event, TransferOffered):
                sink = Interrupted() if interrupted else BytesSink()
                fetch = await group.accept(event, sink)
                failure = await fetch.wait(timeout=60)
                _tell(
                    failure=None if failure is None else failure.kind,
                    sha=hashlib.sha256(sink.content).hexdigest(),
                    manifest=sink.manifest == MANIFEST,
                    title=event.title,
                    received=fetch.progress().received,
                )
                if not leave:
                    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
                return


if __name__ == "__main__":
    secret = bytes.fromhex(sys.argv[2]) or None
    if sys.argv[1] == "drop":
        asyncio.run(drop(secret, int(sys.argv[3]), int(sys.argv[4])))
    else:
        asyncio.run(get(secret, sys.argv[3], "leave" in sys.argv[4:], "resume" in sys.argv[4:]))
