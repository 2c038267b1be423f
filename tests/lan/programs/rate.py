"""Measure rate control on a real LAN.

    python -m tests.lan.programs.rate [slow | share | tcp | full] [--seconds 10] [--rate 10mbit]

slow: one sender, two receivers, one behind a slow link. share: two senders, a receiver behind it. tcp: a
sender and a TCP connection through it. full: no slow link, at full speed.
Prints what each receives, second by second, and the sender's rate.
"""

from __future__ import annotations

import argparse
import time

from tests import lab
from tests.lab import tools
from tests.lan.programs.remote import Member, members

MANY = 100_000_000
SINK = """
import socket, sys, time
s = socket.create_server(("0.0.0.0", 5001)); print("ready", flush=True)
c, _ = s.accept(); n = 0; end = time.monotonic() + 1
while data := c.recv(65536):
    n += len(data)
    if time.monotonic() >= end: print(n, flush=True); n = 0; end += 1
"""
# CUBIC is the default of Linux, macOS and Windows. What BBR gets of a cable depends on who came first.
SOURCE = """
import socket, sys
c = socket.socket(); c.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
c.connect((sys.argv[1], 5001))
while True: c.sendall(bytes(65536))
"""


def narrow(host: lab.Host, rate: str, buffer: str = "100ms") -> None:
    """Limit what reaches `host` over its cable; `buffer` is how long something may wait for it."""
    argv = ["tc", "qdisc", "replace", "dev", host.links["eth0"].port, "root"]
    tools.execute(host.lan.namespaces, None, [*argv, "tbf", "rate", rate, "burst", "16kb", "latency", buffer])


def watch(seconds: int, receivers: list[Member], sender: Member) -> list[list[int]]:
    """Bytes of messages a second at each, printed as they come."""
    before = [receiver("bytes") for receiver in receivers]
    rows = []
    for _ in range(seconds):
        time.sleep(1.0)
        now = [receiver("bytes") for receiver in receivers]
        rows.append([new - old for new, old in zip(now, before, strict=True)])
        stats = sender("stats")
        print([row // 1000 for row in rows[-1]], "kB/s, rate", stats["rate"] // 1000, flush=True)
        before = now
    return rows


def main() -> None:
    """Measure as told on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["slow", "share", "tcp", "full"])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rate", default="10mbit")
    parser.add_argument("--size", type=int, default=1000)
    chosen = parser.parse_args()
    with lab.Lan(3, offload=False) as lan:
        made = members(lan.hosts)
        time.sleep(1.0)
        target = lan.hosts[2]
        if chosen.what != "full":
            narrow(target, chosen.rate)
        if chosen.what == "tcp":
            sink = target.python(SINK)
            sink.wait_for("ready")
            lan.hosts[1].python(SOURCE, target.links["eth0"].ipv4.partition("/")[0])
        for sender in made[: 2 if chosen.what == "share" else 1]:
            sender("burst", MANY, MANY, chosen.size)
            time.sleep(2.0 if chosen.what == "share" else 0.0)
        rows = watch(chosen.seconds, made[1:], made[0])
        if chosen.what == "tcp":
            print("TCP kB/s:", [int(line) // 1000 for line in sink.stdout.split()[1:]])
        if chosen.what == "share":
            shares = made[2]("bytes_by_peer")
            print(
                "Jain index:", sum(shares.values()) ** 2 / len(shares) / sum(s * s for s in shares.values())
            )
        print("mean kB/s:", [sum(column) // len(rows) // 1000 for column in zip(*rows, strict=True)])
        for member in made:
            print(
                member.host.name,
                [event for _, kind, event in member("events") if "Slow" in kind or "Send" in kind],
            )


if __name__ == "__main__":
    main()
