"""Who is alive: silence, probes, recordings."""

from __future__ import annotations

from math import inf

from msgspec.structs import replace

from mcast import simulation
from mcast.core.events import PeerId, PeerJoined, PeerLeft
from mcast.core.membership.failure_detector import CANDIDATES, CROWD, DEPARTED, NONCES, Freshness
from mcast.core.membership.roster_sync import pack
from mcast.settings import Settings
from mcast.wire import frames as f
from tests.unit.core.support import ADDRESS, Outsider, drops, now_ms


def left(member: simulation.Member) -> list[tuple[str, str]]:
    """Who left, and why."""
    return [(event.peer.name, event.reason) for event in member.events() if isinstance(event, PeerLeft)]


def test_a_crash_is_noticed_in_time() -> None:
    """At most 3.5 intervals and three seconds after the last word."""
    lan = simulation.Lan(2)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(12.0)
    bob.crash()
    crashed = lan.now
    while not left(ada):
        lan.run(0.5)
        assert lan.now < crashed + 3.5 * 1.25 * 5.0 + 3.5
    assert left(ada) == [("bob", "expired")]
    assert lan.now > crashed + 5.0


def test_who_begins_anew_on_the_same_computer_after_a_crash_is_soon_there_once() -> None:
    lan = simulation.Lan(2)
    others = [lan.join(f"other {number}") for number in range(7)]
    bob = lan.join("bob", machine=b"computer")
    lan.run(30.0)
    bob.crash()
    lan.run(1.0)
    again = lan.join("bob", machine=b"computer", identity=bob.identity)
    lan.run(4.5)
    for other in others:
        assert left(other) == [("bob", "expired")]
        assert [peer.peer_id for peer in other.peers() if peer.name == "bob"] == [again.engine.peer_id]
    assert "bob" not in [peer.name for peer in again.peers()], "who begins anew is told of itself"


def test_several_instances_on_one_computer_stay() -> None:
    lan = simulation.Lan(4)
    ada = lan.join("ada")
    first = lan.join("bob", machine=b"computer")
    lan.run(10.0)
    lan.join("bob", machine=b"computer", identity=first.identity)
    lan.run(0.3)
    lan.join("bob", machine=b"another1", identity=first.identity)
    lan.run(60.0)
    assert left(ada) == []
    assert [peer.suspect for peer in ada.peers()] == [False] * 3


def test_in_a_crowd_nobody_is_probed_because_somebody_came() -> None:
    lan = simulation.Lan(5)
    ada, bob = lan.join("ada"), lan.join("bob", machine=b"computer")
    lan.run(10.0)
    bob.crash()
    ada.engine._context.members = CROWD + 1
    (peer,) = ada.engine._roster
    ada.engine._detector.succeeded(peer, lan.now)
    assert not peer.suspect


def test_a_suspect_that_answers_stays() -> None:
    """Its announcements do not arrive, its answers to probes do."""
    lan = simulation.Lan(3)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(2.0)
    bob.engine._presence.timer.next = 1e9
    bob.engine._presence.rearm()
    lan.run(40.0)
    assert left(ada) == []
    assert any(not peer.suspect for peer in ada.peers())


def test_a_recorded_peer_is_never_shown_as_live() -> None:
    """Everything ada ever said, played again to somebody who comes an hour later."""
    lan = simulation.Lan(6)
    recorded: list[tuple[bytes, object]] = []
    ada = lan.join("ada")
    lan.on_transmit = lambda data, source, _to: recorded.append((data, source))
    for _ in range(5):
        ada.send("buy")
        lan.run(2.0)
    ada.crash()
    lan.on_transmit = None
    lan.run(3600.0)
    late = lan.join("late")
    for data, _ in recorded:
        lan.transmit(data, ADDRESS)
        lan.run(0.01)
    lan.run(20.0)
    assert late.messages() == []
    assert late.peers() == []
    assert not any(isinstance(event, PeerJoined) for event in late.events())
    assert drops(late, "not-live") > 0
    assert drops(late, "departed") == 0


def test_a_clock_that_is_a_day_off_is_no_obstacle() -> None:
    lan = simulation.Lan(7)
    ada = lan.join("ada")
    lan.run(1.0)
    bob = lan.join("bob")
    bob.crash()
    bob.skew = -86_400.0
    bob.start(disk=False)
    lan.run(1.0)
    bob.send("hi")
    lan.run(2.0)
    assert [message.text for message in ada.messages()] == ["hi"]
    assert [peer.peer_id for peer in ada.peers() if peer.peer_id == bob.engine.peer_id]


def test_a_visitor_with_a_wrong_clock_is_heard_after_a_probe() -> None:
    lan = simulation.Lan(8)
    ada = lan.join("ada")
    bob = lan.join("bob", visitor=True)
    bob.crash()
    bob.skew = 86_400.0
    bob.start(disk=False)
    bob.send("hello")
    lan.run(1.0)
    assert [message.text for message in ada.messages()] == ["hello"]
    assert ada.peers() == []


def test_a_forged_or_unasked_probe_answer_counts_for_nothing() -> None:
    lan = simulation.Lan(16)
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement(timestamp=0))
    lan.run(0.05)
    nonces = [
        nonce for nonce, probing in ada.engine._detector._nonces.items() if probing.peer_id == eve.peer_id
    ]
    bad = eve.sign(f.ProbeReply(*eve.peer_id, bytes(16), 0, 1, 0))
    eve.say(bad)
    assert drops(ada, "not-asked") == 1
    eve.say(f.ProbeReply(*eve.peer_id, nonces[0], 0, 1, 0, bytes(64)))
    assert drops(ada, "bad-signature") == 1
    assert ada.peers() == []
    eve.say(eve.sign(f.ProbeReply(*eve.peer_id, nonces[0], 0, 1, 0)))
    assert len(ada.peers()) == 1


def test_who_said_goodbye_is_not_revived_by_a_probe_answer() -> None:
    lan = simulation.Lan(17)
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement())
    nonce = probed(ada, eve.peer_id)
    eve.say(eve.sign(f.Goodbye(*eve.peer_id, eve.count(), 0)))
    eve.say(eve.sign(f.ProbeReply(*eve.peer_id, nonce, now_ms(lan), 1, 0)))
    assert ada.peers() == []
    assert drops(ada, "departed") == 1


def test_probes_are_answered_within_a_budget_and_only_for_us() -> None:
    lan = simulation.Lan(18)
    ada = lan.join("ada")
    eve = Outsider(lan)
    for number in range(150):
        eve.say(f.Probe(*ada.engine.peer_id, number.to_bytes(16, "big"), f.BY_MULTICAST))
    eve.say(f.Probe(*eve.peer_id, bytes(16)))
    assert 20 < drops(ada, "over-budget") < 60
    assert drops(ada, "not-asked") == 1


def test_freshness_is_bounded_and_ends() -> None:
    context = simulation.Lan().join("ada").engine._context
    live = Freshness(context, 30.0, 2)
    context.set_wall(0.0, 0.0)
    peer_ids = [PeerId(number.to_bytes(16, "big"), 1) for number in range(NONCES + 10)]
    for peer_id in peer_ids[:3]:
        assert live.judge(peer_id, 0, 30.0)
        assert live.judge(peer_id, 0, 99.0)
    assert peer_ids[0] not in live
    assert not live.judge(peer_ids[0], 0, 30.001)
    live.left(peer_ids[2])
    assert peer_ids[2] not in live
    for peer_id in peer_ids:
        live.doubt(peer_id, ADDRESS, 1, 2.0)
    assert len(live._doubts) == NONCES


def test_a_nonce_is_good_for_one_peer_once_and_for_three_seconds() -> None:
    lan = simulation.Lan(20)
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement())

    def answer(nonce: bytes, peer_id: PeerId) -> int:
        """How often ada had not asked, once this answer came."""
        eve.say(eve.sign(f.ProbeReply(*peer_id, nonce, now_ms(lan), 1, 0)))
        return drops(ada, "not-asked")

    assert answer(probed(ada, eve.peer_id), PeerId(eve.peer_id.origin, 1)) == 1
    late = probed(ada, eve.peer_id)
    lan.run(3.5)
    assert answer(late, eve.peer_id) == 2
    nonce = probed(ada, eve.peer_id)
    lan.run(0.5)
    assert answer(nonce, eve.peer_id) == 2
    assert ada.engine.stats()["grtt-us"] >= 500_000
    assert answer(nonce, eve.peer_id) == 3, "it was redeemed"


def test_the_probes_under_way_are_bounded() -> None:
    ada = simulation.Lan(21).join("ada")
    for number in range(NONCES + 10):
        probed(ada, PeerId(number.to_bytes(16, "big"), 1))
    assert len(ada.engine._detector._nonces) == NONCES


def alone(seed: int) -> Freshness:
    """The freshness of who challenges at once, as it has nobody to share the challenges with."""
    context = simulation.Lan(seed).join("ada").engine._context
    context.members = 0
    return Freshness(context, 30.0, 10)


def probed(member: simulation.Member, peer_id: PeerId) -> bytes:
    """The nonce of a probe that a member sends."""
    detector = member.engine._detector
    detector._probe(peer_id, ADDRESS, 1, member.engine._context.now)
    return next(reversed(detector._nonces))


def asked(live: Freshness) -> list[tuple[float, object]]:
    """When and where it challenges."""
    challenges: list[tuple[float, object]] = []
    while (when := live.timers.next) < inf:
        challenges += [(round(when, 3), to) for _, to, _ in live.due(when)]
    return challenges


def test_a_doubted_peer_is_probed_three_times_more_then_left_alone() -> None:
    live = alone(1)
    peer_id = PeerId(b"x" * 16, 1)
    live.doubt(peer_id, ADDRESS, 1, 0.0)
    live.doubt(peer_id, "elsewhere", 1, 0.0)
    assert asked(live) == [(0.0, ADDRESS), (0.1, ADDRESS), (0.4, ADDRESS), (0.9, None)]
    live.doubt(peer_id, ADDRESS, 1, 10.0)
    assert live.timers.next == 10.0


def test_hearsay_is_asked_about_once_and_by_one() -> None:
    live = alone(1)
    peer_id = PeerId(b"x" * 16, 1)
    live.overheard(peer_id, 0.0)
    live.doubt(peer_id, None, 1, 0.0)
    assert asked(live) == [(0.0, None)]
    live.doubt(peer_id, None, 1, 10.0)
    live.overheard(peer_id, 10.0)
    live.overheard(peer_id, 11.0)
    assert live.timers.next == 15.0
    assert asked(live) == []
    live.doubt(peer_id, None, 1, 20.0)
    live.doubt(peer_id, ADDRESS, 1, 20.0)
    assert live.due(20.0) == [(peer_id, ADDRESS, 1)]


def test_those_who_said_goodbye_are_bounded() -> None:
    detector = simulation.Lan().join("ada").engine._detector
    for number in range(DEPARTED + 1):
        detector.departed(PeerId(number.to_bytes(16, "big"), 1))
    assert not detector.has_left(PeerId(bytes(16), 1))
    assert detector.has_left(PeerId((1).to_bytes(16, "big"), 1))


def test_the_candidates_are_bounded() -> None:
    """The attack: recordings by the thousand."""
    lan = simulation.Lan(22)
    detector = lan.join("ada").engine._detector
    frame = Outsider(lan).announcement()
    peer_ids = [PeerId(number.to_bytes(16, "big"), 1) for number in range(CANDIDATES + 1)]
    for peer_id in peer_ids:
        detector.admit_later(replace(frame, origin=peer_id.origin, incarnation=1), ADDRESS, None, 1, 0.0)
    assert list(detector._candidates) == peer_ids[1:]


def test_hearsay_that_falls_silent_is_asked_for_in_the_group_alone() -> None:
    lan = simulation.Lan(23)
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key, f.Roster(*pack(("198.51.100.7", 53)), eve.announcement()))
    assert [peer.confirmed for peer in ada.peers()] == [False]
    probed_at: list[object] = []
    lan.on_transmit = lambda _data, _source, to: probed_at.append(to)
    before = ada.engine.stats().get("sent-probe", 0)
    lan.run(40.0)
    assert left(ada) == [("eve", "expired")]
    assert ada.engine.stats()["sent-probe"] > before
    assert set(probed_at) == {None}


def test_a_visitor_is_watched_until_it_falls_silent_also_if_its_window_made_room() -> None:
    lan = simulation.Lan(24, settings=Settings(peers_per_identity=16))
    ada = lan.join("ada")
    eve = Outsider(lan)
    first = eve.peer_id
    eve.say(eve.key)
    for number in range(17):
        eve.peer_id = PeerId(first.origin, first.incarnation + number)
        eve.say(eve.heartbeat(0))
    assert ada.engine._nacks.windows.get(first) is None
    silence = ada.engine._detector._silence
    assert len(silence) == 17
    lan.run(Settings().visitor_seconds + 1.0)
    assert len(silence) == 0


def test_a_peer_of_before_ends_the_keeping_back_of_what_was_heard() -> None:
    lan = simulation.Lan(25)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    ada.engine.lost_network(lan.now)
    assert ada.engine._store.withheld
    bob.send("back")
    lan.run(0.1)
    assert not ada.engine._store.withheld


def test_in_a_crowd_nobody_measures_because_it_joined() -> None:
    lan = simulation.Lan(26)
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement())
    ada.engine._context.members = CROWD + 1
    lan.run(1.0)
    assert "sent-probe" not in ada.engine.stats()
