"""Leaving and joining the group, while the disk may hold us up."""

from __future__ import annotations

from typing import Any, cast

from mcast.net.address import GroupAddress
from mcast.net.links import Plan
from mcast.net.slots import Slots
from mcast.runtime.bulk.endpoint import Endpoint

GROUP = GroupAddress("239.255.1.2", 4000)


class Receiver:
    """A receiver that has joined one interface."""

    def __init__(self) -> None:
        self.joined: tuple[int, ...] = (1,)

    def leave(self, index: int) -> None:
        """Leave it."""
        self.joined = ()


class Reader:
    """Tells what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda: self.told.append(name)


def make() -> tuple[Endpoint, list[str]]:
    endpoint = Endpoint(Plan((GROUP,)), GROUP, lambda *_: None, Slots(16, 1024))
    reader = Reader()
    endpoint._reader = cast(Any, reader)
    endpoint.links.receivers = {GROUP: cast(Any, Receiver())}
    return endpoint, reader.told


def test_the_group_is_left_once_and_joined_again() -> None:
    endpoint, told = make()
    endpoint.join_group()
    assert told == []
    endpoint.leave_group()
    endpoint.leave_group()
    assert told == ["pause", "resume"]
    endpoint.join_group()
    endpoint.join_group()
    assert told == ["pause", "resume", "refresh"]


def test_who_waits_for_the_disk_reads_nothing_after_leaving() -> None:
    endpoint, told = make()
    endpoint.pause()
    endpoint.leave_group()
    assert told == ["pause", "pause"]
    endpoint.resume()
    assert told == ["pause", "pause", "resume"]
