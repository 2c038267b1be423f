"""How far `mcast ping` is from a raw UDP echo, and from what the kernel counts.

python -m tests.lan.programs.ping_echo [rounds]
"""

from __future__ import annotations

import re
import sys
from statistics import median
from typing import Any, NamedTuple

from tests import lab

ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 7000))
print("bound", flush=True)
while True:
    data, source = s.recvfrom(2048)
    s.sendto(data, source)
"""
ASK = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1.0)
s.connect(("10.9.0.2", 7000))
for _ in range(int(sys.argv[1])):
    at = time.perf_counter()
    s.send(bytes(108))
    s.recv(2048)
    print(time.perf_counter() - at)
    time.sleep(0.02)
"""
COUNT = 100
SIZE = 700
"""Bytes of the datagrams that are counted: nothing else here is as long."""
COUNTER = re.compile(r"counter packets (\d+)")


class Times(NamedTuple):
    """Medians of one round, in milliseconds: of the raw echo, of ping with it, and of ping with a member."""

    raw: float
    plain: float
    member: float


def summaries(process: lab.Process) -> dict[str, Any]:
    """The sums that ping printed, by way."""
    assert process.wait(120) == 0, process.stderr
    return {one["path"]: one for one in process.objects() if one["state"] == "summary"}


def times(h1: lab.Host) -> Times:
    """One round: the three by turns."""
    asking = h1.python(ASK, str(COUNT))
    assert asking.wait(120) == 0, asking.stderr
    raw = median(float(line) for line in asking.lines()) * 1000
    count = ("-C", str(COUNT), "--interval", "20ms", "--json", "--quiet")
    plain = summaries(h1.mcast("ping", "--plain", "10.9.0.2:7000", *count))
    member = summaries(h1.mcast("ping", "10.9.0.2", *count))
    return Times(raw, next(iter(plain.values()))["median_ms"], member["unicast"]["median_ms"])


def counts(h1: lab.Host, h2: lab.Host) -> tuple[tuple[int, int], tuple[int, int]]:
    """Questions and answers at 20 % loss in each direction: as ping counts them, and as the kernel does."""
    for host in (h1, h2):
        host.loss(20)
    sent = h1.firewall(f"udp length {SIZE + 8} counter", hook="output")
    came = h1.firewall(f"udp length {SIZE + 8} fib saddr type != local counter")
    sums = summaries(
        h1.mcast("ping", "10.9.0.2", "-C", "50", "--interval", "50ms", "--size", str(SIZE), "--json")
    )
    listed = h1.run(["nft", "list", "ruleset"]).stdout
    for host in (h1, h2):
        host.loss(0)
    sent.remove()
    came.remove()
    kernel = [int(number) for number in COUNTER.findall(listed)]
    told = sum(one["asked"] for one in sums.values()), sum(one["answered"] for one in sums.values())
    return told, (kernel[0], kernel[1])


def main(rounds: int) -> int:
    """Print the figures; 1 if the counts differ."""
    with lab.Lan(2, ipv6=False) as lan:
        h1, h2 = lan.hosts
        h2.python(ECHO).wait_for("bound")
        h2.mcast("chat", "--name", "bob").wait_for("chatting in", stream="stderr")
        for _ in range(rounds):
            one = times(h1)
            print(
                f"raw {one.raw:.3f} ms, ping --plain {one.plain:.3f} ms ({one.plain / one.raw:.2f} x), "
                f"ping of a member {one.member:.3f} ms ({one.member / one.raw:.2f} x)",
                flush=True,
            )
        told, kernel = counts(h1, h2)
        print(f"questions and answers: ping {told}, kernel {kernel}")
    return int(told != kernel)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
