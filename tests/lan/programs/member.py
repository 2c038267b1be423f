"""A member of a group on a host: does what it is told on standard input, one JSON list `[command, …]` a line.

The first argument is what `mcast.aio.join` takes, as JSON; keys and identities in hex, `settings` as changes
to the defaults. With `"raw": true` it never reads its events, which is for programs that only send.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from mcast import aio, events, settings
from mcast.core.events import PeerId

KEPT = 1000  # events after which plain text is not kept any more: some programs send floods of it
SECRETS = ("key", "room_id", "identity")


class Member:
    """A group and what was heard in it. Public methods are the commands; what they return is the reply."""

    def __init__(self, group: aio.Group) -> None:
        self._group = group
        self._heard: list[tuple[float, events.Message]] = []
        self._events: list[tuple[float, str, Any]] = []
        self._receipts: list[aio.Receipt] = []
        self._burst: asyncio.Task[list[float]] | None = None

    async def listen(self) -> None:
        """Keep all that happens, with the time at which the application was told."""
        async for batch in self._group.batches():
            now = time.monotonic()
            for event in batch:
                if isinstance(event, events.Message):
                    self._heard.append((now, event))
                elif len(self._events) < KEPT or not isinstance(event, events.PlainText):
                    self._events.append((now, type(event).__name__, event))

    async def send(self, text: str) -> float:
        """Send a message; when."""
        now = time.monotonic()
        self._receipts.append(await self._group.send(text))
        return now

    async def burst(self, count: int, rate: float, size: int, first: int = 0) -> None:
        """Begin to send `count` numbered messages of `size` bytes, `rate` a second."""
        self._burst = asyncio.create_task(self._send_all(range(first, first + count), rate, size))

    async def _send_all(self, numbers: range, rate: float, size: int) -> list[float]:
        start = time.monotonic()
        for place, number in enumerate(numbers):
            ahead = start + place / rate - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)
            await self._group.send(f"{number} {time.monotonic():.6f} ".ljust(size, "."))
        return [start, time.monotonic()]

    async def burst_done(self) -> list[float] | None:
        """When the burst began and ended; None while it lasts."""
        return self._burst.result() if self._burst is not None and self._burst.done() else None

    async def count(self) -> int:
        """How many messages came."""
        return len(self._heard)

    async def bytes(self) -> int:
        """How many bytes of messages came."""
        return sum(len(message.data) for _, message in self._heard)

    async def bytes_by_peer(self) -> dict[str, int]:
        """The same for each author."""
        shares: dict[str, int] = {}
        for _, message in self._heard:
            shares[_name(message.peer_id)] = shares.get(_name(message.peer_id), 0) + len(message.data)
        return shares

    async def texts(self) -> list[str]:
        """The first word of each message, in the order in which they came."""
        return [_word(message) for _, message in self._heard]

    async def messages(self) -> list[dict[str, Any]]:
        """All that is known of each message."""
        return [
            {
                "text": _word(message),
                "peer_id": _name(message.peer_id),
                "name": message.name,
                "late": message.late,
                "history": message.history,
                "source": list(message.source) if isinstance(message.source, tuple) else None,
                "at": at,
                "sent": _sent(message),
            }
            for at, message in self._heard
        ]

    async def last_at(self) -> float:
        """When the last message came."""
        return self._heard[-1][0]

    async def events(self) -> list[list[Any]]:
        """[when, kind, what] of all that is no message."""
        return [[at, kind, _plainly(event)] for at, kind, event in self._events]

    async def peers(self) -> dict[str, str]:
        """The name of each peer that is here."""
        return {_name(peer.peer_id): peer.name for peer in self._group.peers()}

    async def suspects(self) -> list[str]:
        """The names of those that are silent and being probed."""
        return [peer.name for peer in self._group.peers() if peer.suspect]

    async def joins(self) -> list[list[Any]]:
        """[when, peer id] of each peer that came."""
        return [[at, _name(event.peer.peer_id)] for at, kind, event in self._events if kind == "PeerJoined"]

    async def peer_id(self) -> str:
        """Its own peer id."""
        return _name(self._group.peer_id)

    async def whole_peer_id(self) -> list[Any]:
        """Its origin in hex, and its incarnation."""
        return [self._group.peer_id.origin.hex(), self._group.peer_id.incarnation]

    async def resident(self) -> int:
        """Bytes of memory in use (proc_pid_status(5))."""
        return _status("VmRSS") * 1024

    async def unheard(self) -> int:
        """How many peers have not confirmed the last message."""
        return len(self._receipts[-1].unheard_by)

    async def stats(self) -> dict[str, int]:
        """The group's counters, and processor time spent in ms."""
        return {**self._group.stats(), "cpu-ms": round(time.process_time() * 1000)}

    async def run_on(self, processors: list[int]) -> None:
        """Run on these processors alone (sched_setaffinity(2))."""
        os.sched_setaffinity(0, processors)

    async def wakeups(self) -> int:
        """How often this process went to sleep and was woken, in all threads (proc_pid_status(5))."""
        return _switches()


def _switches() -> int:
    return sum(
        int(line.split()[1])
        for status in Path("/proc/self/task").glob("*/status")
        for line in status.read_text().splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def _word(message: events.Message) -> str:
    return message.data.split(b" ", 1)[0].decode()


def _sent(message: events.Message) -> float | None:
    """When a numbered message was handed to its author's group."""
    words = message.data.split(b" ", 2)
    return float(words[1]) if len(words) > 2 else None


def _name(peer_id: PeerId) -> str:
    return f"{peer_id.origin.hex()[:8]}/{peer_id.incarnation:x}"


def _plainly(event: Any) -> dict[str, Any]:
    fields = {field: getattr(event, field) for field in event.__struct_fields__}
    peer = fields.pop("peer", None)
    if peer is not None:
        fields |= {"name": peer.name, "peer_id": peer.peer_id}
    return {name: _name(value) if isinstance(value, PeerId) else str(value) for name, value in fields.items()}


async def _lines() -> AsyncIterator[list[Any]]:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)
    transport.close()


async def main(options: dict[str, Any]) -> None:
    """Join, say so, obey until standard input ends, leave."""
    changes = options.pop("settings", {})
    reads = not options.pop("raw", False)
    for name in SECRETS:
        if name in options:
            options[name] = bytes.fromhex(options[name])
    options["settings"] = msgspec.structs.replace(settings.lan(), **changes)
    joined = time.monotonic()
    async with aio.join(**options) as group:
        member = Member(group)
        listening = asyncio.create_task(member.listen()) if reads else None
        print(json.dumps(joined), flush=True)
        async for command, *arguments in _lines():
            print(json.dumps(await getattr(member, command)(*arguments)), flush=True)
    if listening is not None:
        await listening


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
