"""When members report what they hold, and to whom."""

from __future__ import annotations

from math import inf

import pytest

from mcast import simulation
from mcast.core.context import Datagram
from mcast.core.events import Address, PeerId, SlowMember
from mcast.core.flow import feedback
from mcast.core.flow.feedback import ELECTED, RECORDS, REQUESTS
from mcast.settings import Settings
from mcast.wire import frames as f
from mcast.wire.reasons import DropReason
from tests.unit.core.support import ADDRESS, Outsider, drops, now_ms


def published(lan: simulation.Lan, count: int) -> list[Outsider]:
    """So many peers of one record each."""
    authors = [Outsider(lan, 100 + number) for number in range(count)]
    for author in authors:
        author.say(author.key, author.announcement(), author.record(1))
    return authors


def test_the_elected_one_reports_often_and_others_after_many_records() -> None:
    lan = simulation.Lan(2)
    ada, bob, eve = (lan.join(name) for name in ("ada", "bob", "eve"))
    lan.run(1.0)

    lan.narrow(500_000, 50_000, bob, eve)

    def feed() -> None:
        while ada.engine.writable(lan.now):
            ada.engine.send(bytes(1000), lan.now)
        ada.step()
        if lan.now < 3.0:
            lan.at(lan.now + 0.02, feed)

    feed()
    lan.run(2.0)
    reports = sorted(member.engine.stats()["sent-report"] for member in (bob, eve))
    assert reports[1] > 50
    assert reports[0] < reports[1] / 3
    assert 1 <= ada.engine.stats()["sent-acker"] <= 6
    assert not any(isinstance(event, SlowMember) for event in ada.events())


def test_many_records_or_losses_hasten_a_report() -> None:
    feedback = simulation.Lan(3).join("ada").engine._feedback
    author = PeerId(b"a" * 16, 1)
    feedback.hasten(author, 0.0)
    assert feedback.next_timeout == inf
    for _ in range(RECORDS):
        feedback.received(author, 100.0)
    assert author in feedback._due(100.0)
    feedback.received(author, 100.1)
    feedback.hasten(author, 100.1)
    assert feedback._regular_at == pytest.approx(100.25)


def test_those_who_elect_us_are_bounded_and_can_elect_another() -> None:
    lan = simulation.Lan(4)
    ada = lan.join("ada")
    feedback = ada.engine._feedback
    authors = published(lan, 65)
    for author in authors:
        author.say(author.sign(f.Acker(*author.peer_id, author.count(), *ada.engine.peer_id)))
    assert authors[0].peer_id not in feedback._elected
    assert len(feedback._elected) == ELECTED
    feedback.last_due(lan.now)
    one, another = authors[1].peer_id, authors[2].peer_id
    now = lan.now + 1.0
    for author in authors[1:]:
        feedback.received(author.peer_id, now)
    assert len(feedback._due(now)) == ELECTED
    feedback.received(one, now + 0.01)
    assert feedback.next_timeout == pytest.approx(now + 0.02)
    feedback.forget(one)
    assert feedback.next_timeout == inf
    feedback.received(another, now + 0.03)
    assert feedback.last_due(now) == [another]


def test_who_may_elect_us() -> None:
    lan = simulation.Lan(5)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    eve = Outsider(lan)
    me = ada.engine.peer_id
    feedback = ada.engine._feedback

    def name(to: PeerId) -> f.Frame:
        return eve.sign(f.Acker(*eve.peer_id, eve.count(), *to))

    eve.say(name(me))
    assert eve.peer_id not in feedback._elected, "we do not know its key"
    eve.say(eve.key, eve.announcement())
    eve.say(name(me))
    assert eve.peer_id not in feedback._elected, "it has published nothing"
    eve.say(eve.record(1))
    eve.say(name(bob.engine.peer_id))
    eve.say(name(me))
    assert eve.peer_id in feedback._elected
    forged = f.Acker(*eve.peer_id, eve.count(), *bob.engine.peer_id, signature=bytes(64))
    eve.say(forged)
    assert eve.peer_id in feedback._elected
    assert drops(ada, "bad-signature") == 1
    eve.say(name(bob.engine.peer_id))
    assert eve.peer_id not in feedback._elected
    own = f.Acker(*ada.engine.peer_id, 1, *me, signature=bytes(64))
    before = drops(ada, "own")
    eve.say(own)
    assert drops(ada, "own") == before + 1


def test_a_report_on_what_never_was_is_believed_in_nothing() -> None:
    lan = simulation.Lan(6)
    ada, _ = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement())
    ada.send("one")
    lan.run(0.5)
    entry = f.Heard(*ada.engine.peer_id, 99, 99, now_ms(lan), 0, 0, 0)
    eve.say(eve.sign(f.Report(*eve.peer_id, eve.count(), (entry,))))
    assert eve.peer_id not in ada.engine.heard_by(1)


def test_what_the_application_left_is_reported() -> None:
    lan = simulation.Lan(7)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    bob.engine.unread(12_345)
    ada.send("one")
    lan.run(2.0)
    path = ada.engine._flow.election._paths[bob.engine.peer_id]
    assert path.backlog == 12_345


def test_a_stranger_waits_for_its_report_alone() -> None:
    lan = simulation.Lan(1)
    ada = lan.join("ada")
    feedback = ada.engine._feedback
    authors = published(lan, REQUESTS)
    now = lan.now

    def ask(author: Outsider, source: Address) -> DropReason | None:
        nonlocal now
        now += 0.5
        request = f.ReportRequest(*author.peer_id, 1, 65_535, 0)
        return feedback._on_report_request(Datagram(source, b"", verified=author.peer_id), request, now)

    assert ask(authors[0], "victim") is None
    assert ask(authors[0], "another") is DropReason.OVER_BUDGET
    for author in authors[: REQUESTS - 1]:
        assert ask(author, ADDRESS) is None
    assert ask(authors[-1], ADDRESS) is DropReason.OVER_BUDGET, "one more"
    now += 100.0
    ada.engine._context.queue.clear()
    feedback.on_timeout(now)
    assert sum(queued.to is not None for queued in ada.engine._context.queue) == REQUESTS
    assert ask(authors[0], "another") is None


def test_a_report_of_our_own_is_no_news() -> None:
    lan = simulation.Lan(8)
    ada = lan.join("ada")
    ada.send("one")
    lan.run(0.01)
    me, before = ada.engine.peer_id, drops(ada, "own")
    Outsider(lan).say(f.Report(*me, 1, (f.Heard(*me, 1, 1, 0, 0, 0, 0),), bytes(64)))
    assert drops(ada, "own") == before + 1
    assert ada.engine.heard_by(1) == []


def test_who_knows_more_than_the_first_that_reports_still_reports() -> None:
    lan = simulation.Lan(9)
    ada, bob, carol = (lan.join(name) for name in ("ada", "bob", "carol"))
    eve = Outsider(lan)
    eve.say(eve.key, eve.announcement())
    lan.run(1.0)
    author, other = ada.engine.peer_id, carol.engine.peer_id

    def report(contiguous: int) -> None:
        entry = f.Heard(*author, contiguous, contiguous, now_ms(lan), 0, 0, 0)
        eve.say(eve.sign(f.Report(*eve.peer_id, eve.count(), (entry,))))

    ada.send("one")
    carol.send("two")
    lan.run(0.001)
    report(0)
    assert set(bob.engine._feedback._early) == {author, other}
    report(1)
    assert set(bob.engine._feedback._early) == {other}


def test_those_who_confirmed_are_bounded() -> None:
    lan = simulation.Lan(10, settings=Settings(peers=2))
    ada = lan.join("ada")
    ada.send("one")
    outsiders = [Outsider(lan, 100 + number) for number in range(3)]
    for eve in outsiders:
        entry = f.Heard(*ada.engine.peer_id, 1, 1, now_ms(lan), 0, 0, 0)
        eve.say(eve.key, eve.sign(f.Report(*eve.peer_id, eve.count(), (entry,))))
    assert ada.engine.heard_by(1) == [eve.peer_id for eve in outsiders[1:]]


def test_who_asks_learns_who_confirmed_and_who_did_not() -> None:
    lan = simulation.Lan(11)
    ada, bob, carol = (lan.join(name) for name in ("ada", "bob", "carol"))
    lan.run(1.0)
    lan.between(ada, carol, loss=1.0)
    receipt = ada.send("one")
    ada.engine.ask_reports(lan.now)
    ada.step()
    lan.run(0.5)
    assert ada.engine.heard_by(receipt.sequence) == [bob.engine.peer_id]
    assert ada.engine.unheard_by(receipt.sequence) == [carol.engine.peer_id]


def test_a_visitor_never_confirms() -> None:
    lan = simulation.Lan(12)
    ada = lan.join("ada")
    lan.run(1.0)
    browser, other = lan.join("browser", visitor=True), lan.join("other", visitor=True)
    receipt = ada.send("one")
    lan.run(0.01)
    other.send("two")
    ada.engine.ask_reports(lan.now)
    ada.step()
    ada.engine._context.send(
        ada.engine._context.sign(f.Acker(*ada.engine.peer_id, 99, *browser.engine.peer_id))
    )
    ada.step()
    lan.run(3.0)
    browser.leave()
    lan.run(1.0)
    assert [message.text for message in browser.messages()] == ["one", "two"]
    assert ada.engine.heard_by(receipt.sequence) == []
    assert "sent-report" not in {**browser.engine.stats(), **other.engine.stats()}


def test_who_is_only_told_of_by_others_has_to_confirm_too() -> None:
    lan = simulation.Lan(13)
    bob, carol = lan.join("bob"), lan.join("carol")
    lan.run(1.0)
    guest = lan.join("guest", visitor=True)
    lan.between(carol, guest, loss=1.0)
    lan.between(guest, carol, loss=1.0)
    guest.engine.ask_roster(lan.now)
    guest.step()
    lan.run(0.1)
    receipt = guest.send("one")
    lan.run(1.0)
    assert guest.engine.heard_by(receipt.sequence) == [bob.engine.peer_id]
    assert guest.engine.unheard_by(receipt.sequence) == [carol.engine.peer_id]


def test_who_left_without_it_has_not_confirmed() -> None:
    lan = simulation.Lan(14)
    ada, bob, carol = (lan.join(name) for name in ("ada", "bob", "carol"))
    lan.run(1.0)
    lan.between(ada, carol, loss=1.0)
    first = ada.send("one")
    lan.run(0.5)
    carol.leave()
    lan.run(0.5)
    second = ada.send("two")
    lan.run(1.0)
    assert ada.engine.unheard_by(first.sequence) == [carol.engine.peer_id]
    assert ada.engine.unheard_by(second.sequence) == [], "it had left before that was sent"
    assert ada.engine.heard_by(second.sequence, first.sequence) == [bob.engine.peer_id]


def test_who_reports_without_it_is_here_though_never_announced() -> None:
    lan = simulation.Lan(15)
    ada = lan.join("ada")
    ada.send("one")
    eve = Outsider(lan)

    def report(contiguous: int, first: int = 1) -> None:
        entry = f.Heard(*ada.engine.peer_id, contiguous, 1, now_ms(lan), 0, 0, 0, first)
        eve.say(eve.key, eve.sign(f.Report(*eve.peer_id, eve.count(), (entry,))))

    report(0)
    assert ada.engine.unheard_by(1) == [eve.peer_id]
    report(1, 2)
    assert ada.engine.unheard_by(1) == [eve.peer_id], "it has given up the record or joined later"
    report(1)
    assert ada.engine.unheard_by(1) == []
    assert ada.engine.heard_by(1) == [eve.peer_id]
    lan.run(1.0)
    ada.send("two")
    assert ada.engine.unheard_by(2) == [eve.peer_id]
    lan.run(Settings().visitor_seconds)
    ada.engine.tick(lan.now)
    assert ada.engine.unheard_by(2) == [], "it has been silent for long"


def test_a_reporter_that_says_goodbye_is_gone() -> None:
    lan = simulation.Lan(16)
    ada = lan.join("ada")
    ada.send("one")
    eve, mallory = Outsider(lan), Outsider(lan, 98)
    entry = f.Heard(*ada.engine.peer_id, 1, 1, now_ms(lan), 0, 0, 0)
    eve.say(eve.key, eve.sign(f.Report(*eve.peer_id, eve.count(), (entry,))))
    mallory.say(mallory.key, mallory.sign(f.Goodbye(*mallory.peer_id, mallory.count(), 0)))
    eve.say(eve.sign(f.Goodbye(*eve.peer_id, eve.count(), 0)))
    ada.send("two")
    lan.run(0.01)
    assert ada.engine.unheard_by(1) == [], "one confirmed, the other was never here"
    assert ada.engine.unheard_by(2) == []


def test_those_who_left_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "DEPARTED", 2)
    lan = simulation.Lan(17)
    ada = lan.join("ada")
    outsiders = [Outsider(lan, 100 + number) for number in range(3)]
    for eve in outsiders:
        eve.say(eve.key, eve.announcement())
    ada.send("one")
    lan.run(0.01)
    for eve in outsiders:
        eve.say(eve.sign(f.Goodbye(*eve.peer_id, eve.count(), 0)))
    assert ada.engine.unheard_by(1) == [eve.peer_id for eve in outsiders[1:]]


def test_who_joins_later_does_not_confirm_what_it_was_not_told() -> None:
    lan = simulation.Lan(18)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(30.0)
    receipt = ada.send("one")
    lan.run(2.0)
    carol = lan.join("carol")
    lan.run(2.0)
    ada.send("two")
    ada.engine.ask_reports(lan.now)
    ada.step()
    lan.run(2.0)
    assert [message.text for message in carol.messages()] == ["two"]
    assert ada.engine.heard_by(receipt.sequence) == [bob.engine.peer_id]
    assert ada.engine.unheard_by(receipt.sequence) == [carol.engine.peer_id]
    assert len(ada.engine.heard_by(receipt.sequence + 1)) == 2


def test_who_confirms_by_hand_confirms_what_was_read() -> None:
    lan = simulation.Lan(4)
    ada, bob = lan.join("ada"), lan.join("bob")
    lan.run(1.0)
    bob.engine.read(ada.engine.peer_id, 1, lan.now)  # of no meaning without the next line
    bob.engine.confirm_by_hand()
    receipts = []
    for number in range(3):
        receipts.append(ada.send(str(number)))
        lan.run(0.1)
    assert [message.text for message in bob.messages()] == ["0", "1", "2"]
    lan.run(3.0)
    assert [ada.engine.heard_by(receipt.sequence) for receipt in receipts] == [[], [], []]
    bob.engine.read(ada.engine.peer_id, receipts[1].sequence, lan.now)
    bob.engine.read(ada.engine.peer_id, receipts[0].sequence, lan.now)
    bob.step()
    lan.run(1.0)
    assert [len(ada.engine.heard_by(receipt.sequence)) for receipt in receipts] == [1, 1, 0]
    bob.leave()
    lan.run(1.0)
    assert [len(ada.engine.heard_by(receipt.sequence)) for receipt in receipts] == [1, 1, 0]


def test_what_was_read_of_made_up_peers_is_bounded() -> None:
    lan = simulation.Lan(4, settings=Settings(peers=3))
    made = lan.join("ada").engine._feedback
    made.confirm_by_hand()
    for number in range(5):
        made.read(PeerId(bytes([number]) * 16, 1), 1, lan.now)
    assert made._read is not None
    assert len(made._read) == 3
