"""Measure what made-up entries of DNS-SD and SSDP, as fast as they come, do to `browse`, on a real LAN.

    python -m tests.lan.programs.hostile_dnssd [--entries 100000]

Prints whether the honest entries stay listed, how many rows there are, and the memory of `browse`.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

from tests import lab

# Sends `count` entries of multicast DNS, four in a datagram, with names full of escapes and long texts, then
# devices of SSDP, all from one address.
ATTACK = r"""
import random, socket, struct, sys
count, size = int(sys.argv[1]), int(sys.argv[2])
rng = random.Random(1)
def label(data):
    return bytes((len(data),)) + data
def name(*labels):
    return b"".join(map(label, labels)) + b"\0"
KIND = b"_http", b"_tcp", b"local"
def record(owner, kind, data, unique=0x8001):
    return owner + struct.pack(">HHIH", kind, unique, 2**31 - 1, len(data)) + data
def answer(number):
    records = []
    for place in range(4):
        instance = b"\x1b[2J\n+\t%d-%d" % (number, place)
        host = name(b"h%d" % number, b"local")
        full = name(instance, *KIND)
        text = b"".join(label(rng.randbytes(255)) for _ in range(size // 256))
        records += [
            record(name(*KIND), 12, full, 1),
            record(full, 33, struct.pack(">HHH", 0, 0, 80) + host),
            record(full, 16, text or b"\0"),
            record(host, 1, bytes((10, 9, 0, 1))),
        ]
    return struct.pack(">HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("", 5353))
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[3]))
import time
for number in range(count // 4):
    s.sendto(answer(number), ("224.0.0.251", 5353))
    if number % 20 == 0:
        time.sleep(0.005)
for number in range(min(count, 20000)):
    usn = b"HTTP/1.1 200 OK\r\nUSN: uuid:%d::upnp:rootdevice\r\nLOCATION: http://10.9.0.1/\r\n\r\n" % number
    usn = usn.replace(b"HTTP/1.1 200 OK", b"NOTIFY * HTTP/1.1\r\nNTS: ssdp:alive")
    s.sendto(usn, ("239.255.255.250", 1900))
    if number % 50 == 0:
        time.sleep(0.005)
print("done", flush=True)
"""


@dataclass
class Result:
    """What `browse` showed and took: lines that are no rows, rows of made-up entries, bytes of memory."""

    honest: bool
    broken: int
    rows: int
    before: int
    after: int
    stderr: str


def measure(entries: int, text: int = 2000) -> Result:
    """One run on a LAN of its own: an honest peer and an honest entry, then the flood."""
    with lab.Lan(3) as lan:
        victim, honest, mallory = lan.hosts
        browsing = victim.mcast("browse", "--dnssd", "--ssdp")
        browsing.wait_for("browsing", stream="stderr")
        honest.mcast("announce", "-n", "honest", "--service", "_http._tcp:80", "--dnssd")
        browsing.wait_for("mcast+mdns", stream="stdout")
        before = resident(victim, browsing)
        attack = mallory.python(ATTACK, str(entries), str(text), mallory.address())
        attack.wait_for("done", timeout=600.0)
        witness = honest.mcast("announce", "-n", "witness", "--service", "_ssh._tcp:22")
        browsing.wait_for("\twitness\t", stream="stdout", timeout=120.0)
        witness.interrupt()
        browsing.wait_for("-\twitness\t", stream="stdout", timeout=120.0)
        after = resident(victim, browsing)
        lines = browsing.lines()
        gone = any(line.startswith("-\thonest\t") for line in lines)
        alive = browsing.poll() is None
        made_up = [line for line in lines if line.startswith("+\t\\x1b[2J\\n+\\t")]
        broken = [
            line for line in lines if line.count("\t") != 9 or not line.startswith(("+\t", "=\t", "-\t"))
        ]
        browsing.interrupt()
        return Result(alive and not gone, len(broken), len(made_up), before, after, browsing.stderr)


def resident(host: lab.Host, process: lab.Process) -> int:
    """Bytes of memory in use (proc_pid_status(5))."""
    status = host.run(["cat", f"/proc/{process.pid}/status"]).stdout
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) * 1024


def main() -> None:
    """Measure as told on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--text", type=int, default=2000, help="bytes of text in each entry")
    chosen = parser.parse_args()
    start = time.monotonic()
    found = measure(chosen.entries, chosen.text)
    print(
        f"{chosen.entries} entries in {time.monotonic() - start:.0f} s: "
        f"honest {'stays' if found.honest else 'LOST'}, "
        f"{found.rows} made-up rows, {found.broken} broken lines, "
        f"{found.before / 2**20:.0f} MiB before, {found.after / 2**20:.0f} after"
    )
    print(found.stderr, end="")


if __name__ == "__main__":
    main()
