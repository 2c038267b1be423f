"""Kill chats at random moments while three people talk, and look at what is left on the disk.

    python -m tests.lan.programs.killed [--kills 200] [--seed 1]

After each kill the history opens and is whole, all that it had shown before is still there, and no
incarnation was used twice.
"""

from __future__ import annotations

import argparse
import random
import signal
import sqlite3
import time
from pathlib import Path

from mcast.store.history import History
from tests import lab

PLACE = Path(".data") / "mcast" / "history-default.db"
COUNTER = Path(".state") / "mcast" / "profiles" / "incarnation-default"


class Person:
    """Somebody who chats, is killed, and comes back."""

    def __init__(self, host: lab.Host) -> None:
        self._host = host
        self.path = host.home / PLACE
        self.shown: set[str] = set()
        self.incarnations: list[int] = []
        self.said = 0
        self.start()

    def start(self) -> None:
        """Join the chat."""
        self.chat = self._host.mcast("chat", "--name", self._host.name)
        self.chat.wait_for("chatting in", timeout=60)
        self.incarnations.append(int((self._host.home / COUNTER).read_text()))

    def talk(self) -> None:
        """Say a few lines at once."""
        for _ in range(3):
            self.said += 1
            self.chat.write(f"{self._host.name} says {self.said}\n")

    def look(self) -> None:
        """See what the history shows."""
        if self.path.exists():
            history = History(self.path)
            self.shown |= {entry.id for entry in history.find(last=100_000)}
            history.close()

    def kill(self) -> None:
        """SIGKILL, and look at what is left."""
        self.look()
        self.chat.signal(signal.SIGKILL, group=True)
        self.chat.wait()
        self.chat.release()
        if not self.path.exists():
            return
        database = sqlite3.connect(self.path)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.execute("INSERT INTO grams (grams) VALUES ('integrity-check')")
        database.close()
        history = History(self.path)
        left = {entry.id for entry in history.find(last=100_000)}
        assert history.notice == ""
        history.close()
        assert self.shown <= left, f"{len(self.shown - left)} messages are gone"


def run(kills: int, seed: int) -> tuple[int, int]:
    """Kill so often; how many messages are kept by all, and how many incarnations there were."""
    chance = random.Random(seed)
    with lab.Lan(3) as lan:
        people = [Person(host) for host in lan.hosts]
        for _ in range(kills):
            for person in people:
                person.talk()
            time.sleep(chance.random() * 0.5)
            victim = chance.choice(people)
            victim.kill()
            victim.start()
        for person in people:
            person.kill()
            assert sorted(set(person.incarnations)) == person.incarnations, "an incarnation came twice"
        return sum(len(person.shown) for person in people), sum(len(one.incarnations) for one in people)


def main() -> None:
    """Kill as often as told on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    messages, runs = run(options.kills, options.seed)
    print(f"{options.kills} kills, {runs} runs: {messages} messages were shown, none is missing")


if __name__ == "__main__":
    main()
