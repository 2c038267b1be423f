"""What a newcomer is told at once."""

from __future__ import annotations

from mcast import simulation
from mcast.core.events import PeerId
from mcast.core.membership.roster_sync import first_entries, pack
from mcast.wire import frames as f
from mcast.wire.attributes import Attributes
from tests.unit.core.support import ADDRESS, Outsider, drops, now_ms

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


def test_an_entry_that_is_too_old_enters_the_roster_when_the_peer_has_answered() -> None:
    """Its clock is off, or it is a recording; nobody has heard it here, so it is asked by multicast."""
    lan = simulation.Lan()
    ada = lan.join("ada")
    lan.run(1.0)
    giver, eve = Outsider(lan, seed=98), Outsider(lan)
    old = eve.announcement(timestamp=now_ms(lan) - 3_600_000)
    giver.say(eve.key, f.Roster(*pack(ADDRESS), old))
    assert drops(ada, "not-live") == 1
    assert ada.peers() == []
    lan.run(1.0)
    (nonce,) = ada.engine._detector._nonces
    eve.say(eve.sign(f.ProbeReply(*eve.peer_id, nonce, now_ms(lan), 1, 0)))
    assert [peer.peer_id for peer in ada.peers()] == [eve.peer_id]
