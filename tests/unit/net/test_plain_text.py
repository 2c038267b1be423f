"""Plain text without a network: how lines are split, bounds on what waits, copies of one line."""

from __future__ import annotations

import asyncio
import random

import pytest

from mcast.interfaces import Interface
from mcast.multicast import Datagram
from mcast.net import plain_text as plain
from mcast.net.address import GroupAddress
from mcast.net.links import Change, Plan
from mcast.net.plain_text import (
    COPIES_MAX,
    COPY_WINDOW,
    CopyFilter,
    Line,
    PlainGroup,
    decode,
    payload_limit,
    split_line,
)

GROUP = GroupAddress("239.9.9.9", 3000)


@pytest.mark.parametrize("text", ["", "a", "x" * 1200, "x" * 1201, "汉" * 2000, "a🎉" * 999, "é" * 600 + "!"])
@pytest.mark.parametrize("limit", [548, 1199, 1200])
def test_pieces_are_whole_text_and_together_the_line(text: str, limit: int) -> None:
    pieces = split_line(text, limit)
    assert b"".join(pieces).decode() == text
    assert all(piece.decode() is not None and len(piece) <= limit for piece in pieces)
    assert len(pieces) <= 1 + len(text.encode()) // (limit - 3)
    assert all(pieces) or text == ""


def test_what_cannot_be_encoded_is_replaced() -> None:
    assert split_line("a\udc80b") == [b"a?b"]


@pytest.mark.parametrize(("mtu", "limit"), [(1500, 1452), (9000, 1452), (1400, 1352), (576, 548), (68, 548)])
def test_the_limit_follows_the_smallest_mtu(mtu: int, limit: int) -> None:
    assert payload_limit((Interface("a", 1, mtu=65536), Interface("b", 2, mtu=mtu))) == limit


def test_without_an_interface_the_limit_is_that_of_ethernet() -> None:
    assert payload_limit(()) == 1452


def test_only_whole_utf8_is_text() -> None:
    assert decode("汉🎉".encode()) == "汉🎉"
    assert decode(b"") == ""
    assert [decode(data) for data in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", "汉".encode()[:2])] == [None] * 4


class Arrivals:
    """A group that is not joined anywhere, fed by hand."""

    def __init__(self, interfaces: int = 1) -> None:
        self.group = PlainGroup(Plan((GROUP,)), clock=lambda: 1.0)
        self.group.links._used = {n: Interface(f"eth{n}", n) for n in range(1, interfaces + 1)}
        self.calls: list[str] = []
        self.group._reader.pause = lambda: self.calls.append("pause")  # type: ignore[method-assign] # a tap
        self.group._reader.resume = lambda: self.calls.append("resume")  # type: ignore[method-assign] # a tap

    def come(self, *data: bytes, interface: int = 1, source: str = "10.9.0.1") -> None:
        self.group._take(GROUP, [Datagram(one, (source, 5), interface, 1) for one in data])

    async def batch(self) -> list[plain.Event]:
        return await anext(aiter(self.group.batches()))


def test_lines_tell_all_that_is_known() -> None:
    arrivals = Arrivals()
    arrivals.come(b"hello", b"\xff")
    assert asyncio.run(arrivals.batch()) == [
        Line(b"hello", "hello", ("10.9.0.1", 5), GROUP, "eth1", 1, 1.0),
        Line(b"\xff", None, ("10.9.0.1", 5), GROUP, "eth1", 1, 1.0),
    ]


def test_what_came_from_our_own_sockets_is_left_out() -> None:
    arrivals = Arrivals()
    arrivals.group._own.append(("fe80::1", 5))
    arrivals.come(b"ours", source="fe80::1%eth0")
    arrivals.come(b"ours", source="fe80::1%eth1")
    arrivals.come(b"theirs", source="fe80::2%eth0")
    batch = asyncio.run(arrivals.batch())
    assert [line.text for line in batch if isinstance(line, Line)] == ["theirs"]


def test_copies_are_looked_for_only_where_there_can_be_some() -> None:
    for interfaces, wanted in ((1, 2), (2, 1)):
        arrivals = Arrivals(interfaces)
        arrivals.come(b"x", interface=1)
        arrivals.come(b"x", interface=2)
        assert len(asyncio.run(arrivals.batch())) == wanted


@pytest.mark.parametrize(
    ("count", "size"), [(plain.WAITING_DATAGRAMS + 1, 0), (plain.WAITING_BYTES // 65_000 + 1, 65_000)]
)
def test_reading_pauses_when_too_much_waits_and_goes_on_after(count: int, size: int) -> None:
    arrivals = Arrivals()
    arrivals.come(*[bytes(size)] * (count - 1))
    assert arrivals.calls == []
    arrivals.come(bytes(size))
    assert arrivals.calls == ["pause"]
    assert len(asyncio.run(arrivals.batch())) == count
    assert arrivals.calls == ["pause", "resume"]
    arrivals.come(b"next")
    assert len(asyncio.run(arrivals.batch())) == 1
    assert arrivals.calls == ["pause", "resume"]


def test_changes_come_in_order_with_the_lines() -> None:
    arrivals = Arrivals()
    change = Change(joined=(Interface("eth9", 9),))
    arrivals.come(b"before")
    arrivals.group._changed(change)
    arrivals.come(b"after")
    batch = asyncio.run(arrivals.batch())
    assert [event if isinstance(event, Change) else event.text for event in batch] == [
        "before",
        change,
        "after",
    ]


def shown(*arrivals: tuple[str, int], interval: float = 0.0) -> list[str]:
    """The keys that were fresh, of (key, interface) arriving `interval` seconds apart."""
    copies = CopyFilter()
    return [
        key
        for number, (key, interface) in enumerate(arrivals)
        if copies.fresh(key, interface, number * interval)
    ]


def test_a_copy_through_another_interface_is_not_shown() -> None:
    assert shown(("a", 1), ("a", 2), ("a", 3), ("b", 3), ("b", 1)) == ["a", "b"]


def test_a_line_said_twice_is_shown_twice_whatever_the_order_of_its_copies() -> None:
    assert shown(("a", 1), ("a", 1), ("a", 2), ("a", 2)) == ["a", "a"]
    assert shown(("a", 1), ("a", 2), ("a", 1), ("a", 2)) == ["a", "a"]
    assert shown(("a", 2), ("a", 2), ("a", 1), ("a", 1), ("a", 1)) == ["a"] * 3


def test_what_one_interface_lost_comes_through_the_other() -> None:
    assert shown(("a", 1), ("a", 2), ("a", 1), ("a", 1), ("a", 2)) == ["a"] * 3


def test_after_the_window_an_equal_line_is_a_new_one() -> None:
    assert shown(("a", 1), ("a", 2), interval=COPY_WINDOW * 0.9) == ["a"]
    assert shown(("a", 1), ("a", 2), interval=COPY_WINDOW * 1.1) == ["a", "a"]


def test_every_line_is_shown_as_often_as_it_was_said_under_any_interleaving() -> None:
    rng = random.Random(5)
    for _ in range(200):
        said = [rng.choice("abc") for _ in range(20)]
        waiting = {interface: list(said) for interface in (1, 2, 3)}
        copies, fresh = CopyFilter(), []
        while any(waiting.values()):
            interface = rng.choice([i for i, left in waiting.items() if left])
            key = waiting[interface].pop(0)
            if copies.fresh(key, interface, 0.0):
                fresh.append(key)
        assert sorted(fresh) == sorted(said)


def test_a_flood_of_different_lines_does_not_fill_the_memory() -> None:
    copies = CopyFilter()
    for number in range(3 * COPIES_MAX):
        assert copies.fresh(number, 1, 0.0)
    assert len(copies._order) <= COPIES_MAX
    assert len(copies._by_key) <= COPIES_MAX
    for _ in range(3 * COPIES_MAX):
        assert copies.fresh("same", 1, 0.0)
    assert len(copies._by_key) == 1
    assert copies.fresh("other", 1, 10.0)
    assert list(copies._by_key) == ["other"]
