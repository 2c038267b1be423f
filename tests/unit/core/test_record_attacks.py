"""What signed words about records, or many records, must not cost; and what must not be lost silently."""

from __future__ import annotations

from mcast import simulation
from mcast.core.events import GapAbandoned, PeerId
from mcast.core.reliability.nack import CLAIMS_TOLD
from mcast.core.reliability.window import CLAIM, CLAIM_SECONDS
from mcast.settings import Settings

from .support import Outsider, drops, gap_events

WINDOW = 8192
FAR = 2**62


def test_a_heartbeat_with_a_far_low_hangs_nobody() -> None:
    lan = simulation.Lan(1)
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.key, eve.heartbeat(FAR, low=FAR))
    lan.run(4.0)
    assert ("GapAbandoned", 1, FAR - 1) in gap_events(bob)
    window = bob.engine._nacks.windows.get(eve.peer_id)
    assert window is not None
    assert FAR in window.gaps
    lan.run(CLAIM_SECONDS)
    assert gap_events(bob)[-1] == ("GapAbandoned", FAR, FAR)
    assert not window.gaps


def test_heartbeats_of_many_peers_of_one_identity_cost_a_few_small_windows() -> None:
    lan = simulation.Lan(2, settings=Settings(peers_per_identity=5))
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.key)
    for _ in range(40):
        eve.peer_id = PeerId(eve.peer_id.origin, eve.peer_id.incarnation + 1)
        eve.say(eve.heartbeat(FAR, low=1))
    assert bob.engine.stats()["receive-windows"] == 5
    window = bob.engine._nacks.windows.get(eve.peer_id)
    assert window is not None
    assert len(window.gaps) == 1
    assert window.buffer.high == CLAIM
    eve.say(eve.record(1))
    assert window.buffer.high == 1 + WINDOW
    assert len([gap for gap in gap_events(bob) if gap[0] == "GapAbandoned"]) == CLAIMS_TOLD


def test_a_peer_that_hoards_is_refused_more() -> None:
    lan = simulation.Lan(31, settings=Settings(held_bytes=20_000))
    bob = lan.join("bob")
    hoarders = [Outsider(lan, seed) for seed in range(1, 8)]
    for eve in hoarders:
        eve.say(eve.key, eve.record(1))
        for sequence in range(3, 10):
            eve.say(eve.record(sequence, bytes(1000)))
    assert drops(bob, "over-quota") > 0
    windows = [bob.engine._nacks.windows.get(eve.peer_id) for eve in hoarders]
    held = [window.buffer.held_bytes for window in windows if window is not None]
    assert sum(held) <= 20_000
    assert 0 in held
    for eve in hoarders:
        eve.say(eve.record(2))
        for sequence in range(3, 10):
            eve.say(eve.record(sequence, bytes(1000)))
    lan.run(1.0)
    assert len(bob.messages()) == 7 * 9


def test_made_up_peers_push_each_other_out() -> None:
    lan = simulation.Lan(32, settings=Settings(peers=3))
    bob = lan.join("bob")
    for seed in range(1, 9):
        eve = Outsider(lan, seed)
        eve.say(eve.own_key, eve.record(2))
    assert bob.engine.stats()["receive-windows"] == 3
    members = [Outsider(lan, seed) for seed in range(20, 23)]
    for eve in members:
        eve.say(eve.key, eve.announcement())
        eve.say(eve.record(1))
    ghost = Outsider(lan, 50)
    ghost.say(ghost.key, ghost.record(1))
    ghost.say(ghost.heartbeat(1))
    assert drops(bob, "table-full") == 2
    assert len(bob.messages()) == 8 + 3
    abandoned = [event for event in bob.events() if isinstance(event, GapAbandoned)]
    assert [(event.first, event.last, event.name) for event in abandoned] == [(1, 1, "eve")] * 8
