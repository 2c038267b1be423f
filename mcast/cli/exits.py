"""The exit codes of mcast: they tell a script how a command ended."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

from mcast.errors import McastError, NoInterface, PermissionRefused, UsageError

DONE = 0
FAILED = 1
USAGE = 2
NO_NETWORK = 3
NOTHING_FOUND = 4
TIMED_OUT = 27
INTERRUPTED = 128
"""Plus the number of the signal."""


def of_error(error: McastError) -> int:
    """The exit code for an error."""
    if isinstance(error, UsageError):
        return USAGE
    return NO_NETWORK if isinstance(error, NoInterface | PermissionRefused) else FAILED


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """For commands that need no event loop: SIGTERM interrupts as SIGINT does."""

    def terminate(_: int, __: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
