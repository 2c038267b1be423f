"""mcast bench between two hosts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from mcast.cli import bench
from tests import lab
from tests.cli.test_schema import valid

_ports = itertools.count(4900)


@pytest.fixture
def port() -> str:
    return str(next(_ports))


def receiving(host: lab.Host, port: str, *arguments: str) -> lab.Process:
    process = host.mcast("bench", "receive", "--port", port, *arguments)
    process.wait_for("measuring in 239.255.109.98", stream="stderr")
    return process


def sums(events: Sequence[dict[str, Any]]) -> list[int]:
    """Messages of the stretches together, and of the summary."""
    states = {
        state: [e["messages"] for e in events if e["state"] == state] for state in ("interval", "summary")
    }
    return [sum(states["interval"]), *states["summary"]]


def test_both_ends_count_the_same(pair: tuple[lab.Host, lab.Host], port: str) -> None:
    here, there = pair
    machine, people = receiving(there, port, "--json"), receiving(there, port)
    limits = ["--size", "64", "--rate", "500", "-W", "1", "--interval", "300ms", "--peers", "2", "--json"]
    sender = here.mcast("bench", "send", "--port", port, *limits)
    assert sender.wait() == machine.wait() == people.wait() == 0
    sent, heard = sender.objects(), machine.objects()
    assert set(valid(sent + heard)) == {"bench"}
    stretches, total = sums(sent)
    assert 400 <= total <= 500
    assert [stretches, total] == sums(heard) == [total, total]
    assert sent[-1]["bytes"] == heard[-1]["bytes"] == 64 * total
    first, *_, rule, summary = people.lines()
    assert (first, set(rule)) == (bench.HEADING, {"-"})
    assert summary.split()[4:6] == ["0", "0"]


def test_an_interrupted_sender_sums_up_and_lets_the_receiver_end(
    pair: tuple[lab.Host, lab.Host], port: str
) -> None:
    here, there = pair
    receiver = receiving(there, port)
    sender = here.mcast("bench", "send", "--port", port, "--rate", "200", "--interval", "200ms")
    sender.wait_lines(2)
    assert sender.interrupt() == 130
    assert receiver.wait() == 0
    assert sender.lines()[-2] == receiver.lines()[-2] == "-" * len(bench.HEADING)


def test_nobody_is_there(pair: tuple[lab.Host, lab.Host], port: str) -> None:
    here, there = pair
    sender = here.mcast("bench", "send", "--port", port, "-W", "500ms")
    receiver = there.mcast("bench", "receive", "--port", str(int(port) + 50), "-W", "500ms")
    assert (sender.wait(), receiver.wait()) == (4, 4)
    assert "found 0 of 1 receivers: start mcast bench receive there first" in sender.stderr
    assert sender.stdout == receiver.stdout == ""
