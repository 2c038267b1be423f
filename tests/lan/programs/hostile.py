"""Measure what a neighbour that sends junk as fast as it can does to a conversation, on a real LAN.

    python -m tests.lan.programs.hostile [--rate 20000] [--seconds 30]

Three hosts: ada sends a line every 50 ms to bob; mallory, who knows the open room, sends `rate` datagrams
a second. Half begin with a valid header, a tenth are sealed with the open key; these hold announcements,
NACKs, reports, goodbyes and records, signed by identities made up for it, or forged in ada's name. Prints
how long ada's lines took, how much the members' memory grew, and how many bytes ada's host sent.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass

from tests import lab
from tests.lab import kernel
from tests.lan.programs.remote import Member, finished, members

EVERY = 0.05  # seconds between two lines
PERIOD = 1024  # different datagrams prepared before the attack
IDENTITIES = 8

ATTACK = """
    import json, random, socket, struct, sys, time
    from mcast.core.events import PeerId
    from mcast.crypto.keys import Identity
    from mcast.crypto.rooms import open_room
    from mcast.crypto.seal import Sealer
    from mcast.crypto.signed import sign_flush, sign_frame
    from mcast.wire import frames as f
    from mcast.wire.codec import encode_frames
    from mcast.wire.records import Kind, decode_record, encode_record

    group, port, rate, seconds, prepared, identities, victim = json.loads(sys.argv[1])
    room = open_room(f"{group}:{port}", "")
    rng = random.Random(1)
    author = PeerId(bytes.fromhex(victim[0]), victim[1])
    signers = [Identity(rng.randbytes(32)) for _ in range(identities)]
    now = time.time()

    def sealed(number):
        identity = rng.choice(signers)
        mine = PeerId(identity.origin, int(now) << 16)
        key = sign_frame(identity, room.id, f.Key(identity.public_key, 1, "mallory"))
        sign = lambda frame: sign_frame(identity, room.id, frame)
        stamp = round(1000 * now)
        record = encode_record(origin=mine.origin, incarnation=mine.incarnation, sequence=1 + number % 900,
                               timestamp=stamp, kind=Kind.MESSAGE, body=b"j")
        forged = encode_record(origin=author.origin, incarnation=author.incarnation,
                               sequence=1 + number % 900, timestamp=stamp, kind=Kind.MESSAGE, body=b"forged")
        made = [
            sign(f.Announcement(*mine, number + 1, stamp, 1, 900, 5000, 2000, 1452, 0, 0, bytes(8))),
            sign(f.Nack(*mine, number + 1, (f.Missing(*author, ((1, 8000),)),))),
            sign(f.Report(*mine, number + 1, (f.Heard(*author, 0, 0, 0, 0, 0, 0),))),
            decode_record(sign_flush(identity, room.id, mine.incarnation, [record])[0]),
            decode_record(sign_flush(identity, room.id, author.incarnation, [forged])[0]),
            sign(f.Nack(*author, 2**40, (f.Missing(*author, ((1, 8000),)),))),
            sign(f.Goodbye(*author, 2**40, 9)),
        ]
        return Sealer(room, rng.randbytes(8), number).seal(encode_frames([key, made[number % len(made)]]))

    def junk(number):
        if number % 10 == 0:
            return sealed(number)
        size = rng.randrange(41, 1400)
        if number % 10 < 6:
            return Sealer(room, rng.randbytes(8), number).seal(b"")[:24] + rng.randbytes(size)
        return rng.randbytes(size)

    datagrams = [junk(number) for number in range(prepared)]
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    index = struct.pack("@4s4si", socket.inet_aton(group), b"", socket.if_nametoindex("eth0"))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, index)
    print("ready", flush=True)
    sys.stdin.readline()
    start, sent = time.monotonic(), 0
    while (elapsed := time.monotonic() - start) < seconds:
        due = int(elapsed * rate)
        while sent < due:
            data = datagrams[sent % prepared]
            # Repeats are cheap to drop: what is not sealed is made new each time.
            s.sendto(data if sent % 10 == 0 else data[:-4] + sent.to_bytes(4, "big"), (group, port))
            sent += 1
        time.sleep(0.0005)
    print(sent, flush=True)
"""
GROUP, PORT = "239.66.66.66", 6666


@dataclass(frozen=True)
class Result:
    """Seconds each line took; bytes the members' memory grew by; datagrams sent; bytes ada sent meanwhile,
    and the seconds that passed.
    """

    took: list[float]
    lines: int
    grown: list[int]
    sent: int
    said: int
    passed: float

    @property
    def worst(self) -> float:
        """The 99th percentile."""
        return sorted(self.took)[round(0.99 * len(self.took)) - 1]


def resident(member: Member) -> int:
    """Bytes of memory of a member."""
    return int(member("resident"))


def sent_by(host: lab.Host) -> int:
    """Bytes of Ethernet frames that a host has sent."""
    return kernel.traffic_of_port(host.lan.proc("/proc/net/dev"), host.links["eth0"].port).sent_bytes


def measure(rate: int, seconds: float, prepared: int = PERIOD) -> Result:
    """One run on a LAN of its own."""
    with lab.Lan(3) as lan:
        ada, bob = members(lan.hosts[:2], group=f"{GROUP}:{PORT}")
        time.sleep(1.0)
        told = [GROUP, PORT, rate, seconds, prepared, IDENTITIES, ada("whole_peer_id")]
        mallory = lan.hosts[2].python(ATTACK, json.dumps(told))
        mallory.wait_for("ready", timeout=60.0)
        before = [resident(member) for member in (ada, bob)]
        start, sent_before = time.monotonic(), sent_by(lan.hosts[0])
        mallory.write("go\n")
        lines = int((seconds - 1.0) / EVERY)
        ada("burst", lines, 1 / EVERY, 60)
        finished(ada, seconds + 60.0)
        sent = int(mallory.wait_lines(2, seconds + 30.0)[1])
        bob.hears(lines, 60.0)
        grown = [resident(member) - was for member, was in zip((ada, bob), before, strict=True)]
        took = [message["at"] - message["sent"] for message in bob("messages") if message["name"] == "h1"]
        said = sent_by(lan.hosts[0]) - sent_before
        return Result(took, lines, grown, sent, said, time.monotonic() - start)


def main() -> None:
    """Measure as told on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    chosen = parser.parse_args()
    result = measure(chosen.rate, chosen.seconds)
    print(
        f"{result.sent / chosen.seconds:.0f} datagrams/s for {chosen.seconds:.0f} s; {len(result.took)} of "
        f"{result.lines} lines, 99th percentile {1e3 * result.worst:.0f} ms, "
        f"worst {1e3 * max(result.took):.0f} ms; memory grew by "
        f"{', '.join(f'{grown / 2**20:.1f}' for grown in result.grown)} MiB; "
        f"ada's host sent {result.said / chosen.seconds / 1024:.1f} KiB/s"
    )


if __name__ == "__main__":
    main()
