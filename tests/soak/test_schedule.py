"""The schedule of the soak: the seed fixes it, and everything that goes wrong comes right again."""

from __future__ import annotations

from tests.soak.schedule import BIG, HOSTS, SLOTS, Mix, plan

OPPOSITE = {"unplug": "plug", "down": "up", "kill": "start", "stop": "resume", "part": "heal"}


def test_the_seed_fixes_the_schedule() -> None:
    assert plan(7, 300.0, Mix()) == plan(7, 300.0, Mix())
    assert plan(7, 300.0, Mix()) != plan(8, 300.0, Mix())


def test_everything_happens_and_has_ended_at_the_end() -> None:
    steps = plan(1, 900.0, Mix())
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert steps[0].at >= 0
    assert steps[-1].at <= 900.0
    actions = {step.action for step in steps}
    assert actions == {*OPPOSITE, *OPPOSITE.values(), "move", "cable", "say", "send", "browse"}
    for action, end in OPPOSITE.items():
        begun = [step.arguments for step in steps if step.action == action]
        assert sorted(begun) == sorted(step.arguments for step in steps if step.action == end)
    for host in range(1, HOSTS + 1):
        cables = [step.arguments[1] for step in steps if step.action == "cable" and step.arguments[0] == host]
        assert cables[-1] == {}
        assert {kind for cable in cables for kind in cable} == {"loss", "duplicates", "delay"}


def test_people_say_large_and_small_things() -> None:
    steps = plan(1, 900.0, Mix())
    sizes = {step.arguments[1] for step in steps if step.action in ("say", "send")}
    assert {0, BIG} <= sizes
    assert {step.arguments[0] for step in steps if step.action == "say"} == {
        slot.name for slot in SLOTS if slot.chats
    }
