"""What an answer to a PING tells of the way."""

from __future__ import annotations

import pytest

from mcast.doctor.exchange import Arrival
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
