"""`mcast bench`: how much a network carries from one member to the others, as iperf tells it."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from typing import Annotated

import typer

from mcast.aio import Group
from mcast.core.peer_id import PeerId
from mcast.errors import UsageError
from mcast.events import GapAbandoned, GapOpened, Message
from mcast.wire.limits import MESSAGE_MAX

from . import exits, gauge, options, who
from .durations import duration
from .opening import Network
from .render import Output, note, rfc3339
from .report import Reporter
from .run import Ending, run

GROUP = "239.255.109.98"
"""Of bulk traffic, in the block for use within a site (RFC 2365): nobody's chat is flooded."""
SEND_SECONDS = 10.0
RECEIVE_SECONDS = 60.0
MEET_SECONDS = 10.0
"""How long a sender waits for its receivers, at most as long as it will send."""
CONFIRM_SECONDS = 10.0
"""How long it waits at the end until everybody has everything."""
YIELD_EVERY = 64
"""Messages after which signals and timers have their turn."""


class Role(StrEnum):
    """What this end does."""

    SEND = "send"
    RECEIVE = "receive"


def bench(
    context: typer.Context,
    role: Annotated[Role, typer.Argument(help="One end sends, all others receive: start those first.")],
    size: Annotated[
        int,
        typer.Option("--size", "-s", min=gauge.HEAD.size, max=MESSAGE_MAX, help="Bytes of a message."),
    ] = 1024,
    rate: Annotated[
        float,
        typer.Option("--rate", min=0, metavar="N", help="Messages a second; 0: as fast as they take it."),
    ] = 0.0,
    peers: Annotated[
        int, typer.Option("--peers", min=1, metavar="N", help="Wait for so many receivers first.")
    ] = 1,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            "-W",
            parser=duration,
            metavar="TIME",
            help="How long to send (10s unless told), or to wait for the end (60s).",
        ),
    ] = None,
    interval: Annotated[
        float, typer.Option("--interval", parser=duration, metavar="TIME", help="Between two lines.")
    ] = 1.0,
    port: options.Port = None,
    name: who.Name = None,
    profile: who.ProfileName = "default",
    interface: options.Interfaces = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Measure what the network carries between members: bandwidth, losses, jitter, repairs, CPU.

    It floods a group of its own, 239.255.109.98, which every switch on the way may pass on to everybody.
    Exit codes: 0 done, 4 nobody there, 27 the end did not arrive or not everybody confirmed it, 3 no usable
    interface, 130 sending was interrupted.
    """
    if interval <= 0:
        raise UsageError("--interval 0 would never stop printing", "give a time above 0")
    network = Network(context, [GROUP], port, interface, False, False)
    me = who.Who(profile, name, "", None)

    async def command(ending: Ending, output: Output) -> int:
        async with network.protocol(me, wait=False) as wire:
            Reporter(wire, quiet=quiet, verbose=verbose).joined("measuring in")
            bench = _Bench(wire.groups[0], role, output, json=json)
            if role is Role.SEND:
                return await _send(bench, ending, size, rate, peers, timeout or SEND_SECONDS, interval)
            return await _receive(bench, ending, timeout or RECEIVE_SECONDS, interval)

    return run(command)


class _Bench:
    """The counters of one end, and what it prints of them."""

    def __init__(self, group: Group, role: Role, output: Output, *, json: bool) -> None:
        self.group, self.role = group, role
        self.counts = gauge.Counts()
        self.jitter = gauge.Jitter()
        self._output, self._json = output, json
        self._start = self._cpu = 0.0
        self._told = gauge.Counts()
        self._started = asyncio.Event()

    @property
    def started(self) -> bool:
        """Whether the time runs."""
        return self._started.is_set()

    def start(self) -> None:
        """From now on; what is shared with others, as CPU time, counts from here."""
        self._start, self._cpu = time.monotonic(), time.process_time()
        self._started.set()
        if not self._json:
            self._output.lines([gauge.HEADING])

    async def tell(self, interval: float) -> None:
        """Print what happened, every `interval` seconds, without end."""
        await self._started.wait()
        while True:
            await asyncio.sleep(interval)
            self._print_rest(self._now())

    def _print_rest(self, now: gauge.Counts) -> None:
        """What was not yet told."""
        self._print("interval", self._told.seconds, now - self._told)
        self._told = now

    def sum_up(self) -> None:
        """Print all of it."""
        if self.started:
            now = self._now()
            if now.messages > self._told.messages:
                self._print_rest(now)
            if not self._json:
                self._output.lines(["-" * len(gauge.HEADING)])
            self._print("summary", 0.0, now)

    def _now(self) -> gauge.Counts:
        if self.role is Role.SEND:
            self.counts.repaired = self.group.stats().get("sent-repair", 0)
        seconds, cpu = time.monotonic() - self._start, time.process_time() - self._cpu
        return replace(self.counts, seconds=seconds, cpu=cpu)

    def _print(self, state: str, since: float, counts: gauge.Counts) -> None:
        if not self._json:
            self._output.lines([gauge.line(since, counts, self.jitter.seconds)])
            return
        head = {"v": 1, "type": "bench", "ts": rfc3339(time.time()), "role": self.role.value, "state": state}
        peers = {"peers": len(self.group.peers())}
        self._output.events([{**head, **gauge.fields(since, counts, self.jitter.seconds), **peers}])


@contextlib.contextmanager
def _telling(bench: _Bench, interval: float) -> Iterator[None]:
    """Lines while it lasts, and the summary however it ends."""
    task = asyncio.ensure_future(bench.tell(interval))
    try:
        yield
    finally:
        task.cancel()
        bench.sum_up()


async def _send(
    bench: _Bench, ending: Ending, size: int, rate: float, peers: int, seconds: float, interval: float
) -> int:
    if not await ending.during(_meet(bench.group, peers, min(seconds, MEET_SECONDS))):
        return exits.INTERRUPTED + ending.signal
    if len(bench.group.peers()) < peers:
        note(f"{len(bench.group.peers())} of {peers} receivers came: run mcast bench receive there first")
        return exits.NOTHING_FOUND
    with _telling(bench, interval):
        bench.start()
        complete = await ending.during(_flood(bench, size, rate, seconds))
    last = await bench.group.send(gauge.HEAD.pack(gauge.DONE, bench.counts.messages, time.time()))
    if not complete:
        return exits.INTERRUPTED + ending.signal
    if await last.confirmed(timeout=CONFIRM_SECONDS):
        return exits.DONE
    note(f"{len(last.unheard_by)} of those here did not confirm that they have everything")
    return exits.TIMED_OUT


async def _meet(group: Group, peers: int, patience: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            async for _ in group.events():
                if len(group.peers()) >= peers:
                    return


async def _flood(bench: _Bench, size: int, rate: float, seconds: float) -> None:
    fill = bytes(size - gauge.HEAD.size)
    group, counts, pack = bench.group, bench.counts, gauge.HEAD.pack
    start = time.monotonic()
    while (now := time.monotonic()) < start + seconds:
        ahead = start + counts.messages / rate - now if rate else 0.0
        if ahead > 0:
            await asyncio.sleep(min(ahead, start + seconds - now))
            continue
        await group.send(pack(gauge.DATA, counts.messages, time.time()) + fill)
        counts.messages += 1
        counts.bytes += size
        if counts.messages % YIELD_EVERY == 0:
            await asyncio.sleep(0)


async def _receive(bench: _Bench, ending: Ending, seconds: float, interval: float) -> int:
    asyncio.get_running_loop().call_later(seconds, ending.end, "timeout")
    with _telling(bench, interval):
        complete = await ending.during(_count(bench))
    if complete or ending.reason == "signal":
        return exits.DONE
    return exits.TIMED_OUT if bench.started else exits.NOTHING_FOUND


async def _count(bench: _Bench) -> None:
    """Count until every sender that was heard is done."""
    sending: dict[PeerId, bool] = {}
    async for batch in bench.group.batches():
        arrived = time.time()
        for event in batch:
            if isinstance(event, Message):
                _message(bench, sending, event, arrived)
            elif isinstance(event, GapOpened) and bench.started:
                bench.counts.repaired += event.last - event.first + 1
            elif isinstance(event, GapAbandoned) and bench.started:
                bench.counts.repaired -= event.last - event.first + 1
                bench.counts.lost += event.last - event.first + 1
        if sending and not any(sending.values()):
            return


def _message(bench: _Bench, sending: dict[PeerId, bool], message: Message, arrived: float) -> None:
    if (found := gauge.parse(message.data)) is None:
        return
    kind, _, sent = found
    sending[message.peer_id] = kind == gauge.DATA
    if kind == gauge.DONE:
        return
    if not bench.started:
        bench.start()
    bench.counts.messages += 1
    bench.counts.bytes += len(message.data)
    bench.jitter.heard(sent, arrived)
