"""python-zeroconf on our interfaces: which it is given as they come and go, and what is said if it cannot."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from typing import Any

import pytest
from zeroconf import IPVersion

from mcast.discovery import mdns
from mcast.discovery.mdns import Mdns
from mcast.discovery.scope import Scope
from mcast.errors import PortTaken
from mcast.interfaces import Interface, Table

ETH0 = Interface("eth0", 2, ("10.9.0.2", "10.9.1.2"), ("fe80::2",))
ETH1 = Interface("eth1", 3, ("10.8.0.2",))


class Opened:
    """Stands for zeroconf's; `log` is what it is told."""

    def __init__(self, interfaces: list[Any], ip_version: IPVersion) -> None:
        self.log: list[Any] = [(interfaces, ip_version)]
        self.fail: list[Exception] = []
        self.zeroconf = self

    async def async_wait_for_start(self) -> None:
        self.log.append("started")

    async def async_update_interfaces(self, interfaces: list[Any]) -> None:
        self.log.append(interfaces)
        if self.fail:
            raise self.fail.pop()

    async def async_close(self) -> None:
        self.log.append("closed")


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> asyncio.Queue[Table]:
    """What the interface monitor tells."""
    queue: asyncio.Queue[Table] = asyncio.Queue()

    async def watch(_: Table) -> AsyncIterator[Table]:
        while True:
            yield await queue.get()
            queue.task_done()

    monkeypatch.setattr(mdns, "AsyncZeroconf", Opened)
    monkeypatch.setattr(mdns, "read", lambda: (ETH0,))
    monkeypatch.setattr(mdns, "watch", watch)
    return queue


def test_interfaces_are_followed_and_others_are_asked_first(tables: asyncio.Queue[Table]) -> None:
    async def scenario() -> None:
        async with Mdns(Scope()) as made:
            log: list[Any] = made.zeroconf.log  # type: ignore[attr-defined]  # it is Opened

            async def moved() -> None:
                log.append([link.name for link in made.links])

            made.on_links = moved
            made.zeroconf.fail = [OSError(errno.ENODEV, "gone")]  # type: ignore[attr-defined]  # as above
            for table in ((ETH0,), (ETH0, ETH1), (ETH1,), ()):
                tables.put_nowait(table)
            async with asyncio.timeout(30):
                await tables.join()
        assert log[:2] == [(["10.9.0.2", 2], IPVersion.All), "started"]
        assert log[2:6] == [["eth0", "eth1"], ["10.9.0.2", 2, "10.8.0.2"], ["eth1"], ["10.8.0.2"]]
        assert log[-1] == "closed"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("versions", "chosen"),
    [((4,), (["10.9.0.2"], IPVersion.V4Only)), ((6,), ([2], IPVersion.V6Only))],
)
def test_one_ip_version_is_enough(tables: asyncio.Queue[Table], versions: Any, chosen: Any) -> None:
    async def scenario() -> None:
        async with Mdns(Scope(versions=versions)) as made:
            assert made.zeroconf.log[0] == chosen  # type: ignore[attr-defined]  # it is Opened

    asyncio.run(scenario())


def test_a_vanished_interface_is_no_error_and_a_taken_port_is_explained(
    tables: asyncio.Queue[Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[Exception] = [OSError(errno.EADDRINUSE, "in use"), RuntimeError("no adapter")]

    class Failing(Opened):
        def __init__(self, interfaces: list[Any], ip_version: IPVersion) -> None:
            super().__init__(interfaces, ip_version)
            if errors:
                raise errors.pop()

    async def scenario() -> None:
        with pytest.raises(PortTaken, match=r"^cannot use multicast DNS \(port 5353\)"):
            await Mdns(Scope()).__aenter__()
        async with Mdns(Scope()) as made:
            assert made.zeroconf.log[0][0] == ["10.9.0.2", 2]  # type: ignore[attr-defined]  # it is Opened

    monkeypatch.setattr(mdns, "AsyncZeroconf", Failing)
    asyncio.run(scenario())
