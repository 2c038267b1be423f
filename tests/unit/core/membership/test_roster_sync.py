"""What a newcomer is told at once."""

from __future__ import annotations

from mcast import simulation
from mcast.core.membership.roster_sync import first_entries
from mcast.core.peer_id import PeerId
from mcast.wire.attributes import Attributes

PEERS = [PeerId(b"%d" % number, 1) for number in range(20)]


def test_three_members_answer_and_name_others() -> None:
    told = {
        me: named
        for me in PEERS
        if (named := first_entries(b"asker", me, (one for one in PEERS if one != me))) is not None
    }
    assert len(told) == 3
    named = [one for each in told.values() for one in each]
    assert len(named) == len(set(named)) == 12
    assert not told.keys() & set(named)


def test_alone_one_names_nobody() -> None:
    assert first_entries(b"asker", PEERS[0], []) == []


def test_a_newcomer_among_ten_knows_all_after_one_round_trip() -> None:
    lan = simulation.Lan(delay=0.001, jitter=0.0)
    old = [lan.join(f"member{number}") for number in range(10)]
    lan.run(20.0)
    newcomer = lan.join("newcomer")
    lan.run(0.0021)
    assert sorted(peer.name for peer in newcomer.peers()) == sorted(member.name for member in old)


def test_what_does_not_fit_is_asked_for() -> None:
    lan = simulation.Lan(delay=0.001, jitter=0.0)
    long = Attributes(tags={"about": "x" * 500})
    old = [lan.join(f"member{number}", attributes=long) for number in range(10)]
    lan.run(20.0)
    newcomer = lan.join("newcomer")
    lan.run(0.0021)
    assert 3 <= len(newcomer.peers()) < 10
    lan.run(0.1)
    assert sorted(peer.name for peer in newcomer.peers()) == sorted(member.name for member in old)
