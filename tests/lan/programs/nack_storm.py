"""What a member that asks for repairs as fast as it likes costs the others, and itself, on a real LAN.

    python -m tests.lan.programs.nack_storm [--rate 315] [--seconds 20]

Three hosts: ada, who has published 2,000 records, sends a line every 50 ms to bob. Mallory, who knows the
open room, sends `rate` NACKs a second, each signed by one of eight identities that have announced
themselves, and each for 8,000 records of ada's. Prints the share of a core that each of them used, with and
without the attack, how long ada's lines took, and how many bytes ada's host sent.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import NamedTuple

from tests import lab
from tests.lan.programs.hostile import EVERY, GROUP, PORT, sent_by
from tests.lan.programs.remote import Member, finished, members

PUBLISHED = 2000
IDENTITIES = 8
ATTACK = """
    import json, random, socket, struct, sys, time
    from mcast.core.events import PeerId
    from mcast.crypto.keys import Identity
    from mcast.crypto.rooms import open_room
    from mcast.crypto.seal import Sealer
    from mcast.crypto.signed import sign_frame
    from mcast.wire import frames as f
    from mcast.wire.codec import encode_frames

    group, port, rate, seconds, identities, victim = json.loads(sys.argv[1])
    room = open_room(f"{group}:{port}", "")
    rng = random.Random(1)
    author = PeerId(bytes.fromhex(victim[0]), victim[1])
    now = time.time()
    signers = [Identity(rng.randbytes(32)) for _ in range(identities)]
    runs = [PeerId(one.origin, int(now) << 16) for one in signers]
    sealers = [Sealer(room, rng.randbytes(8)) for _ in signers]
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    index = struct.pack("@4s4si", socket.inet_aton(group), b"", socket.if_nametoindex("eth0"))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, index)
    counter = 0

    def say(number, *frames):
        s.sendto(sealers[number].seal(encode_frames(frames)), (group, port))

    for number, (signer, me) in enumerate(zip(signers, runs)):
        counter += 1
        key = sign_frame(signer, room.id, f.Key(signer.public_key, int(1000 * now), "mallory"))
        stamp = round(1000 * time.time())
        said = f.Announcement(*me, counter, stamp, 0, 0, 5000, 2000, 1452, 0, 0, bytes(8))
        say(number, key, sign_frame(signer, room.id, said))
    print("ready", flush=True)
    sys.stdin.readline()
    start, used, sent, size = time.monotonic(), time.process_time(), 0, 0
    while (elapsed := time.monotonic() - start) < seconds:
        while sent < int(elapsed * rate):
            counter += 1
            number = sent % identities
            nack = f.Nack(*runs[number], counter, (f.Missing(*author, ((1, 8000),)),))
            say(number, sign_frame(signers[number], room.id, nack))
            sent += 1
        time.sleep(0.002)
    print(json.dumps([sent, time.process_time() - used]), flush=True)
"""


class Result(NamedTuple):
    """Shares of a core of each; seconds of the lines; NACKs a second; bytes a second of ada's host."""

    ada: float
    bob: float
    mallory: float
    took: list[float]
    nacks: float
    said: float


def used(lan: lab.Lan, member: Member) -> float:
    """Seconds of processor time that a member has used."""
    told = lan.namespaces.read(None, f"/proc/{member.process.pid}/stat")[0] or ""
    fields = told.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(rate: int, seconds: float) -> Result:
    """One run on a LAN of its own."""
    with lab.Lan(3) as lan:
        ada, bob = members(lan.hosts[:2], group=f"{GROUP}:{PORT}")
        ada("burst", PUBLISHED, 500, 60)
        finished(ada, 120.0)
        bob.hears(PUBLISHED, 60.0)
        told = [GROUP, PORT, rate, seconds, IDENTITIES, ada("whole_peer_id")]
        mallory = lan.hosts[2].python(ATTACK, json.dumps(told))
        mallory.wait_for("ready", timeout=60.0)
        time.sleep(1.0)
        before = [used(lan, member) for member in (ada, bob)]
        start, sent_before = time.monotonic(), sent_by(lan.hosts[0])
        mallory.write("go\n")
        ada("burst", int((seconds - 1.0) / EVERY), 1 / EVERY, 60)
        sent, cost = json.loads(mallory.wait_lines(2, seconds + 60.0)[1])
        passed = time.monotonic() - start
        of_ada, of_bob = (
            (used(lan, one) - was) / passed for one, was in zip((ada, bob), before, strict=True)
        )
        said = (sent_by(lan.hosts[0]) - sent_before) / passed
        finished(ada, 60.0)
        heard = [one for one in bob("messages") if one["name"] == "h1"][PUBLISHED:]
        took = [one["at"] - one["sent"] for one in heard]
        return Result(of_ada, of_bob, cost / passed, took, sent / passed, said)


def main() -> None:
    """Measure as told on the command line, without and with the attack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rate", type=int, default=315)
    parser.add_argument("--seconds", type=float, default=20.0)
    chosen = parser.parse_args()
    for rate in (0, chosen.rate):
        one = measure(rate, chosen.seconds)
        late = sorted(one.took)
        print(
            f"{one.nacks:.0f} NACKs/s: ada {one.ada:.1%} of a core, bob {one.bob:.1%}, mallory "
            f"{one.mallory:.1%}; lines {len(late)}, median {1e3 * late[len(late) // 2]:.1f} ms, "
            f"99th percentile {1e3 * late[round(0.99 * len(late)) - 1]:.1f} ms; "
            f"ada's host sent {one.said / 1e3:.1f} kB/s",
            flush=True,
        )


if __name__ == "__main__":
    main()
