"""mcast: sealed, signed, in order, repaired. The job's `api`: batches, messages (asyncio) or blocking."""

from __future__ import annotations

import asyncio
import sys
import time
from itertools import islice
from typing import Any

import msgspec

import mcast
from mcast import settings
from tests.bench.contenders.job import Receiving, Sending

GROUP = "239.255.77.2:7702"
MEET_SECONDS = 20.0
TOGETHER = 256
"""Messages a send_many(), whose receivers take batches()."""


def options(job: Sending | Receiving) -> dict[str, Any]:
    """Arguments of join(); settings that this version does not have are left out."""
    known = set(settings.Settings.__struct_fields__)
    changes = {name: value for name, value in job.options.get("settings", {}).items() if name in known}
    return {"settings": msgspec.structs.replace(settings.lan(), **changes), "name": "bench"}


def send(job: Sending) -> None:
    """Send by the API asked for."""
    (_send_blocking if job.options["api"] == "blocking" else _send_asyncio)(job)


def receive(job: Receiving) -> None:
    """Receive by the API asked for."""
    if job.options["api"] == "blocking":
        _receive_blocking(job)
    else:
        asyncio.run(_receive(job))


def _send_asyncio(job: Sending) -> None:
    asyncio.run(_send(job))


async def _send(job: Sending) -> None:
    async with mcast.aio.join(GROUP, **options(job)) as group:
        async with asyncio.timeout(MEET_SECONDS):
            async for _ in group.events():
                if len(group.peers()) == job.receivers:
                    break
        await asyncio.sleep(job.settle)
        await asyncio.to_thread(job.wait_for_go)
        if job.options["api"] == "batches":
            flood = job.flood()
            while some := list(islice(flood, TOGETHER)):
                await group.send_many(some)
        else:
            push = group.send
            for message in job.flood():
                await push(message)
        job.tell(stats=group.stats())
        await asyncio.to_thread(sys.stdin.readline)


def _send_blocking(job: Sending) -> None:
    with mcast.join(GROUP, **options(job)) as group:
        for _ in group.events(MEET_SECONDS):
            if len(group.peers()) == job.receivers:
                break
        time.sleep(job.settle)
        job.wait_for_go()
        push = group.send
        for message in job.flood():
            push(message)
        job.told(stats=group.stats())


async def _receive(job: Receiving) -> None:
    async with mcast.aio.join(GROUP, **options(job)) as group:
        job.ready()
        if job.options["api"] == "messages":
            async for message in group.messages():
                job.took([message.data])
            return
        async for batch in group.batches():
            took(job, batch)


def took(job: Receiving, batch: list[mcast.Event]) -> None:
    """Count the messages of a batch; an event that tells of a loss is wrong."""
    messages = [event.data for event in batch if type(event) is mcast.Message]
    if messages:
        job.took(messages)
    if len(messages) < len(batch):
        job.wrong += sum(isinstance(event, mcast.GapAbandoned | mcast.Overflow) for event in batch)


def _receive_blocking(job: Receiving) -> None:
    with mcast.join(GROUP, **options(job)) as group:
        job.ready()
        for batch in group.batches():
            took(job, batch)
