"""What happens when in a soak: faults, and what people do meanwhile. The seed fixes the schedule."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

HOSTS = 6
BIG = 64 * 1024


@dataclass(frozen=True)
class Slot:
    """A command that runs all the time on a host, and is started again when it was killed."""

    name: str
    host: int
    command: tuple[str, ...]

    @property
    def chats(self) -> bool:
        """Whether it says something."""
        return self.command[0] == "chat"

    @property
    def prints(self) -> bool:
        """Whether it prints what others say."""
        return self.command[0] in ("chat", "listen")


SLOTS = (
    Slot("ada", 1, ("chat",)),
    Slot("bob", 2, ("chat", "--last", "20")),
    Slot("eve", 3, ("chat",)),
    Slot("tail", 4, ("listen",)),
    Slot("log", 5, ("listen", "--since", "1h")),
    Slot("pipe", 6, ("listen",)),
    Slot("printer", 6, ("announce", "--service", "_ipp._tcp:631")),
)


@dataclass(frozen=True)
class Step:
    """One thing that happens, `at` seconds after the start: a method of `world.World` and its arguments."""

    at: float
    action: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Mix:
    """How bad the days are. Times are in seconds; a rate is how many a minute."""

    cables: Sequence[str] = ("loss", "duplicates", "delay")
    troubles: Sequence[str] = ("unplug", "down", "move", "kill", "stop")
    partitions: bool = True
    loss: float = 0.4
    longest: float = 60.0
    pause: float = 12.0
    lines: float = 30.0
    sends: float = 8.0
    browses: float = 1.0
    acks: Sequence[str] = field(default=("", "", "all", "all", "2"))


def plan(seed: int, seconds: float, mix: Mix) -> list[Step]:
    """All steps in order. After `seconds` every fault has ended, and every killed command runs again."""
    rng = random.Random(seed)
    steps: list[Step] = []
    for host in range(1, HOSTS + 1):
        steps += _cable(rng, host, seconds, mix)
        steps += _troubles(rng, host, seconds, mix)
    if mix.partitions:
        steps += _partitions(rng, seconds, mix)
    steps += _talk(rng, seconds, mix)
    return sorted(steps, key=lambda step: step.at)


def _spans(
    rng: random.Random, seconds: float, pause: float, length: Callable[[], float]
) -> Iterator[tuple[float, float]]:
    """(start, end) of spans that do not overlap and end before `seconds`."""
    end = 0.0
    while True:
        start = end + 1.0 + rng.expovariate(1 / pause)
        end = start + length()
        if end > seconds:
            return
        yield start, end


def _length(rng: random.Random, mix: Mix) -> float:
    """How long a fault lasts: mostly seconds, sometimes a minute."""
    return min(mix.longest, 1.0 + rng.expovariate(1 / 8.0))


def _cable(rng: random.Random, host: int, seconds: float, mix: Mix) -> Iterator[Step]:
    for start, end in _spans(rng, seconds, mix.pause, lambda: _length(rng, mix)):
        quality: dict[str, float] = {}
        for kind in rng.sample(mix.cables, min(len(mix.cables), rng.randint(1, 2))):
            most = {"loss": mix.loss, "duplicates": 0.3, "delay": 0.2}[kind]
            quality[kind] = round(rng.uniform(0.0, most), 3)
        yield Step(start, "cable", (host, quality))
        yield Step(end, "cable", (host, {}))


def _troubles(rng: random.Random, host: int, seconds: float, mix: Mix) -> Iterator[Step]:
    """One trouble at a time for a host, so that a command that is started finds a network."""
    here = [slot.name for slot in SLOTS if slot.host == host]
    for start, end in _spans(rng, seconds, 2 * mix.pause, lambda: _length(rng, mix)):
        kind = rng.choice(mix.troubles)
        if kind == "move":
            yield Step(start, "move", (host,))
        elif kind in ("unplug", "down"):
            # A computer that is off the network for a minute has left its networks: see docs/security.md.
            end = min(end, start + 20.0)
            yield Step(start, kind, (host,))
            yield Step(end, {"unplug": "plug", "down": "up"}[kind], (host,))
        elif kind == "kill":
            name = rng.choice(here)
            yield Step(start, "kill", (name,))
            yield Step(min(end, start + 5.0), "start", (name,))
        else:
            name = rng.choice(here)
            yield Step(start, "stop", (name,))
            yield Step(end, "resume", (name,))


def _partitions(rng: random.Random, seconds: float, mix: Mix) -> Iterator[Step]:
    for start, end in _spans(rng, seconds, 3 * mix.pause, lambda: _length(rng, mix)):
        cut = tuple(sorted(rng.sample(range(1, HOSTS + 1), rng.randint(1, HOSTS // 2))))
        yield Step(start, "part", (cut,))
        yield Step(end, "heal", (cut,))


def _talk(rng: random.Random, seconds: float, mix: Mix) -> Iterator[Step]:
    chats = [slot.name for slot in SLOTS if slot.chats]
    for at in _moments(rng, seconds, mix.lines):
        yield Step(at, "say", (rng.choice(chats), _size(rng)))
    for at in _moments(rng, seconds, mix.sends):
        yield Step(
            at, "send", (rng.randint(1, HOSTS), _size(rng), rng.choice((1, 1, 3)), rng.choice(mix.acks))
        )
    for at in _moments(rng, seconds, mix.browses):
        yield Step(at, "browse", (rng.randint(1, HOSTS),))


def _moments(rng: random.Random, seconds: float, rate: float) -> Iterator[float]:
    at = rng.expovariate(rate / 60) if rate else seconds
    while at < seconds:
        yield at
        at += rng.expovariate(rate / 60)


def _size(rng: random.Random) -> int:
    """Length of a message: mostly a line, sometimes of several datagrams, sometimes the largest."""
    return rng.choices((0, rng.randint(100, 1400), rng.randint(1400, 20_000), BIG), (12, 4, 3, 1))[0]
