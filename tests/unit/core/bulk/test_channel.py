from __future__ import annotations

from math import inf
from typing import Any

import pytest

from mcast.core.bulk import channel as module
from mcast.core.bulk.channel import Batch, Channel, Reporter, _next_item
from mcast.core.bulk.layout import FULL, make_layout
from mcast.core.bulk.wants import Wants
from mcast.core.flow.congestion import Path
from mcast.settings import Settings
from mcast.wire.bulk import FAN, Entry
from tests.simulation.bulk import items_of

LAYOUT = make_layout(1024 * FAN * 100, 0, 1024)
TOP = LAYOUT.top
EVERYTHING = tuple(
    (level, (Entry(0, 0, LAYOUT.groups(level)),)) for level in range(len(LAYOUT.counts) - 1, -1, -1)
)


def reporter(address: str, **more: Any) -> Reporter:
    return Reporter(address, Path(0, 0.1, 0.0), **more)


def make(held: int = FULL, to: object = None) -> Channel:
    return Channel(LAYOUT, Settings(), lambda _: held, to, 0.0)


def drain(channel: Channel, now: float = 0.0, seen: dict[object, int] | None = None) -> list[tuple[int, int]]:
    items = []
    while not channel.idle:
        now = max(now, channel.when(now))
        batch = channel.take(None, lambda: seen or {}, now)
        items += items_of(batch) if batch else []
    return items


def test_everything_is_sent_once_nodes_before_what_they_cover() -> None:
    channel = make()
    assert channel.take(None, lambda: {}, 0.0) is None
    assert channel.when(0.0) == inf
    assert channel.want(reporter("a"), EVERYTHING, 0.0) > 0
    items = drain(channel)
    assert len(items) == len(set(items)) == sum(LAYOUT.counts)
    at = {item: place for place, item in enumerate(items)}
    assert all(at[level + 1, index // FAN] < at[level, index] for level, index in items if level < TOP)


def test_the_rate_is_kept() -> None:
    channel = make()
    channel.want(reporter("a"), EVERYTHING, 0.0)
    while channel.take(None, lambda: {}, 0.0) is not None:
        pass
    assert not channel.idle
    assert channel.when(0.0) > 0.0


def test_what_is_sent_again_before_others_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "URGENT", 3)
    channel = make()
    one = reporter("a")
    channel.want(one, ((0, (Entry(60, 1),)),), 0.0)
    assert channel.take(None, lambda: {}, 0.0) is not None
    again = ((0, tuple(Entry(group, 1) for group in range(50))),)
    for _ in range(2):
        channel.want(one, again, 10.0)
        assert len(channel._urgent) == 3
    assert sorted(drain(channel, 10.0)) == [(0, FAN * group) for group in range(50)]


def test_what_is_under_way_is_not_sent_again() -> None:
    channel = make()
    one = reporter("a", multicast=0)
    channel.want(one, ((0, (Entry(3, 0xF),)),), 0.0)
    assert drain(channel) == [(0, 96), (0, 97), (0, 98), (0, 99)]
    assert channel.want(one, ((0, (Entry(3, 0xF),)),), 0.01) == 0
    assert channel.want(one, ((0, (Entry(0, 0, 20),)),), 0.01) == FAN * 19
    assert (0, 96) not in drain(channel, 0.02)
    one.multicast = 4
    assert channel.want(one, ((0, (Entry(3, 0x1),)),), 0.03) == 1
    assert drain(channel, 0.03) == [(0, 96)]
    one.multicast = 0  # what it says it has not seen for long is lost
    assert channel.want(one, ((0, (Entry(3, 0x1),)),), 2.0) == 1


def test_a_run_keeps_what_others_want() -> None:
    channel = make()
    ada, bob = reporter("a"), reporter("b", multicast=99)
    channel.want(ada, ((0, (Entry(3, 0xF),)),), 0.0)
    drain(channel)
    channel.want(bob, ((0, (Entry(3, 0x3),)),), 0.01)
    channel.want(ada, ((0, (Entry(0, 0, 20),)),), 0.01)
    items = [item for item in drain(channel, 0.02) if item[1] // FAN == 3]
    assert {(0, 96), (0, 97)} <= set(items)
    assert (0, 98) not in items


def test_nonsense_is_ignored() -> None:
    channel = make()
    assert channel.want(reporter("a"), ((9, (Entry(0, 1),)), (0, (Entry(99, 0, 2), Entry(500, 1)))), 0.0) == 0
    assert channel.idle


def test_only_what_is_here_is_sent() -> None:
    channel = make(held=0b10)
    channel.want(reporter("a"), ((0, (Entry(0, 0, 100),)),), 0.0)
    assert drain(channel) == [(0, 32 * group + 1) for group in range(100)]


def test_repairs_come_before_what_follows() -> None:
    channel = make()
    one = reporter("a")
    channel.rate.value = 1e8
    channel.want(one, EVERYTHING, 0.0)
    first = channel.take(None, lambda: {}, 0.0)
    second = channel.take(None, lambda: {}, 0.1)
    assert first is not None
    assert second is not None
    one.multicast = second.serial
    missing = ((1, (Entry(0, 1),)), (0, (Entry(0, 0x80),)))
    channel.want(one, missing, 0.2)
    repair, another = channel.take(None, lambda: {}, 0.3), channel.take(None, lambda: {}, 0.4)
    assert repair is not None
    assert items_of(repair) == [(1, 0)]
    assert another is not None
    assert items_of(another) == [(0, 7)]


def test_one_that_lacks_something_alone_gets_it_by_unicast() -> None:
    channel = make()
    ada, bob = reporter("a", validated=True), reporter("b", validated=True)
    channel.want(ada, EVERYTHING, 0.0)
    drain(channel)
    last = channel.serials[None]
    channel._cursor = 100
    ada.multicast = bob.multicast = last
    channel.want(ada, ((0, (Entry(1, 1), Entry(2, 1), Entry(3, 1))),), 1.0)
    channel.want(bob, ((0, (Entry(2, 1),)),), 1.0)
    seen: dict[object, int] = {"a": last, "b": last}
    batches = []
    for turn in range(4):
        batch = channel.take(None, lambda: seen, 100.0 + turn)
        batches += [batch] if batch else []
    assert [batch.to for batch in batches] == ["a", None, "a"]
    assert [batch.serial for batch in batches] == [1, last + 1, 2]
    # What went to ada alone bob cannot have seen: it is sent to it.
    assert channel.want(bob, ((0, (Entry(1, 1),)),), 103.1) == 1
    channel.clear()
    ada.unicast = 0
    ada.trip = 10.0
    assert channel.want(ada, ((0, (Entry(1, 1),)),), 103.1) == 0


def test_who_has_not_seen_it_yet_may_lack_it_too() -> None:
    channel = make()
    ada = reporter("a", validated=True)
    channel.want(ada, ((0, (Entry(1, 3),)),), 0.0)
    drain(channel)
    channel._cursor = 100
    ada.multicast = 2
    channel.want(ada, ((0, (Entry(1, 1),)),), 1.0)
    batch = channel.take(None, lambda: {"a": 2, "b": 1}, 1.0)
    assert batch is not None
    assert batch.to is None


def test_all_for_one() -> None:
    channel = make()
    channel.want(reporter("a"), ((0, (Entry(1, 1),)),), 0.0)
    batch = channel.take("a", lambda: {}, 0.0)
    assert batch is not None
    assert batch.to == "a"
    own = make(to="b")
    own.want(reporter("b"), ((0, (Entry(1, 1),)),), 0.0)
    batch = own.take(None, lambda: {}, 0.0)
    assert batch is not None
    assert batch.to == "b"


def test_what_is_remembered_is_bounded() -> None:
    channel = make()
    flights, module.FLIGHTS = module.FLIGHTS, 4
    try:
        channel.want(reporter("a"), ((0, (Entry(1, 1),)),), 0.0)
        drain(channel)
        channel.want(reporter("a", multicast=9), ((0, (Entry(1, 1),)),), 0.0)
        channel.want(reporter("a"), EVERYTHING, 0.0)
        drain(channel)
        assert len(channel._order) == 4
        assert len(channel._flying) <= 4
        assert len(channel._left[None][0]) <= 4
    finally:
        module.FLIGHTS = flights


def test_sending_times() -> None:
    channel = make()
    channel.want(reporter("a"), ((0, (Entry(1, 3),)),), 0.0)
    channel.take(None, lambda: {}, 0.5)
    assert channel.sent_time(None, 1) == 0.5 == channel.sent_time(None, 2)
    assert channel.sent_time(None, 3) is None
    assert channel.sent_time("a", 1) is None


def test_nothing_is_sent_of_what_is_not_here() -> None:
    channel = make(held=0)
    channel.want(reporter("a"), ((0, (Entry(0, 0, 100),)),), 0.0)
    channel._cursor = 50
    channel.want(reporter("a"), ((0, (Entry(3, 1),)),), 0.0)
    assert channel.take(None, lambda: {}, 0.0) is None
    assert channel.idle


def test_next_item() -> None:
    wants = Wants(LAYOUT, 1)
    wants.add(0, 0b10)
    wants.add(2, 0b1)
    assert [_next_item(wants, start) for start in (0, 1, 2, 65)] == [1, 1, 64, -1]


def test_clear() -> None:
    channel = make()
    channel.want(reporter("a"), EVERYTHING, 0.0)
    channel.clear()
    assert channel.idle
    assert channel.take(None, lambda: {}, 0.0) is None


def test_the_rest_of_a_batch() -> None:
    batch = Batch([(1, 0, 1), (0, 0, 0b1110), (1, 0, 2)], None, 10)
    assert batch.without(0) == batch
    assert batch.without(2) == Batch([(0, 0, 0b1100), (1, 0, 2)], None, 12)
    assert batch.without(4) == Batch([(1, 0, 2)], None, 14)


def test_a_slow_rate_sends_few_blocks_in_one_call() -> None:
    channel = make()
    channel.rate.value = 3.5 * LAYOUT.block_size / module.ROW_TIME
    one = reporter("a")
    channel.want(one, EVERYTHING, 0.0)
    now, sizes = 0.0, set()
    items: list[tuple[int, int]] = []
    while not channel.idle:
        now = max(now, channel.when(now))
        batch = channel.take(None, lambda: {}, now)
        if batch is not None:
            sizes.add(batch.blocks)
            items += items_of(batch)
    assert sizes == {2, 3}
    assert len(items) == len(set(items)) == sum(LAYOUT.counts)
    one.multicast = channel.serials[None]
    channel._cursor = 5
    channel.want(one, ((0, (Entry(0, 0xFF),)),), now + 9.0)
    assert channel._urgent
    assert sorted(drain(channel, now + 9.0)) == [(0, block) for block in range(8)]
