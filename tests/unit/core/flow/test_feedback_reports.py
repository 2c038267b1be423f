"""Reports on records: when they leave, who asks for them, and what they confirm."""

from __future__ import annotations

from math import inf

from mcast import simulation
from mcast.core.events import PeerId
from mcast.core.flow.feedback import PAGE
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire import limits
from mcast.wire.codec import encode_frames
from tests.unit.core.support import Outsider, drops, now_ms


def test_reports_confirm_and_requests_are_answered() -> None:
    lan = simulation.Lan(24)
    ada = lan.join("ada")
    others = [lan.join(f"m{number}") for number in range(4)]
    lan.run(1.0)
    receipt = ada.send("heard?")
    assert ada.engine.heard_by(receipt.sequence) == []
    assert len(ada.engine.unheard_by(receipt.sequence)) == 4
    lan.run(0.005)
    ada.engine.ask_reports(lan.now)
    ada.step()
    lan.run(0.4)
    assert set(ada.engine.heard_by(receipt.sequence)) == {member.engine.peer_id for member in others}
    assert ada.engine.unheard_by(receipt.sequence) == []


def test_requests_for_reports_are_bounded() -> None:
    lan = simulation.Lan(25)
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(f.ReportRequest(*eve.peer_id, 1, 60_000))
    assert drops(bob, "unknown-origin") == 1
    eve.say(eve.key, eve.record(1))
    for port in range(80):
        eve.say(eve.heartbeat(1), f.ReportRequest(*eve.peer_id, 1, 60_000), source=("10.0.0.9", port))
    assert drops(bob, "over-budget") == 79
    lan.run(3.0)
    asked = f.ReportRequest(*eve.peer_id, 1, 60_000, f.BY_MULTICAST)
    eve.say(eve.heartbeat(1), asked, source=("10.0.0.9", 1))
    bob.engine._nacks.windows._windows.clear()
    lan.run(70.0)
    assert bob.engine._feedback.next_timeout == inf


def test_an_echo_from_before_the_clock_was_set_is_no_measurement() -> None:
    lan = simulation.Lan(26)
    ada = lan.join("ada")
    ada.send("x")
    eve = Outsider(lan)
    eve.say(eve.key)
    for echo in (0, now_ms(lan) - 30):
        heard = f.Heard(*ada.engine.peer_id, 1, 1, echo, 1000, 0, 0)
        eve.say(eve.sign(f.Report(*eve.peer_id, eve.count(), (heard,))))
    assert ada.engine.heard_by(1) == [eve.peer_id]
    assert 0.029 < ada.engine._context.rtt.value < 0.04


def test_only_what_was_reported_on_by_others_is_kept_quiet_about() -> None:
    lan = simulation.Lan(22)
    bob = lan.join("bob")
    lan.run(1.0)
    eve = Outsider(lan)
    feedback, start = bob.engine._feedback, lan.now
    one, two = PeerId(b"1" * 16, 1), PeerId(b"2" * 16, 1)
    heard = f.Heard(*one, 0, 0, 0, 0, 0, 0)
    feedback.received(one, start)
    feedback.received(two, start)
    eve.say(eve.key, eve.sign(f.Report(*eve.peer_id, eve.count(), (heard,))))
    assert feedback._due(start + 0.25) == [two]
    feedback.received(one, start + 0.25)
    eve.say(eve.sign(f.Report(*eve.peer_id, eve.count(), (heard,))))
    assert feedback._due(start + 0.49) == []
    assert set(feedback._due(start + 5.0)) == {one, two}


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
        waits = bob.engine._feedback._early
        assert (ada.engine.peer_id in waits) == (contiguous == 0)


def test_confirmations_are_bounded() -> None:
    lan = simulation.Lan(23, settings=Settings(peers=2))
    ada = lan.join("ada")
    ada.send("x")
    heard = f.Heard(*ada.engine.peer_id, 1, 1, 0, 0, 0, 0)
    for seed in range(1, 4):
        eve = Outsider(lan, seed)
        eve.say(eve.key, eve.sign(f.Report(*eve.peer_id, eve.count(), (heard,))))
    assert len(ada.engine.heard_by(1)) == 2
    assert ada.engine.heard_by(2) == []


def test_the_last_report_fits_a_datagram_beside_the_key() -> None:
    key = f.Key(bytes(32), 1, "n" * limits.NAME_MAX, bytes(64))
    report = f.Report(bytes(16), 1, 1, (f.Heard(bytes(16), 1, 1, 1, 1, 1, 1, 1),) * PAGE, bytes(64))
    size = len(encode_frames([key, report]))
    assert size + limits.HEADER_SIZE + limits.TAG_SIZE <= limits.DATAGRAM_SAFE
