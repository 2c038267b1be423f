"""Records that come together are taken as if they had come one by one; what else a receiver makes of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mcast import simulation
from mcast.core.engine import Engine
from mcast.core.events import Alarm, GapAbandoned, Message
from mcast.core.reliability.nack import KEPT
from mcast.crypto.keys import Identity
from mcast.crypto.seal import Opener, Sealer
from mcast.crypto.signed import sign_flush
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire.codec import encode_frame, encode_kept
from mcast.wire.frames import Who
from mcast.wire.header import Header, decode_header
from mcast.wire.limits import WINDOW
from mcast.wire.reasons import DropReason
from mcast.wire.records import Kind, encode_record
from tests.unit.core.support import ADDRESS, Outsider, drops, now_ms, texts

MESSAGES = [b"%d" % number + b"." * 1000 for number in range(12)]


def world() -> tuple[simulation.Lan, Engine, list[bytes]]:
    """Ben, who knows ada, and a flush of hers that is on its way to him."""
    lan = simulation.Lan(seed=5)
    ada, ben = lan.join("ada"), lan.join("ben")
    lan.run(1.0)
    for _ in range(10):
        ada.send(b"hello")
        lan.run(0.2)
    lan.run(2.0)
    ada.engine.send_all(MESSAGES, lan.now)
    return lan, ben.engine, [outgoing.data for outgoing in ada.engine.datagrams(lan.now) if outgoing.record]


def told(engine: Engine) -> list[bytes]:
    return [event.data for event in engine.events() if isinstance(event, Message)]


def opened(lan: simulation.Lan, datagram: bytes) -> bytes:
    """The frames of a datagram, as bytes."""
    header = decode_header(datagram)
    assert isinstance(header, Header)
    plain = Opener(lan.room).open(header, datagram)
    assert isinstance(plain, bytes)
    return plain


def forged(lan: simulation.Lan, datagram: bytes) -> bytes:
    """The frames of a datagram, with a bit of the message changed."""
    plain = bytearray(opened(lan, datagram))
    plain[-100] ^= 1
    return bytes(plain)


def other(lan: simulation.Lan, plain: bytes) -> bytes:
    """Sealed by another session."""
    return Sealer(lan.room, b"01234567").seal(plain)


def resealed(lan: simulation.Lan, datagram: bytes) -> bytes:
    """The same once more, from the same session."""
    return Sealer(lan.room, datagram[8:16], 2**40).seal(opened(lan, datagram))


Change = Callable[[simulation.Lan, list[bytes]], list[bytes]]
CHANGES: dict[str, Change] = {
    "nothing": lambda lan, flush: flush,
    "one is lost": lambda lan, flush: flush[:4] + flush[5:],
    "two change places": lambda lan, flush: [*flush[:3], flush[4], flush[3], *flush[5:]],
    "one comes twice": lambda lan, flush: [*flush[:3], flush[2], *flush[3:]],
    "one comes twice in other datagrams": lambda lan, flush: (
        [*flush[:3], *flush[4:7], resealed(lan, flush[5]), *flush[7:]]
    ),
    "all come twice": lambda lan, flush: flush + flush,
    "the first comes last": lambda lan, flush: flush[1:] + flush[:1],
    "junk among them": lambda lan, flush: [*flush[:5], b"\xffMno", flush[5][:-1], *flush[5:]],
    "one is forged": lambda lan, flush: [*flush[:5], other(lan, forged(lan, flush[5])), *flush[6:]],
    "one comes by way of another": lambda lan, flush: [
        *flush[:5],
        other(lan, opened(lan, flush[5])),
        *flush[6:],
    ],
    "a word among them": lambda lan, flush: (
        [*flush[:5], other(lan, encode_frame(Who(bytes(8), 0))), *flush[5:]]
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_together_they_are_what_they_are_one_by_one(change: str) -> None:
    results = []
    for together in (True, False):
        lan, ben, flush = world()
        datagrams = CHANGES[change](lan, flush)
        if together:
            assert ben.receive_all(datagrams, ADDRESS, lan.now)
        else:
            for datagram in datagrams:
                ben.receive(datagram, ADDRESS, lan.now)
        results.append((ben.events(), ben.stats(), ben.deadline()))
    assert results[0] == results[1]
    assert len(results[0][0]) >= 3


def test_a_flush_is_put_away_as_one() -> None:
    lan, ben, flush = world()
    assert ben.receive_all(flush, ADDRESS, lan.now)
    assert [len(row) for _, row, _, _ in ben._receiver.unsettled] == [len(MESSAGES)]
    assert told(ben) == MESSAGES


def test_what_comes_before_a_forgery_counts_and_the_forgery_is_counted() -> None:
    lan, ben, flush = world()
    flush[5] = Sealer(lan.room, flush[0][8:16], 2**40).seal(forged(lan, flush[5]))
    assert ben.receive_all(flush, ADDRESS, lan.now)
    assert told(ben) == MESSAGES[:5]
    assert ben.stats()["dropped-bad-signature"] == 1


def test_a_row_whose_key_was_pushed_out_waits_for_it() -> None:
    lan, ben, flush = world()
    origin = lan.members[0].identity.origin
    known = ben._verifier._keys.pop(origin)
    ben.receive_all(flush, ADDRESS, lan.now)
    assert told(ben) == []
    ben._verifier._keys[origin] = known
    ben.receive_all([other(lan, encode_frame(known.frame))], ADDRESS, lan.now)
    assert told(ben) == MESSAGES


def test_records_that_were_asked_for_are_taken_one_by_one() -> None:
    lan, ben, flush = world()
    ben._anti_entropy._fetches.told(ADDRESS, bytes(16), lan.now)
    assert ben.receive_all(flush, ADDRESS, lan.now)
    assert [len(row) for _, row, _, _ in ben._receiver.unsettled] == [1] * len(MESSAGES)


def test_who_is_leaving_takes_no_row() -> None:
    lan, ben, flush = world()
    ben.close(lan.now)
    assert ben.receive_all(flush, ADDRESS, lan.now)
    assert told(ben) == []
    assert ben.stats()["dropped-not-asked"] == len(MESSAGES)


def test_a_planned_repair_of_what_came_in_a_row_is_called_off() -> None:
    lan, ben, flush = world()
    author = lan.members[0].engine.peer_id
    ben._retransmitter.ready.update({(author, 13): False, (author, 99): False})
    ben.receive_all(flush, ADDRESS, lan.now)
    ben.deadline()
    assert list(ben._retransmitter.ready) == [(author, 99)]


def test_a_forged_flush_costs_one_signature_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    lan, ben, _ = world()
    author = lan.members[0].engine.peer_id
    window = ben._nacks.windows.get(author)
    assert window is not None
    following = window.buffer.next
    drafts = [
        encode_record(
            origin=author.origin,
            incarnation=author.incarnation,
            sequence=at,
            timestamp=0,
            kind=Kind.MESSAGE,
            body=b"x",
        )
        for at in (following, following + 1)
    ]
    sealer = Sealer(lan.room, b"01234567")
    forgery = [
        sealer.seal(encode_kept(payload))
        for payload in sign_flush(Identity(bytes(32)), lan.room.id, author.incarnation, drafts)
    ]
    checked = []

    def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
        checked.append(signature)
        return False

    monkeypatch.setattr(ben._verifier._checks, "verify", verify)
    ben.receive_all(forgery, ADDRESS, lan.now)
    assert told(ben) == []
    assert len(checked) == 2


def test_two_records_of_one_sequence_are_an_alarm_once() -> None:
    lan = simulation.Lan(17)
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.key, eve.record(1, b"yes"))
    for body in (b"no", b"perhaps"):
        eve.say(eve.record(1, body))
    assert texts(bob) == ["yes"]
    assert [event for event in bob.events() if isinstance(event, Alarm)] == [
        Alarm("equivocation", eve.peer_id)
    ]
    assert drops(bob, "equivocation") == 2
    liar = Outsider(lan, 5)
    liar.peer_id = eve.peer_id
    forged = liar.record(1, b"never")
    eve.say(type(forged)(*(getattr(forged, name) for name in forged.__struct_fields__)))
    assert drops(bob, "bad-signature") == 1


def test_bundles_and_fragments_that_make_no_sense_are_passed_over() -> None:
    lan = simulation.Lan(23)
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.key, eve.record(1, b"ok"))
    eve.say(eve.record(2, b"\0\1", Kind.BUNDLE))
    eve.say(eve.record(3, b"end of nothing", Kind.LAST))
    eve.say(eve.record(4, b"fine"))
    assert texts(bob) == ["ok", "fine"]


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
    window = ada.engine._nacks.windows.get(eve.peer_id)
    assert window is not None
    assert not window.gaps
    lan.run(1.5)
    eve.say(eve.announcement(high=2))
    assert len(window.gaps) == 1
    eve.say(eve.heartbeat(3))
    assert window.buffer.high == 3


def test_a_duplicate_whose_first_copy_is_gone_is_a_duplicate() -> None:
    lan = simulation.Lan(9, settings=Settings(history_records=8))
    ada = lan.join("ada")
    eve = Outsider(lan)
    first = eve.record(1)
    eve.say(eve.key, first)
    for sequence in range(2, 8):
        eve.say(eve.record(sequence))
    eve.say(first)
    assert drops(ada, "duplicate") == 1


def test_of_records_of_two_flushes_after_a_loss_each_flush_is_checked() -> None:
    lan, ben, flush = world()
    ada = lan.members[0].engine
    ada.send_all(MESSAGES, lan.now + 1)
    more = [outgoing.data for outgoing in ada.datagrams(lan.now + 1) if outgoing.record]
    assert ben.receive_all(flush[1:] + more, ADDRESS, lan.now + 1)
    assert told(ben) == []
    assert ben.receive_all(flush[:1], ADDRESS, lan.now + 1)
    assert told(ben) == MESSAGES + MESSAGES


def test_a_copy_of_a_record_whose_window_is_gone_is_a_duplicate_and_the_next_one_is_news() -> None:
    lan = simulation.Lan(18, settings=Settings(visitor_seconds=2.0))
    bob = lan.join("bob")
    eve = Outsider(lan)
    first = eve.record(1)
    eve.say(eve.key, first)
    lan.run(KEPT + 10.0)
    assert bob.engine.stats()["receive-windows"] == 0
    eve.say(first)
    assert drops(bob, "duplicate") == 1
    assert bob.engine.stats()["receive-windows"] == 0
    assert bob.engine._receiver.take_known(eve.record(2), ADDRESS, lan.now, 0.0) is None
    bob.step()
    assert texts(bob) == ["x", "x"]


def test_a_repair_that_is_older_than_our_stay_opens_no_window() -> None:
    lan = simulation.Lan(19)
    lan.run(5.0)
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.key, f.Age(60_000), eve.record(3))
    assert drops(bob, "not-asked") == 1
    assert bob.engine.stats()["receive-windows"] == 0


def test_records_that_a_peer_published_before_we_came_are_not_asked_for() -> None:
    lan = simulation.Lan(20)
    lan.run(5.0)
    bob = lan.join("bob")
    eve = Outsider(lan, age=30.0)
    eve.say(eve.key, eve.announcement(high=5))
    assert bob.engine.stats()["receive-windows"] == 0
    eve.say(eve.record(3))
    assert drops(bob, "not-asked") == 1
    eve.say(eve.record(6, b"news"))
    assert texts(bob) == ["news"]


def test_what_was_told_late_is_not_missing_in_the_history() -> None:
    lan = simulation.Lan(22)
    bob = lan.join("bob", history=True)
    lan.run(5.0)
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement(high=5), eve.record(6))
    receiver = bob.engine._receiver
    window = receiver._windows.get(eve.peer_id)
    assert window is not None
    window.begin_after(5, lan.now)
    assert receiver.take_known(eve.record(3), ADDRESS, lan.now, 0.0) is None
    for sequence in (1, 5):
        receiver._replay.add(eve.peer_id, eve.record(sequence), lan.now, 60.0)
    told = receiver._replay.tell(lambda peer_id: "eve", lan.now, 0.0)
    gaps = [(event.first, event.last) for event in told if isinstance(event, GapAbandoned)]
    assert gaps == [(2, 2), (4, 4)]


def test_what_is_fetched_beyond_the_window_is_asked_for_from_the_front() -> None:
    lan = simulation.Lan(21, settings=Settings(window=50))
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.key, eve.record(1))
    far = eve.record(80)
    assert bob.engine._receiver.take_known(far, ADDRESS, lan.now, 0.0) is DropReason.OUT_OF_WINDOW
    window = bob.engine._nacks.windows.get(eve.peer_id)
    assert window is not None
    assert [(span.start, span.stop) for span in window.gaps] == [(2, 52)]
    assert bob.engine._nacks.next_timeout < lan.now + 1.0


def test_a_record_that_is_too_old_is_told_but_not_held() -> None:
    lan = simulation.Lan(22)
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.key, eve.record(1))
    eve.say(f.Age(25 * 3_600_000), eve.record(2))
    assert texts(bob) == ["x", "x"]
    assert bob.engine.stats()["held-records"] == 1
    assert drops(bob, "too-old") == 1


def test_a_recorded_heartbeat_opens_nothing() -> None:
    lan = simulation.Lan(23)
    bob = lan.join("bob")
    eve = Outsider(lan)
    old = now_ms(lan) - 3_600_000
    eve.say(eve.key, eve.sign(f.Heartbeat(*eve.peer_id, eve.count(), old, 1, 7, 2000)))
    assert drops(bob, "not-live") == 1
    assert bob.engine.stats()["receive-windows"] == 0


def test_a_record_that_may_have_been_asked_for_needs_room_too() -> None:
    lan = simulation.Lan(25, settings=Settings(held_bytes=20_000))
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.key, eve.record(1))
    bob.engine._anti_entropy._fetches.told(ADDRESS, bytes(16), lan.now + 60.0)
    for sequence in range(3, 12):
        eve.say(eve.record(sequence, bytes(1000)))
    assert drops(bob, "over-quota") > 0


def test_a_repair_of_what_a_member_published_before_us_is_history() -> None:
    lan = simulation.Lan(26)
    lan.run(5.0)
    bob, hal = lan.join("bob"), lan.join("hal", history=True)
    eve = Outsider(lan, age=100.0)
    eve.say(eve.key, eve.announcement(high=5))
    eve.say(f.Age(60_000), eve.record(3, b"before"))
    eve.say(f.Age(60_000), eve.record(6, b"since, whatever its age is said to be"))
    lan.run(6.0)
    assert texts(bob) == ["since, whatever its age is said to be"]
    assert sorted((message.data[:6], message.history) for message in hal.messages()) == [
        (b"before", True),
        (b"since,", False),
    ]
    assert drops(bob, "not-asked") == 1
