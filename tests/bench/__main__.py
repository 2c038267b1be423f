"""Measure mcast, the raw blocking socket and, with --peers, other programs, on a LAN of network namespaces.

Rounds are interleaved, so that a machine that grows slower does so for all; medians are shown. Whatever sends
runs on hosts made for this run: nothing reaches your own network.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests import lab
from tests.bench import (
    discovery,
    endurance,
    files,
    history,
    keys,
    latency,
    machine,
    member,
    peers,
    recovery,
    startup,
    throughput,
)
from tests.bench.options import APIS, Options, say
from tests.bench.rows import Row, table

Measurement = Callable[[Options], Iterable[Row]]
MEASUREMENTS: dict[str, Measurement] = {
    "throughput": throughput.measure,
    "latency": latency.measure,
    "recovery": recovery.measure,
    "files": files.measure,
    "discovery": discovery.measure,
    "start-up": startup.measure,
    "idle": member.measure,
    "keys": keys.measure,
    "history": history.measure,
    "endurance": endurance.measure,
}
BY_NAME_ONLY = {"endurance", "files", "history"}
"""Too long to run unasked."""
SLOW = {"discovery", "keys"}
"""Left out of a quick look: it takes a while."""


def numbers(text: str) -> tuple[int, ...]:
    """`64,1024`."""
    return tuple(int(part) for part in text.split(","))


def settings(text: str) -> tuple[str, float]:
    """`pace=1e9`: a field of mcast.settings.Settings."""
    name, _, value = text.partition("=")
    number = float(value)
    return name, int(number) if number.is_integer() else number


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    base = Options()
    parser = argparse.ArgumentParser("scripts/bench", description=__doc__)
    add = parser.add_argument
    add("--only", action="append", choices=list(MEASUREMENTS), help="measure this; may be repeated")
    add("--quick", action="store_true", help="a rough look in at most a minute")
    others = "LCM, Zenoh, CycloneDDS, Pyre, zeroconf (installs them), uftp, udpcast (if they are there)"
    add("--peers", action="store_true", help=f"also {others}")
    add("--limit", action="store_true", help="also C without a protocol: what the machine can do (needs cc)")
    add("--json", metavar="FILE", default="bench.json", help="where the figures go (default: bench.json)")
    add("--rounds", type=int, default=None, help=f"interleaved rounds (default: {base.rounds})")
    add("--seconds", type=float, default=None, help=f"of each flood (default: {base.seconds:g})")
    add("--sizes", type=numbers, default=None, metavar="N,…", help="bytes of a message (default: 64,1024)")
    add("--receivers", type=numbers, default=None, metavar="N,…", help="(default: 1,4)")
    add("--offload", choices=["on", "off", "both"], default=None, help="segmentation offload of the hosts")
    add("--api", action="append", choices=APIS, help="of mcast (default: all)")
    add("--set", action="append", type=settings, default=[], metavar="NAME=VALUE", help="a setting of mcast")
    add("--count", type=int, default=base.endurance, help="messages of --only endurance")
    return parser.parse_args(arguments)


def options(given: argparse.Namespace) -> Options:
    """What is measured, and how thoroughly."""
    chosen = Options(settings=dict(given.set), endurance=given.count, limit=given.limit)
    if given.quick:
        chosen.quick, chosen.rounds, chosen.seconds = True, 1, 1.5
        chosen.offloads, chosen.apis, chosen.receivers = (True,), ("batches",), (4,)
        chosen.loss, chosen.hosts = (10.0,), (10,)
    for name in ("rounds", "seconds", "sizes", "receivers"):
        if getattr(given, name) is not None:
            setattr(chosen, name, getattr(given, name))
    if given.offload:
        chosen.offloads = {"on": (True,), "off": (False,), "both": (True, False)}[given.offload]
    if given.api:
        chosen.apis = tuple(given.api)
    return chosen


def measure(name: str, chosen: Options, rows: list[Row]) -> None:
    """One measurement; when it fails, what it found until then is kept and the others go on."""
    try:
        rows.extend(MEASUREMENTS[name](chosen))
    except (lab.LabError, lab.LabTimeout) as error:
        say(f"{name} did not end well: {error}")


def main() -> int:
    """Measure, print, write."""
    given = parse(sys.argv[1:])
    if lacking := lab.missing():
        say("a LAN in namespaces needs " + ", ".join(lacking))
        return 3
    # Users have the compiled modules, whatever is set where this runs.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    chosen = options(given)
    left_out = BY_NAME_ONLY | (SLOW if given.quick else set())
    names = given.only or [name for name in MEASUREMENTS if name not in left_out]
    about = machine.describe()
    if given.peers:
        chosen.peers, about["not_installed"] = peers.install()
        about["packages"] |= peers.versions(chosen.peers)
    rows: list[Row] = []
    print(machine.text(about), end="\n\n", flush=True)
    start = time.monotonic()
    try:
        for name in names:
            measure(name, chosen, rows)
    except KeyboardInterrupt:
        say("interrupted: what was measured until now")
    print(table(rows))
    about["seconds"] = round(time.monotonic() - start, 1)
    figures = {"machine": about, "rows": [row.as_json() for row in rows]}
    Path(given.json).write_text(json.dumps(figures, indent=1) + "\n")
    say(f"{about['seconds']} s; all figures in {given.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
