"""Measure discovery beside that of python-zeroconf and Avahi, for the same offers, on a real LAN.

    python -m tests.lan.programs.beside_dnssd [--peers 10 50] [--seconds 60] [--times 5]

Ten hosts have the same number of peers each, every one of which offers one service and watches all others.
With Avahi a host has one daemon; a peer is an avahi-publish, and one avahi-browse a host watches. Both IP
versions are in use. Prints a table: how long until a newcomer knows all, until a goodbye is seen by the
others (median one), and until a killed process is gone; and bytes a second of Ethernet frames of all hosts,
while nothing happens.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import median

from tests import lab
from tests.lan.avahi import Avahi, missing
from tests.lan.programs.remote import Member

HOSTS = 10
TYPE = "_http._tcp"
FOUND = "+;eth0;IPv4;"
KILLED = 300.0
"""Seconds that a killed process is waited for. It is not with DNS-SD, whose pointers live for 75 minutes."""
# Announces one service and watches all: tells of each change, with the time. Ends at the end of its input.
ZEROCONF = """
import asyncio, json, socket, sys, time
from zeroconf import IPVersion, ServiceInfo
from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf
name, address, index = sys.argv[1:]
TYPE = "_http._tcp.local."
def tell(*what):
    print(json.dumps([time.monotonic(), *what]), flush=True)
def changed(zeroconf, service_type, name, state_change):
    tell(state_change.name, name.partition(".")[0])
async def main():
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    tell("start")
    async with AsyncZeroconf([address, int(index)], ip_version=IPVersion.All) as made:
        info = ServiceInfo(TYPE, f"{name}.{TYPE}", 80, server=f"{name}.local.", parsed_addresses=[address])
        browser = AsyncServiceBrowser(made.zeroconf, TYPE, handlers=[changed])
        await (await made.async_register_service(info))
        loop.add_reader(sys.stdin, ended.set_result, None)
        await ended
        loop.remove_reader(sys.stdin)
        tell("end")
asyncio.run(main())
"""


@dataclass
class Figures:
    """Of one contender: milliseconds, seconds until a killed process is gone, and bytes a second."""

    who: str
    peers: int
    knows: list[float] = field(default_factory=list)
    goodbye: list[float] = field(default_factory=list)
    suspect: list[float] = field(default_factory=list)
    gone: list[float] = field(default_factory=list)
    idle: float = 0.0

    def row(self) -> str:
        """A line of the table."""
        killed = [f"{median(times):.0f} s" for times in (self.suspect, self.gone) if times]
        cells = (
            f"{self.who}, {self.peers} peers",
            f"{median(self.knows):.0f} ms",
            f"{median(self.goodbye):.0f} ms",
            ", ".join(killed) or "not waited for",
            f"{self.idle:,.0f} bytes/s",
        )
        return f"| {' | '.join(cells)} |"


def wait(condition: Callable[[], bool], timeout: float) -> float | None:
    """When it came true; None if it did not in time."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if condition():
            return time.monotonic()
        time.sleep(0.05)
    return None


def idle(lan: lab.Lan, settle: float, seconds: float) -> float:
    """Bytes a second of all hosts."""
    time.sleep(settle)
    before, start = lan.traffic(), time.monotonic()
    time.sleep(seconds)
    return (lan.traffic() - before).sent_bytes / (time.monotonic() - start)


def mcast(peers: int, settle: float, seconds: float, times: int) -> Figures:
    """With our own protocol."""
    figures = Figures("mcast", peers)
    with lab.Lan(HOSTS + 1) as lan:
        *homes, home = lan.hosts
        old = [
            Member(host, wait=False, name=f"{host.name}-{place}", services=[f"{TYPE}:80"])
            for place in range(peers // HOSTS)
            for host in homes
        ]
        for member in old:
            member.ready()
        lab.until(partial(_knows, old, peers - 1), 120.0)
        figures.idle = idle(lan, settle, seconds)
        watcher = old[0]
        for number in range(times):
            newcomer = Member(home, name=f"new{number}", services=[f"{TYPE}:80"])
            start = newcomer.ready()
            lab.until(partial(_knows, [newcomer], peers), 30.0)
            figures.knows.append(1000 * (max(at for at, _ in newcomer("joins")) - start))
            lab.until(partial(_knows, old, peers), 30.0)
            leaving = time.monotonic()
            newcomer.leave()
            lab.until(partial(_knows, old, peers - 1), 30.0)
            left = [max(at for at, kind, _ in member("events") if kind == "PeerLeft") for member in old]
            figures.goodbye.append(1000 * (median(left) - leaving))
        doomed = Member(home, name="doomed", services=[f"{TYPE}:80"])
        lab.until(lambda: len(watcher("peers")) == peers, 30.0)
        killed = time.monotonic()
        doomed.kill()
        suspect = wait(lambda: bool(watcher("suspects")), KILLED)
        gone = wait(lambda: len(watcher("peers")) == peers - 1, KILLED)
        figures.suspect += [suspect - killed] if suspect else []
        figures.gone += [gone - killed] if gone else []
    return figures


def _knows(members: list[Member], count: int) -> bool:
    return all(len(member("peers")) == count for member in members)


class Zeroconf:
    """A process with python-zeroconf."""

    def __init__(self, host: lab.Host, name: str) -> None:
        self.name = name
        index = host.ip_json("link", "show", "dev", "eth0")[0]["ifindex"]
        self.process = host.spawn([sys.executable, "-c", ZEROCONF, name, host.address(), str(index)])

    def times(self, change: str) -> dict[str, float]:
        """When it told of such a change, by the name that it was about."""
        return {"".join(what): float(at) for at, kind, *what in self.process.objects() if kind == change}


def _told(processes: list[Zeroconf], change: str, name: str) -> bool:
    return all(name in one.times(change) for one in processes)


def _added(processes: list[Zeroconf], count: int) -> bool:
    return all(len(one.times("Added")) == count for one in processes)


def zeroconf(peers: int, settle: float, seconds: float, times: int) -> Figures:
    """With python-zeroconf."""
    figures = Figures("python-zeroconf", peers)
    with lab.Lan(HOSTS + 1) as lan:
        *homes, home = lan.hosts
        old = [Zeroconf(host, f"{host.name}-{place}") for place in range(peers // HOSTS) for host in homes]
        lab.until(partial(_added, old, peers), 120.0)
        figures.idle = idle(lan, settle, seconds)
        for number in range(times):
            newcomer = Zeroconf(home, f"new{number}")
            lab.until(partial(_added, [newcomer], peers + 1), 60.0)
            others = [at for name, at in newcomer.times("Added").items() if name != newcomer.name]
            figures.knows.append(1000 * (max(others) - newcomer.times("start")[""]))
            lab.until(partial(_told, old, "Added", newcomer.name), 60.0)
            newcomer.process.close_stdin()
            lab.until(partial(_told, old, "Removed", newcomer.name), 60.0)
            seen = median(one.times("Removed")[newcomer.name] for one in old)
            figures.goodbye.append(1000 * (seen - newcomer.times("end")[""]))
    return figures


def _shown(processes: list[lab.Process], text: str) -> bool:
    return all(text in one.stdout for one in processes)


def _listed(processes: list[lab.Process], count: int) -> bool:
    """Whether each avahi-browse has shown so many entries, in IPv4."""
    return all(len({line for line in one.lines() if line.startswith(FOUND)}) == count for one in processes)


def avahi(peers: int, settle: float, seconds: float, times: int) -> Figures:
    """With Avahi. A newcomer is an avahi-browse beside a daemon that has just started."""
    figures = Figures("Avahi", peers)
    with lab.Lan(HOSTS + 1) as lan:
        *homes, home = lan.hosts
        daemons = [Avahi(host) for host in homes]
        for daemon in daemons:
            for place in range(peers // HOSTS):
                daemon.publish(f"{daemon.host.name}-{place}", TYPE, 80)
        watching = [daemon.browse(TYPE) for daemon in daemons]
        lab.until(partial(_listed, watching, peers), 120.0)
        figures.idle = idle(lan, settle, seconds)
        late = Avahi(home)
        for number in range(times):
            late.restart()
            start = time.monotonic()
            newcomer = late.browse(TYPE)
            lab.until(partial(_listed, [newcomer], peers), 60.0)
            figures.knows.append(1000 * (time.monotonic() - start))
            publisher = late.publish(f"new{number}", TYPE, 80)
            lab.until(partial(_shown, watching, f"{FOUND}new{number};"), 60.0)
            leaving = time.monotonic()
            publisher.terminate()
            gone: list[float] = []
            waiting = list(watching)
            while waiting:
                waiting = [one for one in waiting if f"-;eth0;IPv4;new{number};" not in one.stdout]
                gone += [time.monotonic()] * (len(watching) - len(waiting) - len(gone))
                time.sleep(0.005)
            figures.goodbye.append(1000 * (median(gone) - leaving))
    return figures


def announced(times: int) -> tuple[float, float, float]:
    """Of `mcast announce --dnssd`, medians in ms: from its start and from its first line until avahi-browse
    on another host shows it, and from its end until that shows no more of it."""
    started, ready, gone = [], [], []
    with lab.Lan(2) as lan:
        watching = Avahi(lan.hosts[0]).browse(TYPE)
        for number in range(times):
            start = time.monotonic()
            peer = lan.hosts[1].mcast("announce", "-n", f"new{number}", "--service", f"{TYPE}:80", "--dnssd")
            peer.wait_for("announcing in", stream="stderr")
            joined = time.monotonic()
            watching.wait_for(f"{FOUND}new{number};")
            started.append(1000 * (time.monotonic() - start))
            ready.append(1000 * (time.monotonic() - joined))
            peer.interrupt()
            ended = time.monotonic()
            watching.wait_for(f"-;eth0;IPv4;new{number};")
            gone.append(1000 * (time.monotonic() - ended))
    return median(started), median(ready), median(gone)


def main() -> None:
    """Measure as told on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peers", type=int, nargs="*", default=[10, 50])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--settle", type=float, default=30.0)
    parser.add_argument("--times", type=int, default=5)
    chosen = parser.parse_args()
    print(
        "| | a newcomer knows all | a goodbye is seen | a killed one is suspect, gone | idle, all together |"
    )
    print("|---|---|---|---|---|")
    if not missing():
        started, ready, gone = announced(chosen.times)
        shown = (
            f"mcast announce --dnssd is seen by Avahi {started:.0f} ms after its start, {ready:.0f} after its"
        )
        print(f"{shown} first line, and gone {gone:.0f} ms after its end", file=sys.stderr, flush=True)
    for peers in chosen.peers:
        for contender in (mcast, zeroconf, avahi):
            if contender is avahi and missing():
                continue
            print(contender(peers, chosen.settle, chosen.seconds, chosen.times).row(), flush=True)


if __name__ == "__main__":
    main()
