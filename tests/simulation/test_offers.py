"""Peers that are made up to fill the table of `browse` (offers.py, shortened)."""

from __future__ import annotations

from mcast.settings import Settings

from .flood import weight
from .offers import Offers


def test_made_up_peers_are_bounded_and_the_honest_one_stays_listed() -> None:
    offers = Offers(1, Settings(peers=100))
    offers.invent(1500, 3.0)
    assert offers.listed
    assert len(offers.ada.peers()) == 100
    assert offers.rows >= 100
    assert offers.broken == 0
    assert weight(offers.ada.engine) < 12e6
