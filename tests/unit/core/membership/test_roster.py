"""The table of peers."""

from __future__ import annotations

from mcast import simulation
from mcast.core.events import PeerId
from mcast.core.membership.roster import ADDRESSES, Peer, Roster
from mcast.wire import frames as f
from mcast.wire.reasons import DropReason


def test_a_full_roster_lets_hearsay_go_and_refuses_the_rest() -> None:
    context = simulation.Lan().join("ada").engine._context
    roster = Roster(context, 2, 16)
    frame = f.Announcement(b"o" * 16, 1, 1, 0, 1, 0, 5000, 2000, 1452, 0, 0, bytes(8))

    def peer(number: int, confirmed: bool) -> Peer:
        return Peer(PeerId(bytes([number]) * 16, 1), "", frame, None, 0.0, confirmed)

    assert roster.add(peer(1, True)) is None
    assert roster.add(peer(2, False)) is None
    assert roster.add(peer(3, True)) is None
    assert PeerId(bytes([2]) * 16, 1) not in roster
    assert roster.add(peer(4, True)) is DropReason.TABLE_FULL
    assert len(roster) == 2


def test_of_one_origin_others_stay_when_one_leaves() -> None:
    roster = Roster(simulation.Lan().join("ada").engine._context, 10, 16)
    peer_ids = [PeerId(b"o" * 16, number) for number in (1, 2)]
    for peer_id in peer_ids:
        frame = f.Announcement(*peer_id, 1, 0, 1, 0, 5000, 2000, 1452, 0, 0, bytes(8))
        assert roster.add(Peer(peer_id, "", frame, None, 0.0, True)) is None
    roster.remove(peer_ids[0])
    assert roster.of(b"o" * 16) == [peer_ids[1]]
    roster.remove(peer_ids[1])
    assert roster.of(b"o" * 16) == []


def test_the_addresses_of_a_peer_are_bounded_and_the_latest_is_last() -> None:
    frame = f.Announcement(b"o" * 16, 1, 1, 0, 1, 0, 5000, 2000, 1452, 0, 0, bytes(8))
    peer = Peer(PeerId(b"o" * 16, 1), "", frame, None, 0.0, True)
    assert peer.view().addresses == ()
    for number in range(ADDRESSES + 1):
        peer.heard_at((f"10.9.0.{number}", 28003))
    peer.also_at(("10.9.0.1", 40000))
    assert peer.view().addresses == (*(f"10.9.0.{number}" for number in range(2, ADDRESSES + 1)), "10.9.0.1")
    assert peer.source == (f"10.9.0.{ADDRESSES}", 28003)
