"""History between members: what a member fetches, hands out, tells, refuses, and keeps on its network."""

from __future__ import annotations

from typing import Any

import pytest

from mcast import simulation
from mcast.core.context import Datagram
from mcast.core.events import GapAbandoned, Message
from mcast.core.history.serving import HEEDED_AT_ONCE
from mcast.core.networks import ALL
from mcast.crypto.rooms import keyed_room
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire import limits
from mcast.wire.header import Header, decode_header
from mcast.wire.reasons import DropReason
from mcast.wire.records import decode_record
from tests.simulation.safety import holdings, holds_the_same
from tests.unit.core.support import ADDRESS, Outsider, asked, drops, gap_events, record


def texts(member: simulation.Member, *, history: bool) -> list[str | None]:
    return [message.text for message in member.messages() if message.history is history]


def test_who_comes_late_hears_from_others_what_was_said_if_he_asks() -> None:
    lan = simulation.Lan(1)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(2.0)
    for number in range(30):
        ada.send(str(number) * 1000)
        lan.run(0.02)
    lan.run(2.0)
    ada.leave()
    lan.run(2.0)
    cyd, dan = lan.join("cyd", history=True), lan.join("dan")
    lan.run(3.0)
    assert texts(cyd, history=True) == [str(number) * 1000 for number in range(30)]
    assert texts(cyd, history=False) == texts(dan, history=False) == texts(dan, history=True) == []
    assert all(message.name == "ada" for message in cyd.messages())
    assert holds_the_same([bob, cyd, dan])
    bob.leave()
    lan.run(1.0)
    assert len(texts(lan_joined(lan, "eve"), history=True)) == 30


def lan_joined(
    lan: simulation.Lan, name: str, *, last: int | None = None, since: float | None = None
) -> simulation.Member:
    """Somebody who asks what was said before, a while after he came."""
    member = lan.join(name, history=True, last=last, since=since)
    lan.run(5.0)
    return member


def test_who_loses_much_gets_all_soon() -> None:
    """A copy that was lost is asked for until it comes; an announcement makes up for a lost challenge."""
    for seed in range(6):
        lan = simulation.Lan(seed)
        ada, bob = lan.join("ada"), lan.join("bob")
        lan.run(3.0)
        for number in range(100):
            ada.send(b"%03d" % number + bytes(500))
        lan.run(1.0)
        ada.leave()
        lan.run(1.0)
        hal = lan.join("hal", history=True)
        lan.between(bob, hal, loss=0.4)
        lan.run(5.0)
        assert [message.data[:3] for message in hal.messages()] == [b"%03d" % n for n in range(100)]


def test_only_the_last_or_the_latest() -> None:
    lan = simulation.Lan(2)
    lan.join("ada")
    bob = lan.join("bob")
    for number in range(10):
        bob.send(str(number))
        lan.run(10.0)
    assert texts(lan_joined(lan, "cyd", last=3), history=True) == ["7", "8", "9"]
    assert texts(lan_joined(lan, "dan", since=50.0), history=True) == ["6", "7", "8", "9"]


def test_a_visitor_and_a_passive_member_neither_ask_nor_answer() -> None:
    lan = simulation.Lan(3)
    ada = lan.join("ada")
    lan.run(1.0)
    ada.send("before")
    lan.run(5.0)
    visitor, passive = lan.join("v", visitor=True), lan.join("p", passive=True)
    lan.run(40.0)
    for member in (visitor, passive):
        assert not {"sent-digest", "sent-vectorrequest", "sent-rangerequest"} & set(member.engine.stats())
    eve = Outsider(lan)
    eve.say(f.Digest(b"d" * 16, 1, 1))
    assert drops(visitor, "not-asked") > 0
    asked = drops(visitor, "not-asked")
    eve.say(f.VectorRequest(b"d" * 16, 0, limits.AGE_MAX, 7))
    assert drops(visitor, "not-asked") == asked + 1


def test_who_only_listens_fetches_only_what_was_said_since() -> None:
    lan = simulation.Lan(4)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    for _number in range(300):
        ada.send("before")
        lan.run(0.006)
    lan.run(3.0)
    listener = lan.join("listener", quiet=True)
    lan.run(20.0)
    ada.send("after")
    lan.run(0.5)
    lan.partition([ada, bob], [listener])
    ada.send("meanwhile")
    lan.run(0.5)
    ada.crash()
    lan.run(1.0)
    lan.heal()
    lan.run(60.0)
    assert texts(listener, history=False) == ["after", "meanwhile"]
    assert texts(listener, history=True) == []
    assert holdings([listener])["listener"] < holdings([bob])["bob"]


def test_the_last_word_of_one_who_crashed_reaches_all_in_order() -> None:
    lan = simulation.Lan(5)
    ada, bob, cyd = lan.join("ada"), lan.join("bob"), lan.join("cyd")
    lan.run(2.0)
    ada.send("first")
    lan.run(1.0)
    lan.between(ada, cyd, loss=1.0)
    ada.send("last")
    lan.run(0.005)
    ada.crash()
    lan.run(30.0)
    assert texts(cyd, history=False) == texts(bob, history=False) == ["first", "last"]


def test_a_peer_nobody_else_knew_of_that_spoke_while_we_were_here_is_no_history() -> None:
    lan = simulation.Lan(6)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(2.0)
    visitor = lan.join("visitor", visitor=True)
    lan.between(visitor, bob, loss=1.0)
    visitor.send("short")
    lan.run(0.005)
    visitor.crash()
    lan.run(15.0)
    assert texts(bob, history=False) == texts(ada, history=False) == ["short"]


def test_a_healed_partition_tells_what_was_said_by_those_who_died_in_it() -> None:
    lan = simulation.Lan(7)
    ada, bob, cyd = lan.join("ada"), lan.join("bob"), lan.join("cyd", history=True)
    lan.run(2.0)
    lan.partition([ada, bob], [cyd])
    lan.run(60.0)
    dan = lan.join("dan")
    lan.partition([ada, bob, dan], [cyd])
    dan.send("unknown to cyd")
    ada.send("known to cyd")
    lan.run(1.0)
    ada.crash()
    dan.crash()
    lan.run(120.0)
    lan.heal()
    lan.run(80.0)
    assert sorted(texts(cyd, history=False), key=str) == ["known to cyd", "unknown to cyd"]
    assert holds_the_same([bob, cyd])


def test_requests_without_a_token_get_one_and_no_more() -> None:
    lan = simulation.Lan(8)
    ada = lan.join("ada")
    lan.run(1.0)
    ada.send("x" * 1000)
    lan.run(3.0)
    eve = Outsider(lan)
    said: list[tuple[int, object]] = []
    lan.on_transmit = lambda data, source, to: said.append((len(data), to)) if source != ADDRESS else None
    peer_id = ada.engine.peer_id
    wanted = f.RangeRequest(1, (f.Missing(*peer_id, ((1, 1),)),))
    eve.say(f.VectorRequest(b"d" * 16, 0, limits.AGE_MAX, 7), to=ada.address)
    eve.say(wanted, to=ada.address)
    assert all(size <= 60 and to == ADDRESS for size, to in said)
    assert len(said) == 2
    said.clear()
    eve.say(f.RangeRequest(1, wanted.missing, f.BY_MULTICAST), to=ada.address)
    assert [to for _, to in said] == [None]
    token = ada.engine._server._tokens.issue(ADDRESS)
    said.clear()
    eve.say(f.Echo(token), wanted, to=ada.address)
    assert [to for size, to in said if size > 1000] == [ADDRESS]
    eve.say(f.Echo(token), f.VectorRequest(b"d" * 16, 5, limits.AGE_MAX, 7), to=ada.address)
    assert drops(ada, "not-asked") == 1
    eve.say(f.Echo(token), f.RangeRequest(1, (f.Missing(b"o" * 16, 5, ((1, 9),)),)), to=ada.address)


def test_who_asks_for_the_latest_gets_those_listed_unless_it_has_them() -> None:
    lan = simulation.Lan(8)
    ada = lan.join("ada")
    lan.run(1.0)
    ada.send("old")
    lan.run(20.0)
    ada.send("new")
    lan.run(3.0)
    eve = Outsider(lan)
    token = f.Echo(ada.engine._server._tokens.issue(ADDRESS))
    answers: list[f.Vector] = []

    def hear(data: bytes, source: object, to: object) -> None:
        header = decode_header(data)
        frames = lan.checks.open(header, data) if isinstance(header, Header) else []
        answers.extend(frame for frame in frames if isinstance(frame, f.Vector))

    lan.on_transmit = hear
    for digest, age in ((bytes(16), 10_000), (bytes(16), limits.AGE_MAX), (b"", 10_000)):
        known = digest or answers[0].digest
        eve.say(token, f.VectorRequest(known, 0, age, 77), to=ada.address)
    eve.say(token, f.VectorRequest(bytes(16), 0, 0, 77), to=ada.address)
    listed = [[(one.low, one.high) for one in answer.holdings] for answer in answers]
    assert listed == [[(2, 2)], [(1, 2)], [], []]
    assert {answer.request for answer in answers} == {77}


def test_only_so_many_requests_are_heeded() -> None:
    lan = simulation.Lan(9)
    ada = lan.join("ada")
    eve = Outsider(lan)
    for _ in range(HEEDED_AT_ONCE + 10):
        eve.say(f.VectorRequest(b"d" * 16, 0, limits.AGE_MAX, 7), to=ada.address)
    assert drops(ada, "over-budget") > 0
    told = drops(ada, "not-asked")
    eve.say(f.VectorRequest(b"d" * 16, 0, limits.AGE_MAX, 7))
    assert drops(ada, "not-asked") == told + 1


def test_a_vector_of_many_pieces_counts_as_many_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcast.core.history.serving.RUNS", 0.1)
    lan = simulation.Lan(9)
    ada = lan.join("ada")
    lan.run(1.0)
    eve = Outsider(lan)
    store = ada.engine._store
    made = [record(sequence) for sequence in range(1, 20, 2)]
    store.add(eve.peer_id, made, lan.now, 0.0)
    assert (len(store.held), store.held.pieces) == (1, 10)
    token = f.Echo(ada.engine._server._tokens.issue(ADDRESS))
    for age in (1000, 2000):
        eve.say(token, f.VectorRequest(bytes(16), 0, age, 7), to=ada.address)
    assert drops(ada, "over-budget") == 1


def test_who_asks_for_too_much_is_told_so_in_the_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    lan = simulation.Lan(10, settings=Settings(history_pace=1))
    ada = lan.join("ada")
    lan.run(1.0)
    for _ in range(200):
        ada.send("x" * 1300)
        lan.run(0.006)
    lan.run(3.0)
    monkeypatch.setattr("mcast.core.history.serving.EACH", 10)
    eve = Outsider(lan)
    token = ada.engine._server._tokens.issue(ADDRESS)
    for _ in range(3):
        eve.say(
            f.Echo(token), f.RangeRequest(1, (f.Missing(*ada.engine.peer_id, ((1, 200),)),)), to=ada.address
        )
    assert drops(ada, "over-quota") > 0


def test_lies_about_holdings_lead_nowhere() -> None:
    lan = simulation.Lan(11)
    ada = lan.join("ada", history=True)
    lan.run(1.0)
    eve = Outsider(lan)
    eve.say(f.Digest(b"d" * 16, 1, 9), source=ADDRESS)
    lan.run(0.5)
    lie = f.Holding(b"o" * 16, 7, 1, 2**62, ())
    eve.say(f.Vector(b"d" * 16, 0, 1, asked(ada), (lie,)))
    eve.say(f.Vector(b"e" * 16, 0, 1, asked(ada), (lie,)))
    assert drops(ada, "not-asked") > 0
    lan.run(10.0)
    assert not ada.engine._anti_entropy._fetches.active
    assert ada.engine.stats()["sent-rangerequest"] < 10
    eve.say(f.Digest(b"d" * 16, 1, 9), source=None)
    eve.say(f.Digest(b"d" * 16, 1, 9))
    lan.run(1.0)
    assert ada.engine.stats()["sent-rangerequest"] < 10


def test_forged_and_repeated_records_of_a_page_are_refused() -> None:
    lan = simulation.Lan(12)
    ada = lan.join("ada", history=True)
    lan.run(40.0)
    eve = Outsider(lan, age=3600.0)
    good = eve.record(1, b"old", age=3600.0)
    other = Outsider(lan, seed=98, age=3600.0)
    forged = other.record(1, b"forged", age=3600.0)
    eve.say(f.Digest(b"d" * 16, 1, 2))
    lan.run(0.5)
    held = (
        f.Holding(*eve.peer_id, 1, 1, ()),
        f.Holding(*other.peer_id, 1, 1, ()),
        f.Holding(*ada.engine.peer_id, 1, 5, ()),
    )
    eve.say(f.Vector(b"d" * 16, 0, 1, asked(ada), held))
    eve.say(forged)
    assert drops(ada, "unknown-key") == 1
    eve.say(eve.key, f.Age(3_600_000), good)
    eve.say(eve.key, f.Age(3_600_000), good, f.KeyRequest((b"x" * 16,)))
    lan.run(8.0)
    assert texts(ada, history=True) == ["old"]
    assert (holdings([ada])["ada"], ada.engine.stats()["held-records"]) == (1, 1)


def test_open_rooms_keep_their_records_on_the_network() -> None:
    lan = simulation.Lan(13)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(2.0)
    ada.send("in here")
    bob.send("mine, in here")
    lan.run(3.0)
    bob.engine.lost_network(lan.now)
    lan.partition([ada], [bob])
    cyd = lan.join("cyd", history=True)
    lan.partition([ada], [bob, cyd])
    lan.run(10.0)
    bob.send("out there")
    lan.run(5.0)
    assert [message.text for message in cyd.messages()] == ["out there"]
    lan.run(60.0)
    assert holdings([bob]) == {"bob": 1}
    dan = lan_joined(lan, "dan")
    assert [message.text for message in dan.messages()] in ([], ["out there"])


def test_who_never_sends_forgets_what_was_said_elsewhere_too() -> None:
    lan = simulation.Lan(13)
    ada, silent = lan.join("ada"), lan.join("silent", passive=True)
    lan.run(2.0)
    ada.send("in here")
    lan.run(3.0)
    assert holdings([silent]) == {"silent": 1}
    lan.partition([ada], [silent])
    silent.engine.lost_network(lan.now)
    silent.step()
    lan.run(61.0)
    assert holdings([silent]) == {"silent": 0}


def test_the_same_people_again_are_the_same_network() -> None:
    lan = simulation.Lan(14)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(2.0)
    ada.send("in here")
    lan.run(3.0)
    bob.engine.lost_network(lan.now)
    lan.run(70.0)
    assert holdings([bob]) == {"bob": 1}
    ada.crash()
    assert texts(lan_joined(lan, "cyd"), history=True) == ["in here"]


def test_a_keyed_room_goes_where_its_key_goes() -> None:
    lan = simulation.Lan(15, room=keyed_room(bytes(32), bytes(16)))
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(2.0)
    ada.send("anywhere")
    lan.run(3.0)
    ada.crash()
    bob.engine.lost_network(lan.now)
    lan.run(70.0)
    assert texts(lan_joined(lan, "cyd"), history=True) == ["anywhere"]


def test_history_of_a_peer_that_is_still_here() -> None:
    lan = simulation.Lan(16)
    ada = lan.join("ada")
    lan.run(1.0)
    for number in range(400):
        ada.send(str(number))
        lan.run(0.006)
    lan.run(30.0)
    bob = lan_joined(lan, "bob")
    ada.send("now")
    lan.run(1.0)
    assert texts(bob, history=True) == [str(number) for number in range(400)]
    assert texts(bob, history=False) == ["now"]
    assert all(isinstance(message, Message) and not message.late for message in bob.messages())


def test_what_is_held_no_more_is_not_handed_out() -> None:
    lan = simulation.Lan(18)
    ada = lan.join("ada")
    lan.run(1.0)
    waiting = ada.engine._server._waiting
    request = Datagram(ADDRESS, bytes(8), networks=1)
    sent = lan.sent
    waiting.ask(request, Outsider(lan).peer_id, [1], lan.now, 0)
    assert ada.engine.datagrams(lan.now) == []
    waiting.ask(request, ada.engine.peer_id, [5], lan.now, 0)
    assert ada.engine.datagrams(lan.now) == []
    assert lan.sent == sent


def test_what_is_handed_out_to_all_is_copied_to_unicast_peers() -> None:
    lan = simulation.Lan(18)
    ada = lan.join("ada")
    lan.run(1.0)
    ada.send("once")
    lan.run(1.0)
    engine = ada.engine
    engine._unicast._meetings.lease(ADDRESS, lan.now)
    waiting, networks = engine._server._waiting, engine._context.networks
    asker = ("10.7.7.7", 1)
    waiting.ask(Datagram(asker, bytes(8), networks=ALL), engine.peer_id, [1], lan.now, f.BY_MULTICAST)
    out = engine.datagrams(lan.now)
    assert [outgoing.destination for outgoing in out] == [None, ADDRESS]
    assert len({outgoing.data for outgoing in out}) == 1
    for network, destination in ((0, None), (ADDRESS, ADDRESS)):
        lan.run(1.0)
        request = Datagram(asker, bytes(8), networks=networks.add(network))
        waiting.ask(request, engine.peer_id, [1], lan.now, f.BY_MULTICAST)
        assert [outgoing.destination for outgoing in engine.datagrams(lan.now)] == [destination]


def test_a_record_that_came_otherwise_meanwhile_is_not_waited_for() -> None:
    lan = simulation.Lan(19)
    ada = lan.join("ada", history=True)
    lan.run(40.0)
    eve = Outsider(lan, age=3600.0)
    old = eve.record(1, b"old", age=3600.0)
    eve.say(f.Digest(b"d" * 16, 1, 2))
    lan.run(0.5)
    eve.say(f.Vector(b"d" * 16, 0, 1, asked(ada), (f.Holding(*eve.peer_id, 1, 1, ()),)))
    ada.engine._store.add(eve.peer_id, [old], lan.now, 0.0)
    eve.say(eve.key, old)
    assert drops(ada, "duplicate") == 1
    assert not ada.engine._anti_entropy._fetches.active


def test_a_repair_of_what_was_before_us_does_not_concern_us() -> None:
    lan = simulation.Lan(21)
    ada = lan.join("ada")
    eve = Outsider(lan, age=30.0)
    eve.say(eve.key, eve.announcement(high=300))
    before = drops(ada, "not-asked")
    eve.say(eve.record(5))
    assert drops(ada, "not-asked") == before + 1
    assert ada.messages() == []


def test_one_copy_more_does_not_make_history_news() -> None:
    lan = simulation.Lan(22)
    ada = lan.join("ada", history=True)
    lan.run(1.0)
    eve = Outsider(lan)
    old = eve.record(1, b"old", age=5.0)
    eve.say(f.Digest(b"d" * 16, 1, 2))
    lan.run(0.5)
    eve.say(f.Vector(b"d" * 16, 0, 1, asked(ada), (f.Holding(*eve.peer_id, 1, 1, ()),)))
    eve.say(eve.key, f.Age(5000), old)
    lan.run(8.0)
    eve.say(old, f.KeyRequest((b"x" * 16,)))
    lan.run(1.0)
    assert (texts(ada, history=True), texts(ada, history=False)) == (["old"], [])
    assert drops(ada, "duplicate") == 1


def test_who_is_full_fetches_nothing_old() -> None:
    lan = simulation.Lan(23, settings=Settings(history_records=4, history_share=1.0))
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    for number in range(4):
        ada.send(str(number))
        lan.run(0.1)
    eve = Outsider(lan, age=3600.0)
    entropy, holding = bob.engine._anti_entropy, f.Holding(*eve.peer_id, 1, 3, ())
    assert bob.engine._store.full
    assert entropy._lacking(eve.peer_id, holding, 1) == []
    lan.run(2.0)
    eve.say(f.Digest(b"d" * 16, 1, 3))
    lan.run(0.5)
    assert entropy._fetches.recent
    assert entropy._lacking(eve.peer_id, holding, 1) == [(1, 4)], "what was said since is wanted by all"


def test_history_that_comes_when_all_is_full_is_told_and_not_kept() -> None:
    lan = simulation.Lan(24, settings=Settings(history_records=1, history_share=1.0))
    ada, bob = lan.join("ada", history=True), lan.join("bob")
    lan.run(1.0)
    eve = Outsider(lan, age=3600.0)
    eve.say(f.Digest(b"d" * 16, 1, 2))
    lan.run(0.5)
    eve.say(f.Vector(b"d" * 16, 0, 1, asked(ada), (f.Holding(*eve.peer_id, 1, 1, ()),)))
    bob.send("now")
    lan.run(0.01)
    eve.say(eve.key, f.Age(3_600_000), eve.record(1, b"old", age=3600.0))
    lan.run(8.0)
    assert (texts(ada, history=True), texts(ada, history=False)) == (["old"], ["now"])
    assert ada.engine._store.get(eve.peer_id, 1) is None


def test_a_key_that_was_forgotten_is_not_handed_out() -> None:
    lan = simulation.Lan(26)
    ada = lan.join("ada")
    lan.run(1.0)
    sent = ada.engine.stats().get("sent-key", 0)
    ada.engine._keys._answer(b"x" * 16, lan.now, 0.0)
    ada.engine._keys._arm()
    lan.run(1.0)
    assert ada.engine.stats().get("sent-key", 0) == sent


def test_history_of_who_is_here_and_of_who_has_gone_is_told_in_the_order_of_time() -> None:
    lan = simulation.Lan(27)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    for number in range(6):
        (ada, bob)[number % 2].send(str(number))
        lan.run(1.0)
    ada.leave()
    lan.run(2.0)
    cyd = lan_joined(lan, "cyd")
    assert texts(cyd, history=True) == [str(number) for number in range(6)]


def test_a_record_of_a_gone_peer_that_is_too_far_ahead_has_those_before_it_asked_for() -> None:
    """Nobody else may tell of them, and what we hold of them as history is not known to the window."""
    lan = simulation.Lan(1)
    ada = lan.join("ada")
    lan.join("bob")
    lan.run(20.0)
    eve = Outsider(lan, age=-86_400.0)  # its clock was set back since it began
    eve.say(eve.key)
    receiver = ada.engine._receiver
    assert receiver.take_known(eve.record(300), None, lan.now, 1.0) is None
    refused = receiver.take_known(eve.record(9000), None, lan.now, 1.0)
    assert refused is DropReason.OUT_OF_WINDOW
    window = ada.engine._nacks.windows.get(eve.peer_id)
    assert window is not None
    assert [(span.start, span.stop) for span in window.gaps] == [(1, 300), (301, 8193)]
    lan.run(Settings().visitor_seconds + 10.0)
    assert ada.engine.stats()["sent-nack"] > 0
    assert window.departed, "nobody waits for ever for who is not here"


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("away", [70.0, 400.0], ids=["the window still there", "the window gone"])
def test_who_was_away_from_the_network_holds_all_again_and_is_told_nothing_twice(
    away: float, asked: bool
) -> None:
    lan = simulation.Lan(5)
    ada, bob, cyd = lan.join("ada"), lan.join("bob"), lan.join("cyd", history=asked)
    lan.run(3.0)
    for number in range(10):
        ada.send(f"a{number}")
        bob.send(f"b{number}")
        lan.run(0.1)
    lan.run(5.0)
    cyd.engine.lost_network(lan.now)
    lan.partition([ada, bob], [cyd])
    lan.run(away)
    lan.heal()
    lan.run(300.0)
    assert holdings([ada, bob, cyd]) == {"ada": 20, "bob": 20, "cyd": 20}
    told = [message.text for message in cyd.messages()]
    assert sorted(told, key=str) == sorted(f"{who}{number}" for who in "ab" for number in range(10))


def test_what_was_fetched_and_forgotten_is_fetched_again() -> None:
    lan = simulation.Lan(6)
    ada, bob, cyd = lan.join("ada"), lan.join("bob"), lan.join("cyd")
    lan.run(3.0)
    for number in range(10):
        ada.send(str(number))
        lan.run(0.1)
    ada.leave()
    lan.run(90.0)
    dan = lan.join("dan")
    lan.run(80.0)
    assert holds_the_same([bob, cyd, dan])
    dan.engine.lost_network(lan.now)
    lan.partition([bob, cyd], [dan])
    lan.run(100.0)
    assert holdings([dan]) == {"dan": 0}
    lan.heal()
    lan.run(300.0)
    assert holdings([bob, cyd, dan]) == {"bob": 10, "cyd": 10, "dan": 10}


def test_what_was_declared_lost_is_not_told_as_history_when_its_peer_and_window_are_gone() -> None:
    """It would come after what was said after it."""
    lan = simulation.Lan(3)
    ada, bob, cyd = lan.join("ada"), lan.join("bob"), lan.join("cyd", history=True)
    lan.run(20.0)
    for number in range(1, 7):
        if number == 3:
            for one, other in ((ada, cyd), (cyd, ada), (bob, cyd)):
                lan.between(one, other, loss=1.0)
        if number == 5:
            lan.between(ada, cyd)
        ada.send(str(number))
        lan.run(0.004)
    ada.crash()
    lan.run(0.5)
    lan.partition([ada, bob], [cyd])
    lan.between(bob, cyd)
    lan.run(800.0)
    events = cyd.events()
    lost = [(event.first, event.last) for event in events if isinstance(event, GapAbandoned)]
    told = [event.sequence for event in events if isinstance(event, Message)]
    assert lost == [(3, 4)]
    assert told[:3] == [1, 2, 5]
    lan.heal()
    lan.run(200.0)
    assert not {3, 4} & {message.sequence for message in cyd.messages()}
    assert holds_the_same([bob, cyd])


@pytest.mark.parametrize(
    ("seed", "gap_timeout"), [(1, None), (1, 2.0), (3, None)], ids=["patient", "impatient", "overtaken"]
)
def test_of_a_gone_peer_all_that_somebody_holds_is_told_however_far_ahead_it_is(
    seed: int, gap_timeout: float | None
) -> None:
    """Also if a record far behind the first one comes first, as with seed 3."""
    lan = simulation.Lan(seed, settings=Settings(gap_timeout=gap_timeout))
    bob, cyd = lan.join("bob"), lan.join("cyd")
    lan.run(20.0)
    eve = Outsider(lan, age=-86_400.0)  # its clock was set back since it began
    eve.say(eve.key)
    bob.engine._context.networks.heard(eve.peer_id, 1)
    store = bob.engine._store
    for sequence in range(300, 1301):
        store.add(eve.peer_id, [eve.record(sequence)], lan.now, 0.0)
    bob.engine._anti_entropy.record_moved(lan.now)
    lan.run(600.0)
    events = cyd.events()
    lost = [(event.first, event.last) for event in events if isinstance(event, GapAbandoned)]
    told = [event.sequence for event in events if isinstance(event, Message)]
    assert (lost, told) == ([(1, 299)], list(range(300, 1301)))
    assert holds_the_same([bob, cyd])


@pytest.mark.parametrize("liar", [False, True])
def test_who_says_that_all_is_too_old_keeps_nobody_from_asking_others(liar: bool) -> None:
    """The attack: the digest of those who are honest, said first, so that they are silent; a true list of
    what they hold; and all of it handed out as a day old."""
    lan = simulation.Lan(3)
    bob, cyd = lan.join("bob"), lan.join("cyd", history=True)
    lan.run(40.0)
    lan.partition([bob], [cyd])
    lan.run(1.0)
    dan = lan.join("dan")
    lan.partition([bob, dan], [cyd])
    lan.run(2.0)
    for number in range(10):
        dan.send(str(number))
        lan.run(0.1)
    lan.run(3.0)
    dan.leave()
    lan.run(60.0)
    store = bob.engine._store
    listed = store.summary(1)
    kept = [store.get(dan.engine.peer_id, sequence) for sequence in range(1, 11)]
    known = bob.engine._verifier.key(dan.engine.peer_id.origin)
    assert known is not None
    eve = Outsider(lan)
    lan.heal()
    if liar:
        eve.say(f.Digest(listed.digest, len(listed), listed.records))
        lan.run(0.5)
        eve.say(f.Vector(listed.digest, 0, 1, asked(cyd), listed.pages[0]), to=cyd.address)
        for payload in filter(None, kept):
            eve.say(known.frame, f.Age(limits.AGE_MAX), decode_record(payload), to=cyd.address)
        assert drops(cyd, "too-old") == 10
    lan.run(900.0)
    assert texts(cyd, history=True) + texts(cyd, history=False) == [str(number) for number in range(10)]


def test_what_is_said_while_a_cable_is_out_for_long_is_told_when_it_is_back() -> None:
    """Everybody has given up everybody else by then; they know each other again."""
    lan = simulation.Lan(5)
    ada, bob, eve = lan.join("ada"), lan.join("bob"), lan.join("eve")
    lan.run(60.0)
    eve.send("before")
    lan.run(5.0)
    eve.engine.lost_network(lan.now)
    lan.partition([ada, bob], [eve])
    lan.run(10.0)
    eve.send("unplugged")
    lan.run(30.0)
    assert eve.peers() == []
    lan.heal()
    lan.run(120.0)
    for member in (ada, bob):
        assert texts(member, history=False) == ["before", "unplugged"]
    assert not eve.engine._store.withheld
    assert holdings([ada, bob, eve]) == {"ada": 2, "bob": 2, "eve": 2}


def test_a_peer_that_comes_and_goes_without_a_record_is_not_told_again() -> None:
    """What is remembered of its window that ended stays: the records before its end were told."""
    lan = simulation.Lan(31)
    ada = lan.join("ada", history=True)
    lan.run(1.0)
    eve = Outsider(lan)
    windows = ada.engine._nacks.windows
    windows.remember(eve.peer_id, 1, 10)
    eve.say(eve.key, eve.announcement(high=9))
    assert windows.get(eve.peer_id) is None
    eve.say(eve.sign(f.Goodbye(*eve.peer_id, eve.count(), 9)))
    assert windows._ended[eve.peer_id] == (1, 10)


# What was published before we joined, and what since


def held_by(member: simulation.Member, eve: Outsider, *ages: tuple[int, float]) -> None:
    """`member` holds records of somebody who is gone: sequence and age of each."""
    member.engine._context.networks.heard(eve.peer_id, 1)
    eve.say(eve.key)
    for sequence, age in ages:
        member.engine._store.add(eve.peer_id, [eve.record(sequence, b"%d" % sequence)], eve.lan.now, age)
    member.engine._anti_entropy.record_moved(eve.lan.now)


@pytest.mark.parametrize("off", [0.0, -3600.0, 86_400.0])
@pytest.mark.parametrize("mode", [{"quiet": True}, {}, {"history": True}], ids=str)
def test_only_age_tells_what_was_published_before_we_joined(mode: dict[str, Any], off: float) -> None:
    """Whatever its author's clock says, who is gone and was heard by others only."""
    lan = simulation.Lan(3)
    bob = lan.join("bob")
    lan.run(100.0)
    ada = lan.join("ada", **mode)
    lan.run(40.0)
    eve = Outsider(lan, age=200.0 - off)
    lan.partition([ada])
    held_by(bob, eve, (1, 90.0), (2, 80.0), (3, 30.0), (4, 20.0))
    lan.heal()
    lan.run(60.0)
    assert texts(ada, history=False) == ["3", "4"]
    assert texts(ada, history=True) == (["1", "2"] if "history" in mode else [])
    assert not [event for event in ada.events() if isinstance(event, GapAbandoned)]


def test_what_a_roster_hid_of_our_first_moments_is_told_late() -> None:
    """By hearsay it was taken to be of before: it is told as lost, then delivered."""
    lan = simulation.Lan(4)
    bob = lan.join("bob")
    lan.run(5.0)
    ada = lan.join("ada", quiet=True)
    lan.run(8.0)
    eve = Outsider(lan, age=100.0)
    eve.say(eve.key, f.Roster(bytes(16), 0, eve.announcement(high=2)), to=ada.address)
    eve.say(eve.record(3, b"3"), to=ada.address)
    held_by(bob, eve, (1, 50.0), (2, 5.0))
    lan.run(60.0)
    assert [(message.text, message.late) for message in ada.messages()] == [("3", False), ("2", True)]
    assert gap_events(ada) == [("GapAbandoned", 2, 2)]


def test_the_last_few_are_the_last_of_all_though_nobody_can_hold_all() -> None:
    """By time, not by author: an author whose number is high is not left out when the store is full."""
    lan = simulation.Lan(5, settings=Settings(history_records=40, history_share=1.0))
    bob = lan.join("bob")
    lan.run(1.0)
    authors = [Outsider(lan, seed, age=100.0) for seed in range(30, 35)]
    for number, eve in enumerate(authors):
        held_by(bob, eve, *((sequence, 500.0 + number) for sequence in range(1, 8)))
        held_by(bob, eve, (8, 50.0 - number))
    crowd = [Outsider(lan, seed, age=100.0) for seed in range(60, 64)]
    ada = lan.join("ada", history=True, last=5)
    cyd = lan.join("cyd", history=True, since=60.0)
    for eve in crowd:
        held_by(ada, eve, *((sequence, 900.0) for sequence in range(1, 11)))
    assert ada.engine._store.full
    lan.run(20.0)
    last = [(message.origin, message.text) for message in ada.messages()]
    assert last == [(eve.peer_id.origin, "8") for eve in authors]
    assert [(message.origin, message.text) for message in cyd.messages()] == last
    lan.run(60.0)
    assert len(ada.messages()) == len(cyd.messages()) == 5, "what is older is not told later"


def test_a_recording_of_what_a_member_listed_opens_nothing() -> None:
    """Whoever has no key of the room may play it again, with the ages that records had then."""
    lan = simulation.Lan(6)
    ada = lan.join("ada")
    lan.run(40.0)
    eve = Outsider(lan, age=100.0)
    eve.say(f.Digest(b"d" * 16, 1, 1))
    lan.run(0.5)
    assert asked(ada)
    before = drops(ada, "not-asked")
    eve.say(f.Vector(b"d" * 16, 0, 1, asked(ada) ^ 1, (f.Holding(*eve.peer_id, 1, 1, ()),)))
    assert drops(ada, "not-asked") == before + 1
    assert not ada.engine._anti_entropy._fetches.wants(eve.peer_id, 1)


# Clocks

IN_1970 = -simulation.EPOCH_START
HOUR, DAY = 3600.0, 86_400.0


@pytest.mark.parametrize("skew", [IN_1970, -HOUR, DAY])
def test_an_author_whose_clock_is_off_or_set_is_heard_in_order_and_found_out(skew: float) -> None:
    lan = simulation.Lan(1)
    ada, bob = lan.join("ada", skew=skew), lan.join("bob")
    lan.run(3.0)
    for off in (skew, 0.0, -DAY, 30.0):
        ada.set_clock(off)
        ada.send(str(off))
        lan.run(1.0)
    lan.run(2.0)
    told = [(message.text, round(message.skew)) for message in bob.messages()]
    assert told == [(str(skew), round(skew)), ("0.0", 0), ("-86400.0", -DAY), ("30.0", 0)]


def test_history_is_merged_and_chosen_by_our_clock_and_says_whose_clock_is_off() -> None:
    """Of an author in 1970 nothing of today is left out, and it does not stand before all others."""
    lan = simulation.Lan(2)
    members = [lan.join(name, skew=skew) for name, skew in (("ada", IN_1970), ("bob", 0.0), ("cyd", DAY))]
    lan.run(3.0)
    for number in range(9):
        members[number % 3].send(str(number))
        lan.run(20.0)
    dan = lan_joined(lan, "dan", since=130.0)
    assert texts(dan, history=True) == ["3", "4", "5", "6", "7", "8"]
    assert [round(message.skew) for message in dan.messages()] == [IN_1970, 0, DAY] * 2
    eve = lan_joined(lan, "eve", last=4)
    assert texts(eve, history=True) == ["5", "6", "7", "8"]
