"""One file for several hosts: how soon all have it whole, what it costs, and what goes on beside it."""

from __future__ import annotations

import contextlib
import json
import shutil
import statistics
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from tests import lab
from tests.bench.latency import percentile
from tests.bench.options import Options, say
from tests.bench.rows import Row
from tests.lan.programs.rate import SINK, SOURCE, narrow

RECEIVERS = 4
MIB = 1 << 20
CASES = ((0, 256 * MIB, 4.0, 1.1), (5, 256 * MIB, 8.0, 1.35), (30, 64 * MIB, None, 2.6))
"""Loss in percent at each receiver, bytes, and the goals: seconds, and bytes on the wire by the file's."""
FEW, MANY, MANY_TARGET = 2, 16, 1.3
"""Receivers, and how many times as long the many may take."""
LINES, LINE_RATE, LINE_TARGET = 100, 20.0, 50.0
"""Lines that are said during a transfer, a second, and ms at the 99th percentile."""
NARROW, TCP_SECONDS = 100, 8
"""Mbit/s of the cable that a transfer and a TCP connection share, and seconds for which they do."""
BUFFERS = 4, 10, 20, 100
"""Milliseconds for which something may wait for it."""
OTHERS = {"uftp": ("uftp", "uftpd"), "udpcast": ("udp-sender", "udp-receiver")}
"""Other programs of the kind, with `--peers` where they are installed; Debian has both."""
MOST_LOSS = 5
"""Percent at which they are measured: at 30 one of them took minutes for 8 MiB."""
PATIENCE = 400.0


def measure(options: Options) -> Iterator[Row]:
    """TCP only without loss: with loss it would be measured for its congestion control."""
    others = [name for name in OTHERS if options.peers and all(map(shutil.which, OTHERS[name]))]
    part = 8 if options.quick else 1
    for loss, size, seconds, ratio in CASES:
        with lab.Lan(RECEIVERS + 1, offload=not loss) as lan:
            for host in lan.hosts[1:]:
                if loss:
                    host.loss(loss)
            for how in ("mcast", *(() if loss else ("tcp",)), *(others if loss <= MOST_LOSS else ())):
                runs = _runs(lan, how, size // part, f"{loss} % loss", options.rounds)
                goals = (seconds, ratio) if how == "mcast" and not options.quick else (None, None)
                case = f"{size // part // MIB} MiB, 1->{RECEIVERS}, {loss} % loss"
                yield from _rows(case, how, runs, goals)
    yield from _crowds(options, 64 * MIB // part)
    yield _lines(256 * MIB // part)
    yield from map(_beside_tcp, BUFFERS)


def _runs(lan: lab.Lan, how: str, size: int, case: str, rounds: int) -> list[dict[str, Any]]:
    runs = []
    for turn in range(rounds):
        say(f"files: {size // MIB} MiB to {len(lan.hosts) - 1}, {case}, {how}, round {turn + 1}")
        runs.append(_run(lan, how, size))
    return runs


def _crowds(options: Options, size: int) -> Iterator[Row]:
    """The same file for few and for many receivers."""
    base = 0.0
    for count in (FEW, MANY):
        with lab.Lan(count + 1) as lan:
            runs = _runs(lan, "mcast", size, "no loss", options.rounds)
        seconds = tuple(run["seconds"] for run in runs)
        base = base or statistics.median(seconds)
        ratio, case = statistics.median(seconds) / base, f"{size // MIB} MiB, 1->{count}"
        target = MANY_TARGET if count == MANY else None
        note = _note(runs)
        yield Row("files", case, "mcast", seconds, "s", f"1->{FEW}", ratio, target, at_most=True, note=note)


def _lines(size: int) -> Row:
    """How long lines of a chat are under way while a file goes to the same hosts."""
    say("files: lines of a chat during a transfer")
    with lab.Lan(RECEIVERS + 1) as lan:
        program = [sys.executable, "-m", "tests.bench.line"]
        hearing = lan.hosts[1].spawn([*program, "hear", str(LINES)])
        saying = lan.hosts[0].spawn([*program, "say", str(LINES), str(LINE_RATE)])
        for process in (hearing, saying):
            process.wait_lines(1, PATIENCE)
        with _transfer(lan, "mcast", size) as (giving, taking):
            saying.write("\n")
            told = _finish(giving, taking)
        took = [float(one) for _, one in json.loads(hearing.wait_lines(2, PATIENCE)[1])]
    during = took[: max(1, int(told["seconds"] * LINE_RATE))]
    case = f"one line at {LINE_RATE:g}/s, during {size // MIB} MiB 1->{RECEIVERS}"
    late = 1000 * percentile([during], 99)
    note = f"{len(during)} lines, median {1000 * statistics.median(during):.1f} ms"
    return Row("files", case, "mcast", (late,), "ms (p99)", target=LINE_TARGET, at_most=True, note=note)


def _beside_tcp(buffer: int) -> Row:
    """What a TCP connection gets of a narrow cable while a file goes through it, and how much that takes."""
    say(f"files: a TCP connection beside a transfer, a buffer of {buffer} ms")
    with lab.Lan(2, offload=False) as lan:
        giver, taker = lan.hosts
        narrow(taker, f"{NARROW}mbit", f"{buffer}ms")
        sink = taker.python(SINK)
        sink.wait_for("ready")
        with _transfer(lan, "mcast", NARROW * 1_000_000 // 8 * TCP_SECONDS * 2):
            source = giver.python(SOURCE, "10.9.0.2")
            counts = [int(line) for line in sink.wait_lines(1 + TCP_SECONDS, PATIENCE)[2:]]
            source.close()
        share = statistics.mean(counts) * 8 / 1_000_000 / NARROW
    case = f"TCP beside a file, {NARROW} Mbit/s, {buffer} ms of buffer"
    note = f"from {min(counts) * 8 / 1e6:.0f} to {max(counts) * 8 / 1e6:.0f} Mbit/s in a second"
    return Row("files", case, "tcp", (share,), "of the cable", note=note)


@contextlib.contextmanager
def _transfer(lan: lab.Lan, how: str, size: int) -> Iterator[tuple[lab.Process, list[lab.Process]]]:
    """Begin a transfer from the first host to all others."""
    giver, takers = lan.hosts[0], lan.hosts[1:]
    program = [sys.executable, "-m", "tests.bench.contenders.transfer"]
    rest = [how, str(size), str(len(takers)), "10.9.0.1"]
    taking = [host.spawn([*program, "take", *rest]) for host in takers]
    giving = giver.spawn([*program, "give", *rest])
    processes = [giving, *taking]
    try:
        for process in processes:
            process.wait_lines(1, 60)
        for process in reversed(processes):
            process.write("\n")
        yield giving, taking
    finally:
        for process in processes:
            process.close()


def _finish(giving: lab.Process, taking: Iterable[lab.Process]) -> dict[str, Any]:
    """What the giver told, and the takers, once all are done."""
    told: dict[str, Any] = json.loads(giving.wait_lines(2, PATIENCE)[1])
    told["took"] = [json.loads(process.wait_lines(2, PATIENCE)[1]) for process in taking]
    told["right"] = told["complete"] and all(one["digest"] == told["digest"] for one in told["took"])
    return told


def _run(lan: lab.Lan, how: str, size: int) -> dict[str, Any]:
    """One transfer: what the sender told, and what left its host."""
    before = lan.hosts[0].counters()
    with _transfer(lan, how, size) as (giving, taking):
        told = _finish(giving, taking)
    told["wire"] = (lan.hosts[0].counters() - before).sent_bytes / size
    return told


def _rows(
    case: str, how: str, runs: list[dict[str, Any]], goals: tuple[float | None, float | None]
) -> Iterator[Row]:
    seconds = tuple(run["seconds"] for run in runs)
    yield Row("files", case, how, seconds, "s", target=goals[0], at_most=True, note=_note(runs))
    wire = tuple(run["wire"] for run in runs)
    yield Row("files", case, how, wire, "Ethernet bytes by the file's", target=goals[1], at_most=True)


def _note(runs: list[dict[str, Any]]) -> str:
    wrong = sum(not run["right"] for run in runs)
    cpu = statistics.median(run["cpu"] for run in runs)
    taken = statistics.median(one["cpu"] for run in runs for one in run["took"])
    most = max(max(run["rss_peak"], *(one["rss_peak"] for one in run["took"])) for run in runs)
    note = f"{wrong} OF {len(runs)} NOT WHOLE" if wrong else "all whole"
    return note + f", CPU {cpu:.1f} s out, {taken:.1f} s in, at most {most / MIB:.0f} MiB of memory"
