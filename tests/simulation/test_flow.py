"""The rate on a made-up LAN: slow links, slow readers, liars, and two who share."""

from __future__ import annotations

from collections.abc import Callable

from mcast import simulation
from mcast.core.events import GapAbandoned, Message, SlowMember
from mcast.settings import Settings
from mcast.wire import frames as f
from tests.unit.core.support import Outsider, now_ms

LINK, QUEUE = 300_000.0, 30_000.0  # bytes a second, bytes: 0.1 s of queue
SLOW = Settings(start_rate=150_000, floor_rate=16_384, alone_rate=150_000)
"""Rates at which a simulation is quick."""


def talk(lan: simulation.Lan, *senders: simulation.Member, size: int = 1000) -> None:
    """These send all they can from now on."""

    def feed(sender: simulation.Member) -> Callable[[], None]:
        def again() -> None:
            if sender.alive:
                while sender.engine.writable(lan.now):
                    sender.engine.send(bytes(size), lan.now)
                sender.step()
                lan.at(lan.now + 0.02, again)

        return again

    for sender in senders:
        lan.at(lan.now, feed(sender))


def received(member: simulation.Member, sender: simulation.Member) -> int:
    """Bytes of messages that came from `sender`."""
    peer_id = sender.engine.peer_id
    return sum(len(event.data) for event in member.messages() if event.peer_id == peer_id)


def rate(member: simulation.Member) -> int:
    """At which it may send."""
    return member.engine.stats()["rate"]


def test_a_slow_link_is_filled_and_loses_little() -> None:
    lan = simulation.Lan(1, settings=SLOW)
    ada, slow, _ = (lan.join(name) for name in ("ada", "slow", "fast"))
    lan.run(1.0)
    link = lan.narrow(LINK, QUEUE, slow)
    talk(lan, ada)
    lan.run(3.0)
    lost, before = link.lost, received(slow, ada)
    lan.run(4.0)
    assert received(slow, ada) - before > 0.6 * LINK * 4.0
    assert link.lost - lost < 10
    assert rate(ada) < 1.5 * LINK
    lan.widen(slow)
    lan.run(3.0)
    assert rate(ada) > 2 * LINK, "it recovers within seconds"
    assert not [event for event in slow.events() if isinstance(event, GapAbandoned)]


def test_two_senders_share_a_link() -> None:
    lan = simulation.Lan(2, settings=SLOW)
    ada, bob, eve = (lan.join(name) for name in ("ada", "bob", "eve"))
    lan.run(1.0)
    lan.narrow(LINK, QUEUE, eve)
    talk(lan, ada)
    lan.run(2.0)
    talk(lan, bob)
    lan.run(2.0)
    before = [received(eve, sender) for sender in (ada, bob)]
    lan.run(28.0)
    shares = [received(eve, sender) - start for sender, start in zip((ada, bob), before, strict=True)]
    assert sum(shares) ** 2 / (2 * sum(share**2 for share in shares)) > 0.9, shares


def test_loss_by_chance_does_not_slow_the_sender() -> None:
    lan = simulation.Lan(3, settings=SLOW, loss=0.1)
    ada, _, _ = (lan.join(name) for name in ("ada", "bob", "eve"))
    lan.run(1.0)
    talk(lan, ada)
    lan.run(0.5)
    assert rate(ada) >= 8 * SLOW.start_rate


def test_an_application_that_does_not_take_what_comes_slows_the_sender() -> None:
    lan = simulation.Lan(4, settings=SLOW)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    lan.narrow(LINK, QUEUE, bob)
    unread = 0

    def look() -> None:
        bob.engine.unread(received(bob, ada) if unread else 0)
        lan.at(lan.now + 0.1, look)

    look()
    talk(lan, ada)
    lan.run(1.0)
    unread = 1
    lan.run(11.0)
    assert rate(ada) == SLOW.floor_rate
    unread = 0
    lan.run(4.0)
    assert rate(ada) > LINK / 2


def hostile(entry: Callable[[simulation.Lan, simulation.Member], f.Heard | None]) -> list[float]:
    """Bytes a second that others get, second by second, while an outsider reports falsely."""
    lan = simulation.Lan(5, settings=SLOW)
    ada, bob, zoe = (lan.join(name) for name in ("ada", "bob", "zoe"))
    lan.run(1.0)
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement())
    lan.narrow(LINK, QUEUE, bob, zoe)
    lan.run(8.0)
    talk(lan, ada)
    lan.run(4.0)
    rates: list[float] = []
    before = received(bob, ada)
    for second in range(14):
        for _ in range(10):
            heard = entry(lan, ada)
            if heard is not None:
                eve.say(eve.sign(f.Report(*eve.peer_id, eve.count(), (heard,))))
            lan.run(0.1)
        if second % 4 == 0:
            eve.say(eve.key, eve.announcement())
        now = received(bob, ada)
        rates.append(now - before)
        before = now
    assert [event.peer_id for event in ada.events() if isinstance(event, SlowMember)] == [eve.peer_id]
    assert not [event for event in bob.events() if isinstance(event, GapAbandoned)]
    assert all(isinstance(event, Message) for event in bob.messages())
    return rates


def test_who_claims_to_lose_all_does_so_for_ten_seconds() -> None:
    def lies(lan: simulation.Lan, ada: simulation.Member) -> f.Heard:
        high = ada.engine._sender.window.high
        return f.Heard(*ada.engine.peer_id, high, high, now_ms(lan), 0, 0, 65535)

    rates = hostile(lies)
    assert min(rates[:10]) > 0.5 * SLOW.floor_rate
    assert rates[-1] > 0.5 * LINK


def test_who_claims_to_have_nothing_does_so_for_ten_seconds() -> None:
    def lies(lan: simulation.Lan, ada: simulation.Member) -> f.Heard:
        return f.Heard(*ada.engine.peer_id, 0, 1, now_ms(lan), 0, 2**32 - 1, 0)

    rates = hostile(lies)
    assert min(rates[:10]) > 0.5 * SLOW.floor_rate
    assert rates[-1] > 0.5 * LINK
