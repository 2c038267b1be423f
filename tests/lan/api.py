"""Two hosts for the tests of the API: one runs a case, the other watches what reaches the network."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests import lab
from tests.lan.programs.cases import GROUP

_WATCHER = """
    import asyncio, sys
    from mcast import aio, events

    async def watch():
        async with aio.join(sys.argv[1], name="watcher", gap_timeout=5) as group:
            print("ready", flush=True)
            async for event in group.events():
                if isinstance(event, events.Message):
                    print("message", event.name, event.text, flush=True)
                elif isinstance(event, events.PeerJoined):
                    print("joined", event.peer.name, flush=True)
                elif isinstance(event, events.PeerLeft):
                    print("left", event.peer.name, event.reason, flush=True)

    asyncio.run(watch())
"""


class Api:
    """Starts cases on the first host of a LAN."""

    def __init__(self, lan: lab.Lan) -> None:
        self.lan = lan

    def start(self, module: str, case: str) -> lab.Process:
        """Start a case."""
        program = f"tests.lan.programs.{module}"
        return self.lan.hosts[0].spawn([sys.executable, "-W", "error", "-X", "dev", "-m", program, case])

    def run(self, module: str, case: str, code: int = 0, said: str = "ok\n") -> None:
        """Run a case to its end; it must say nothing on stderr."""
        with self.start(module, case) as process:
            returned = process.wait(60.0)
        got = returned, process.stdout, process.stderr
        assert got == (code, said, ""), got  # pytest explains asserts in tests only

    def watch(self) -> lab.Process:
        """A watcher on the second host, which prints who comes, what is said and who goes."""
        watcher = self.lan.hosts[1].python(_WATCHER, GROUP)
        watcher.wait_for("ready", stream="stdout")
        return watcher


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """One LAN for all cases of a module: each case is a process of its own and leaves nothing behind."""
    if lacking := lab.missing():
        pytest.skip("a LAN in namespaces needs " + ", ".join(lacking))
    with lab.Lan(2) as lan:
        yield Api(lan)
