"""`mcast bench`: measure what the network carries from one member to the others, as iperf does."""

import asyncio
import contextlib
import math
import struct
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from enum import StrEnum
from typing import Annotated, Any

import typer

from mcast.core.events import PeerId
from mcast.errors import UsageError
from mcast.events import GapAbandoned, GapOpened, Message
from mcast.wire.limits import MESSAGE_MAX

from . import exits, options
from .output import Output, note, rfc3339
from .runner import Ending, run
from .session import GroupSession, Network, Participant, Reporter

GROUP = "239.255.109.98"
"""A group for bulk traffic, in the block for use within a site (RFC 2365), so that no chat is flooded."""
SEND_SECONDS = 10.0
RECEIVE_SECONDS = 60.0
MEET_SECONDS = 10.0
"""How long a sender waits for its receivers, at most as long as it will send."""
CONFIRM_SECONDS = 10.0
"""How long a sender waits at the end until all receivers have everything."""
YIELD_EVERY = 64
"""Messages after which the event loop handles signals and timers."""
HEAD = struct.Struct("!cQd")
"""Every message of a bench starts with its kind, its number from 0, and the sender's unix time."""
DATA, DONE = b"d", b"e"
"""Kinds of messages. The number of the last one, DONE, is how many there were."""
SMOOTHING = 16
"""Interarrival jitter is smoothed as in RFC 3550, section 6.4.1."""
HEADING = "  seconds  messages/s     Mbit/s  jitter ms  repaired  lost  CPU %"


def _rate(text: str | float) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (rate := float(text)) < math.inf:
            return rate
    raise typer.BadParameter(f"{str(text)!r} is not a number of at least 0")


class Role(StrEnum):
    """What this end does."""

    SEND = "send"
    RECEIVE = "receive"


def bench(
    context: typer.Context,
    role: Annotated[
        Role, typer.Argument(metavar="send|receive", help="What to do. Start all receivers first.")
    ],
    size: Annotated[
        int,
        typer.Option(
            "--size",
            "-s",
            parser=options.whole_number(HEAD.size, MESSAGE_MAX),
            metavar="N",
            help=f"Send messages of N bytes ({HEAD.size} to {MESSAGE_MAX}).",
        ),
    ] = 1024,
    rate: Annotated[
        float,
        typer.Option(
            "--rate", parser=_rate, metavar="N", help="Send N messages a second; 0 is as fast as possible."
        ),
    ] = 0,
    peers: Annotated[
        int, options.number_option("--peers", least=1, help="Wait for N receivers before sending.")
    ] = 1,
    timeout: Annotated[
        float | None,
        options.time_option(
            "--timeout",
            "-W",
            help="Send for TIME, or wait that long for the end of what is received.",
            show_default="10s to send, 60s to receive",
        ),
    ] = None,
    interval: Annotated[float, options.time_option("--interval", help="Print a line every TIME.")] = (
        options.Seconds(1)
    ),
    port: options.Port = None,
    name: options.Name = None,
    profile: options.Profile = "default",
    interface: options.Interfaces = None,
    exclude: options.Excluded = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Measure bandwidth, loss, jitter and repairs between members.

    It floods a group of its own, 239.255.109.98. Some switches pass multicast on to every port.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no usable interface or no permission, 4 no receiver or
    sender, 27 the end did not arrive or was not confirmed by all, 130 or 143 sending was interrupted.
    """
    if interval <= 0:
        raise UsageError("--interval must be more than 0", "for instance --interval 1s")
    network = Network(context, [GROUP], port, interface, False, False, excluded=exclude)
    me = Participant(profile, name)

    async def command(ending: Ending, output: Output) -> int:
        async with network.protocol(me, wait=False) as session:
            Reporter(session, quiet=quiet, verbose=verbose).joined("measuring in")
            bench = _Bench(session, role, output, json=json)
            if role is Role.SEND:
                return await _send(bench, ending, size, rate, peers, timeout or SEND_SECONDS, interval)
            return await _receive(bench, ending, timeout or RECEIVE_SECONDS, interval)

    return run(command)


@dataclass
class Counts:
    """What happened in a period of `seconds`."""

    seconds: float = 0.0
    messages: int = 0
    bytes: int = 0
    repaired: int = 0
    """Receiving: records that were missing for a while. Sending: records that were sent again."""
    lost: int = 0
    """Records that never came."""
    cpu: float = 0.0
    """Seconds of processor time of this process."""

    def __sub__(self, before: "Counts") -> "Counts":
        pairs = zip(astuple(self), astuple(before), strict=True)
        return Counts(*(now - earlier for now, earlier in pairs))

    def per_second(self, amount: float) -> float:
        """`amount` divided by the seconds; 0 if there are none."""
        return amount / self.seconds if self.seconds > 0 else 0.0

    def line(self, since: float, jitter: float) -> str:
        """The numbers under HEADING. `since` (start of the period) and `jitter` are in seconds."""
        period = f"{since:.1f}-{since + self.seconds:.1f}"
        rate, bits = self.per_second(self.messages), self.per_second(8e-6 * self.bytes)
        cpu = self.per_second(100 * self.cpu)
        return (
            f"{period:>9}  {rate:>10,.0f}  {bits:>9.2f}  {1000 * jitter:>9.3f}"
            f"  {self.repaired:>8}  {self.lost:>4}  {cpu:>5.1f}"
        )

    def fields(self, since: float, jitter: float) -> dict[str, Any]:
        """The same as JSON fields."""
        return {
            "start": round(since, 3),
            "seconds": round(self.seconds, 3),
            "messages": self.messages,
            "bytes": self.bytes,
            "messages_per_second": round(self.per_second(self.messages), 1),
            "bits_per_second": round(self.per_second(8 * self.bytes), 1),
            "jitter_ms": round(1000 * jitter, 3),
            "repaired": self.repaired,
            "lost": self.lost,
            "cpu_percent": round(self.per_second(100 * self.cpu), 1),
        }


class Jitter:
    """How unevenly messages arrive compared with how they were sent (RFC 3550, section 6.4.1)."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._transit: float | None = None

    def add(self, sent: float, arrived: float) -> None:
        """Add a message. The two times may come from different clocks."""
        transit = arrived - sent
        if self._transit is not None:
            self.seconds += (abs(transit - self._transit) - self.seconds) / SMOOTHING
        self._transit = transit


def parse(data: bytes) -> tuple[bytes, int, float] | None:
    """Kind, number and time of sending; None if it is not a message of a bench."""
    if len(data) < HEAD.size or data[:1] not in (DATA, DONE):
        return None
    kind, number, sent = HEAD.unpack_from(data)
    return kind, number, sent


class _Bench:
    """The counters of one end. Prints them every interval and at the end."""

    def __init__(self, session: GroupSession, role: Role, output: Output, *, json: bool) -> None:
        self.session, self.group, self.role = session, session.groups[0], role
        self.counts = Counts()
        self.jitter = Jitter()
        self._output, self._json = output, json
        self._start = self._cpu = 0.0
        self._printed = Counts()
        self._started = asyncio.Event()

    @property
    def started(self) -> bool:
        """Whether counting has begun."""
        return self._started.is_set()

    def start(self) -> None:
        """Begin to count."""
        self._start, self._cpu = time.monotonic(), time.process_time()
        self._started.set()
        if not self._json:
            self._output.lines([HEADING])

    def add(self, sending: dict[PeerId, bool], message: Message, arrived: float) -> None:
        """Count a message, and note in `sending` whether its sender goes on."""
        if (parsed := parse(message.data)) is None:
            return
        kind, _, sent = parsed
        sending[message.peer_id] = kind == DATA
        if kind == DONE:
            return
        if not self.started:
            self.start()
        self.counts.messages += 1
        self.counts.bytes += len(message.data)
        self.jitter.add(sent, arrived)

    @contextlib.contextmanager
    def printing(self, interval: float) -> Iterator[None]:
        """Print a line every `interval` seconds, and a summary at the end, however that comes."""
        task = asyncio.ensure_future(self._print_every(interval))
        try:
            yield
        finally:
            task.cancel()
            self._summarize()

    async def _print_every(self, interval: float) -> None:
        await self._started.wait()
        while True:
            await asyncio.sleep(interval)
            self._print_rest(self._now())

    def _print_rest(self, now: Counts) -> None:
        """Print what was counted since the last line."""
        self._print("interval", self._printed.seconds, now - self._printed)
        self._printed = now

    def _summarize(self) -> None:
        if self.started:
            now = self._now()
            if now.messages > self._printed.messages:
                self._print_rest(now)
            if not self._json:
                self._output.lines(["-" * len(HEADING)])
            self._print("summary", 0.0, now)

    def _now(self) -> Counts:
        if self.role is Role.SEND:
            self.counts.repaired = self.group.stats().get("sent-repair", 0)
        seconds, cpu = time.monotonic() - self._start, time.process_time() - self._cpu
        return replace(self.counts, seconds=seconds, cpu=cpu)

    def _print(self, state: str, since: float, counts: Counts) -> None:
        if not self._json:
            self._output.lines([counts.line(since, self.jitter.seconds)])
            return
        head = {"v": 1, "type": "bench", "ts": rfc3339(time.time()), "role": self.role.value, "state": state}
        peers = {"peers": len(self.group.peers())}
        self._output.events([{**head, **counts.fields(since, self.jitter.seconds), **peers}])


async def _send(
    bench: _Bench, ending: Ending, size: int, rate: float, peers: int, seconds: float, interval: float
) -> int:
    if not await ending.during(_meet(bench, peers, min(seconds, MEET_SECONDS))):
        return exits.INTERRUPTED + ending.signal
    if (found := len(bench.group.peers())) < peers:
        note(f"found {found} of {peers} receivers: start mcast bench receive there first")
        return exits.NOTHING_FOUND
    with bench.printing(interval):
        bench.start()
        complete = await ending.during(_flood(bench, size, rate, seconds))
    last = await bench.group.send(HEAD.pack(DONE, bench.counts.messages, time.time()))
    if not complete:
        return exits.INTERRUPTED + ending.signal
    if await last.confirmed(timeout=CONFIRM_SECONDS):
        return exits.DONE
    note(f"receivers that did not confirm that they have everything: {len(last.unheard_by)}")
    return exits.TIMED_OUT


async def _meet(bench: _Bench, peers: int, patience: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            async for _ in bench.group.events():
                bench.session.require_sent()
                if len(bench.group.peers()) >= peers:
                    return


async def _flood(bench: _Bench, size: int, rate: float, seconds: float) -> None:
    fill = bytes(size - HEAD.size)
    group, counts = bench.group, bench.counts
    start = time.monotonic()
    while (now := time.monotonic()) < start + seconds:
        ahead = start + counts.messages / rate - now if rate else 0.0
        if ahead > 0:
            await asyncio.sleep(min(ahead, start + seconds - now))
            continue
        await group.send(HEAD.pack(DATA, counts.messages, time.time()) + fill)
        counts.messages += 1
        counts.bytes += size
        if counts.messages % YIELD_EVERY == 0:
            await asyncio.sleep(0)


async def _receive(bench: _Bench, ending: Ending, seconds: float, interval: float) -> int:
    asyncio.get_running_loop().call_later(seconds, ending.end, "timeout")
    with bench.printing(interval):
        complete = await ending.during(_count(bench))
    if complete or ending.reason == "signal":
        return exits.DONE
    return exits.TIMED_OUT if bench.started else exits.NOTHING_FOUND


async def _count(bench: _Bench) -> None:
    """Count until every sender that was heard has finished."""
    sending: dict[PeerId, bool] = {}
    async for batch in bench.group.batches():
        arrived = time.time()
        bench.session.require_sent()
        for event in batch:
            if isinstance(event, Message):
                bench.add(sending, event, arrived)
            elif isinstance(event, GapOpened) and bench.started:
                bench.counts.repaired += event.last - event.first + 1
            elif isinstance(event, GapAbandoned) and bench.started:
                bench.counts.repaired -= event.last - event.first + 1
                bench.counts.lost += event.last - event.first + 1
        if sending and not any(sending.values()):
            return
