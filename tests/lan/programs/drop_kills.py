"""Drop files while receivers and senders are killed at random moments, and look at what is reported as whole.

    python -m tests.lan.programs.drop_kills [--runs 200] [--seed 1]

Each run takes a loss of 0, 1, 10 or 30 % at each receiver, one receiver that comes late, up to three SIGKILLs
of the sender or a receiver, and now and then a disk that is full. What was killed is started again. At the
every receiver but that with the full disk must have said that it is whole, and what lies in an inbox must
have the right SHA-256, also right after each kill.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import signal
import sys
import time
from hashlib import sha256
from pathlib import Path

import msgspec

from tests import lab

LOSSES = (0, 1, 10, 30)
PATIENCE = 120.0
SMALL = "1m"
"""The size of a full disk; every transfer is larger."""


class Outcome(msgspec.Struct):
    """What happened in one run."""

    loss: int
    kills: int
    full: bool
    size: int
    seconds: float = 0.0


class Receiver:
    """Somebody who gets the files, perhaps onto a disk that is too small."""

    def __init__(self, host: lab.Host, wanted: dict[str, str], full: bool) -> None:
        self.host, self.full = host, full
        self.inbox = host.home / "inbox"
        shutil.rmtree(self.inbox, ignore_errors=True)
        self.inbox.mkdir()
        self._wanted = wanted
        self.process: lab.Process | None = None

    def start(self) -> None:
        """Start it, or start it again."""
        get = f"{sys.executable} -m mcast get --into {self.inbox} --name {self.host.name} --linger 5m"
        mount = f"mount -t tmpfs -o size={SMALL} none {self.inbox} && " if self.full else ""
        self.process = self.host.spawn(["sh", "-c", f"{mount}exec {get}"])

    def kill(self) -> None:
        """SIGKILL, and look at what is left."""
        if self.process is not None and not self.full:
            self.process.signal(signal.SIGKILL, group=True)
            self.process.wait()
            self.check()
            self.start()

    def whole(self) -> bool:
        """Whether it says that it has everything. Then that must be true."""
        assert self.process is not None
        if self.full or (" MB/s)" not in self.process.stderr and " kB/s)" not in self.process.stderr):
            return False
        missing = self._wanted.keys() - self.check().keys()
        assert not missing, f"reported as whole, and {missing} are missing"
        return True

    def check(self) -> dict[str, str]:
        """What is there as whole: it must be right."""
        here = {
            str(path.relative_to(self.inbox)): sha256(path.read_bytes()).hexdigest()
            for path in self.inbox.rglob("*")
            if path.is_file() and ".part/" not in str(path)
        }
        for path, digest in here.items():
            # A program that was killed after its files were moved may get them once more.
            known = re.sub(r"^sent \(\d+\)/", "sent/", path)
            assert digest == self._wanted[known], f"{path} is not what was sent"
        return here

    def end(self) -> str:
        """End it; what it said."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.signal(signal.SIGKILL, group=True)
        self.process.wait()
        self.process.close()
        return self.process.stderr


def make(directory: Path, chance: random.Random) -> dict[str, str]:
    """Files to send: one large one and some small ones. Returns their SHA-256."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for number in range(chance.randrange(5)):
        (directory / f"small {number}").write_bytes(chance.randbytes(chance.choice([0, 1, 1000, 40_000])))
    (directory / "large").write_bytes(chance.randbytes(chance.randrange(2, 6) << 20))
    return {f"sent/{path.name}": sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}


def run(lan: lab.Lan, seed: int) -> Outcome:
    """One run; AssertionError if anything was reported that is not so."""
    chance = random.Random(seed)
    sender, *hosts = lan.hosts
    directory = sender.home / "sent"
    wanted = make(directory, chance)
    size = sum(path.stat().st_size for path in directory.iterdir())
    outcome = Outcome(chance.choice(LOSSES), chance.randrange(4), chance.random() < 0.2, size)
    began = time.monotonic()
    full = chance.randrange(len(hosts)) if outcome.full else -1
    receivers = [Receiver(host, wanted, number == full) for number, host in enumerate(hosts)]
    for host in hosts:
        host.loss(outcome.loss)
    sender.rate(chance.choice(["30mbit", "100mbit"]))

    def drop() -> lab.Process:
        return sender.mcast("drop", str(directory), "--name", "sender", "--wait-acks", "100", "-W", "10m")

    dropping = drop()
    late = chance.choice(receivers)
    for one in receivers:
        if one is not late:
            one.start()
    moments = sorted(chance.random() * 3.0 for _ in range(outcome.kills))
    time.sleep(chance.random())
    late.start()
    passed = 0.0
    for moment in moments:
        time.sleep(moment - passed)
        passed = moment
        if chance.random() < 0.4:
            dropping.signal(signal.SIGKILL)
            dropping.wait()
            dropping = drop()
        else:
            chance.choice(receivers).kill()
    wrong = end(dropping, receivers)
    for host in hosts:
        host.loss(0)
    if wrong:
        raise AssertionError(f"{outcome}: {wrong}")
    outcome.seconds = time.monotonic() - began
    return outcome


def end(dropping: lab.Process, receivers: list[Receiver]) -> str:
    """Wait until all are whole, and end all. All that was wrong, and what they said; empty if nothing was."""
    wrong = []
    try:
        lab.until(lambda: all(one.whole() or one.full for one in receivers), PATIENCE)
    except lab.LabTimeout:
        wrong.append("not whole")
    except AssertionError as error:
        wrong.append(str(error))
    try:
        dropping.interrupt()
    except lab.LabTimeout as error:
        wrong.append(str(error))
    said = [one.end() for one in receivers]
    return "\n".join([*wrong, dropping.stderr, *said]) if wrong else ""


def main() -> None:
    """Run as often as told on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    kills = failed = 0
    for seed in range(options.seed, options.seed + options.runs):
        with lab.Lan(4) as lan:
            try:
                outcome = run(lan, seed)
            except AssertionError as error:
                failed += 1
                print(f"seed {seed}: {error}", flush=True)
                continue
        kills += outcome.kills
        print(f"seed {seed}: {outcome}", flush=True)
    print(f"{options.runs} runs with {kills} kills: {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
