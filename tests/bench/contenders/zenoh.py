"""Zenoh (Rust core): TCP to each receiver, reliable, a publisher waits for slow receivers."""

from __future__ import annotations

import time
from typing import Any

from tests.bench.contenders.job import Receiving, Sending

KEY = "mcast/bench"
MEET = 2.0


def _session() -> Any:
    import zenoh

    # The default group 224.0.0.224 by the interface named, as there is no other that "auto" could mean.
    config = zenoh.Config()
    config.insert_json5("scouting/multicast/interface", '"eth0"')
    return zenoh.open(config)


def send(job: Sending) -> None:
    """Put, blocking when the receivers are slow."""
    import zenoh

    with _session() as session:
        publisher = session.declare_publisher(
            KEY,
            congestion_control=zenoh.CongestionControl.BLOCK,
            reliability=zenoh.Reliability.RELIABLE,
        )
        time.sleep(MEET)
        push = publisher.put
        job.wait_for_go()
        for message in job.flood():
            push(message)
        job.told()


def receive(job: Receiving) -> None:
    """Count in the callback, which runs in Zenoh's own thread."""

    def took(sample: Any) -> None:
        job.took([sample.payload.to_bytes()])

    with _session() as session:
        session.declare_subscriber(KEY, took)
        job.ready()
        while True:
            time.sleep(60.0)
