"""What one signed word about records, or many, must not cost; and what must not be lost silently."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from mcast import settings as presets
from mcast import simulation
from mcast.core.events import GapAbandoned, GapFilled, GapOpened, Message
from mcast.core.inbox import AFTER_GOODBYE, LAST_TRIES, STRANGER_WINDOW, Inbox
from mcast.core.peer_id import PeerId
from mcast.core.reception import PAGES, RECESS, Reception
from mcast.core.shelves import KEPT, PER_ORIGIN, SEARCH
from mcast.settings import Settings
from mcast.wire import bodies
from mcast.wire import frames as f
from mcast.wire.reasons import DropReason
from mcast.wire.records import Kind

from .core_support import Outsider, drops, now_ms, record

RUN = PeerId(b"o" * 16, 1)
WINDOW = 8192
FAR = 2**62


def _inbox(window: int = WINDOW) -> Inbox:
    inbox = Inbox(RUN, "ada", 1, window, 0, 0)
    inbox.trust()
    return inbox


def _reception(held: int = 1 << 24, limit: int = 20_000, gap_timeout: float | None = None) -> Reception:
    return Reception(Random(1), WINDOW, 0.01, held, limit, 0.002, gap_timeout)


def _open(reception: Reception, number: int, origin: bytes = b"", keep: bool = False) -> Inbox:
    run = PeerId(origin or number.to_bytes(16, "big"), number)
    inbox = reception.open(run, "", 1, 0, 0, lambda _: keep, 0.0)
    assert isinstance(inbox, Inbox)
    return inbox


def _heartbeat(eve: Outsider, low: int, high: int) -> f.Signed:
    return eve.sign(f.Heartbeat(*eve.peer_id, eve.count(), now_ms(eve.lan), low, high, 2000))


def _gaps(member: simulation.Member) -> list[tuple[str, int, int]]:
    return [
        (type(event).__name__, event.first, event.last)
        for event in member.events()
        if isinstance(event, GapOpened | GapFilled | GapAbandoned)
    ]


def _texts(member: simulation.Member) -> list[str | None]:
    return [message.text for message in member.messages()]


def test_a_heartbeat_with_a_far_low_hangs_nobody() -> None:
    lan = simulation.Lan(1)
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.key, _heartbeat(eve, FAR, FAR))
    lan.run(4.0)
    assert ("GapAbandoned", 1, FAR - 1) in _gaps(bob)
    inbox = bob.engine._state.reception.get(eve.peer_id)
    assert inbox is not None
    assert FAR in inbox.gaps


def test_heartbeats_of_many_runs_cost_sixteen_small_inboxes() -> None:
    lan = simulation.Lan(2)
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.key)
    for _ in range(40):
        eve.peer_id = PeerId(eve.peer_id.origin, eve.peer_id.incarnation + 1)
        eve.say(_heartbeat(eve, 1, FAR))
    assert bob.engine.stats()["inboxes"] == PER_ORIGIN
    inbox = bob.engine._state.reception.get(eve.peer_id)
    assert inbox is not None
    assert len(inbox.gaps) == 1
    assert inbox.stream.high == STRANGER_WINDOW
    eve.say(eve.record(1))
    assert inbox.stream.high == 1 + WINDOW
    assert len([gap for gap in _gaps(bob) if gap[0] == "GapAbandoned"]) == 40 - PER_ORIGIN


def test_an_origin_whose_runs_are_all_peers_gets_no_seventeenth_inbox() -> None:
    reception = _reception()
    for number in range(PER_ORIGIN):
        _open(reception, number, b"o" * 16, keep=True)
    more = reception.open(PeerId(b"o" * 16, 99), "", 1, 0, 0, lambda _: True, 0.0)
    assert more is DropReason.TOO_MANY_RUNS


def test_a_round_of_nacks_is_bounded_and_the_rest_follows() -> None:
    reception = _reception()
    for number in range(2000):
        inbox = _open(reception, number)
        inbox.learn(5, 0.0)
        reception.lacks(inbox, 0.0, 3)
    now, sent, asked = 0.0, 0, set[PeerId]()
    while len(asked) < 2000:
        when = reception.when()
        assert when is not None
        now = max(now, when)
        pages, _ = reception.nack(now, 3, 1000)
        assert len(pages) <= PAGES
        sent += len(pages)
        assert sent <= PAGES * (1 + now / RECESS)
        asked.update(PeerId(missing.origin, missing.incarnation) for page in pages for missing in page)
    assert now < 5.0


def test_a_full_table_of_visitors_makes_room_behind_peers() -> None:
    """The oldest inboxes are those of peers: more of them than are looked at."""
    reception = _reception(limit=2 * SEARCH)
    for number in range(SEARCH + 5):
        _open(reception, number)
    peers = {PeerId(number.to_bytes(16, "big"), number) for number in range(SEARCH + 5)}
    for number in range(1000, 1000 + SEARCH - 5):
        _open(reception, number)
    opened = [
        reception.open(PeerId(number.to_bytes(16, "big"), number), "", 1, 0, 0, peers.__contains__, 0.0)
        for number in range(2000, 2010)
    ]
    assert sum(isinstance(inbox, Inbox) for inbox in opened) == 9
    assert all(reception.get(run) for run in peers)


def test_runs_that_are_gone_leave_the_table_and_are_not_told_twice() -> None:
    reception = _reception()
    gone, lacking, back = (_open(reception, number) for number in range(3))
    gone.accept(record(1), None, 0.0)
    lacking.learn(3, 0.0)
    for inbox in (gone, lacking, back):
        reception.depart(inbox.peer_id, 0.0, said=False)
    reception.returned(back.peer_id, 1.0, 3)
    reception.depart(PeerId(b"?" * 16, 1), 0.0, said=False)
    reception.give_up(KEPT - 1.0, 3)
    assert len(reception) == 3
    reception.give_up(KEPT, 3)
    assert reception.get(gone.peer_id) is None
    assert reception.get(lacking.peer_id) is lacking
    assert reception.get(back.peer_id) is back
    again = reception.open(gone.peer_id, "", 1, 0, 0, lambda _: False, 70.0)
    assert isinstance(again, Inbox)
    assert again.stream.next == 2


def test_what_is_remembered_of_runs_that_went_is_bounded() -> None:
    reception = _reception(limit=2)
    for number in range(3):
        reception.remember(PeerId(b"o" * 16, number), 5)
    assert [reception.resumes(PeerId(b"o" * 16, number)) for number in range(3)] == [None, 5, 5]


def test_timers_of_a_run_that_went_ask_for_nothing() -> None:
    reception = _reception(limit=1, gap_timeout=1.0)
    old = _open(reception, 1)
    old.learn(3, 0.0)
    reception.lacks(old, 0.0, 3)
    _open(reception, 2)
    assert reception.told() == [GapAbandoned(old.peer_id, 1, 3)]
    assert reception.nack(5.0, 3, 1000) == ([], [])
    assert reception.when() is None
    assert reception.give_up(5.0, 3) == []
    assert reception.patience() is None


def test_fragments_without_an_end_count_towards_what_all_may_hold() -> None:
    """The hoarders lose most, and it is told."""
    reception = _reception(held=100_000)
    hoarders = [_open(reception, number) for number in range(20)]
    told = []
    for sequence in range(1, 40):
        for inbox in hoarders:
            kind = Kind.FIRST if sequence == 1 else Kind.MIDDLE
            body = bodies.encode_first(65_000, bytes(995)) if sequence == 1 else bytes(1000)
            if not reception.crowded(inbox, sequence, 1000, 0.0):
                inbox.accept(record(sequence, body, kind), None, 0.0)
                reception.lacks(inbox, 0.0, 3)
            told += reception.told()
            assert sum(each.waiting for each in hoarders) <= 100_000
    assert told
    assert all(isinstance(event, GapAbandoned) for event in told)


def test_a_hoarder_is_robbed_and_asks_again() -> None:
    reception = _reception(held=10_000)
    hoarders = [_open(reception, number) for number in range(6)]
    for inbox in hoarders:
        for sequence in (2, 3):
            assert not reception.crowded(inbox, sequence, 1000, 0.0)
            inbox.accept(record(sequence, bytes(990)), None, 0.0)
            reception.lacks(inbox, 0.0, 3)
    assert reception.crowded(hoarders[-1], 9, 2000, 0.0)
    robbed = [inbox for inbox in hoarders if not inbox.waiting]
    assert robbed
    assert all([(span.start, span.stop) for span in inbox.gaps] == [(1, 4)] for inbox in robbed)


def test_one_hoarder_alone_is_robbed_too() -> None:
    reception = _reception(held=1000)
    inbox = _open(reception, 1)
    inbox.accept(record(3, bytes(1200)), None, 0.0)
    reception.lacks(inbox, 0.0, 3)
    assert inbox.waiting == 0
    assert 3 in inbox.gaps


def test_a_piece_whose_beginning_cannot_come_is_not_kept() -> None:
    inbox = _inbox()
    inbox.accept(record(1, b"x", Kind.MIDDLE), None, 0.0)
    assert len(inbox.fragments) == 0
    inbox.accept(record(3, b"x", Kind.MIDDLE), None, 0.0)
    inbox.give_up(10.0, 5.0)
    assert len(inbox.fragments) == 1


def test_thousands_of_gaps_are_given_up_in_one_go() -> None:
    inbox = _inbox()
    for sequence in range(2, WINDOW, 2):
        inbox.accept(record(sequence), None, 0.0)
    calls = 0
    give_up = inbox.stream.give_up

    def counted(stop: int) -> object:
        nonlocal calls
        calls += 1
        return give_up(stop)

    inbox.stream.give_up = counted  # type: ignore[method-assign, assignment] # a tap
    events = inbox.give_up(10.0, 5.0)
    assert calls == 1
    told = [event.sequence if isinstance(event, Message) else event.first for event in events]  # type: ignore[union-attr] # only these two kinds
    assert told == list(range(1, WINDOW - 1))


def test_gaps_whose_time_has_not_come_are_kept() -> None:
    inbox = _inbox()
    inbox.accept(record(2), None, 0.0)
    inbox.accept(record(4), None, 3.0)
    events = inbox.give_up(5.0, 5.0)
    assert [type(event) for event in events] == [GapAbandoned, Message]
    assert 3 in inbox.gaps


def test_what_the_author_still_holds_is_not_given_up_with_what_it_overwrote() -> None:
    inbox = _inbox()
    inbox.learn(10, 0.0)
    inbox.overwritten(5, 0.0)
    assert inbox.patience(None) == 2.0
    assert inbox.give_up(2.0, None) == [GapAbandoned(RUN, 1, 4, "ada")]
    assert 5 in inbox.gaps


def test_records_beyond_the_window_are_asked_for_or_told() -> None:
    """Of a run that left, and that nobody answers for, the latest window is tried last."""
    inbox = _inbox(window=10)
    inbox.learn(35, 0.0)
    inbox.accept(record(1), None, 0.0)
    assert inbox.stream.high == 11
    inbox.depart(0.0, said=True)
    inbox.depart(1.0, said=False)
    told = []
    for now in range(60):
        inbox.asked(list(inbox.gaps), float(now))
        told += [event for event in inbox.give_up(now + 1.0, None) if isinstance(event, GapAbandoned)]
    assert [(event.first, event.last) for event in told] == [(2, 25), (26, 35)]
    assert inbox.stream.next == 36


@pytest.mark.parametrize("said", [True, False])
def test_who_left_is_asked_for_long_enough(said: bool) -> None:
    inbox = _inbox()
    assert inbox.patience(5.0) is None
    inbox.learn(1, 0.0)
    inbox.depart(0.0, said)
    for _ in range(LAST_TRIES):
        assert inbox.patience(None) is None
        inbox.asked(list(inbox.gaps), 0.1)
    assert inbox.patience(None) == (AFTER_GOODBYE if said else 300.0)
    inbox.returned()
    assert inbox.patience(None) is None


def test_the_first_record_after_joining_is_not_lost_when_nothing_was_heard_before() -> None:
    lan = simulation.Lan(1)
    ada = lan.join("ada")
    lan.run(20.0)
    ada.send("of before")
    lan.run(20.0)
    bob = lan.join("bob")
    lan.between(ada, bob, loss=1.0)
    lan.run(2.0)
    ada.send("of after")
    lan.run(0.01)
    lan.between(ada, bob)
    lan.run(30.0)
    assert _texts(bob) == ["of after"]


def test_a_known_peer_is_caught_up_with_wholly_after_a_partition() -> None:
    lan = simulation.Lan(2)
    ada = lan.join("ada")
    lan.run(20.0)
    bob = lan.join("bob")
    lan.run(20.0)
    lan.partition([ada], [bob])
    for number in range(400):
        ada.send(f"{number}")
        lan.run(0.1)
    lan.heal()
    lan.run(60.0)
    assert _texts(bob) == [f"{number}" for number in range(400)]


def test_a_gap_open_when_a_peer_expires_is_filled_when_it_is_back() -> None:
    lan = simulation.Lan(3)
    ada = lan.join("ada")
    lan.run(20.0)
    bob = lan.join("bob")
    lan.run(10.0)
    ada.send("zero")
    lan.run(10.0)
    lan.between(ada, bob, loss=1.0)
    ada.send("one")
    lan.run(0.006)
    lan.between(ada, bob)
    ada.send("two")
    lan.run(0.003)
    lan.partition([ada], [bob])
    lan.run(40.0)
    assert bob.peers() == []
    lan.heal()
    lan.run(30.0)
    assert _texts(bob) == ["zero", "one", "two"]


def test_holders_are_asked_after_a_goodbye_and_an_outage() -> None:
    lan = simulation.Lan(4)
    ada, carol = lan.join("ada"), lan.join("carol")
    bob = lan.join("bob")
    lan.run(10.0)
    ada.send("zero")
    lan.run(10.0)
    lan.between(ada, bob, loss=1.0)
    ada.send("one")
    lan.run(0.001)
    lan.between(ada, bob)
    ada.leave()
    lan.run(0.001)
    lan.partition([ada, carol], [bob])
    lan.run(1.0)
    lan.heal()
    lan.run(30.0)
    assert _texts(bob) == ["zero", "one"]


def test_a_passive_listener_goes_on_after_a_loss() -> None:
    lan = simulation.Lan(5)
    ada, bob = lan.join("ada"), lan.join("bob", passive=True)
    lan.run(20.0)
    lan.between(ada, bob, loss=1.0)
    ada.send("one")
    lan.run(0.01)
    lan.between(ada, bob)
    ada.send("two")
    lan.run(4.0)
    assert _texts(bob) == []
    lan.run(2.0)
    assert _texts(bob) == ["two"]
    assert ("GapAbandoned", 1, 1) in _gaps(bob)


@pytest.mark.parametrize("seed", range(5))
def test_hearsay_older_than_the_last_message_does_not_make_it_live(seed: int) -> None:
    lan = simulation.Lan(seed)
    ada = lan.join("ada")
    for number in range(4):
        lan.join(f"{number}")
    lan.run(30.0)
    ada.send("said before bob came")
    lan.run(0.1 + seed * 0.5)
    bob, hal = lan.join("bob"), lan.join("hal", history=True)
    lan.run(30.0)
    assert _texts(bob) == []
    assert all(message.history for message in hal.messages())


def test_a_record_of_a_peer_known_by_hearsay_opens_its_inbox() -> None:
    lan = simulation.Lan(6)
    lan.run(5.0)
    eve = Outsider(lan, age=4.0)
    bob = lan.join("bob")
    lan.run(1.0)
    frame = eve.announcement(high=4)
    eve.say(eve.key, f.Roster(bytes(16), 0, frame))
    assert [view.confirmed for view in bob.peers()] == [False]
    assert bob.engine._state.reception.get(eve.peer_id) is None
    eve.say(eve.record(5))
    assert _texts(bob) == ["x"]


def test_a_visitor_taken_to_be_gone_may_come_back() -> None:
    lan = simulation.Lan(7, settings=msgspec.structs.replace(presets.lan(), visitor_seconds=2.0))
    bob = lan.join("bob")
    eve = Outsider(lan)
    eve.say(eve.own_key, eve.record(2))
    lan.run(5.0)
    inbox = bob.engine._state.reception.get(eve.peer_id)
    assert inbox is not None
    assert inbox.departed
    eve.say(eve.record(3))
    assert not inbox.departed
    eve.say(eve.record(1))
    assert len(bob.messages()) == 3
    assert [event.name for event in bob.events() if isinstance(event, GapFilled)] == ["eve"]


def test_an_old_repair_opens_no_inbox_for_who_has_only_come() -> None:
    lan = simulation.Lan(8, settings=Settings())
    lan.run(5.0)
    eve = Outsider(lan, age=30.0)
    bob = lan.join("bob")
    eve.say(eve.key, eve.record(5, b"old", age=2.0))
    assert drops(bob, "not-asked") == 1
    assert bob.engine.stats()["inboxes"] == 0


def test_more_than_a_window_is_had_of_holders_after_a_goodbye() -> None:
    lan = simulation.Lan(9, settings=Settings(window=50))
    ada, carol, bob = (lan.join(name) for name in ("ada", "carol", "bob"))
    lan.run(20.0)
    ada.send("0")
    lan.run(1.0)
    lan.partition([ada, carol], [bob])
    for number in range(1, 160):
        ada.send(f"{number}")
        lan.run(0.01)
    lan.heal()
    ada.leave()
    lan.run(60.0)
    assert ada.engine.closed
    assert _texts(carol) == _texts(bob) == [f"{number}" for number in range(160)]
