"""One soak from its start to the verdict."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests import lab
from tests.soak.oracle import ACQUAINTED, judge
from tests.soak.schedule import HOSTS, SLOTS, Mix, Step, plan
from tests.soak.world import World

JOIN_SECONDS = 30.0
# Whoever can reach a holder for so long has the message or has told a gap. The calm at the end is longer.
PATIENCE = 30.0
# The promise for the idle group is 2.5 kB/s; in so short a time a digest or an announcement more may fall.
IDLE_SECONDS = 10.0
IDLE_BYTES = 4000.0
ROLL_CALL_SECONDS = 15.0


@dataclass(frozen=True)
class Result:
    """What was not as promised, a line each, and what happened in all."""

    wrong: list[str]
    summary: str


def soak(
    seed: int,
    seconds: float,
    mix: Mix,
    *,
    patience: float = PATIENCE,
    keep: Path | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> Result:
    """Let things go wrong for `seconds`, then let the group recover, and judge."""
    steps = plan(seed, seconds, mix)
    with lab.Lan(HOSTS, offload=False) as lan:
        world = World(lan, seed)
        for slot in SLOTS:
            world.start(slot.name)
        _wait(world, JOIN_SECONDS, world.joined)
        _play(world, steps, say)
        _wait(world, patience + ACQUAINTED - IDLE_SECONDS)
        idle = _idle(world)
        unheard = _roll_call(world)
        world.leave()
        lives = world.lives()
        wrong = [*world.troubles, *unheard, *judge(lives, world.claims, patience)]
        if idle > IDLE_BYTES:
            wrong.append(f"the idle group sent {idle:.0f} bytes/s")
        if keep is not None and wrong:
            world.keep(keep)
            (keep / "steps").write_text("".join(f"{step}\n" for step in steps))
    counts = Counter(step.action for step in steps)
    messages = sum(len(life.said) for life in lives)
    done = ", ".join(f"{count} {action}" for action, count in sorted(counts.items()))
    return Result(wrong, f"{len(lives)} processes, {messages} messages, idle {idle:.0f} bytes/s; {done}")


def _wait(world: World, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
    """Look at the world for so long, or until something holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        world.look()
        time.sleep(0.05)


def _play(world: World, steps: list[Step], say: Callable[[str], object]) -> None:
    start = time.monotonic()
    minute = 1
    for step in steps:
        _wait(world, start + step.at - time.monotonic())
        world.do(step)
        if step.at > 60 * minute:
            say(f"minute {minute}: {len(world.troubles)} troubles so far")
            minute += 1


def _idle(world: World) -> float:
    """Bytes a second that the whole group sends while nobody says anything."""
    before, start = world.lan.traffic(), time.monotonic()
    _wait(world, IDLE_SECONDS)
    return (world.lan.traffic() - before).sent_bytes / (time.monotonic() - start)


def _roll_call(world: World) -> list[str]:
    """On a network that is good again everybody hears everybody, and all confirm."""
    said = [message for slot in SLOTS if slot.chats and (message := world.say(slot.name, 0))]
    sending = world.send(1, 0, 1, "all", linger="10s")
    sending.wanted, sending.all_confirm = {0, 27}, True
    said += sending.life.said
    _wait(world, ROLL_CALL_SECONDS, lambda: not world.unheard(said))
    return world.unheard(said)
