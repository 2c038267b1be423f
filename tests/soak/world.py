"""The LAN of a soak, the commands that run on it, and what happens to them."""

from __future__ import annotations

import itertools
import random
import re
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests import lab
from tests.lab.rough_switch import Cable, RoughSwitch
from tests.soak.oracle import Confirmed, Life, Said, Span
from tests.soak.schedule import SLOTS, Slot, Step

# A command that should end takes 3 s. On a machine that is busy with other things it may take long to start.
END_SECONDS = 60.0
MEMORY_SECONDS = 5.0
# After WARM_SECONDS a command has seen everything once. What it holds for others may grow to some MiB.
WARM_SECONDS = 20.0
LEAK_KIB = 24 * 1024
FAULTS = ("Traceback", "fault of mcast", "Exception")
NO_INTERFACE = 3
LETTERS = "abcdefghijklmnopqrstuvwxyz 汉字é"


@dataclass
class Running:
    """One process of a soak: what it is for the oracle, and what it is for the kernel."""

    life: Life
    host: int
    process: lab.Process
    slot: Slot | None = None
    wanted: set[int] = field(default_factory=lambda: {0})
    acks: str = ""
    all_confirm: bool = False
    deadline: float = float("inf")
    memory: list[int] = field(default_factory=list)


class World:
    """Makes steps of a schedule come true, and remembers what the oracle asks for."""

    def __init__(self, lan: lab.Lan, seed: int) -> None:
        self.lan = lan
        self.switch = RoughSwitch(lan)
        self.troubles: list[str] = []
        self.claims: list[Confirmed] = []
        self.everything: list[Running] = []
        self._slots: dict[str, Running] = {}
        self._rng = random.Random(seed)
        self._lives = itertools.count(1)
        # By host or life: when troubles of now began, and those that are over.
        self._begun: dict[int | str, list[float]] = {}
        self._hindered: dict[int | str, list[Span]] = {}
        self._lost: dict[int, list[float]] = {}
        self._moves = itertools.count(100)
        self._measured = 0.0
        self._leaking: list[Running] = []

    def do(self, step: Step) -> None:
        """Make a step of the schedule happen."""
        getattr(self, step.action)(*step.arguments)

    # What people do.

    def start(self, name: str) -> None:
        """Start the command of a slot, for the first time or again."""
        slot = next(slot for slot in SLOTS if slot.name == name)
        life = Life(f"{name}.{next(self._lives)}", float("inf"), float("inf"))
        life.objects = [] if slot.prints else None
        options = ("--name", life.name, "--profile", name, "--json")
        process = self._host(slot.host).mcast(*slot.command, *options)
        self._slots[name] = self._add(Running(life, slot.host, process, slot))

    def say(self, name: str, size: int) -> Said | None:
        """Type a line into a chat, unless it does not run just now."""
        running = self._slots[name]
        if running.process.poll() is not None or self._begun.get(running.life.name):
            return None
        message = self._message(running.life, size)
        running.process.write(message.text + "\n")
        return message

    def send(self, host: int, size: int, count: int, acks: str, linger: str = "2s") -> Running:
        """Start a `send` of some messages."""
        life = Life(f"send.{next(self._lives)}", time.time(), float("inf"))
        messages = [self._message(life, size) for _ in range(count)]
        options = ["--name", life.name, "-l", "--linger", linger, "--json"]
        options += ["--wait-acks", acks] if acks else []
        lines = "".join(message.text + "\n" for message in messages)
        running = Running(life, host, self._host(host).mcast("send", *options, input=lines))
        running.wanted = {0, 4, 27} if acks else {0}
        running.acks = acks
        running.deadline = life.joined + END_SECONDS
        return self._add(running)

    def browse(self, host: int) -> None:
        """Look once who is there."""
        life = Life(f"browse.{next(self._lives)}", time.time(), float("inf"))
        running = Running(life, host, self._host(host).mcast("browse", "-t", "--json"), wanted={0, 4})
        running.deadline = life.joined + END_SECONDS
        self._add(running)

    # What goes wrong.

    def cable(self, host: int, quality: dict[str, float]) -> None:
        """Make a cable good or bad."""
        where = self._host(host)
        self.switch.set(where, Cable(**quality, island=self.switch.cable(where).island))

    def part(self, hosts: Sequence[int]) -> None:
        """Cut some hosts off from the others."""
        self._islands(hosts, 1)
        self._hinder(*hosts)

    def heal(self, hosts: Sequence[int]) -> None:
        """End a partition."""
        self._islands(hosts, 0)
        self._free(*hosts)

    def unplug(self, host: int) -> None:
        """Pull a cable."""
        self._host(host).unplug()
        self._lose(host)

    def plug(self, host: int) -> None:
        """Put it back."""
        self._host(host).plug()
        self._free(host)

    def down(self, host: int) -> None:
        """Switch an interface off."""
        self._host(host).down()
        self._lose(host)

    def up(self, host: int) -> None:
        """Switch it on again."""
        self._host(host).up()
        self._free(host)

    def move(self, host: int) -> None:
        """Give a host another address, as a DHCP server does."""
        where, new = self._host(host), f"10.9.{next(self._moves)}.{host}/16"
        old = where.ip_json("-4", "address", "show", "dev", "eth0")[0]["addr_info"][0]["local"]
        where.add_address(new)
        where.delete_address(f"{old}/16")
        self._lose(host)
        self._free(host)

    def kill(self, name: str) -> None:
        """SIGKILL."""
        running = self._slots[name]
        running.life.killed, running.wanted = True, {-signal.SIGKILL}
        running.process.signal(signal.SIGKILL)

    def stop(self, name: str) -> None:
        """SIGSTOP."""
        self._slots[name].process.signal(signal.SIGSTOP)
        self._hinder(self._slots[name].life.name)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self._slots[name].process.signal(signal.SIGCONT)
        self._free(self._slots[name].life.name)

    # What is seen.

    def look(self) -> None:
        """Notice who has joined and who has ended, and measure memory."""
        now = time.time()
        measure = now - self._measured >= MEMORY_SECONDS
        for running in self.everything:
            life = running.life
            if life.ended < now:
                continue
            if life.joined > now and b" on eth0" in running.process.stderr_bytes:
                life.joined = now
            if running.process.poll() is not None:
                self._ended(running, now)
            elif now > running.deadline:
                self.troubles.append(f"{life.name} hangs")
                running.wanted, running.deadline = {-signal.SIGKILL}, float("inf")
                running.process.signal(signal.SIGKILL)
            elif measure:
                self._measure(running, now)
        if measure:
            self._measured = now

    def joined(self) -> bool:
        """Whether every command of a slot has joined."""
        return all(running.life.joined < float("inf") for running in self._slots.values())

    def unheard(self, said: Sequence[Said]) -> list[str]:
        """Who has not printed which of these short messages yet, a line each."""
        return [
            f"{running.life.name} does not hear {message.author}"
            for running in self._slots.values()
            for message in said
            if running.life.objects is not None
            and message.author != running.life.name
            and f'"{message.text}"' not in running.process.stdout
        ]

    def leave(self) -> None:
        """End all that still runs: a chat at the end of its input, the rest by SIGTERM."""
        for running in self._slots.values():
            running.deadline = time.time() + END_SECONDS
            if running.slot and running.slot.chats:
                running.process.close_stdin()
            else:
                running.process.signal(signal.SIGTERM)
        while any(running.life.ended == float("inf") for running in self.everything):
            self.look()
            time.sleep(0.05)

    def lives(self) -> list[Life]:
        """What the oracle judges, once everything has ended."""
        for running in self.everything:
            life = running.life
            life.hindered = [*self._hindered.get(running.host, ()), *self._hindered.get(life.name, ())]
            life.lost = self._lost.get(running.host, [])
            if life.objects is not None:
                life.objects = running.process.objects()
        return [running.life for running in self.everything]

    def keep(self, directory: Path) -> None:
        """Write down what every process printed."""
        directory.mkdir(parents=True, exist_ok=True)
        for running in self.everything:
            (directory / f"{running.life.name}.out").write_bytes(running.process.stdout_bytes)
            (directory / f"{running.life.name}.err").write_bytes(running.process.stderr_bytes)

    # How.

    def _host(self, number: int) -> lab.Host:
        return self.lan.hosts[number - 1]

    def _add(self, running: Running) -> Running:
        self.everything.append(running)
        return running

    def _message(self, life: Life, size: int) -> Said:
        """The next message of an author, of about `size` bytes."""
        head = f"{life.name} {len(life.said)}"
        filler = " " + "".join(self._rng.choices(LETTERS, k=size)) if size else ""
        text = (head + filler).encode()[: max(size, len(head))].decode(errors="ignore")
        message = Said(life.name, len(life.said), text, time.time())
        life.said.append(message)
        return message

    def _islands(self, hosts: Sequence[int], island: int) -> None:
        for host in map(self._host, hosts):
            self.switch.set(host, replace(self.switch.cable(host), island=island))

    def _hinder(self, *keys: int | str) -> None:
        for key in keys:
            self._begun.setdefault(key, []).append(time.time())

    def _free(self, *keys: int | str) -> None:
        for key in keys:
            # Whichever trouble this one is the end of: together they cover the same time.
            span = (self._begun[key].pop(), time.time())
            self._hindered.setdefault(key, []).append(span)

    def _was_hindered(self, host: int, since: float) -> bool:
        return bool(self._begun.get(host)) or any(end > since for _, end in self._hindered.get(host, ()))

    def _lose(self, host: int) -> None:
        self._hinder(host)
        self._lost.setdefault(host, []).append(time.time())

    def _ended(self, running: Running, now: float) -> None:
        life, code, stderr = running.life, running.process.wait(), running.process.stderr
        life.ended = now
        excused = code == NO_INTERFACE and self._was_hindered(running.host, life.joined)
        if code not in running.wanted and not excused:
            self.troubles.append(f"{life.name} ended with {code}: {stderr[-500:]}")
        if running.all_confirm:
            self.troubles += [f"{name} did not confirm {life.name}" for name in self._missing(running)]
        if life.joined > now and not life.killed:
            self.troubles.append(f"{life.name} never joined: {stderr[-500:]}")
        if any(word in stderr for word in FAULTS):
            self.troubles.append(f"{life.name} has a fault: {stderr[-2000:]}")
        if code == 0 and running.acks:
            count = None if running.acks == "all" else int(running.acks)
            self.claims += [Confirmed(said, life.joined, now, count) for said in life.said]

    def _missing(self, running: Running) -> list[str]:
        """Who did not confirm what was sent. A killed one may still be in the roster: see docs/scale.md."""
        killed = {other.life.name for other in self.everything if other.life.killed}
        missing = [item["from"]["name"] for item in running.process.objects() if item["type"] == "missing"]
        return [name for name in missing if name not in killed]

    def _measure(self, running: Running, now: float) -> None:
        status = self.lan.namespaces.read(None, f"/proc/{running.process.pid}/status")[0] or ""
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        if found and now > running.life.joined + WARM_SECONDS:
            running.memory.append(int(found[1]))
            if running.memory[-1] - running.memory[0] > LEAK_KIB and running not in self._leaking:
                self._leaking.append(running)
                self.troubles.append(f"{running.life.name} grew by more than {LEAK_KIB} KiB")
