"""A visitor that sends one message and waits until all have confirmed it, as `send --wait-acks all` does.

The others have been here for a while or have only listened so far; one may only look around, leave or crash
meanwhile. `test_confirm` plays it.
"""

from __future__ import annotations

from random import Random

from mcast import simulation
from mcast.core.events import Message
from mcast.runtime.asking import RollCall
from mcast.runtime.group import ASK_AGAIN

LINGER = 2.0  # seconds


class Sending:
    """One such message; `complete` tells whether all have confirmed it, by the sender's judgement."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.lan = lan = simulation.Lan(
            seed, loss=random.choice([0.0, 0.05, 0.1, 0.3]), jitter=0.001, duplicate=0.05
        )
        self.members = [
            lan.join(f"m{number}", quiet=random.random() < 0.5) for number in range(random.randint(1, 8))
        ]
        if random.random() < 0.5:
            lan.join("browser", visitor=True)
        lan.run(10 * random.random())
        self.sender = lan.join("sender", visitor=True)
        self.complete = False

    def run(self) -> None:
        """Get acquainted, send, wait."""
        self._acquaint()
        present = [member for member in self.members if member.alive]
        self.text = f"message {self.lan.seed}"
        receipt = self.sender.send(self.text)
        if self.random.random() < 0.3:
            self.lan.run(0.1 * self.random.random())
            leaver = self.random.choice(self.members)
            self.random.choice([leaver.leave, leaver.crash])()
        self._wait(receipt.sequence)
        self.has_it = {member.name for member in present if self._got(member)}
        self.lacks_it = {member.name for member in present} - self.has_it

    def _acquaint(self) -> None:
        """As Group.acquaint() does."""
        call = RollCall(self.sender.engine, self.lan.now, visitor=True)
        while not call.complete(self.lan.now):
            self.sender.step()
            self.lan.run(0.02)

    def _wait(self, sequence: int) -> None:
        """As Receipt.acked() does."""
        engine = self.sender.engine
        limit, ask_at, asked = self.lan.now + LINGER, self.lan.now + ASK_AGAIN, False
        while self.lan.now < limit:
            heard = engine.heard_by(sequence)
            self.complete = bool(heard) and not engine.unheard_by(sequence)
            if self.complete:
                return
            if self.lan.now >= ask_at or (heard and not asked):
                asked = True
                ask_at = self.lan.now + max(ASK_AGAIN, engine.ask_reports(self.lan.now))
                self.sender.step()
            self.lan.run(0.005)

    def _got(self, member: simulation.Member) -> bool:
        return any(event.text == self.text for event in member.events() if isinstance(event, Message))
