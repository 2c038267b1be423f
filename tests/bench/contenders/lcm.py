"""LCM over its UDP multicast: no repair."""

from __future__ import annotations

from typing import Any

from tests.bench.contenders.job import LOSSY_SILENCE, Receiving, Sending

URL = "udpm://239.255.76.67:7667?ttl=1&recv_buf_size=8388608"
CHANNEL = "bench"


def send(job: Sending) -> None:
    """Publish."""
    import lcm

    bus = lcm.LCM(URL)
    push = bus.publish
    job.wait_for_go()
    for message in job.flood():
        push(CHANNEL, message)
    job.told()


def receive(job: Receiving) -> None:
    """Subscribe, with a queue that drops nothing."""
    import lcm

    def took(_: str, data: Any) -> None:
        job.took([data])

    bus = lcm.LCM(URL)
    bus.subscribe(CHANNEL, took).set_queue_capacity(0)
    job.silence = LOSSY_SILENCE
    job.ready()
    while True:
        bus.handle()
