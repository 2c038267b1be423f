"""Who signed what, and how many signatures are checked."""

from __future__ import annotations

import pytest

from mcast import simulation
from mcast.core.auth import verifier as verifier_module
from mcast.core.events import PeerId
from mcast.crypto.rooms import open_room
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire.codec import encode_frames
from mcast.wire.records import decode_record
from tests.unit.core.support import ADDRESS, Outsider, drops, now_ms, texts


def test_a_forged_key_is_refused() -> None:
    lan = simulation.Lan(2)
    ada = lan.join("ada")
    eve = Outsider(lan)
    eve.say(f.Key(eve.identity.public_key, 1, "not by eve", bytes(64)))
    assert drops(ada, "bad-signature") == 1


def test_tables_of_the_verifier_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier_module, "FLUSHES", 2)
    lan = simulation.Lan(3, settings=Settings(peers=1))
    ada = lan.join("ada")
    for seed in range(1, 15):
        eve = Outsider(lan, seed)
        eve.say(eve.key, eve.announcement())
        eve.say(eve.record(1))
    trust = ada.engine._verifier
    assert (len(trust._keys), len(trust._last), len(trust._flushes)) == (2, 8, 2)


def test_a_record_signed_by_somebody_else_is_refused() -> None:
    lan = simulation.Lan(15)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    ada.send("mine")
    lan.run(0.1)
    eve = Outsider(lan)
    eve.peer_id = ada.engine.peer_id
    forged = eve.record(2, b"forged")
    fake = type(forged)(*(getattr(forged, name) for name in forged.__struct_fields__))
    eve.say(fake)
    assert texts(bob) == ["mine"]
    assert drops(bob, "unknown-key") == 0


def test_a_record_of_another_room_is_refused() -> None:
    lan = simulation.Lan(16)
    bob = lan.join("bob")
    eve = Outsider(lan)
    other = simulation.Lan(16, room=open_room("230.0.0.1:28003", "another"))
    foreign = Outsider(other).record(1, b"said elsewhere")
    eve.say(eve.key)
    eve.say(foreign)
    assert texts(bob) == []
    assert drops(bob, "bad-signature") == 1


def test_signed_frames_of_unknown_keys_are_dropped() -> None:
    lan = simulation.Lan(29)
    bob = lan.join("bob")
    eve = Outsider(lan)
    heard = f.Heard(*bob.engine.peer_id, 0, 0, 0, 0, 0, 0)
    for frame in (
        f.Heartbeat(*eve.peer_id, eve.count(), now_ms(lan), 1, 1, 2000),
        f.Nack(*eve.peer_id, eve.count(), (f.Missing(*bob.engine.peer_id, ((1, 1),)),)),
        f.Report(*eve.peer_id, eve.count(), (heard,)),
        f.Goodbye(*eve.peer_id, eve.count(), 0),
    ):
        eve.say(eve.sign(frame))
    assert drops(bob, "unknown-key") == 4


def test_a_budget_bounds_signature_checks() -> None:
    lan = simulation.Lan(30, settings=Settings(verifications=10))
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.key)
    for sequence in range(1, 20):
        eve.say(eve.record(sequence))
    for seed in range(1, 5):
        ghost = Outsider(lan, seed)
        ghost.say(ghost.key, ghost.announcement())
    eve.say(eve.sign(f.Goodbye(*eve.peer_id, eve.count(), 0)))
    assert drops(bob, "over-budget") > 15
    assert len(bob.messages()) < 5


@pytest.mark.parametrize(("forged", "checked"), [(False, 12), (True, 3)])
def test_a_peers_record_costs_a_quarter_unless_it_is_forged(forged: bool, checked: int) -> None:
    lan = simulation.Lan(32, settings=Settings(verifications=10))
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement())
    lan.run(2.0)
    for sequence in range(1, 41):
        record = eve.record(sequence)
        if forged:
            record = decode_record(record.payload[:-1] + b"y")
        eve.say(record)
    assert drops(bob, "over-budget") == 40 - checked
    assert drops(bob, "bad-signature") == (checked if forged else 0)


@pytest.mark.parametrize("size", [1, 2])
def test_copies_of_a_record_that_is_ahead_cost_one_check(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lan = simulation.Lan(34)
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement())
    eve.say(eve.record(1))
    checks = bob.engine._verifier._checks
    asked: list[bytes] = []
    verify = checks.verify

    def counted(public_key: bytes, claim: bytes, signature: bytes) -> bool:
        asked.append(claim)
        return verify(public_key, claim, signature)

    monkeypatch.setattr(checks, "verify", counted)
    ahead = eve.flush(*range(3, 3 + size))[0]
    copies = [eve.sealer.seal(encode_frames([ahead])) for _ in range(32)]
    bob.engine.receive_all(copies, ADDRESS, lan.now)
    assert len(asked) == 1
    assert drops(bob, "duplicate") == 31


def test_of_an_older_key_only_the_name_counts_and_only_once() -> None:
    lan = simulation.Lan(35)
    ada = lan.join("ada")
    eve = Outsider(lan)
    older = eve.sign(f.Key(eve.identity.public_key, 1, "young eve"))
    for key in (eve.own_key, older, older):
        eve.say(key)
    verifier, earlier = ada.engine._verifier, PeerId(eve.peer_id.origin, 66)
    known = verifier.key(eve.peer_id.origin)
    assert known is not None
    assert known.frame == eve.own_key
    assert (verifier.name(eve.peer_id.origin), verifier.name_of(earlier)) == ("eve", "young eve")
    assert drops(ada, "stale") == 1
    eve.say(eve.sign(f.Key(eve.identity.public_key, 1, "somebody else")))
    assert verifier.name_of(earlier) == ""


def test_a_signed_frame_that_is_sealed_again_is_stale() -> None:
    lan = simulation.Lan(36)
    ada = lan.join("ada")
    eve = Outsider(lan)
    heartbeat = eve.heartbeat(0)
    eve.say(eve.key, heartbeat)
    eve.say(heartbeat)
    assert drops(ada, "stale") == 1
