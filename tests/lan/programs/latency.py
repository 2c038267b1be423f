"""Measure the one-way latency of one line at 100/s in an idle group, against two programs without mcast:
a plain blocking socket, and the least that any signed chat in asyncio can do.

    python -m tests.lan.programs.latency [--rounds 3] [--count 300] [--shared]

All by turns, on the same two hosts; prints the median of each and the ratios to the plain socket's.

Each host has a processor of its own, as on a LAN. With `--shared` the kernel places both programs as it
likes, most often on one processor, as it is the sender's that delivers in the lab: then the receiver waits
until the sender has nothing more to do.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from statistics import median
from typing import NamedTuple

from tests import lab
from tests.lan.programs.remote import finished, members

RAW = """
    import json, os, socket, struct, sys, time
    group, port, receiving, count, rate, processors = "239.77.7.7", 7777, *json.loads(sys.argv[1])
    os.sched_setaffinity(0, processors)
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    index = struct.pack("@4s4si", socket.inet_aton(group), b"", socket.if_nametoindex("eth0"))
    if receiving:
        s.bind((group, port))
        s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, index)
        s.settimeout(10.0)
        print("ready", flush=True)
        took = []
        for _ in range(count):
            data = s.recv(2048)
            took.append(time.monotonic() - float(data.split()[1]))
        print(json.dumps(took), flush=True)
    else:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, index)
        start = time.monotonic()
        for number in range(count):
            time.sleep(max(0.0, start + number / rate - time.monotonic()))
            s.sendto(f"{number} {time.monotonic():.6f} ".ljust(60, ".").encode(), (group, port))
"""
SIGNED = """
    import asyncio, json, os, socket, struct, sys, time
    from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
    group, port, receiving, count, rate, processors = "239.77.7.7", 7777, *json.loads(sys.argv[1])
    os.sched_setaffinity(0, processors)
    public, secret = crypto_sign_seed_keypair(bytes(32))
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setblocking(False)
    index = struct.pack("@4s4si", socket.inet_aton(group), b"", socket.if_nametoindex("eth0"))

    async def receive():
        s.bind((group, port))
        s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, index)
        queue, took = asyncio.Queue(), []
        read = lambda: queue.put_nowait(crypto_sign_open(s.recv(2048), public))
        asyncio.get_running_loop().add_reader(s, read)
        print("ready", flush=True)
        for _ in range(count):
            data = await asyncio.wait_for(queue.get(), 10.0)
            took.append(time.monotonic() - float(data.split()[1]))
        print(json.dumps(took), flush=True)

    async def send():
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, index)
        start = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
            line = f"{number} {time.monotonic():.6f} ".ljust(60, ".").encode()
            s.sendto(crypto_sign(line, secret), (group, port))

    asyncio.run(receive() if receiving else send())
"""


class Times(NamedTuple):
    """Seconds that each line took, a list for each round: of a plain socket, of the floor and of mcast."""

    plain: list[list[float]]
    floor: list[list[float]]
    ours: list[list[float]]


def processors(shared: bool) -> tuple[list[int], list[int]]:
    """Those that the sender and the receiver may run on; both on the only one if there are not two."""
    able = sorted(os.sched_getaffinity(0))
    return (able, able) if shared or len(able) < 2 else (able[:1], able[1:])


def where(shared: bool) -> str:
    """Whether sender and receiver have a processor each, in words."""
    sending, hearing = processors(shared)
    return "processors shared" if sending == hearing else "a processor each"


def without(
    program: str, sender: lab.Host, receiver: lab.Host, count: int, rate: float, shared: bool
) -> list[float]:
    """Seconds each datagram took between two programs that do not use mcast."""
    sending, hearing = processors(shared)
    receiving = receiver.python(program, json.dumps([True, count, rate, hearing]))
    receiving.wait_for("ready")
    sender.python(program, json.dumps([False, count, rate, sending]))
    return [float(took) for took in json.loads(receiving.wait_lines(2, 60.0)[1])]


def measure(rounds: int, count: int, rate: float, shared: bool = False) -> Times:
    """The three by turns."""
    times = Times([], [], [])
    with lab.Lan(2) as lan:
        sender, receiver = members(lan.hosts)
        for member, some in zip((sender, receiver), processors(shared), strict=True):
            member("run_on", some)
        time.sleep(2.0)
        for place in range(rounds):
            for program, kept in ((RAW, times.plain), (SIGNED, times.floor)):
                kept.append(without(program, lan.hosts[0], lan.hosts[1], count, rate, shared))
            sender("burst", count, rate, 60)
            finished(sender)
            receiver.hears((place + 1) * count)
        took = [message["at"] - message["sent"] for message in receiver("messages")]
    times.ours.extend(took[first : first + count] for first in range(0, rounds * count, count))
    return times


def main() -> None:
    """Measure as told on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--shared", action="store_true")
    chosen = parser.parse_args()
    times = measure(chosen.rounds, chosen.count, chosen.rate, chosen.shared)
    base, floor, ours = (1e6 * median(itertools.chain(*rounds)) for rounds in times)
    print(
        f"blocking socket {base:.0f} us, signed in asyncio {floor:.0f} us ({floor / base:.1f} x), "
        f"mcast.aio {ours:.0f} us ({ours / base:.1f} x), {where(chosen.shared)}"
    )


if __name__ == "__main__":
    main()
