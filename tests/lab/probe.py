"""Questions that tests of a network ask again and again."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

from tests.lab.peer import Peer, Refused
from tests.lab.process import WAIT_SECONDS, LabTimeout, Process

QUIET_SECONDS = 0.3
SNAPSHOTS = 5
_numbers = itertools.count()


def until(condition: Callable[[], bool], timeout: float = WAIT_SECONDS) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise LabTimeout(f"did not come true within {timeout} s")
        time.sleep(0.02)


def snapshot(
    start: Callable[..., Process], *arguments: str, complete: Callable[[Process], object]
) -> Process:
    """Run a command that looks once at what is there; the first of five runs that is `complete`.

    It misses whoever stalls just then.
    """
    for _ in range(SNAPSHOTS):
        process = start(*arguments)
        process.wait()
        if complete(process):
            return process
    raise LabTimeout(f"not complete {SNAPSHOTS} times: {process.shown()}")


def arrives(sender: Peer, receiver: Peer, where: str, size: int = 20, timeout: float = WAIT_SECONDS) -> bool:
    """Whether one datagram of `size` bytes to an address or group arrives in time."""
    # What a probe before this one sent may still be on its way: a cable that was pulled, an unanswered ARP.
    probe = f"probe {next(_numbers)} ".ljust(size, "x")
    deadline = time.monotonic() + timeout
    sender.send(where, probe)
    while not any(text == probe for text, _ in receiver.take()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def lost(sender: Peer, receiver: Peer, where: str, size: int = 20) -> bool:
    """Whether one datagram of `size` bytes is refused or has not arrived soon."""
    try:
        return not arrives(sender, receiver, where, size, QUIET_SECONDS)
    except Refused:
        return True
