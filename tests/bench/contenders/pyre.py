"""Pyre (ZRE, pure Python on ZeroMQ): discovery by beacon, a TCP connection to each receiver."""

from __future__ import annotations

import time
from typing import Any

from tests.bench.contenders.job import Receiving, Sending

GROUP = "bench"
MEET = 3.0
"""Seconds after which it is known who is in the group: beacons go out once a second."""


def _joined(name: str) -> Any:
    from pyre import Pyre

    peer = Pyre(name)
    peer.set_interface("eth0")
    peer.start()
    peer.join(GROUP)
    return peer


def send(job: Sending) -> None:
    """Shout."""
    peer = _joined("sender")
    time.sleep(MEET)
    push = peer.shout
    job.wait_for_go()
    for message in job.flood():
        push(GROUP, message)
    job.told()


def receive(job: Receiving) -> None:
    """Count what is shouted."""
    peer = _joined("receiver")
    job.ready()
    while True:
        kind, *parts = peer.recv()
        if kind == b"SHOUT":
            job.took([parts[-1]])
