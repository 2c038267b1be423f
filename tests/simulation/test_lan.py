"""What the simulated LAN itself promises: options, faults, and that a trace depends on the seed alone."""

from __future__ import annotations

from typing import Any

import pytest

from mcast import simulation


def test_the_example_of_the_module_holds() -> None:
    lan = simulation.Lan(seed=7, loss=0.3)
    ada, bob = lan.join("ada"), lan.join("bob")
    ada.send("hi")
    lan.run(5.0)
    assert [message.text for message in bob.messages()] == ["hi"]
    assert ada.messages() == []


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"loss": 0.5, "duplicate": 0.2},
        {"reorder": 0.3, "corrupt": 0.1, "jitter": 0.1},
        {"burst": simulation.Burst()},
    ],
)
def test_a_trace_depends_on_the_seed_alone(conditions: dict[str, Any]) -> None:
    def trace(seed: int) -> str:
        lan = simulation.Lan(seed, **conditions)
        members = [lan.join(f"m{number}") for number in range(4)]
        for number in range(8):
            members[number % 4].send(b"%d" % number)
            lan.run(0.7)
        members[0].crash()
        members[1].leave()
        lan.run(30.0)
        members[0].start(disk=False)
        lan.run(5.0)
        return lan.trace

    assert trace(1) == trace(1)
    assert trace(1) != trace(2)


def test_a_thousand_messages_at_thirty_percent_loss_arrive_soon() -> None:
    """Four receivers: every message once, in order, a second after the last, for three times the bytes.

    One run takes from 2.8 to 3.1 times, and from 0.1 to 0.7 s: the bytes are the mean of sixteen.
    """
    sent = 0
    for seed in range(1, 17):
        lan = simulation.Lan(seed, loss=0.3)
        ada = lan.join("ada")
        others = [lan.join(f"m{number}") for number in range(4)]
        lan.run(3.0)
        before = lan.sent_bytes
        for number in range(1000):
            ada.send(b"%04d" % number * 256)
            lan.run(0.0005)
        lan.run(1.0)
        sent += lan.sent_bytes - before
        for other in others:
            assert [message.data[:4] for message in other.messages()] == [b"%04d" % n for n in range(1000)]
    assert sent < 16 * 3.0 * 1024 * 1000
