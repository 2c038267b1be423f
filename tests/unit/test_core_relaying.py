"""Members that do not hear each other, and one between: a is on LAN 0, c on LAN 1, b on both."""

from __future__ import annotations

import msgspec
import pytest

from mcast import simulation
from mcast.core import relays as table
from mcast.core import repair
from mcast.core import state as core_state
from mcast.core.events import PeerJoined, PeerLeft
from mcast.core.inbound_records import on_record
from mcast.core.peer_id import PeerId
from mcast.core.reach import Station
from mcast.core.relays import Relay, Relays
from mcast.crypto.seal import Opener
from mcast.wire import frames as f
from mcast.wire.codec import decode_frames, encode_frames
from mcast.wire.header import Header, decode_header
from mcast.wire.records import Record

from .core_support import Outsider, drops

Members = tuple[simulation.Lan, simulation.Member, list[simulation.Member], simulation.Member]


def world(between: int = 1, loss: float = 0.0) -> Members:
    """a, those between, c; they have known each other for a while."""
    lan = simulation.Lan(loss=loss)
    ada = lan.join("a", lans=(0,))
    middle = [lan.join(f"b{number}", lans=(0, 1)) for number in range(between)]
    zoe = lan.join("c", lans=(1,))
    lan.run(12.0)
    return lan, ada, middle, zoe


def frames_of(lan: simulation.Lan) -> list[list[f.Frame]]:
    """What is sent from now on, datagram by datagram."""
    sent: list[list[f.Frame]] = []
    opener = Opener(lan.room)

    def overhear(data: bytes, *_: object) -> None:
        header = decode_header(data)
        assert isinstance(header, Header)
        plain = opener.open(header, data)
        frames = decode_frames(plain) if isinstance(plain, bytes) else []
        assert isinstance(frames, list)
        sent.append(frames)

    lan.on_transmit = overhear
    return sent


def passed_on(sent: list[list[f.Frame]], kind: type) -> list[f.Frame]:
    """The frames of one kind that were passed on."""
    return [
        frame
        for frames in sent
        if isinstance(frames[0], f.Relayed)
        for frame in frames
        if isinstance(frame, kind)
    ]


def names(member: simulation.Member) -> list[str]:
    return sorted(peer.name for peer in member.peers())


def texts(member: simulation.Member, author: str) -> list[str | None]:
    return [message.text for message in member.messages() if message.name == author]


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("between", [1, 3])
def test_they_hear_each_other_in_order_and_once(between: int, loss: float) -> None:
    lan, ada, middle, zoe = world(between, loss=loss)
    for number in range(50):
        ada.send(f"a{number}")
        zoe.send(f"c{number}")
        lan.run(0.03)
    lan.run(20.0)
    assert texts(zoe, "a") == [f"a{number}" for number in range(50)]
    assert texts(ada, "c") == [f"c{number}" for number in range(50)]
    for member in middle:
        assert len(member.messages()) == 100


def digests_of(member: simulation.Member, lan: simulation.Lan, seconds: float) -> int:
    before = member.engine.stats().get("sent-digest", 0)
    lan.run(seconds)
    return member.engine.stats().get("sent-digest", 0) - before


def test_what_is_held_is_summed_up_also_for_who_does_not_hear_the_others_do_so() -> None:
    lan, ada, (bridge,), zoe = world()
    for number in range(4):
        lan.join(f"near{number}", lans=(0,))
    ada.send("something to hold")
    lan.run(60.0)
    assert digests_of(bridge, lan, 320.0) >= 8  # else only the near ones hear what they hold
    zoe.leave()
    lan.run(60.0)
    assert digests_of(bridge, lan, 320.0) <= 6


def test_a_lone_message_arrives_at_once() -> None:
    lan, ada, _, zoe = world()
    ada.send("hi")
    lan.run(0.003)
    assert texts(zoe, "a") == ["hi"]


def test_one_of_several_passes_a_record_on() -> None:
    lan, ada, middle, _ = world(5)
    for _ in range(40):
        ada.send("hi")
        lan.run(0.05)
    copies = sum(member.engine.stats().get("sent-repair", 0) for member in middle)
    assert copies == 40


def test_what_one_between_says_itself_is_not_passed_on() -> None:
    lan, ada, middle, zoe = world(2)
    sent = frames_of(lan)
    middle[0].send("hi")
    lan.run(0.1)
    assert texts(ada, "b0") == texts(zoe, "b0") == ["hi"]
    assert len([frame for frames in sent for frame in frames if isinstance(frame, Record)]) == 1


def test_when_the_first_in_line_is_gone_the_next_one_does_it() -> None:
    lan, ada, middle, zoe = world(3)
    ada.send("one")
    lan.run(0.01)
    [first] = [member for member in middle if member.engine.stats().get("sent-repair")]
    first.crash()
    ada.send("two")
    lan.run(0.5)
    assert texts(zoe, "a") == ["one", "two"]


def test_they_know_each_other_and_who_confirmed() -> None:
    lan, ada, _, zoe = world()
    assert names(ada) == ["b0", "c"]
    assert names(zoe) == ["a", "b0"]
    lan.run(100.0)
    assert not [event for event in [*ada.events(), *zoe.events()] if isinstance(event, PeerLeft)]
    [peer] = [peer for peer in ada.peers() if peer.name == "c"]
    assert peer.confirmed, "its words are fresh"
    receipt = ada.send("hi")
    assert zoe.engine.peer_id in ada.engine.unheard_by(receipt.sequence)
    lan.run(3.0)
    assert ada.engine.unheard_by(receipt.sequence) == []


def test_a_goodbye_is_passed_on() -> None:
    lan, ada, _, zoe = world()
    zoe.leave()
    lan.run(0.2)
    assert names(ada) == ["b0"]
    [left] = [event for event in ada.events() if isinstance(event, PeerLeft)]
    assert left.reason == "goodbye"


@pytest.mark.parametrize("who", [1, 2])
def test_who_crashes_or_carried_all_is_expired(who: int) -> None:
    lan, ada, middle, zoe = world()
    [ada, middle[0], zoe][who].crash()
    lan.run(10.0)
    assert "c" in names(ada)
    lan.run(25.0)
    assert names(ada) == ([] if who == 1 else ["b0"])


def test_what_was_said_while_nobody_was_between_is_asked_for_later() -> None:
    lan, ada, middle, zoe = world(2)
    for member in middle:
        lan.between(member, ada, loss=1.0)
    for number in range(5):
        zoe.send(str(number))
    lan.run(3.0)
    for member in middle:
        lan.between(member, ada)
    assert texts(ada, "c") == []
    lan.run(12.0)
    assert texts(ada, "c") == list("01234")


def test_who_comes_between_later_fetches_what_it_does_not_want_itself() -> None:
    lan, ada, (middle,), zoe = world()
    zoe.send("0")
    lan.run(0.1)
    middle.crash()
    for number in range(1, 6):
        zoe.send(str(number))
    lan.run(2.0)
    late = lan.join("b9", lans=(0, 1))
    zoe.send("6")
    lan.run(30.0)
    assert texts(ada, "c") == list("0123456")
    assert not late.engine._state.relays.absent


def test_a_forged_record_is_not_taken_for_one_that_is_asked_for() -> None:
    lan, _, (middle,), zoe = world()
    eve = Outsider(lan)
    state = middle.engine._state
    state.relays.lack(zoe.engine.peer_id, [7])
    forged = msgspec.structs.replace(
        eve.record(7), origin=zoe.engine.peer_id.origin, incarnation=zoe.engine.peer_id.incarnation
    )
    assert on_record(state, forged, None, lan.now) is not None
    assert state.relays.absent
    assert state.retention.get(zoe.engine.peer_id, 7) is None


def test_who_comes_learns_at_once_whom_it_cannot_hear() -> None:
    """Those between who know them are many; that they greet it is not certain."""
    lan, ada, _, zoe = world()
    others = [lan.join(f"d{number}", lans=(1,)) for number in range(6)]
    lan.run(0.5)
    assert {"a", "c"} <= set(names(others[-1]))
    assert {f"d{number}" for number in range(6)} <= set(names(ada))
    assert names(zoe) == ["a", "b0", *(f"d{number}" for number in range(6))]


def test_who_comes_between_brings_them_together() -> None:
    lan = simulation.Lan()
    left = [lan.join(f"a{number}", lans=(0,)) for number in range(8)]
    right = [lan.join(f"c{number}", lans=(1,)) for number in range(8)]
    lan.run(20.0)
    assert names(left[0]) == [f"a{number}" for number in range(1, 8)]
    lan.join("b", lans=(0, 1))
    lan.run(20.0)
    everybody = sorted([*(member.name for member in [*left, *right]), "b"])
    for member in [*left, *right]:
        assert sorted([*names(member), member.name]) == everybody
    late = lan.join("d", lans=(1,))
    lan.run(0.5)
    assert {member.name for member in left} <= set(names(late)), "in as many datagrams as it takes"


def test_a_word_repeated_by_somebody_else_is_not_passed_on() -> None:
    lan, _, (middle,), zoe = world()
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement())
    lan.between(zoe, middle, loss=1.0)
    sent = frames_of(lan)
    zoe.send("hi")
    lan.run(0.03)
    [heartbeat] = [frame for frames in sent for frame in frames if isinstance(frame, f.Heartbeat)]
    eve.say(heartbeat)
    lan.run(0.1)
    assert not passed_on(sent, f.Heartbeat)


def test_a_wrong_clock_does_not_keep_them_apart() -> None:
    lan = simulation.Lan()
    ada, _ = lan.join("a", lans=(0,)), lan.join("b", lans=(0, 1))
    lan.run(2.0)
    zoe = lan.join("c", lans=(1,))
    zoe.crash()
    zoe.set_clock(-7200.0)
    zoe.start(disk=False)
    lan.run(20.0)
    assert names(ada) == ["b", "c"], "it was asked through the one between, and answered"
    assert zoe.engine.peer_id in {peer.peer_id for peer in ada.peers()}


def test_what_was_missed_of_a_silent_one_is_told_when_it_is_probed() -> None:
    lan, ada, middle, zoe = world()
    lan.between(middle[0], ada, loss=1.0)
    lan.run(15.0)
    assert names(ada) == ["b0", "c"]
    lan.between(middle[0], ada)
    lan.run(30.0)
    assert names(ada) == ["b0", "c"]
    assert not [event for event in ada.events() if isinstance(event, PeerLeft)]
    assert names(zoe) == ["a", "b0"]


def test_a_word_told_again_makes_nobody_younger() -> None:
    """The one between answers a probe with what it heard last, long ago."""
    lan, ada, middle, zoe = world()
    lan.between(middle[0], ada, loss=1.0)
    lan.run(8.0)
    zoe.crash()
    silent = lan.now
    lan.between(middle[0], ada)
    lan.run(12.0)
    Outsider(lan).say(f.Probe(*zoe.engine.peer_id, bytes(16), f.BY_MULTICAST))
    lan.run(0.1)
    [peer] = [peer for peer in ada.peers() if peer.name == "c"]
    assert silent - 7.0 < peer.heard <= silent, "the announcement that it had missed"
    lan.run(silent + 3.5 * 5.0 + 7.0 - lan.now)
    assert names(ada) == ["b0"]


def test_a_visitors_words_are_passed_on_and_a_visitor_passes_nothing_on() -> None:
    lan, ada, _, zoe = world()
    visitor = lan.join("v", lans=(1,), visitor=True)
    visitor.send("hi")
    lan.run(1.0)
    assert texts(ada, "v") == ["hi"]
    other = simulation.Lan()
    ada, zoe = other.join("a", lans=(0,)), other.join("c", lans=(1,))
    other.join("v", lans=(0, 1), visitor=True).send("hello")
    other.run(1.0)
    ada.send("hi")
    other.run(5.0)
    assert texts(zoe, "a") == []
    assert texts(zoe, "v") == ["hello"]


def test_where_all_hear_all_nothing_is_passed_on() -> None:
    lan = simulation.Lan(3, loss=0.2)
    members = [lan.join(f"m{number}", lans=(0, 1)) for number in range(4)]
    sent = frames_of(lan)
    for number in range(40):
        members[number % 4].send(str(number))
        lan.run(0.2)
    members[0].leave()
    lan.run(30.0)
    assert not [frames for frames in sent if isinstance(frames[0], f.Relayed)]


def test_a_liar_at_most_doubles_what_another_says() -> None:
    """It speaks on one LAN only, as if it were not on the other; all others are on both but one."""
    lan, ada, middle, _ = world(4)
    sent = frames_of(lan)
    for _ in range(100):
        ada.send(bytes(1000))
        lan.run(0.02)
    records = sum(isinstance(frame, Record) for frames in sent for frame in frames)
    assert records <= 200
    assert all(len(member.messages()) == 100 for member in middle)


def test_what_is_no_record_has_a_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_state, "RELAYED", 100)
    monkeypatch.setattr(core_state, "RELAYED_AT_ONCE", 400)
    lan, _, (middle,), zoe = world()
    sent = frames_of(lan)
    zoe.send("hi")
    lan.run(20.0)
    assert drops(middle, "over-budget") > 5
    assert sum(len(encode_frames(frames)) for frames in sent if isinstance(frames[0], f.Relayed)) < 4000


def test_an_answer_nobody_waits_for_and_a_forged_one_are_not_passed_on() -> None:
    lan, _, _, zoe = world()
    sent = frames_of(lan)
    eve = Outsider(lan)
    answer = f.ProbeReply(*zoe.engine.peer_id, bytes(16), 1, 1, 0, bytes(64))
    eve.say(answer)
    eve.say(f.Probe(*zoe.engine.peer_id, bytes(16), f.BY_MULTICAST))
    lan.between(zoe, zoe)
    zoe.crash()
    lan.run(0.1)
    eve.say(answer)
    lan.run(0.1)
    assert not [one for one in passed_on(sent, f.ProbeReply) if one == answer]


def test_a_question_about_somebody_unknown_is_not_passed_on() -> None:
    lan, *_ = world()
    sent = frames_of(lan)
    Outsider(lan).say(f.Probe(b"o" * 16, 1, bytes(16), f.BY_MULTICAST))
    lan.run(0.1)
    assert not passed_on(sent, f.Probe)


def test_an_unconfirmed_peer_joins_once() -> None:
    lan, ada, _, zoe = world()
    lan.run(20.0)
    joined = [event.peer.peer_id for event in ada.events() if isinstance(event, PeerJoined)]
    assert joined.count(zoe.engine.peer_id) == 1


# The table


def word(author: str, counter: int = 1) -> f.Goodbye:
    return f.Goodbye(author.encode(), 1, counter, 0)


def test_a_copy_calls_ours_off_if_it_is_the_same() -> None:
    relays, station = Relays(), Station(1)
    run = PeerId(b"a", 1)
    relays.copied(run, word("a"))
    relays.add(run, Relay(word("a", 1), station), 1.0)
    relays.add(run, Relay(word("a", 2), station), 9.0)
    relays.copied(run, word("a", 1))
    assert relays.when() == 1.0
    assert [relay.word.counter for relay in relays.due(1.0) if isinstance(relay.word, f.Goodbye)] == [2]
    relays.add(run, Relay(word("a", 3), station), 2.0)
    relays.copied(run, word("a", 3))
    assert relays.when() is None
    assert relays.due(9.0) == []


def test_records_to_pass_on_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "READY", 2)
    repairs, run = repair.Repairs(), PeerId(b"a", 1)
    for sequence in range(1, 4):
        repairs.at_once(run, sequence)
    assert [repairs.take(1.0), repairs.take(1.0)] == [(run, 1), (run, 2)]
    assert not repairs.ready


def test_the_tables_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WAITING", "NONCES", "KEYS", "ABSENT"):
        monkeypatch.setattr(table, name, 2)
    relays, station = Relays(), Station(1)
    for author in "abc":
        relays.add(PeerId(author.encode(), 1), Relay(word(author), station), 1.0)
        relays.probing(author.encode())
        assert relays.wants_key(author.encode(), 1.0)
    assert len(relays.due(1.0)) == 2
    assert [relays.expects(nonce) for nonce in (b"a", b"b", b"c")] == [False, True, True]
    relays.lack(PeerId(b"a", 1), [1, 2, 3])
    assert list(relays.absent) == [(PeerId(b"a", 1), 2), (PeerId(b"a", 1), 3)]
    assert not relays.wants_key(b"c", 1.5)
    assert relays.wants_key(b"a", 1.5)
    assert relays.wants_key(b"c", 3.0)


@pytest.mark.heavy
def test_of_twenty_who_doubt_it_each_asks_in_turn() -> None:
    """Who leaves out his question because somebody else asks is not proven anything by that answer."""
    lan = simulation.Lan()
    left = [lan.join(f"a{number}", lans=(0,)) for number in range(20)]
    lan.join("b", lans=(0, 1))
    lan.run(5.0)
    zoe = lan.join("c", lans=(1,))
    zoe.set_clock(86_400.0)
    zoe.send("0")
    lan.run(12.0)
    assert ["c" in names(member) for member in left] == [True] * len(left)


def test_what_was_fetched_for_another_is_told_too() -> None:
    lan = simulation.Lan(3)
    ada = lan.join("ada")
    lan.run(5.0)
    eve = Outsider(lan)
    ada.engine._state.relays.lack(eve.peer_id, [1])
    eve.say(eve.key, eve.record(1, b"hello"))
    lan.run(1.0)
    assert [message.data for message in ada.messages()] == [b"hello"]
