"""What an answer to a PING tells of the way, and what an exchange may cost."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

from mcast.core.events import PeerId
from mcast.crypto.rooms import open_room
from mcast.doctor.exchange import OVERHEAD, SMALLEST, Arrival, Exchange, Exhausted
from mcast.multicast import Sender, parse_group
from mcast.wire.frames import Path, Pong

ASKED = 64
"""The TTL of the question."""


def arrival(came: int, ttl: int, received: int | None, held: int = 0) -> Arrival:
    pong = Pong(bytes(16), 1, bytes(8), 0, Path.UNICAST, 0, 0, 0, held, came, ttl)
    return Arrival(pong, 0.0, None, ("10.9.0.2", 28003), received)


@pytest.mark.parametrize(
    ("came", "ttl", "received", "there", "back"),
    [
        (64, 1, 1, 0, 0),
        (63, 64, 62, 1, 2),
        (0, 64, None, None, None),
        (64, 0, 1, 0, None),
        (255, 1, 64, None, None),
    ],
    ids=["the same network", "routers", "not known", "its own not told", "it lies"],
)
def test_the_ttls_tell_the_hops(
    came: int, ttl: int, received: int | None, there: int | None, back: int | None
) -> None:
    one = arrival(came, ttl, received)
    assert (one.hops_there(ASKED), one.hops_back) == (there, back)


def test_the_peer_tells_how_long_it_held_the_question() -> None:
    assert arrival(1, 1, 1, held=12_500).held == 0.0125


class Sent:
    """A sender that only counts."""

    sent_bytes = 0

    def send_to(self, data: bytes, _: object) -> None:
        """It has left."""
        self.sent_bytes += len(data) + OVERHEAD[4]


def exchange(**limits: Any) -> Exchange:
    group = parse_group("230.0.0.1", default_port=28003)
    return Exchange(open_room(str(group), ""), (group,), **limits)


def test_an_exchange_sends_no_more_than_it_may() -> None:
    sender, most = Sent(), 3 * (SMALLEST + OVERHEAD[4]) + 10
    with exchange(most=most) as made:

        def ask(number: int) -> None:
            made.ask(cast(Sender, sender), ("10.9.0.2", 28003), PeerId(bytes(16), 1), bytes(8), number)

        for number in range(3):
            ask(number)
        with pytest.raises(Exhausted):
            ask(3)
    assert made.sent_bytes == sender.sent_bytes == 3 * (SMALLEST + OVERHEAD[4])


def test_an_exchange_ends_when_its_time_is_over() -> None:
    with exchange(until=time.perf_counter()) as made:
        with pytest.raises(Exhausted):
            made.wait(60.0)
        with pytest.raises(Exhausted):
            made.find(("10.9.0.2", 28003), cast(Sender, Sent()), 60.0)
    with exchange(until=time.perf_counter() + 60.0) as made:
        assert made.wait(0.0) == []
