"""Questions that tests of a network ask again and again."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.lab.peer import Peer, Refused
from tests.lab.process import WAIT_SECONDS, LabTimeout

QUIET_SECONDS = 0.3


def until(condition: Callable[[], bool], timeout: float = WAIT_SECONDS) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise LabTimeout(f"did not come true within {timeout} s")
        time.sleep(0.02)


def arrives(sender: Peer, receiver: Peer, where: str, size: int = 20) -> bool:
    """Whether one datagram of `size` bytes to an address or group arrives."""
    receiver.take()
    sender.send(where, "x" * size)
    return receiver.wait_count(1) == 1


def lost(sender: Peer, receiver: Peer, where: str, size: int = 20) -> bool:
    """Whether one datagram of `size` bytes is refused or has not arrived soon."""
    receiver.take()
    try:
        sender.send(where, "x" * size)
        receiver.wait_count(1, QUIET_SECONDS)
    except (LabTimeout, Refused):
        return True
    return False
