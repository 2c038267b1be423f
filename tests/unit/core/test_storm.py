"""Many join at once: who cannot be checked now waits for its turn, nobody greets or measures everybody."""

from __future__ import annotations

import msgspec
import pytest

from mcast import simulation
from mcast.core.events import Address, PeerJoined
from mcast.core.membership import failure_detector
from mcast.settings import Settings
from mcast.wire import frames as f

from .support import Outsider, drops

FEW = Settings(verifications=40, peers=100)  # 12 signatures of strangers a second, of which 6 can wait


def _spend(lan: simulation.Lan, member: simulation.Member) -> None:
    """Use up what may be checked of strangers now."""
    budget = member.engine._verifier._budget
    while budget.allow(b"stranger", False, lan.now):
        pass


def test_all_who_join_at_once_are_known_as_fast_as_signatures_may_be_checked() -> None:
    """Thirty have sixty signatures; the first word of each is enough, though it came long before."""
    lan = simulation.Lan(3, settings=FEW)
    members = [lan.join(f"m{number}") for number in range(30)]
    said = 0

    def count(data: bytes, source: Address, destination: Address) -> None:
        nonlocal said
        said += destination is None

    lan.run(0.0)
    for member in members:
        member.engine._presence.timer.next = 1e9
    lan.on_transmit = count
    lan.run(0.1)
    assert all(len(member.peers()) < 10 for member in members)
    assert drops(members[0], "over-budget") > 10
    lan.run(6.0)
    assert all(len(member.peers()) == 29 for member in members)
    assert said == 0
    joined = [event for event in members[0].events() if isinstance(event, PeerJoined)]
    assert len(joined) == 29
    assert all(peer.confirmed for peer in members[0].peers())


def test_a_recording_that_waited_is_no_livelier_for_it() -> None:
    """It is judged by the time at which it came; a forgery is counted like any other."""
    lan = simulation.Lan(4, settings=FEW)
    ada = lan.join("ada")
    _spend(lan, ada)
    old, forged, good = Outsider(lan, 51), Outsider(lan, 52), Outsider(lan, 53)
    stale = old.announcement(timestamp=int(1000 * (simulation.EPOCH_START - 3600)))
    old.say(old.key, stale)
    bad = good.announcement()
    forged.say(
        forged.key,
        msgspec.structs.replace(
            bad, origin=forged.peer_id.origin, incarnation=forged.peer_id.incarnation, counter=9
        ),
    )
    good.say(good.key, good.announcement())
    assert len(ada.engine._presence.postponed) == 3
    lan.run(3.0)
    assert [peer.peer_id for peer in ada.peers()] == [good.peer_id]
    assert drops(ada, "not-live") == 1
    assert drops(ada, "bad-signature") == 1


def test_only_announcements_of_strangers_wait() -> None:
    lan = simulation.Lan(5, settings=FEW)
    ada = lan.join("ada")
    known, gone = Outsider(lan, 61), Outsider(lan, 62)
    known.say(known.key, known.announcement())
    gone.say(gone.key, gone.announcement())
    goodbye = gone.sign(f.Goodbye(*gone.peer_id, gone.count(), 0))
    gone.say(goodbye)
    _spend(lan, ada)
    waiting = ada.engine._presence.postponed
    other = Outsider(lan, 63)
    other.say(other.key)
    other.say(other.key, other.sign(f.Heartbeat(*other.peer_id, other.count(), 0, 1, 0, 0)))
    other.say(other.announcement(), other.key)
    known.say(known.sign(f.Key(known.identity.public_key, 2, "new")), known.announcement())
    late = gone.sign(f.Key(gone.identity.public_key, 2, "new"))
    gone.say(late, gone.announcement())
    assert len(waiting) == 0
    other.say(other.key, other.announcement())
    assert len(waiting) == 1


@pytest.mark.parametrize(("size", "some"), [(5, True), (6, False)])
def test_nobody_probes_in_a_crowd_just_because_it_joined(
    size: int, some: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure_detector, "CROWD", 5)
    lan = simulation.Lan(6)
    members = [lan.join(f"m{number}") for number in range(size)]
    lan.run(1.0)
    assert any(member.engine.stats().get("sent-probe", 0) for member in members) == some


def test_a_roster_entry_that_nobody_confirms_is_probed_and_goes() -> None:
    lan = simulation.Lan(7)
    ada = lan.join("ada")
    ghost, giver = Outsider(lan, 71), Outsider(lan, 72)
    giver.say(ghost.key, f.Roster(bytes(16), 0, ghost.announcement()))
    assert [(peer.peer_id, peer.confirmed) for peer in ada.peers()] == [(ghost.peer_id, False)]
    lan.run(17.0)
    assert not any(peer.suspect for peer in ada.peers())
    lan.run(5.0)
    assert ada.peers() == []
    assert ada.engine.stats()["sent-probe"] >= 1
