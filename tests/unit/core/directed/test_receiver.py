"""Receiving what is for us alone: once, whole, genuine, fresh; what is acknowledged."""

from __future__ import annotations

import msgspec
import pytest

from mcast import simulation
from mcast.core.directed import receiver
from mcast.core.directed.receiver import SEEN, Seen
from mcast.core.engine import LINGER
from mcast.core.events import Address, Answer, PeerId, PrivateMessage, Question
from mcast.crypto.directed import MessageKeys, sender_keys
from mcast.crypto.keys import Identity
from mcast.wire.codec import encode_frames
from mcast.wire.contents import ContentKind
from mcast.wire.frames import BY_MULTICAST
from mcast.wire.limits import MESSAGE_MAX
from tests.unit.core.directed.support import Stranger, answering, datas, got, lan, settle
from tests.unit.core.support import ADDRESS, drops


def stranger(seed: int = 99) -> tuple[simulation.Lan, simulation.Member, Stranger]:
    """A LAN with one member, and somebody who makes messages to it by hand."""
    net, (ada,) = lan("ada")
    return net, ada, Stranger(net, ada, seed)


def acks(member: simulation.Member) -> int:
    """How many acknowledgements a member has sent."""
    return member.engine.stats().get("sent-directedack", 0)


def test_a_message_is_delivered_and_acknowledged_once() -> None:
    net, ada, eve = stranger()
    (frame,) = eve.fragments(b"hi")
    eve.tell(frame)
    (event,) = got(ada)
    assert isinstance(event, PrivateMessage)
    assert (event.data, event.name, event.peer_id) == (b"hi", "eve", eve.peer_id)
    assert acks(ada) == 1
    eve.tell(frame)  # its acknowledgement was lost
    assert len(got(ada)) == 1
    assert (acks(ada), drops(ada, "duplicate")) == (2, 1)
    eve.tell(msgspec.structs.replace(frame, sealed=bytes(100)))
    assert (acks(ada), drops(ada, "bad-signature")) == (2, 1)
    net.run(1.0)
    assert eve.fragments(b"hi")[0] != frame


def test_fragments_come_in_any_order() -> None:
    _, ada, eve = stranger()
    frames = eve.fragments(bytes(range(256)) * 8, count=5)
    eve.tell(*reversed(frames))
    assert datas(ada) == [bytes(range(256)) * 8]
    assert acks(ada) == 5


def test_a_message_may_have_64_kib_and_no_byte_more() -> None:
    _, ada, eve = stranger()
    eve.tell(*eve.fragments(bytes(MESSAGE_MAX), count=60))
    assert len(datas(ada)) == 1
    eve.tell(*eve.fragments(bytes(MESSAGE_MAX + 1), number=2, count=60))
    assert len(datas(ada)) == 1
    assert drops(ada, "bad-value") == 1


def test_one_for_somebody_else_is_ignored() -> None:
    net, ada, eve = stranger()
    (frame,) = eve.fragments(b"hi")
    eve.tell(
        msgspec.structs.replace(frame, to_incarnation=1),
        msgspec.structs.replace(frame, to_origin=bytes(16)),
    )
    assert drops(ada, "not-asked") == 2
    passive = net.join("bob", passive=True)
    other = Stranger(net, passive, 98)
    other.tell(*other.fragments(b"hi"))
    assert not got(passive)


def test_without_the_key_of_its_sender_it_waits_for_it() -> None:
    net, ada, eve = stranger()
    (frame,) = eve.fragments(b"hi")
    eve.tell(frame, introduce=False)
    assert drops(ada, "unknown-key") == 1
    net.run(0.5)
    assert ada.engine.stats()["sent-keyrequest"] == 1
    eve.tell(frame)
    assert datas(ada) == [b"hi"]


def test_what_was_not_made_by_its_sender_is_refused() -> None:
    _, ada, eve = stranger()
    (frame,) = eve.fragments(b"hi")
    (forged,) = eve.fragments(b"hi", keys=MessageKeys(bytes(32), bytes(32)))
    eve.tell(forged, msgspec.structs.replace(frame, number=7))
    assert drops(ada, "bad-signature") == 2
    eve.tell(msgspec.structs.replace(frame, ephemeral=bytes(32)))
    assert drops(ada, "bad-value") == 1
    mallory = Identity(bytes([7]) * 32)
    whole = mallory.sign(b"something else") + b"\x01" + bytes(8) + b"hi"
    eve.tell(*eve.fragments(b"", number=8, whole=whole))
    assert drops(ada, "bad-signature") == 3
    eve.tell(*eve.fragments(b"", number=9, whole=b"short"))
    assert drops(ada, "truncated") == 1
    assert not got(ada)
    assert not acks(ada)


def test_fragments_must_belong_together() -> None:
    _, ada, eve = stranger()
    one, two, three = eve.fragments(b"abc" * 100, count=3)
    eve.tell(one, two)
    other = eve.fragments(b"xyz" * 100, count=4)[2]
    eve.tell(other)
    assert drops(ada, "bad-value") == 1
    (empty,) = eve.fragments(b"", number=2, whole=b"")
    eve.tell(empty)
    assert drops(ada, "bad-value") == 2
    eve.tell(three)
    assert datas(ada) == [b"abc" * 100]


def test_a_recording_delivers_nothing_twice() -> None:
    net, ada, eve = stranger()
    recorded = eve.fragments(b"hi")
    eve.tell(*recorded)
    ada.engine._directed_receiver._done.clear()
    eve.tell(*recorded, source=("10.9.9.1", 1))
    assert drops(ada, "duplicate") == 1
    ada.engine._directed_receiver._seen = Seen(lambda peer_id: False)  # long ago
    net.run(60.0)
    eve.tell(*recorded)
    net.run(3.0)
    assert drops(ada, "not-live") == 1
    assert ada.engine.stats()["sent-probe"] > 0
    assert len(got(ada)) == 1


def test_a_peer_with_a_wrong_clock_is_challenged_and_heard() -> None:
    net = simulation.Lan(seed=5)
    ada = net.join("ada")
    net.run(3.0)
    bob = net.join("bob", visitor=True)
    bob.set_clock(-86_400.0)
    number = bob.send_to(ada.engine.peer_id, "hi")
    assert settle(bob, number)
    assert datas(ada) == [b"hi"]


def test_each_check_costs_the_budget() -> None:
    net, ada, eve = stranger()
    budget = ada.engine._verifier._budget
    (frame,) = eve.fragments(b"hi")
    eve.say(eve.own_key)
    budget._strangers.spend(300, net.now)
    eve.tell(frame, introduce=False)
    assert drops(ada, "over-budget") == 1
    one, two = eve.fragments(b"hi", number=2, count=2)
    net.run(2.0)
    eve.tell(one)
    budget._strangers.spend(600, net.now)
    eve.tell(two, introduce=False)
    assert drops(ada, "over-budget") == 2
    assert not got(ada)
    net.run(3.0)
    eve.tell(two)
    assert datas(ada) == [b"hi"]


@pytest.mark.parametrize("known", [False, True])
def test_the_keys_of_a_message_cost_as_much_as_three_signatures(known: bool) -> None:
    net, (ada, bob) = lan()
    eve = Stranger(net, ada)
    if known:
        eve.identity, eve.peer_id = bob.identity, bob.engine.peer_id
        eve.ephemeral, eve.keys = remade(net, ada, bob)
    else:
        eve.say(eve.own_key)
    budget = ada.engine._verifier._budget
    bucket = budget._known if known else budget._strangers
    before, bucket._rate = bucket.level(net.now), 0.0
    eve.tell(*eve.fragments(b"hi"), introduce=False)
    assert datas(ada) == [b"hi"]
    assert before - bucket.level(net.now) == 4


def remade(net: simulation.Lan, to: simulation.Member, by: simulation.Member) -> tuple[bytes, MessageKeys]:
    made = sender_keys(by.identity, to.identity.public_key, bytes(32), net.room.id)
    assert made is not None
    return made


def test_a_key_that_is_lost_in_between_is_learned_again() -> None:
    _, ada, eve = stranger()
    one, two = eve.fragments(b"hi", count=2)
    eve.tell(one)
    del ada.engine._verifier._keys[eve.peer_id.origin]
    eve.tell(two, introduce=False)
    assert drops(ada, "unknown-key") == 1
    eve.tell(two)
    assert datas(ada) == [b"hi"]


def test_messages_that_lack_fragments_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "PARTIAL", 6)  # half of them for strangers
    monkeypatch.setattr(receiver, "PARTIAL_EACH", 2)
    net, ada, eve = stranger()
    firsts = [eve.fragments(b"abc" * 100, number=number, count=3)[0] for number in (1, 2, 3)]
    eve.tell(*firsts)
    assert drops(ada, "table-full") == 1
    bob, cyd = Stranger(net, ada, 98), Stranger(net, ada, 97)
    bob.tell(bob.fragments(b"abc" * 100, count=3)[0])
    cyd.tell(cyd.fragments(b"abc" * 100, count=3)[0])
    assert drops(ada, "table-full") == 2
    cyd.tell(*cyd.fragments(b"a lone one", number=2))
    assert datas(ada) == [b"a lone one"]
    net.run(receiver.PARTIAL_LIFE - 1.0)
    eve.tell(eve.fragments(b"abc" * 100, number=1, count=3)[1])  # made later: not of that message
    assert drops(ada, "bad-value") == 1
    net.run(2.0)
    assert not ada.engine._directed_receiver._partial


def test_strangers_leave_room_for_messages_of_peers() -> None:
    net, (ada, bob) = lan()
    eves = [Stranger(net, ada, seed) for seed in range(90, 99)]
    for eve in eves:
        for number in range(1, receiver.PARTIAL_EACH + 1):
            eve.tell(eve.fragments(bytes(500), number=number, count=2)[0])
    assert settle(bob, bob.send_to(ada.engine.peer_id, bytes(5000)))


def test_one_identity_is_one_however_often_it_starts() -> None:
    _, ada, eve = stranger()
    for _ in range(3):
        for number in range(1, receiver.PARTIAL_EACH + 1):
            eve.tell(eve.fragments(bytes(500), number=number, count=2)[0])
        eve.peer_id = PeerId(eve.peer_id.origin, eve.peer_id.incarnation + 1)
    assert len(ada.engine._directed_receiver._partial) == receiver.PARTIAL_EACH


def test_a_fragment_that_comes_again_counts_once() -> None:
    _, ada, eve = stranger()
    frames = eve.fragments(bytes(MESSAGE_MAX), count=60)
    eve.tell(*frames[:-1])
    before = acks(ada)
    eve.tell(frames[0])  # its acknowledgement was lost
    assert acks(ada) == before + 1
    eve.tell(frames[-1])
    assert datas(ada) == [bytes(MESSAGE_MAX)]


def test_a_fragment_keeps_its_message_waiting() -> None:
    net, ada, eve = stranger()
    one, two, three = eve.fragments(b"abc" * 100, count=3)
    eve.tell(one)
    net.run(receiver.PARTIAL_LIFE - 1.0)
    eve.tell(two)
    net.run(2.0)
    eve.tell(three)
    assert datas(ada) == [b"abc" * 100]
    net.run(receiver.PARTIAL_LIFE)


def test_acknowledgements_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "ACKS", 1)
    monkeypatch.setattr(receiver, "DONE", 1)
    net, ada, eve = stranger()
    frames = [eve.fragments(b"hi", number=number)[0] for number in (1, 2)]
    eve.say(eve.own_key)
    for frame in frames:
        ada.engine.receive(eve.sealer.seal(encode_frames([frame])), ADDRESS, net.now, direct=True)
    assert sum(isinstance(event, PrivateMessage) for event in ada.engine.events()) == 2
    ada.engine.tick(net.now)
    assert acks(ada) == 1
    eve.tell(frames[1])
    assert acks(ada) == 2
    eve.tell(frames[0])  # what is done is not remembered for ever
    assert acks(ada) == 2


def test_who_seals_a_fragment_anew_does_not_turn_its_acknowledgement_away() -> None:
    net, ada, eve = stranger()
    (frame,) = eve.fragments(b"hi")
    eve.say(eve.own_key)
    thief: Address = ("10.0.0.66", 6666)
    sources = (
        (msgspec.structs.replace(frame, flags=BY_MULTICAST), ADDRESS, False),
        (frame, thief, True),
    )
    for sent, source, direct in sources:
        ada.engine.receive(eve.sealer.seal(encode_frames([sent])), source, net.now, direct=direct)
    ada.engine.tick(net.now)
    destinations = [out.destination for out in ada.engine.datagrams(net.now)]
    assert None in destinations
    assert thief in destinations
    assert sum(isinstance(event, PrivateMessage) for event in ada.engine.events()) == 1


def test_only_what_is_shown_is_acknowledged() -> None:
    net, (ada, bob) = lan()
    visitor = net.join("vic", visitor=True)
    assert settle(ada, ada.send_to(visitor.engine.peer_id, "hi", patience=1.0)) is False
    question = ada.send_to(bob.engine.peer_id, "up?", ContentKind.QUESTION, patience=0.5)
    assert settle(ada, question) is False
    answering(bob)
    question = ada.send_to(bob.engine.peer_id, "up?", ContentKind.QUESTION)
    assert settle(ada, question)
    (event,) = got(bob)
    assert isinstance(event, Question)
    answering(bob, 0)
    assert bob.engine.delivered(1) is None


def test_answers_say_what_they_are_about() -> None:
    net, (ada, bob, cyd) = lan("ada", "bob", "cyd")
    answering(bob)
    question = ada.send_to(bob.engine.peer_id, "up?", ContentKind.QUESTION)
    net.run(0.1)
    cyd.send_to(ada.engine.peer_id, "yes", ContentKind.ANSWER, about=question, patience=0.5)
    bob.send_to(ada.engine.peer_id, "yes", ContentKind.ANSWER, about=question + 1, patience=0.5)
    bob.send_to(ada.engine.peer_id, "boom", ContentKind.NO_ANSWER, about=question)
    net.run(1.0)
    (answer,) = got(ada)
    assert isinstance(answer, Answer)
    assert (answer.about, answer.kind, answer.text) == (question, "no_answer", "boom")
    assert drops(ada, "not-asked") >= 2


def test_under_a_forged_address_a_question_moves_three_times_its_bytes() -> None:
    net, ada, eve = stranger()
    answering(ada)
    victim = ("10.9.9.7", 28003)
    sent: list[tuple[Address, int]] = []
    net.on_transmit = lambda data, source, to: sent.append((to, len(data)))
    eve.tell(*eve.fragments(b"tell all", kind=ContentKind.QUESTION), source=victim)
    question = sent[0][1]
    sent.clear()
    ada.send_to(eve.peer_id, bytes(MESSAGE_MAX), ContentKind.ANSWER, about=1)
    net.run(20.0)
    assert 0 < sum(size for to, size in sent if to == victim) <= 3 * question
    # Through the group, where its sender may be behind a firewall, goes the first fragment alone.
    assert max(size for to, size in sent if to is None) < 1000


def test_who_announces_that_it_answers_is_shown_so() -> None:
    net, (ada, bob) = lan()
    assert not ada.peers()[0].answers
    answering(bob)
    bob.wake()
    net.run(2.0)
    assert ada.peers()[0].answers


def test_a_listener_that_was_quiet_answers() -> None:
    net = simulation.Lan(seed=5)
    ada, bob = net.join("ada"), net.join("bob", quiet=True)
    net.run(3.0)
    assert settle(ada, ada.send_to(bob.engine.peer_id, "hi"))


def test_who_leaves_repeats_acknowledgements_and_takes_nothing_new() -> None:
    net, ada, eve = stranger()
    (frame,) = eve.fragments(b"hi")
    (late,) = eve.fragments(b"late", number=2)
    eve.say(eve.own_key, frame, to=ada.address)
    ada.leave()
    before = acks(ada)
    eve.tell(frame)
    net.run(0.01)
    assert acks(ada) > before
    eve.tell(late)
    assert datas(ada) == [b"hi"]
    assert not ada.engine.closed
    net.run(LINGER)
    assert ada.engine.closed


def test_an_acknowledgement_that_is_due_leaves_before_the_goodbye() -> None:
    net, ada, eve = stranger()
    eve.say(eve.own_key)
    real, sent = net.transmit, []

    def look(data: bytes, source: Address, destination: Address = None, **more: object) -> None:
        sent.append(destination)
        real(data, source, destination)

    data = eve.sealer.seal(encode_frames(eve.fragments(b"hi")))
    net.transmit = look  # type: ignore[method-assign,assignment]  # to see what leaves
    ada.engine.receive(data, ("10.9.9.9", 1), net.now, direct=True)
    ada.leave()
    assert sent[0] == ("10.9.9.9", 1)


def test_numbers_may_overtake_each_other() -> None:
    seen = Seen(lambda peer_id: False)
    ada = PeerId(b"a" * 16, 1)
    for number in (5, 3, 2000, 1500):
        assert not seen.has(ada, number)
        seen.add(ada, number)
        assert seen.has(ada, number)
    assert not seen.has(ada, 1999)
    assert seen.has(ada, 2000 - SEEN)  # too old to tell
    assert not seen.has(PeerId(b"b" * 16, 1), 5)


def test_live_peers_stay_when_the_table_of_senders_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "SENDERS", 3)
    peers = [PeerId(bytes([number]) * 16, 1) for number in range(6)]
    seen = Seen(lambda peer_id: peer_id == peers[0])
    for peer_id in peers:
        seen.add(peer_id, 1)
    assert len(seen) == 3
    assert [seen.has(peer_id, 1) for peer_id in peers] == [True, False, False, False, True, True]
    seen = Seen(lambda peer_id: True)
    for peer_id in peers:
        seen.add(peer_id, 1)
    assert not seen.has(peers[0], 1)
