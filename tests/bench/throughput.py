"""Messages a second at every receiver: one sender at full speed, one or four receivers, loss never hidden."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests import lab
from tests.bench.options import Options, say
from tests.bench.rows import Row, number

TARGETS = {
    (64, 1, True): 5.0,
    (64, 4, True): 6.0,
    (1024, 1, True): 1.2,
    (1024, 4, True): 1.5,
    (64, 1, False): 4.0,
    (64, 4, False): 4.0,
}
"""mcast's ratio to the raw blocking socket, by size, receivers and offload."""
START_SECONDS = 40.0


@dataclass(frozen=True)
class Contender:
    """A module of contenders/ with the options it is started with."""

    name: str
    module: str
    options: dict[str, Any] = field(default_factory=dict)

    def job(self, **more: Any) -> str:
        """What it is told on its command line."""
        return json.dumps({**self.options, **more})


RAW = Contender("raw socket", "raw")


def contenders(options: Options) -> list[Contender]:
    """The raw socket, mcast by each interface, and the peers there are."""
    ours = {"batches": "mcast batches()", "messages": "mcast messages()", "blocking": "mcast blocking"}
    made = [RAW]
    made += [
        Contender(ours[api], "group", {"api": api, "settings": options.settings}) for api in options.apis
    ]
    if options.limit:
        made += [Contender(f"C, {how}", "limit", {"pack": pack}) for how, pack in LIMITS.items()]
    return made + [Contender(name, name) for name in options.peers if name in FLOODING]


LIMITS = {"sendmmsg": False, "packed, UDP_SEGMENT": True}
"""Ways of contenders/limit.py."""
FLOODING = ("lcm", "zenoh", "cyclonedds", "pyre")
"""Peers with a module in contenders/."""


@dataclass(frozen=True)
class PeerId:
    """One flood: what the sender and each receiver told."""

    sender: dict[str, Any]
    receivers: list[dict[str, Any]]

    @property
    def rate(self) -> float:
        """Messages a second at the mean receiver, from the first send to the last delivery."""
        start = float(self.sender["start"])
        return statistics.mean(
            int(told["received"]) / (float(told["last"]) - start) if told["received"] else 0.0
            for told in self.receivers
        )

    @property
    def lost(self) -> float:
        """Share of all that was sent that did not arrive."""
        arrived = sum(told["received"] for told in self.receivers)
        return float(1 - arrived / max(1, self.sender["sent"] * len(self.receivers)))

    @property
    def wrong(self) -> int:
        """Deliveries out of order, declared lost or dropped."""
        return sum(told["wrong"] for told in self.receivers)


def flood(hosts: Sequence[lab.Host], contender: Contender, options: Options, **job: Any) -> PeerId:
    """The first host sends, the others receive; processes of their own, ended afterwards."""
    text = contender.job(receivers=len(hosts) - 1, **job)
    command = [options.python(contender.module), "-m", "tests.bench.contenders", contender.module]
    patience = START_SECONDS + 4 * job.get("seconds", 0.0) + job.get("count", 0) / 2000
    processes = [host.spawn([*command, "receive", text]) for host in hosts[1:]]
    try:
        for process in processes:
            process.wait_lines(1, START_SECONDS)
        sender = hosts[0].spawn([*command, "send", text])
        processes.append(sender)
        sender.wait_lines(1, START_SECONDS)
        sender.write("\n")
        told = json.loads(sender.wait_lines(2, patience)[1])
        for process in processes[:-1]:
            process.write(f"{told['sent']}\n")
        results = [json.loads(process.wait_lines(2, patience)[1]) for process in processes[:-1]]
        return PeerId(told, results)
    finally:
        for process in processes:
            process.close()


def measure(options: Options) -> Iterator[Row]:
    """Every size and number of receivers, with offloads and without, rounds interleaved."""
    for offload in options.offloads:
        with lab.Lan(max(options.receivers) + 1, offload=offload) as lan:
            for size in options.sizes:
                for receivers in options.receivers:
                    yield from _case(lan, options, size, receivers, offload)


def _case(lan: lab.Lan, options: Options, size: int, receivers: int, offload: bool) -> list[Row]:
    job = {"size": size, "seconds": options.seconds, "settle": 0.3 if options.quick else 1.0}
    case = f"{size} B, 1->{receivers}, offload {'on' if offload else 'off'}"
    taking_part = contenders(options)
    runs: dict[str, list[PeerId]] = {contender.name: [] for contender in taking_part}
    for turn in range(options.rounds):
        for contender in taking_part:
            say(f"throughput {case}, round {turn + 1}: {contender.name}")
            try:
                run = flood(lan.hosts[: receivers + 1], contender, options, **job)
            except lab.LabTimeout as error:
                say(f"{contender.name} did not do it: {error}")
                continue
            runs[contender.name].append(run)
    raw = runs[RAW.name]
    base = statistics.median(run.rate for run in raw) if raw else None
    target = TARGETS.get((size, receivers, offload))
    return [_row(case, name, done, base, target) for name, done in runs.items() if done]


def _row(case: str, contender: str, runs: list[PeerId], base: float | None, target: float | None) -> Row:
    counted = contender == "mcast batches()"
    return Row(
        "throughput",
        case,
        contender,
        tuple(run.rate for run in runs),
        "messages/s",
        reference="raw",
        ratio=statistics.median(run.rate for run in runs) / base if base else None,
        target=target if counted else None,
        note=_note(runs),
        details={"runs": [{"sender": run.sender, "receivers": run.receivers} for run in runs]},
    )


def _note(runs: list[PeerId]) -> str:
    lost = statistics.median(run.lost for run in runs)
    wrong = sum(run.wrong for run in runs)
    out = statistics.median(1e6 * run.sender["cpu"] / max(1, run.sender["sent"]) for run in runs)
    taken = statistics.median(
        1e6 * told["cpu"] / max(1, told["received"]) for run in runs for told in run.receivers
    )
    words = [f"{lost:.1%} lost" if lost > 0 else "none lost"]
    words += [f"{wrong} NOT IN ORDER"] if wrong else []
    words.append(f"CPU a message: {number(out)} us out, {number(taken)} us in")
    return ", ".join(words)
