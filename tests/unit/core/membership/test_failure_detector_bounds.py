"""What is held of peers that have not proved to be live."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from mcast import simulation
from mcast.core.events import PeerId
from mcast.core.membership import failure_detector as module
from mcast.core.networks import ALL
from mcast.wire import frames as f
from tests.unit.core.support import Outsider, drops, now_ms


def test_candidates_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CANDIDATES", 2)
    lan = simulation.Lan(4)
    ada = lan.join("ada")
    frame, detector = Outsider(lan).announcement(), ada.engine._detector
    for number in range(3):
        announced = replace(frame, origin=bytes([number]) * 16, incarnation=1)
        detector.admit_later(announced, None, None, 1, lan.now)
    assert list(detector._candidates) == [PeerId(bytes([number]) * 16, 1) for number in (1, 2)]


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
    detector = ada.engine._detector
    detector._probe(eve.peer_id, None, ALL, lan.now)
    nonce = next(reversed(detector._nonces))
    eve.say(eve.sign(f.ProbeReply(*eve.peer_id, nonce, now_ms(lan) - 500_000, 1, 1)))
    assert drops(ada, "duplicate") == 1
    assert [message.data for message in ada.messages()] in ([], [b"again"])


def test_hundreds_that_fall_silent_together_are_probed_within_a_budget_and_go_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PROBED_AT_ONCE", 10)
    lan = simulation.Lan(41)
    ada = lan.join("ada")
    lan.run(1.0)
    for seed in range(60, 80):
        eve = Outsider(lan, seed)
        eve.say(eve.key, eve.announcement())
    assert len(ada.peers()) == 20
    before = ada.engine.stats().get("sent-probe", 0)
    lan.run(130.0)
    assert ada.peers() == []
    assert ada.engine.stats()["sent-probe"] - before < 20 * 3
