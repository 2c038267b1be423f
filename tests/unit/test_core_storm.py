"""Many join at once: who cannot be checked now waits for its turn, nobody greets or measures everybody."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from mcast import simulation
from mcast.core import probing
from mcast.core.events import Address, PeerJoined
from mcast.core.handover import STORM, Greeting, Greetings
from mcast.core.peer_id import PeerId
from mcast.core.postponed import PAUSE, Entry, Postponed
from mcast.settings import Settings
from mcast.wire import frames as f

from .core_support import ADDRESS, Outsider, drops

FEW = Settings(verifications=40, peers=100)  # 12 signatures of strangers a second, of which 6 can wait


def entry(number: int, at: float = 0.0) -> Entry:
    lan = simulation.Lan(1)
    outsider = Outsider(lan, number)
    return Entry(outsider.key, outsider.announcement(), ("10.9.9.9", number), 300, at)  # type: ignore[arg-type] # an announcement it is


def test_who_waits_is_taken_up_in_order_and_the_oldest_go_first() -> None:
    postponed = Postponed(2)
    assert postponed.when() is None
    assert postponed.take(9.0) is None
    entries = [entry(number, at=float(number)) for number in (1, 2, 3)]
    for each in entries:
        postponed.add(each)
    assert len(postponed) == 2
    assert postponed.when() == 1.0 + PAUSE
    assert postponed.take(1.0) is None
    assert postponed.take(3.0) is entries[1]
    postponed.rest(3.0)
    assert postponed.take(3.0) is None
    newer = entry(3, at=4.0)
    postponed.add(newer)
    assert postponed.take(4.0) is newer
    assert postponed.when() is None


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
        member.engine._state.announcer.next = 1e9
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
    assert len(ada.engine._state.postponed) == 3
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
    waiting = ada.engine._state.postponed
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
    monkeypatch.setattr(probing, "CROWD", 5)
    lan = simulation.Lan(6)
    members = [lan.join(f"m{number}") for number in range(size)]
    lan.run(1.0)
    assert any(member.engine.stats().get("sent-probe", 0) for member in members) == some


def test_a_storm_greets_nobody_in_its_first_second() -> None:
    """Each knows few yet, and would be among the nearest three of those."""
    greetings = Greetings(Random(1), now=0.0)
    few, storm = [
        [Greeting(PeerId(bytes([number]) * 16, 1), ADDRESS, 300) for number in range(size)]
        for size in (STORM, STORM + 1)
    ]
    assert not any(greetings.heard(greeting, 0.0) for greeting in few)
    assert sorted(greetings.due(0.2)) == few
    greetings = Greetings(Random(1), now=0.0)
    assert not any(greetings.heard(greeting, 0.0) for greeting in storm)
    assert greetings.due(0.2) == []


def _spend(lan: simulation.Lan, member: simulation.Member) -> None:
    """Use up what may be checked of strangers now."""
    budget = member.engine._state.authority._budget
    while budget.allow(b"stranger", False, lan.now):
        pass


def test_hearsay_that_nobody_confirms_is_asked_for_and_goes() -> None:
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
