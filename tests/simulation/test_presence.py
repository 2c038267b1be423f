"""Who is here, who is only said to be, and who is gone: with real engines in virtual time."""

from __future__ import annotations

import pytest

from mcast import simulation
from mcast.core.events import PeerJoined, PeerLeft
from mcast.wire import frames as f
from mcast.wire.header import Header, decode_header


def left(member: simulation.Member) -> list[tuple[str, str]]:
    """The name and reason of each who left."""
    return [(event.peer.name, event.reason) for event in member.events() if isinstance(event, PeerLeft)]


@pytest.mark.parametrize("size", [2, 10, 30])
def test_who_crashed_is_gone_within_three_and_a_half_intervals_and_three_seconds(size: int) -> None:
    """By the interval that everybody had told; a second more, as silence is looked at on whole seconds."""
    lan = simulation.Lan(size)
    members = [lan.join(f"m{number}") for number in range(size)]
    lan.run(150.0)
    assert all(len(member.peers()) == size - 1 for member in members)
    interval = members[0].engine._presence.timer.settled
    members[1].crash()
    limit = 3.5 * interval + 3.0 + 1.0
    lan.run(max(0.0, 3.5 * interval - 1.25 * interval - 3.0))
    assert not any(left(member) for member in members)
    lan.run(limit - (3.5 * interval - 1.25 * interval - 3.0))
    for member in members:
        if member is not members[1]:
            assert left(member) == [("m1", "expired")]
            assert not any(peer.suspect for peer in member.peers())


def test_what_a_roster_says_is_unconfirmed_and_handed_on_by_nobody() -> None:
    """A newcomer gets thirty names from three givers; of one that is gone it never hears more."""
    lan = simulation.Lan(5)
    members = [lan.join(f"m{number}") for number in range(30)]
    lan.run(100.0)
    ghost = members[7]
    ghost.crash()
    handed: list[f.Frame] = []
    givers = set()

    def watch(data: bytes, source: object, destination: object) -> None:
        header = decode_header(data)
        assert isinstance(header, Header)
        frames = lan.checks.open(header, data)
        assert isinstance(frames, list)
        rosters = [frame for frame in frames if isinstance(frame, f.Roster)]
        handed.extend(rosters)
        if rosters and destination is not None:
            givers.add(source)

    lan.on_transmit = watch
    late = lan.join("late")
    lan.run(0.5)
    assert 2 <= len(givers) <= 3, "the ghost may be one of the nearest"
    assert {peer.peer_id for peer in late.peers()} == {member.engine.peer_id for member in members}
    assert not any(peer.confirmed for peer in late.peers() if peer.peer_id == ghost.engine.peer_id)
    handed.clear()
    last = lan.join("last")
    lan.run(0.5)
    by_late = late.engine.stats().get("sent-roster", 0)
    assert by_late == 0 or late.address in givers
    lan.run(400.0)
    assert not any(peer.peer_id == ghost.engine.peer_id for member in (late, last) for peer in member.peers())
    assert all(peer.confirmed for peer in late.peers())
    told = [event.peer for event in late.events() if isinstance(event, PeerJoined)]
    assert sum(not peer.confirmed for peer in told) >= 20
