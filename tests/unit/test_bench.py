"""The arithmetic of scripts/bench."""

from __future__ import annotations

from tests.bench.contenders.job import CYCLE, Receiving, cycle
from tests.bench.rows import Row, table
from tests.bench.throughput import PeerId


def receiving() -> Receiving:
    return Receiving({"size": 64})


def test_messages_in_order_over_the_end_of_the_cycle_are_right() -> None:
    job, messages = receiving(), cycle(64)
    job.took(messages[: CYCLE - 3])
    job.took(messages[CYCLE - 3 :] + messages + messages[:5])
    assert (job.received, job.wrong) == (2 * CYCLE + 5, 0)
    assert {len(message) for message in messages} == {64}


def test_a_lost_a_doubled_and_a_swapped_message_are_wrong() -> None:
    a, b, c, d = cycle(64)[:4]
    for arrived in ([a, c], [a, a], [b, a], [a, b, d, c]):
        job = receiving()
        job.took(arrived)
        assert job.wrong == 1, arrived


def test_rate_and_loss_are_those_of_the_mean_receiver() -> None:
    receivers = [{"received": 100, "last": 3.0, "wrong": 0}, {"received": 50, "last": 2.0, "wrong": 1}]
    run = PeerId({"sent": 100, "start": 1.0}, [*receivers, {"received": 0, "last": 0.0, "wrong": 0}])
    assert (run.rate, run.lost, run.wrong) == (100 / 3, 0.5, 1)


def test_a_target_is_of_the_ratio_or_else_of_the_value() -> None:
    row = Row("throughput", "64 B", "mcast", (90.0, 110.0, 100.0), "messages/s", "raw", 5.5, 5.0)
    slow = Row("latency", "p99", "mcast", (0.051,), "s", target=0.05, at_most=True)
    assert (row.value, row.reached, slow.reached) == (100.0, True, False)
    shown = table([row, slow])
    assert "5.50 x raw" in shown
    assert shown.splitlines()[-1].endswith("MISSED")
    assert row.as_json()["reached"] is True
