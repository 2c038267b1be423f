"""Bounds of tables, frames of our own that come back, and other corners of the engine."""

from __future__ import annotations

import pytest
from mcast.core.answers import ASKED, KeyAnswers
from mcast.core.candidates import Candidates
from mcast.core.reporting import Confirmations, Reporter

from mcast import simulation
from mcast.core import authority as authority_module
from mcast.core import candidates as candidates_module
from mcast.core.engine import Outgoing
from mcast.core.events import PeerUpdated
from mcast.core.peer_id import PeerId
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire.attributes import Attributes, encode_attributes
from mcast.wire.header import Header, decode_header
from mcast.wire.limits import WINDOW

from .core_support import Outsider, drops, now_ms


def test_key_answers_are_sparing_and_bounded() -> None:
    answers = KeyAnswers()
    assert answers.requested(b"a", 0.0, 0.1)
    assert answers.requested(b"a", 0.0, 0.0)
    assert answers.due(0.05) == []
    assert answers.due(0.1) == [b"a"]
    assert not answers.requested(b"a", 0.2, 0.0)
    answers.wanted(b"b", 0.0, 0.1)
    answers.wanted(b"b", 0.0, 0.0)
    assert answers.when() == 0.1
    assert answers.ask(0.1) == [b"b"]
    answers.wanted(b"b", 0.2, 0.0)
    assert answers.when() is None
    for number in range(2 * ASKED):
        answers.overheard(b"%d" % number, 1.0)
    assert len(answers._asked) == ASKED


def test_a_key_that_is_forgotten_meanwhile_is_not_sent() -> None:
    lan = simulation.Lan(1)
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key)
    lan.run(1.0)
    eve.say(f.KeyRequest((eve.peer_id.origin,)))
    ada.engine._state.authority._keys.clear()
    lan.run(1.0)
    assert ada.engine.stats().get("sent-key", 0) == 0


def test_a_forged_key_is_refused() -> None:
    lan = simulation.Lan(2)
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(f.Key(eve.identity.public_key, 1, "not by eve", bytes(64)))
    assert drops(ada, "bad-signature") == 1


def test_tables_of_the_authority_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority_module, "FLUSHES", 2)
    lan = simulation.Lan(3, settings=Settings(peers=1))
    ada = lan.join("ada")
    for seed in range(1, 15):
        eve = Outsider(lan, seed)
        eve.say(eve.key, eve.announcement())
        eve.say(eve.record(1))
    trust = ada.engine._state.authority
    assert (len(trust._keys), len(trust._last), len(trust._flushes)) == (2, 8, 2)


def test_candidates_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates_module, "LIMIT", 2)
    lan = simulation.Lan(4)
    frame = Outsider(lan).announcement()
    candidates = Candidates()
    for number in range(3):
        candidates.add(PeerId(bytes([number]) * 16, 1), frame, None)
    assert candidates.take(PeerId(bytes(16), 1)) is None
    assert candidates.take(PeerId(bytes([2]) * 16, 1)) is not None


def test_visitors_give_no_roster() -> None:
    lan = simulation.Lan(5)
    visitor = lan.join("visitor", visitor=True)
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement(flags=f.NEWCOMER))
    eve.say(f.RosterRequest(0))
    assert drops(visitor, "not-asked") == 1
    assert visitor.engine.stats().get("sent-roster", 0) == 0


def test_our_own_frames_that_come_back_are_dropped() -> None:
    lan = simulation.Lan(6)
    eve = Outsider(lan)
    ada = lan.join("ada", identity=eve.identity)
    eve.peer_id = ada.engine.peer_id
    heard = f.Heard(*eve.peer_id, 0, 0, 0, 0, 0, 0)
    missing = f.Missing(*eve.peer_id, ((1, 1),))
    for frame in (
        eve.sign(f.Goodbye(*eve.peer_id, 9, 0)),
        eve.sign(f.Heartbeat(*eve.peer_id, 9, 0, 1, 0, 2000)),
        eve.sign(f.Nack(*eve.peer_id, 9, (missing,))),
        eve.sign(f.Report(*eve.peer_id, 9, (heard,))),
        eve.announcement(),
        eve.record(1),
    ):
        eve.say(frame)
    assert drops(ada, "own") >= 6


def test_a_repair_of_ours_by_somebody_else_calls_off_our_own() -> None:
    lan = simulation.Lan(7)
    ada = lan.join("ada")
    lan.run(1.0)
    ada.send("x")
    lan.run(0.1)
    payload = ada.engine._state.publisher.sent.get(1)
    assert payload is not None
    eve = Outsider(lan)
    eve.say(
        eve.key, eve.sign(f.Nack(*eve.peer_id, eve.count(), (f.Missing(*ada.engine.peer_id, ((1, 1),)),)))
    )
    assert ada.engine._state.repairs.when() is not None
    frame = bytes((f.FrameType.RECORD, 0)) + len(payload).to_bytes(2, "big") + payload
    lan.transmit(eve.sealer.seal(frame), ("10.0.0.9", 1))
    lan.run(1.0)
    assert ada.engine.stats().get("sent-repair", 0) == 0


def test_records_beyond_the_window_are_dropped() -> None:
    lan = simulation.Lan(8)
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key, eve.record(1))
    eve.say(eve.record(WINDOW + 2))
    assert drops(ada, "out-of-window") == 1


def test_an_announcement_may_overtake_records_that_are_on_their_way_a_heartbeat_may_not() -> None:
    lan = simulation.Lan(8)
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key, eve.record(1))
    eve.say(eve.announcement(high=3))
    inbox = ada.engine._state.reception.get(eve.peer_id)
    assert inbox is not None
    assert not inbox.gaps
    lan.run(1.5)
    eve.say(eve.announcement(high=2))
    assert len(inbox.gaps) == 1
    eve.say(eve.heartbeat(3))
    assert inbox.stream.high == 3


@pytest.mark.parametrize("alone", [True, False])
def test_what_there_is_no_room_for_was_not_lost_by_the_network(alone: bool) -> None:
    lan = simulation.Lan(8, settings=Settings(held_bytes=20_000))
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key, eve.record(1))
    for sequence in range(3, 50):
        eve.say(*(() if alone else (eve.key,)), eve.record(sequence, bytes(1000)))
    assert drops(ada, "over-quota") > 0
    eve.say(eve.record(49, bytes(1000)))
    inbox = ada.engine._state.reception.get(eve.peer_id)
    assert inbox is not None
    assert len(inbox.gaps) > 1
    assert inbox.loss(lan.now) / 65535 < 0.1, "one in forty-nine"


def test_a_duplicate_whose_first_copy_is_gone_is_a_duplicate() -> None:
    lan = simulation.Lan(9, settings=Settings(retained_records=8))
    ada = lan.join("ada")
    eve = Outsider(lan)
    first = eve.record(1)
    eve.say(eve.key, first)
    for sequence in range(2, 8):
        eve.say(eve.record(sequence))
    eve.say(first)
    assert drops(ada, "duplicate") == 1


def test_unproven_records_wait_within_bounds_and_are_judged_anew() -> None:
    lan = simulation.Lan(10)
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key)
    for sequence in range(1, 80):
        eve.say(eve.record(sequence, bytes(1200), age=500.0))
    assert drops(ada, "waiting-full") > 0
    lan.run(3.0)
    assert drops(ada, "not-live") > 0
    assert ada.messages() == []
    again = eve.record(1, b"again", age=500.0)
    eve.say(again)
    eve.say(again)
    state = ada.engine._state
    nonce = state.liveness.nonce(eve.peer_id, lan.now)
    eve.say(eve.sign(f.ProbeReply(*eve.peer_id, nonce, now_ms(lan) - 500_000, 1, 1)))
    assert drops(ada, "duplicate") == 1
    assert [message.data for message in ada.messages()] in ([], [b"again"])


def test_records_that_waited_for_a_key_are_checked_with_it() -> None:
    lan = simulation.Lan(11)
    ada = lan.join("ada")
    eve, liar = Outsider(lan), Outsider(lan, 5)
    liar.peer_id = eve.peer_id
    forged = liar.record(1, b"forged")
    eve.say(forged)
    eve.say(eve.key)
    assert ada.messages() == []


def test_history_that_comes_by_is_told_on_request_only() -> None:
    """The run began a moment before us, so all its records are asked for, the first included."""
    lan = simulation.Lan(12)
    lan.run(5.0)
    eve = Outsider(lan)
    before = eve.record(1, b"before")
    lan.run(0.2)
    ada, hal = lan.join("ada"), lan.join("hal", history=True)
    lan.run(0.1)
    eve.say(eve.key, eve.announcement(high=1))
    eve.say(before)
    eve.say(eve.record(2, b"after"))
    assert [(message.data, message.history) for message in ada.messages()] == [(b"after", False)]
    lan.run(1.0)
    assert sorted((m.data, m.history) for m in hal.messages()) == [(b"after", False), (b"before", True)]


def test_a_repair_that_was_overwritten_meanwhile_is_passed_over() -> None:
    lan = simulation.Lan(13)
    ada = lan.join("ada")
    lan.run(1.0)
    ada.send("x")
    lan.run(0.1)
    eve = Outsider(lan)
    eve.say(
        eve.key, eve.sign(f.Nack(*eve.peer_id, eve.count(), (f.Missing(*ada.engine.peer_id, ((1, 1),)),)))
    )
    ada.engine._state.publisher.sent.forget(1)
    lan.run(1.0)
    assert ada.engine.stats().get("sent-repair", 0) == 0


def test_what_is_queued_is_due_at_once() -> None:
    lan = simulation.Lan(14)
    ada = lan.join("ada")
    lan.run(1.0)
    ada.engine.ask_reports(lan.now)
    assert ada.engine.deadline() == lan.now


def test_two_runs_that_lack_records_are_asked_for_together() -> None:
    lan = simulation.Lan(15)
    ada, bob, eve = lan.join("ada"), lan.join("bob"), lan.join("eve")
    lan.run(1.0)
    for author in (ada, eve):
        lan.between(author, bob, loss=1.0)
        author.send("lost")
        lan.run(0.006)
        lan.between(author, bob)
        author.send("seen")
        lan.run(0.001)
    lan.run(1.0)
    assert len(bob.messages()) == 4


def test_two_that_lack_the_same_ask_once() -> None:
    lan = simulation.Lan(16)
    ada = lan.join("ada")
    others = [lan.join(f"m{number}") for number in range(8)]
    lan.run(1.0)
    for other in others:
        lan.between(ada, other, loss=1.0)
    ada.send("lost")
    lan.run(0.006)
    for other in others:
        lan.between(ada, other)
    ada.send("seen")
    lan.run(1.0)
    assert all(len(other.messages()) == 2 for other in others)
    assert sum(other.engine.stats().get("sent-nack", 0) for other in others) <= 4


def test_only_what_was_reported_on_by_others_is_kept_quiet_about() -> None:
    import random

    reporter = Reporter(random.Random(1), 20.0, 0.02)
    one, two = PeerId(b"1" * 16, 1), PeerId(b"2" * 16, 1)
    reporter.news(one, 0.0, 3)
    reporter.news(two, 0.0, 3)
    reporter.overheard(one)
    assert reporter.due(0.3) == [two]
    reporter.news(one, 0.3, 3)
    reporter.overheard(one)
    assert reporter.due(0.6) == []
    assert set(reporter.due(5.0)) == {one, two}


def test_a_report_that_says_less_than_we_know_does_not_keep_us_quiet() -> None:
    lan = simulation.Lan(21)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    ada.send("x")
    lan.run(0.005)
    eve = Outsider(lan)
    for contiguous in (0, 1):
        heard = f.Heard(*ada.engine.peer_id, contiguous, 1, 0, 0, 0, 0)
        eve.say(eve.key, eve.sign(f.Report(*eve.peer_id, eve.count(), (heard,))))
        waits = bob.engine._state.reporter._early
        assert (ada.engine.peer_id in waits) == (contiguous == 0)


def test_confirmations_are_bounded() -> None:
    confirmations = Confirmations(2)
    heard = f.Heard(b"o" * 16, 1, 7, 7, 0, 0, 0, 0)
    for number in range(3):
        confirmations.take(PeerId(bytes([number]) * 16, 1), heard)
    assert len(confirmations.by(7)) == 2
    assert confirmations.by(8) == []


def test_one_of_two_runs_of_an_origin_leaves() -> None:
    lan = simulation.Lan(17)
    ada = lan.join("ada")
    eve = Outsider(lan)
    first = eve.peer_id
    eve.say(eve.key, eve.announcement())
    eve.peer_id = PeerId(first.origin, first.incarnation + 1)
    eve.say(eve.announcement())
    eve.say(eve.sign(f.Goodbye(*eve.peer_id, eve.count(), 0)))
    assert [peer.peer_id for peer in ada.peers()] == [first]


def test_a_run_may_go_by_a_name_of_its_own() -> None:
    lan = simulation.Lan(18)
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement())
    eve.say(eve.record(1, b"x"))
    own = encode_attributes(Attributes(name="eve at work"))
    eve.say(eve.announcement(attributes=own))
    eve.say(eve.record(2, b"x"))
    eve.say(eve.announcement(attributes=b"\xff"))
    eve.say(eve.announcement(attributes=own))
    eve.say(eve.sign(f.Key(eve.identity.public_key, 5, "evelyn")))
    assert [message.name for message in ada.messages()] == ["eve", "eve at work"]
    names = [event.peer.name for event in ada.events() if isinstance(event, PeerUpdated)]
    assert names == ["eve at work", "eve", "eve at work"]


def test_nothing_is_announced_anew_before_the_first_announcement() -> None:
    lan = simulation.Lan(19)
    quiet = lan.join("quiet", quiet=True)
    quiet.engine.update(lan.now, attributes=Attributes(tags={"a": "b"}))
    quiet.engine.update(lan.now, flags=f.HEARS_IPV4)
    lan.run(5.0)
    assert lan.sent == 0
    quiet.set_clock(3600.0)
    assert quiet.wall == simulation.EPOCH_START + lan.now + 3600.0


def test_partitions_may_leave_a_member_alone() -> None:
    lan = simulation.Lan(20, burst=simulation.Burst(loss_bad=1.0), corrupt=0.2)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.partition([ada], [bob])
    lan.run(5.0)
    assert ada.peers() == bob.peers() == []
    lan.heal()
    lan.transmit(b"to nobody", ada.address, ("10.255.255.255", 1))
    lan.run(12.0)
    assert len(ada.peers()) == len(bob.peers()) == 1
    assert drops(ada, "unsealed") + drops(bob, "unsealed") > 0


def test_heartbeats_go_the_way_of_records_but_for_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    lan = simulation.Lan(14)
    ada, _ = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    ways: list[bool] = []
    datagrams = ada.engine.datagrams

    def watched(now: float) -> list[Outgoing]:
        out = datagrams(now)
        frames = [lan.checks.open(decoded(each.data), each.data) for each in out]
        for each, some in zip(out, frames, strict=True):
            assert isinstance(some, list)
            ways.extend(each.record for frame in some if isinstance(frame, f.Heartbeat))
        return out

    monkeypatch.setattr(ada.engine, "datagrams", watched)
    ada.send("hi")
    lan.run(20.0)
    assert ways == [True] * 5 + [False] * 4


def decoded(datagram: bytes) -> Header:
    """The header."""
    header = decode_header(datagram)
    assert isinstance(header, Header)
    return header
