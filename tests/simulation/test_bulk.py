"""Bulk transfers with loss, late joiners, and hosts that leave or lie: everybody gets the right bytes."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from mcast.core.bulk.receiver import Row, Server
from mcast.core.bulk.sender import Way
from mcast.core.events import Address, PeerId
from mcast.wire.bulk import BulkReport, Entry

from .bulk import Host, Item, Reno, World

DATA = Random(5).randbytes(3_000_000)


@pytest.mark.parametrize(("loss", "most"), [(0.0, 1.1), (0.01, 1.2), (0.1, 1.65), (0.3, 2.6)])
@pytest.mark.parametrize("seed", range(3))
def test_all_get_it_whole_and_few_bytes_are_sent_again(loss: float, most: float, seed: int) -> None:
    world = World(DATA, loss=loss, seed=seed)
    world.run(60)
    assert world.right()
    assert world.wire / len(DATA) < most


LINE, SHORT = 12.5e6, 0.0003
"""A cable of 100 Mbit/s, and the seconds of a way."""


@pytest.mark.parametrize("buffer", [0.01, 0.02, 0.1])
@pytest.mark.parametrize("seed", range(2))
def test_the_rate_ends_below_what_a_line_carries_however_short_its_buffer(buffer: float, seed: int) -> None:
    data = Random(7).randbytes(15_000_000)
    world = World(data, receivers=1 + seed, seed=seed, buffer=buffer, bandwidth=LINE, delay=SHORT)
    world.run(60)
    assert world.right()
    assert world.now < 2
    assert world.wire / len(data) < 1.2


@pytest.mark.parametrize("buffer", [0.01, 0.02, 0.1])
@pytest.mark.parametrize("seed", range(2))
def test_tcp_on_the_same_line_gets_a_third_of_it_and_more(buffer: float, seed: int) -> None:
    world = World(
        Random(7).randbytes(80_000_000),
        receivers=1 + seed,
        seed=seed,
        buffer=buffer,
        bandwidth=LINE,
        delay=SHORT,
    )
    world.run(1)
    tcp, before = Reno(world), world.wire
    world.run(8)
    assert tcp.arrived / 8 > world.bandwidth / 3
    assert world.wire - before > 8 * world.bandwidth / 50, "nor does it take all"


@pytest.mark.parametrize("speed", [0.25e6, 0.5e6, 1.25e6])
def test_a_slow_line_is_used(speed: float) -> None:
    data = Random(7).randbytes(int(12 * speed))
    world = World(data, receivers=1, seed=1, buffer=0.1, bandwidth=speed, delay=SHORT)
    world.run(60)
    assert world.right()
    assert world.now < 17
    assert world.wire / len(data) < 1.25


@pytest.mark.parametrize("jitter", [0.002, 0.01])
@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_a_delay_that_varies_is_no_queue(jitter: float, loss: float) -> None:
    data = Random(7).randbytes(15_000_000)
    world = World(data, receivers=2, seed=7, loss=loss, jitter=jitter, bandwidth=LINE, delay=SHORT)
    world.run(60)
    assert world.right()
    assert world.now < 4


@pytest.mark.parametrize("seconds", [0.3, 1.3])
@pytest.mark.parametrize("below", [False, True], ids=["the highest", "all below"])
@pytest.mark.parametrize("seed", range(3))
def test_who_gets_the_highest_node_late_is_served_like_the_others(
    seed: int, below: bool, seconds: float
) -> None:
    """Until then it can verify nothing that came, and what it reports says nothing of the network."""
    data = Random(seed).randbytes(20_000_000)
    world = World(data, loss=0.05, seed=seed, bandwidth=20e6)
    top = world.tree.layout.top
    for host in world.receivers[:2]:
        assert host.receiver is not None
        take = host.receiver.take

        def without(
            source: Address, rows: Sequence[Row], now: float, age: float = 0.0, take: Any = take
        ) -> list[tuple[int, bytes]]:
            lost = range(1, top) if below else (top,)
            kept = [row for row in rows if row.level not in lost or now >= seconds]
            return take(source, kept, now, age)  # type: ignore[no-any-return] # the method of before

        host.receiver.take = without  # type: ignore[method-assign] # a network that loses just this
    world.run(10)
    assert world.right()
    assert all(host.in_group for host in world.receivers)


def test_one_seed_gives_one_run() -> None:
    runs = []
    for _ in range(2):
        world = World(DATA[:500_000], loss=0.2, seed=9)
        world.run(60)
        runs.append((world.now, world.wire))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3])
def test_a_late_joiner_costs_what_it_lacks(loss: float) -> None:
    alone = World(DATA, loss=loss, receivers=3, seed=3)
    alone.run(60)
    world = World(DATA, loss=loss, receivers=4, seed=3, starts=(0.0, 0.0, 0.0, 0.25))
    world.run(60)
    assert world.right()
    assert world.wire < alone.wire + 1.7 * len(DATA)


@pytest.mark.parametrize("seed", range(4))
def test_holders_complete_each_other_when_the_source_leaves(seed: int) -> None:
    """No receiver has all of it then, but all of them together have."""
    world = World(DATA, loss=0.05, receivers=4, seed=seed)
    world.introduce()
    source = world.hosts[0]
    world.run(60, until=lambda: len({i for host in world.receivers for i in host.blocks}) == _blocks(world))
    world.leave(source)
    assert not world.done
    world.run(120)
    assert world.right()


def test_a_late_joiner_is_served_by_a_holder() -> None:
    world = World(DATA, loss=0.1, receivers=3, seed=2, starts=(0.0, 0.0, 20.0))
    world.introduce()
    world.run(20, until=lambda: all(host.whole for host in world.receivers[:2]))
    world.leave(world.hosts[0])
    world.introduce()
    world.run(60)
    assert world.right()


def test_a_holder_that_leaves_is_replaced() -> None:
    world = World(DATA, receivers=3, seed=2, starts=(0.0, 0.0, 5.0))
    world.introduce()
    world.run(5, until=lambda: all(host.whole for host in world.receivers[:2]))
    world.leave(world.hosts[0])
    world.introduce()
    late = world.receivers[2]
    world.run(30, until=lambda: len(late.blocks) > 500)
    assert late.receiver is not None
    assert late.receiver.server is not None
    first = next(host for host in world.hosts if host.peer_id == late.receiver.server)
    first.gone = True  # without a word
    world.run(60)
    assert world.right()


@pytest.mark.parametrize("fault", ["garbage", "mute"])
def test_who_claims_to_have_it_and_does_not_is_given_up(fault: str) -> None:
    world = World(DATA[:400_000], receivers=2, seed=4)
    liar = world.receivers[0]
    assert liar.receiver is not None
    setattr(liar, fault, True)
    liar.receiver.left = 0
    liar.start = 0.0
    victim = world.receivers[1]
    assert victim.receiver is not None
    victim.receiver.servers.clear()
    victim.receiver.may_serve(liar.peer_id, complete=True)
    liar.sender._has = lambda group: (1 << 32) - 1
    world.run(1, until=lambda: victim.receiver is not None and victim.receiver.server == liar.peer_id)
    victim.receiver.may_serve(world.hosts[0].peer_id, complete=True)
    world.run(60, until=lambda: victim.whole)
    assert victim.whole
    assert b"".join(block for _, block in sorted(victim.blocks.items())) == world.data


def test_forty_members_that_serve_garbage_cost_no_more_than_one() -> None:
    """All of them are made up by one computer, and say that they have everything."""
    world = World(DATA[:400_000], receivers=41, seed=4)
    *liars, victim = world.receivers
    for liar in liars:
        assert liar.receiver is not None
        liar.garbage, liar.computer, liar.receiver.left = True, "10.6.6.6", 0
        liar.sender._has = lambda group: (1 << 32) - 1
    assert victim.receiver is not None
    victim.receiver.servers.clear()
    for host in (*liars, world.hosts[0]):
        victim.receiver.may_serve(host.peer_id, complete=True)
    world.run(60, until=lambda: victim.whole)
    assert b"".join(block for _, block in sorted(victim.blocks.items())) == world.data
    assert sum(one.failures for one in _servers(victim)) <= 2


def test_forged_items_cost_a_hash_each() -> None:
    """Somebody sends a wrong copy of each item before the right one, from the server's address."""
    world = World(DATA[:1_000_000], receivers=2, seed=4, loss=0.05)
    alone = World(world.data, receivers=2, seed=4, loss=0.05)
    alone.run(60)
    arrive = world._arrive

    def forge(host: Host, to: Host, items: list[Item]) -> None:
        arrive(host, to, [item._replace(data=bytes(len(item.data))) for item in items])
        arrive(host, to, items)

    world._arrive = forge  # type: ignore[method-assign] # a tap
    world.run(60)
    assert world.right()
    assert world.wire < 1.05 * alone.wire
    assert world.now < 1.2 * alone.now
    assert all(not one.failures for host in world.receivers for one in _servers(host))


def test_copies_with_forged_serials_make_nothing_be_sent_again() -> None:
    """Serials are outside the seal: each item comes once more, as if the server had sent much since."""
    world = World(DATA, receivers=2, seed=4, loss=0.02)
    arrive = world._arrive

    def forge(host: Host, to: Host, items: list[Item]) -> None:
        arrive(host, to, items)
        arrive(host, to, [item._replace(serial=item.serial + 100_000) for item in items[:1]])

    world._arrive = forge  # type: ignore[method-assign] # a tap
    world.run(60)
    assert world.right()
    assert world.wire / len(DATA) < 1.2
    assert all(not one.failures for host in world.receivers for one in _servers(host))


def test_a_storm_of_reports_is_bounded() -> None:
    """A member asks for everything a thousand times a second, and never says that it got anything."""
    world = World(DATA, receivers=3, seed=4, bandwidth=20e6)
    layout, sender = world.tree.layout, world.hosts[0].sender
    everything = tuple((level, (Entry(0, 0, layout.groups(level)),)) for level in range(len(layout.counts)))
    for number in range(1500):
        eve, address = PeerId(bytes([66 + number % 3]) * 16, 1), ("10.6.6.6", number % 3, 0)
        report = BulkReport(missing=everything)
        world.at(
            number / 1000,
            lambda eve=eve, address=address, report=report: sender.on_report(eve, address, report, world.now),
        )
    world.run(60)
    assert world.right()
    assert world.wire / len(DATA) < 3
    assert world.now < 5


def test_multicast_that_does_not_arrive_is_replaced_by_unicast() -> None:
    world = World(DATA, receivers=3, seed=6, bandwidth=2e6)
    world.receivers[0].group_loss = 1.0
    world.run(60)
    assert world.right()
    assert world.wire / len(DATA) < 2.3


def test_one_for_whom_multicast_is_much_worse_gets_unicast() -> None:
    world = World(DATA, receivers=3, seed=6, bandwidth=2e6)
    world.receivers[0].group_loss = 0.6
    world.run(60)
    assert world.right()
    assert not world.receivers[0].in_group
    assert all(host.in_group for host in world.receivers[1:])


def test_a_slow_receiver_does_not_hold_the_others() -> None:
    world = World(Random(6).randbytes(40_000_000), receivers=3, seed=6, bandwidth=20e6)
    slow = world.receivers[0]
    slow.speed = 1e6
    world.run(120)
    assert world.right()
    assert slow.done_at is not None
    for host in world.receivers[1:]:
        assert host.done_at is not None
        assert host.done_at < slow.done_at / 4
    assert all(host.in_group for host in world.receivers[1:])


@pytest.mark.parametrize("cable", [0.5e6, 1.25e6, 4e6])
@pytest.mark.parametrize("bandwidth", [20e6, 100e6])
def test_a_narrow_cable_of_one_does_not_hold_the_others(cable: float, bandwidth: float) -> None:
    world = World(Random(6).randbytes(20_000_000), receivers=2, seed=1, bandwidth=bandwidth, delay=SHORT)
    slow, other = world.receivers
    slow.cable = cable
    world.run(5, until=lambda: other.whole)
    assert other.whole
    world.run(120)
    assert world.right()


@pytest.mark.parametrize("way", [Way.MULTICAST, Way.UNICAST])
def test_the_way_can_be_chosen(way: Way) -> None:
    world = World(DATA[:600_000], receivers=2, loss=0.05, seed=6, way=way)
    world.run(60)
    assert world.right()
    copies = world.wire / 600_000
    assert copies < 1.3 if way is Way.MULTICAST else 2 <= copies < 2.5


def _servers(host: Host) -> list[Server]:
    assert host.receiver is not None
    return list(host.receiver.servers.values())


def _blocks(world: World) -> int:
    return world.tree.layout.blocks


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_nobody_waits_for_what_changed(loss: float) -> None:
    data = Random(8).randbytes(12_000_000)
    world = World(data, receivers=2, loss=loss, bandwidth=4e6, delay=0.005, buffer=0.1)
    blocks = world.tree.layout.blocks
    world.run(1.0)
    assert all(0.1 * blocks < len(host.blocks) < 0.4 * blocks for host in world.receivers)
    world.hosts[0].sender.lose(10, blocks // 2)

    def told() -> bool:
        author, receivers = world.hosts[0].peer_id.origin, [host.receiver for host in world.receivers]
        return all(one is not None and one.is_lost(author, world.now) for one in receivers)

    world.run(30.0, until=told)
    assert told()
    rest = set(range(blocks // 2, blocks)) | set(range(10))
    assert all(rest <= host.blocks.keys() for host in world.receivers)
    assert world.now < 4.5
