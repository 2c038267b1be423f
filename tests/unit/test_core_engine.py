"""The engine as its driver sees it: sending, receiving, repair, reports, drops."""

from __future__ import annotations

import pytest

from mcast import settings, simulation
from mcast.core.engine import Receipt
from mcast.core.events import Alarm, GapAbandoned, GapFilled, GapOpened, Message
from mcast.core.peer_id import PeerId
from mcast.crypto.keys import Identity
from mcast.crypto.rooms import open_room
from mcast.crypto.seal import Sealer
from mcast.errors import MessageTooLarge, UsageError
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire.codec import encode_frames
from mcast.wire.limits import COUNTER_MAX
from mcast.wire.records import Kind, decode_record

from .core_support import ADDRESS, Outsider, drops, now_ms


def _texts(member: simulation.Member) -> list[str | None]:
    return [message.text for message in member.messages()]


def test_a_lone_message_leaves_at_once_in_one_datagram() -> None:
    lan = simulation.Lan(1)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(2.0)
    before = lan.sent
    receipt = ada.send("hi")
    assert lan.sent == before + 1
    assert receipt == Receipt(ada.engine.peer_id, 1, 0)
    lan.run(0.001)
    (message,) = bob.messages()
    assert (message.text, message.name, message.peer_id) == ("hi", "ada", ada.engine.peer_id)
    assert message.source == ada.address
    assert not message.late
    assert not message.history
    assert abs(message.sent - now_ms(lan)) < 5


def test_a_message_leaves_before_anything_is_written_down_about_it() -> None:
    lan = simulation.Lan(1)
    engine = lan.join("ada").engine
    engine.send(b"hi", lan.now)
    (outgoing,) = engine.datagrams(lan.now)
    assert (outgoing.destination, outgoing.record) == (None, True)
    assert engine._state.sent_frames["record"] == 0
    assert engine.stats()["sent-record"] == 1
    assert engine.datagrams(lan.now) == []


def test_who_is_interrupted_while_sending_still_keeps_what_has_a_number() -> None:
    lan = simulation.Lan(1)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    ada.engine.send(b"hi", lan.now)
    ada.engine.datagrams(lan.now)  # and then nothing of it is sent
    ada.send("there")
    lan.run(1.0)
    assert _texts(bob) == ["hi", "there"]


def test_data_that_is_no_text_has_none() -> None:
    assert Message(b"", 1, 1, 0, b"\xff", 0).text is None


def test_many_messages_are_bundled_and_large_ones_cut() -> None:
    lan = simulation.Lan(2)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    large = bytes(range(256)) * 256
    for number in range(500):
        ada.engine.send(b"%d" % number, lan.now)
    ada.send(large)
    with pytest.raises(MessageTooLarge):
        ada.send(large + b"!")
    lan.run(1.0)
    assert [message.data for message in bob.messages()] == [b"%d" % n for n in range(500)] + [large]
    assert ada.engine.stats()["sent-record"] < 70


def test_a_passive_or_closed_member_cannot_send() -> None:
    lan = simulation.Lan(3)
    with pytest.raises(UsageError):
        lan.join("passive", passive=True).send("x")
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    ada.send("last")
    ada.leave()
    with pytest.raises(UsageError):
        ada.send("after")
    lan.run(1.0)
    assert _texts(bob) == ["last"]
    bob.engine.tick(lan.now)
    ada.engine.tick(lan.now)
    ada.engine.receive(b"anything", ADDRESS, lan.now)
    assert ada.engine.closing


def test_the_pace_holds_and_backpressure_shows() -> None:
    lan = simulation.Lan(4, settings=Settings(start_rate=100_000, burst=10_000))
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    start = lan.sent_bytes
    while ada.engine.writable(lan.now):
        ada.send(bytes(1000))
    assert lan.sent_bytes - start < 60_000
    lan.run(1.0)
    assert lan.sent_bytes - start < 200_000
    assert ada.engine.writable(lan.now)
    lan.run(5.0)
    assert len(bob.messages()) == len({message.sequence for message in bob.messages()}) > 60


def test_whoever_lost_a_record_gets_it_again() -> None:
    lan = simulation.Lan(5)
    ada, bob, eve = lan.join("ada"), lan.join("bob"), lan.join("eve")
    lan.run(1.0)
    ada.send("one")
    lan.run(0.1)
    lan.between(ada, bob, loss=1.0)
    ada.send("two")
    lan.run(0.006)
    lan.between(ada, bob)
    ada.send("three")
    lan.run(1.0)
    assert _texts(bob) == _texts(eve) == ["one", "two", "three"]
    gaps = [event for event in bob.events() if isinstance(event, GapOpened | GapFilled)]
    assert gaps == [GapOpened(ada.engine.peer_id, 2, 2, "ada"), GapFilled(ada.engine.peer_id, 2, 2, "ada")]
    assert ada.engine.stats()["sent-repair"] == 1


def test_the_last_record_before_a_silence_is_not_lost() -> None:
    lan = simulation.Lan(6)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    lan.between(ada, bob, loss=1.0)
    ada.send("only")
    lan.run(0.3)
    lan.between(ada, bob)
    lan.run(1.0)
    assert _texts(bob) == ["only"]


def test_another_holder_repairs_for_a_dead_author() -> None:
    lan = simulation.Lan(7)
    ada, bob, eve = lan.join("ada"), lan.join("bob"), lan.join("eve")
    lan.run(1.0)
    ada.send("first")
    lan.run(0.1)
    lan.between(ada, bob, loss=1.0)
    ada.send("lost")
    lan.run(0.01)
    lan.between(ada, bob)
    ada.send("last")
    lan.run(0.001)
    ada.crash()
    lan.run(5.0)
    assert _texts(bob) == ["first", "lost", "last"]
    assert eve.engine.stats()["sent-repair"] >= 1
    assert bob.messages()[1].source == eve.address


def test_a_gap_is_given_up_after_its_time_and_what_comes_later_is_late() -> None:
    lan = simulation.Lan(8, settings=Settings(gap_timeout=0.5))
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    lan.between(ada, bob, loss=1.0)
    ada.send("lost")
    lan.run(0.01)
    lan.between(ada, bob)
    lan.between(bob, ada, loss=1.0)
    ada.send("seen")
    lan.run(0.3)
    assert _texts(bob) == []
    lan.run(0.5)
    assert _texts(bob) == ["seen"]
    assert GapAbandoned(ada.engine.peer_id, 1, 1, "ada") in bob.events()
    payload = ada.engine._state.publisher.sent.get(1)
    assert payload is not None
    frame = bytes((f.FrameType.RECORD, 0)) + len(payload).to_bytes(2, "big") + payload
    lan.transmit(Sealer(lan.room, b"repairer").seal(frame), ADDRESS)
    lan.run(0.1)
    assert [(message.text, message.late) for message in bob.messages()] == [("seen", False), ("lost", True)]


def test_what_the_author_overwrote_is_declared_lost() -> None:
    """Order goes on although gap_timeout is None."""
    lan = simulation.Lan(9, settings=Settings(sent_records=5, retained_records=4))
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    lan.between(ada, bob, loss=1.0)
    for number in range(12):
        ada.send(f"{number}")
        lan.run(0.006)
    lan.between(ada, bob)
    lan.run(8.0)
    assert _texts(bob) == [f"{number}" for number in range(7, 12)]
    assert GapAbandoned(ada.engine.peer_id, 1, 7, "ada") in bob.events()


def test_records_nobody_holds_of_a_run_that_left_are_given_up() -> None:
    lan = simulation.Lan(10)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    lan.between(ada, bob, loss=1.0)
    ada.send("lost")
    lan.run(0.006)
    lan.between(ada, bob)
    ada.send("seen")
    lan.run(0.001)
    ada.crash()
    lan.run(300.0)
    assert _texts(bob) == []
    lan.run(60.0)
    assert _texts(bob) == ["seen"]
    assert GapAbandoned(ada.engine.peer_id, 1, 1, "ada") in bob.events()


def test_reordering_within_the_grace_asks_for_nothing() -> None:
    lan = simulation.Lan(11)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    for number in range(0, 100, 2):
        lan.between(ada, bob, delay=0.014)
        ada.send(f"{number}")
        lan.run(0.006)
        lan.between(ada, bob)
        ada.send(f"{number + 1}")
        lan.run(0.1)
    assert _texts(bob) == [f"{number}" for number in range(100)]
    assert bob.engine.stats().get("sent-nack", 0) == 0


def test_exact_repeats_are_dropped_before_they_are_opened() -> None:
    lan = simulation.Lan(12)
    ada = lan.join("ada")
    datagram = Sealer(lan.room, b"somebody").seal(encode_frames([f.Who(b"12345678")]))
    for _ in range(3):
        lan.transmit(datagram, ADDRESS)
    lan.run(0.1)
    assert drops(ada, "repeated") == 2
    assert drops(ada, "not-asked") == 1


@pytest.mark.parametrize(
    ("reason", "datagram"),
    [
        ("not-mcast", b"hello, this is plain text"),
        ("too-short", b"\xff\x4d\x02\x01"),
        ("unsealed", Sealer(open_room("230.0.0.1:28003", "simulation"), b"8 bytes.").seal(b"x")[:-1] + b"x"),
        ("unknown-room", Sealer(open_room("230.0.0.1:28003", "other"), b"8 bytes.").seal(b"x")),
        ("truncated", Sealer(open_room("230.0.0.1:28003", "simulation"), b"8 bytes.").seal(b"x")),
    ],
)
def test_what_is_not_ours_is_counted(reason: str, datagram: bytes) -> None:
    lan = simulation.Lan(13)
    ada = lan.join("ada")
    lan.transmit(datagram, ADDRESS)
    lan.run(0.1)
    assert drops(ada, reason) == 1


def test_the_highest_counter_under_our_session_silences_nobody() -> None:
    lan = simulation.Lan(14)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    victim = ada.engine._sender._sealer.session
    eve = Outsider(lan)
    eve.sealer = Sealer(lan.room, victim, COUNTER_MAX)
    eve.say(eve.key)
    ada.send("still here")
    lan.run(0.1)
    assert _texts(bob) == ["still here"]


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
    assert _texts(bob) == ["mine"]
    assert drops(bob, "unknown-key") == 0


def test_a_record_of_another_room_is_refused() -> None:
    lan = simulation.Lan(16)
    bob = lan.join("bob")
    eve = Outsider(lan)
    other = simulation.Lan(16, room=open_room("230.0.0.1:28003", "another"))
    foreign = Outsider(other).record(1, b"said elsewhere")
    eve.say(eve.key)
    eve.say(foreign)
    assert _texts(bob) == []
    assert drops(bob, "bad-signature") == 1


def test_two_records_of_one_sequence_are_an_alarm_once() -> None:
    lan = simulation.Lan(17)
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.key, eve.record(1, b"yes"))
    for body in (b"no", b"perhaps"):
        eve.say(eve.record(1, body))
    assert _texts(bob) == ["yes"]
    assert [event for event in bob.events() if isinstance(event, Alarm)] == [
        Alarm("equivocation", eve.peer_id)
    ]
    assert drops(bob, "equivocation") == 2
    liar = Outsider(lan, 5)
    liar.peer_id = eve.peer_id
    forged = liar.record(1, b"never")
    eve.say(type(forged)(*(getattr(forged, name) for name in forged.__struct_fields__)))
    assert drops(bob, "bad-signature") == 1


def test_records_wait_for_their_key_and_for_a_second_at_most() -> None:
    lan = simulation.Lan(18)
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.record(1, b"early"))
    assert _texts(bob) == []
    eve.say(eve.key)
    assert _texts(bob) == ["early"]
    assert bob.engine.stats().get("sent-keyrequest", 0) <= 1
    ghost = Outsider(lan, 5)
    ghost.say(ghost.record(1, b"never"))
    for sequence in range(2, 80):
        ghost.say(ghost.record(sequence, bytes(1200)))
    assert drops(bob, "waiting-full") > 0
    lan.run(2.0)
    assert drops(bob, "unknown-key") > 0
    ghost.say(ghost.key)
    assert _texts(bob) == ["early"]


def test_keys_are_given_to_who_asks_by_owner_or_holder() -> None:
    lan = simulation.Lan(19)
    ada, bob = lan.join("ada"), lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.key)
    lan.run(1.0)
    eve.say(f.KeyRequest((ada.engine.peer_id.origin, eve.peer_id.origin, bytes(16))), size=700)
    lan.run(1.0)
    assert ada.engine.stats()["sent-key"] >= 1
    given = [member.engine.stats().get("sent-key", 0) for member in (ada, bob)]
    assert sum(given) == 2
    eve.say(f.KeyRequest((bytes(16),)))
    assert drops(ada, "over-budget") == drops(bob, "over-budget") == 1


def test_what_was_said_before_we_came_is_only_told_on_request() -> None:
    lan = simulation.Lan(20)
    ada = lan.join("ada")
    lan.run(20.0)
    ada.send("before")
    lan.run(0.3)
    bob, hal = lan.join("bob"), lan.join("hal", history=True)
    payload = ada.engine._state.publisher.sent.get(1)
    assert payload is not None
    lan.run(1.0)
    ada.send("after")
    lan.run(1.0)
    assert _texts(bob) == ["after"]
    assert [(message.text, message.history) for message in hal.messages()] == [
        ("before", True),
        ("after", False),
    ]


def test_an_old_record_of_an_older_run_is_not_asked_for() -> None:
    lan = simulation.Lan(21)
    lan.run(5.0)
    eve = Outsider(lan, age=30.0)
    bob = lan.join("bob")
    eve.say(eve.key, eve.record(5, b"old", age=2.0))
    assert drops(bob, "not-asked") == 1
    eve.say(eve.record(6, b"new"))
    assert _texts(bob) == ["new"]


def test_a_run_hidden_by_a_partition_is_caught_up_with() -> None:
    lan = simulation.Lan(22)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.partition([ada], [bob])
    lan.run(15.0)
    ada.crash()
    ada.start()
    for number in range(5):
        ada.send(f"{number}")
        lan.run(0.5)
    lan.heal()
    lan.run(10.0)
    assert _texts(bob) == [f"{number}" for number in range(5)]
    hidden = Outsider(lan, age=1000.0)
    hidden.say(hidden.key, hidden.record(300, b"here all along"))
    state = bob.engine._state
    inbox = state.reception.get(hidden.peer_id)
    assert inbox is not None
    assert inbox.stream.next == 300 + 1 - 256


def test_bundles_and_fragments_that_make_no_sense_are_passed_over() -> None:
    lan = simulation.Lan(23)
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.key, eve.record(1, b"ok"))
    eve.say(eve.record(2, b"\0\1", Kind.BUNDLE))
    eve.say(eve.record(3, b"end of nothing", Kind.LAST))
    eve.say(eve.record(4, b"fine"))
    assert _texts(bob) == ["ok", "fine"]


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
    ada.pump()
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
    bob.engine._state.reception._shelves._inboxes.clear()
    lan.run(70.0)
    assert bob.engine._state.reporter.when() is None


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
    assert 0.029 < ada.engine._state.grtt.value < 0.04


def test_a_flood_of_nacks_gets_no_more_than_its_quota() -> None:
    lan = simulation.Lan(27)
    ada = lan.join("ada")
    lan.join("bob")
    lan.run(1.0)
    for _ in range(200):
        ada.send(bytes(1200))
    lan.run(1.0)
    eve = Outsider(lan)
    eve.say(eve.key)
    before = ada.engine.stats().get("sent-repair", 0)
    for _ in range(200):
        missing = (f.Missing(*ada.engine.peer_id, ((1, 200),)),)
        eve.say(eve.sign(f.Nack(*eve.peer_id, eve.count(), missing)))
        lan.run(0.02)
    repairs = ada.engine.stats()["sent-repair"] - before
    assert repairs * 1300 < 64 * 1024 * (200 * 0.022 + 2) + 200 * 1400
    assert drops(ada, "over-quota") > 0


def test_a_nack_for_more_than_a_window_is_looked_at_in_part() -> None:
    lan = simulation.Lan(28)
    ada = lan.join("ada")
    ada.send("x")
    eve = Outsider(lan)
    missing = tuple(f.Missing(bytes([number]) * 16, 1, ((1, 8192),)) for number in range(5))
    eve.say(
        eve.key,
        eve.sign(f.Nack(*eve.peer_id, eve.count(), (*missing, f.Missing(*ada.engine.peer_id, ((1, 1),))))),
    )
    lan.run(1.0)
    assert ada.engine.stats().get("sent-repair", 0) == 0


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
    checks = bob.engine._state.authority._checks
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


def test_a_run_that_hoards_is_refused_more() -> None:
    lan = simulation.Lan(31, settings=Settings(held_bytes=20_000))
    bob = lan.join("bob")
    hoarders = [Outsider(lan, seed) for seed in range(1, 8)]
    for eve in hoarders:
        eve.say(eve.key, eve.record(1))
        for sequence in range(3, 10):
            eve.say(eve.record(sequence, bytes(1000)))
    assert drops(bob, "over-quota") > 0
    reception = bob.engine._state.reception
    inboxes = [reception.get(eve.peer_id) for eve in hoarders]
    held = [inbox.stream.held_bytes for inbox in inboxes if inbox is not None]
    assert sum(held) <= 20_000
    assert 0 in held
    for eve in hoarders:
        eve.say(eve.record(2))
        for sequence in range(3, 10):
            eve.say(eve.record(sequence, bytes(1000)))
    lan.run(1.0)
    assert len(bob.messages()) == 7 * 9


def test_made_up_runs_push_each_other_out() -> None:
    lan = simulation.Lan(32, settings=Settings(peers=3))
    bob = lan.join("bob")
    for seed in range(1, 9):
        eve = Outsider(lan, seed)
        eve.say(eve.own_key, eve.record(2))
    assert bob.engine.stats()["inboxes"] == 3
    members = [Outsider(lan, seed) for seed in range(20, 23)]
    for eve in members:
        eve.say(eve.key, eve.announcement())
        eve.say(eve.record(1))
    ghost = Outsider(lan, 50)
    ghost.say(ghost.key, ghost.record(1))
    ghost.say(ghost.sign(f.Heartbeat(*ghost.peer_id, ghost.count(), now_ms(lan), 1, 1, 2000)))
    assert drops(bob, "table-full") == 2
    assert len(bob.messages()) == 8 + 3
    abandoned = [event for event in bob.events() if isinstance(event, GapAbandoned)]
    assert [(event.first, event.last, event.name) for event in abandoned] == [(1, 1, "eve")] * 8


def test_the_first_records_bring_the_key_even_when_full() -> None:
    lan = simulation.Lan(33)
    bob = lan.join("bob")
    visitor = lan.join("visitor", visitor=True)
    for _ in range(3):
        visitor.send(bytes(1210))
    lan.run(0.5)
    assert len(bob.messages()) == 3
    assert bob.engine.stats().get("sent-keyrequest", 0) == 0
    lan.run(60.0)
    inbox = bob.engine._state.reception.get(visitor.engine.peer_id)
    assert inbox is not None
    assert inbox.departed


def test_settings_refuse_what_cannot_work() -> None:
    assert settings.wifi().start_rate < settings.lan().start_rate
    for wrong in (
        {"payload": 100},
        {"start_rate": 0},
        {"burst": 10},
        {"gap_timeout": -1.0},
        {"grtt_min": 2.0},
    ):
        with pytest.raises(UsageError):
            Settings(**wrong)


def test_a_failing_seed_names_itself() -> None:
    def scenario(seed: int) -> simulation.Lan:
        raise AssertionError("broken")

    with pytest.raises(AssertionError) as caught:
        simulation.replayable(42, scenario)
    assert "seed 42" in caught.value.__notes__[0]


def test_a_restart_is_a_new_run_with_a_higher_incarnation() -> None:
    lan = simulation.Lan(34)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    first = ada.engine.peer_id
    ada.crash()
    ada.start()
    assert ada.engine.peer_id.incarnation > first.incarnation
    lan.run(1.0)
    assert {peer.peer_id for peer in bob.peers()} == {first, ada.engine.peer_id}
    assert PeerId(Identity(bytes(32)).origin, 1) != first
