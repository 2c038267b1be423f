"""The table of peers."""

from __future__ import annotations

from mcast import simulation
from mcast.core.membership.roster import Peer, Roster
from mcast.core.peer_id import PeerId
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
