"""The engine as its driver sees it: sending, receiving, leaving, what is due."""

from __future__ import annotations

import pytest

from mcast import simulation
from mcast.core.engine import Receipt
from mcast.core.events import OtherRoom, OtherVersion, PeerId, Unheard
from mcast.crypto.keys import Identity
from mcast.crypto.rooms import keyed_room, open_room, with_lookalikes
from mcast.crypto.seal import Sealer
from mcast.errors import MessageTooLarge, UsageError
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire.codec import encode_frames
from mcast.wire.header import Header, encode_header

from .support import ADDRESS, Outsider, drops, now_ms, texts


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
    assert engine._context.sent["record"] == 0
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
    assert texts(bob) == ["hi", "there"]


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
    assert texts(bob) == ["last"]
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


def test_a_restart_is_another_peer_with_a_higher_incarnation() -> None:
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


def test_datagrams_of_ours_that_come_back_are_counted() -> None:
    lan = simulation.Lan(1)
    ada = lan.join("ada")
    sent: list[bytes] = []
    lan.on_transmit = lambda data, _source, _to: sent.append(data)
    ada.send("hello")
    before = ada.engine.echoes
    for data in sent:
        ada.receive(data, ada.address)
    assert ada.engine.echoes == before + len(sent) > before


def test_what_is_queued_is_due_at_once() -> None:
    lan = simulation.Lan(14)
    ada = lan.join("ada")
    lan.run(1.0)
    ada.engine.ask_reports(lan.now)
    assert ada.engine.deadline() == lan.now


def test_what_was_sent_is_written_down_before_a_record_is_taken() -> None:
    lan = simulation.Lan(21)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    for number in range(10):  # the first ones bring the key along
        bob.send(f"{number}")
        lan.run(0.1)
    bob.engine.send(b"alone", lan.now)
    (outgoing,) = bob.engine.datagrams(lan.now)
    ada.engine.send(b"mine", lan.now)
    ada.engine.datagrams(lan.now)
    assert ada.engine._sender.unsettled is not None
    assert ada.engine.receive(outgoing.data, ADDRESS, lan.now)
    assert ada.engine._sender.unsettled is None


def test_who_listens_quietly_speaks_once_it_has_heard_somebody() -> None:
    lan = simulation.Lan(22)
    quiet = lan.join("quiet", quiet=True)
    lan.run(5.0)
    assert lan.sent == 0
    ada = lan.join("ada")
    lan.run(1.0)
    assert [peer.name for peer in ada.peers()] == ["quiet"]
    assert [peer.name for peer in quiet.peers()] == ["ada"]


def test_who_leaves_before_it_was_announced_confirms_with_its_key() -> None:
    lan = simulation.Lan(23)
    ada = lan.join("ada")
    lan.run(1.0)
    quiet = lan.join("quiet", quiet=True)
    receipt = ada.send("hi")
    lan.run(0.002)
    assert ada.engine.heard_by(receipt.sequence) == []
    quiet.leave()
    lan.run(0.01)
    assert ada.engine.heard_by(receipt.sequence) == [quiet.engine.peer_id]


def test_who_leaves_confirms_to_somebody_who_never_heard_of_it() -> None:
    lan = simulation.Lan(231)
    listener = lan.join("listener")
    lan.run(1.0)
    guest = lan.join("guest", visitor=True)
    receipt = guest.send("hi")
    lan.run(0.002)
    listener.leave()
    lan.run(0.002)
    assert guest.engine.heard_by(receipt.sequence) == [listener.engine.peer_id]


def test_the_last_report_is_said_again_though_there_is_no_goodbye() -> None:
    lan = simulation.Lan(232)
    guest = lan.join("guest", visitor=True)
    quiet = lan.join("quiet", quiet=True)
    receipt = guest.send("hi")
    lan.run(0.002)
    lan.between(quiet, guest, loss=1.0)
    quiet.leave()
    lan.run(0.002)
    assert guest.engine.heard_by(receipt.sequence) == []
    lan.between(quiet, guest)
    lan.run(0.1)
    assert guest.engine.heard_by(receipt.sequence) == [quiet.engine.peer_id]
    assert quiet.engine.stats().get("sent-goodbye", 0) == 0
    assert quiet.engine.closed


def test_a_peer_is_known_by_name_also_when_it_is_not_here() -> None:
    lan = simulation.Lan(233)
    ada, quiet = lan.join("ada"), lan.join("quiet", quiet=True)
    lan.run(1.0)
    guest = lan.join("guest", visitor=True)
    guest.send("hi")
    lan.run(0.002)
    assert ada.engine.peer(guest.engine.peer_id).name == "guest"
    assert ada.engine.peer(quiet.engine.peer_id) == ada.peers()[0]
    assert ada.engine.interfaces_of(quiet.engine.peer_id) == (0,)
    assert ada.engine.interfaces_of(PeerId(bytes(16), 1)) == ()


def test_who_was_heard_while_this_computer_is_alone_was_heard_by_loopback() -> None:
    lan = simulation.Lan(234)
    ada, bob = lan.join("ada", lans=(-1,)), lan.join("bob", lans=(-1,))
    lan.run(1.0)
    assert ada.engine.interfaces_of(bob.engine.peer_id) == (-1,)


@pytest.mark.parametrize("passive", [True, False])
def test_who_was_never_announced_says_no_goodbye(passive: bool) -> None:
    lan = simulation.Lan(24)
    guest = lan.join("guest", passive=passive, visitor=not passive)
    lan.run(1.0)
    guest.leave()
    guest.leave()
    assert guest.engine.closed
    assert guest.engine.deadline() is None
    assert guest.engine.stats().get("sent-goodbye", 0) == 0


def test_what_the_application_has_yet_to_take_is_told_to_the_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    lan = simulation.Lan(25)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    backlogs: list[int] = []
    reported = ada.engine._flow.reported

    def watched(peer_id: PeerId, heard: f.Heard, now: float) -> None:
        backlogs.append(heard.backlog)
        reported(peer_id, heard, now)

    monkeypatch.setattr(ada.engine._flow, "reported", watched)
    bob.engine.unread(4711)
    ada.send("x")
    lan.run(1.0)
    assert 4711 in backlogs


def test_a_visitor_may_ask_who_is_here() -> None:
    lan = simulation.Lan(26)
    lan.join("ada")
    lan.run(10.0)
    guest = lan.join("guest", visitor=True)
    guest.engine.ask_roster(lan.now)
    guest.step()
    lan.run(1.0)
    assert [peer.name for peer in guest.peers()] == ["ada"]


def test_another_version_of_the_protocol_is_told_once() -> None:
    lan = simulation.Lan(3)
    ada = lan.join("ada")
    lan.run(1.0)
    datagram = b"\xff\x4d\x09" + bytes(60)
    for _ in range(3):
        lan.transmit(datagram, ADDRESS)
        lan.run(0.01)
    told = [event for event in ada.events() if isinstance(event, OtherVersion)]
    assert told == [OtherVersion(9, ADDRESS)]
    assert drops(ada, "version") == 3


def test_a_room_that_differs_in_case_only_is_told_once() -> None:
    place = "230.0.0.1:28003"
    room = with_lookalikes(open_room(place, "lab"), place, "lab")
    lan = simulation.Lan(1, room=room)
    assert sorted(room.lookalikes.values()) == ["LAB", "Lab"]
    ada = lan.join("ada")
    for name in ("Lab", "Lab", "kitchen", "LAB", "lAB"):
        other = Header(open_room(place, name).key_id, bytes(8), 1)
        lan.transmit(encode_header(other) + bytes(16), ADDRESS)
        lan.run(0.01)
    told = [event for event in ada.events() if isinstance(event, OtherRoom)]
    assert told == [OtherRoom("Lab", ADDRESS), OtherRoom("LAB", ADDRESS)]
    assert drops(ada, "unknown-room") == 5


def test_the_key_of_a_peer_is_known_once_it_was_heard() -> None:
    lan = simulation.Lan(1)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(2.0)
    own = bob.engine.public_key(bob.engine.peer_id.origin)
    assert own is not None
    assert ada.engine.public_key(bob.engine.peer_id.origin) == own
    assert ada.engine.public_key(bytes(16)) is None


KEYED = keyed_room(b"k" * 32, b"i" * 16)
NEW_KEY = b"n" * 32


def _unheard(member: simulation.Member) -> list[str]:
    return [event.kind for event in member.events() if isinstance(event, Unheard)]


def test_the_key_of_a_room_is_changed_while_people_talk() -> None:
    lan = simulation.Lan(1, room=KEYED)
    ada, bob, cyd = (lan.join(name) for name in ("ada", "bob", "cyd"))
    lan.run(3.0)
    ada.engine.rekey(NEW_KEY)
    ada.send("with the new key")
    bob.send("with the old key")
    lan.run(3.0)
    assert texts(ada) == ["with the old key"]  # both are opened
    assert texts(bob) == []
    assert "new-key" in _unheard(bob)  # it is told whom it cannot hear any more
    bob.engine.rekey(NEW_KEY)
    lan.run(10.0)
    assert texts(bob) == ["with the new key"]  # it was kept for bob, and signed for the same room
    for member in (ada, bob):
        member.engine.retire_keys()
    cyd.send("from who was left out")
    lan.run(6.0)
    assert "from who was left out" not in texts(ada)
    assert "old-key" in _unheard(ada)
    bob.send("among us")
    lan.run(1.0)
    assert texts(ada)[-1] == "among us"
    assert "among us" not in texts(cyd)


def test_of_two_changes_in_a_row_the_first_key_is_not_taken_any_more() -> None:
    lan = simulation.Lan(1, room=KEYED)
    ada = lan.join("ada")
    ada.engine.rekey(NEW_KEY)
    ada.engine.rekey(b"m" * 32)
    for key, dropped in ((NEW_KEY, 0), (b"m" * 32, 0), (KEYED.key, 1)):
        stranger = Sealer(keyed_room(key, KEYED.id), b"somebody")
        ada.engine.receive(stranger.seal(encode_frames([f.Who(bytes(8))])), ADDRESS, lan.now)
        assert drops(ada, "unknown-room") == dropped


def test_a_key_can_be_accepted_before_it_is_used() -> None:
    lan = simulation.Lan(1, room=KEYED)
    ada = lan.join("ada")
    ada.engine.accept_key(NEW_KEY)
    stranger = Sealer(keyed_room(NEW_KEY, KEYED.id), b"somebody")
    ada.engine.receive(stranger.seal(encode_frames([f.Who(bytes(8))])), ADDRESS, lan.now)
    assert drops(ada, "unknown-room") == 0
    with pytest.raises(UsageError, match="an open room has no key"):
        simulation.Lan(2).join("bob").engine.rekey(NEW_KEY)


def test_who_is_alone_with_a_key_is_told_of_another_one_once() -> None:
    lan = simulation.Lan(1, room=KEYED)
    ada = lan.join("ada")
    ada.engine.update(lan.now, hosts=["10.9.9.8"])
    ada.engine.receive(Sealer(open_room("x", ""), b"myself--").seal(b"any"), ("10.9.9.8", 1), lan.now)
    lan.run(1.5)
    assert _unheard(ada) == []
    for number in range(3):
        other = Sealer(keyed_room(bytes([number + 1]) * 32, bytes(16)), b"somebody")
        ada.engine.receive(other.seal(b"any"), ADDRESS, lan.now)
        lan.run(1.5)
    assert _unheard(ada) == ["other-key"]
    bob = lan.join("bob")
    lan.run(2.0)
    ada.engine.receive(Sealer(open_room("x", ""), b"somebody").seal(b"any"), ("10.9.9.9", 1), lan.now)
    assert bob.engine.peers()
    assert _unheard(ada) == ["other-key"]
