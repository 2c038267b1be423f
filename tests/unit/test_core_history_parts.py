"""The parts that keep all members holding the same records, one by one."""

from __future__ import annotations

import itertools
from hashlib import sha256
from random import Random

import pytest
from mcast.core.digests import Digests, News
from mcast.core.holdings import Catalogue, Held, filled
from mcast.core.ranges import RangeSet
from mcast.core.recall import Recall
from mcast.core.retention import Retention, Sent
from mcast.core.serving import Errand, Serving
from mcast.core.syncing import Syncing
from mcast.core.trickle import Trickle
from mcast.core.whereabouts import PATIENCE, Whereabouts

from mcast.core import holdings, recall, serving, syncing
from mcast.core.events import GapAbandoned, Message
from mcast.core.peer_id import PeerId
from mcast.wire.codec import encode_frame
from mcast.wire.frames import BY_MULTICAST, Echo, Holding, RangeRequest, Vector, VectorRequest
from mcast.wire.limits import DATAGRAM_SAFE
from mcast.wire.records import Kind, Record
from tests.unit.core.support import record

ADA, BOB = PeerId(b"a" * 16, 1), PeerId(b"b" * 16, 1)
HERE, THERE = ("10.0.0.1", 1), ("10.0.0.2", 1)
TRUE = sha256(b"").digest()[:16]  # of who holds nothing: the pages here list nothing


def ranges(*pairs: tuple[int, int]) -> RangeSet:
    made = RangeSet()
    for start, stop in pairs:
        made.add(start, stop)
    return made


# Held


def test_what_was_let_go_is_not_wanted_back() -> None:
    held = Held()
    for sequence in (1, 2, 3):
        held.add(ADA, [sequence])
    held.remove(ADA, [2])
    assert list(held.of(ADA)) == [(1, 2), (3, 4)]
    assert (held.floor(ADA), held.floor(BOB)) == (3, 1)
    held.remove(ADA, [1])
    assert held.floor(ADA) == 3
    held.remove(ADA, [3])
    assert list(held) == []
    held.clear()
    assert held.floor(ADA) == 1


def test_runs_of_which_something_was_let_go_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "FLOORS", 2)
    held = Held()
    for incarnation in range(3):
        held.add(PeerId(b"a" * 16, incarnation), [5])
        held.remove(PeerId(b"a" * 16, incarnation), [5])
    assert [held.floor(PeerId(b"a" * 16, incarnation)) for incarnation in range(3)] == [1, 6, 6]


def test_the_digest_does_not_depend_on_the_order_of_runs() -> None:
    one = Catalogue([(ADA, [(1, 5)]), (BOB, [(2, 4), (7, 9)])])
    other = Catalogue([(BOB, [(2, 4), (7, 9)]), (ADA, [(1, 5)])])
    assert one.digest == other.digest
    assert (one.records, len(one)) == (8, 2)
    assert one.pages == [(Holding(*ADA, 1, 4, ()), Holding(*BOB, 2, 8, ((4, 6),)))]
    assert [list(filled(holding)) for holding in one.pages[0]] == [[(1, 5)], [(2, 4), (7, 9)]]
    assert Catalogue([]).pages == []


def test_holes_too_wide_for_a_window_part_an_entry() -> None:
    pieces = [(1, 2), (100, 101), (9000, 9001)]
    (page,) = Catalogue([(ADA, pieces)]).pages
    assert [(entry.low, entry.high, entry.holes) for entry in page] == [
        (1, 100, ((2, 99),)),
        (9000, 9000, ()),
    ]


def test_every_page_of_vectors_fits_a_small_datagram() -> None:
    every_second = [(at, at + 1) for at in range(1, 6000, 2)]
    runs = [(PeerId(bytes([n]) * 16, n), every_second[: 40 * n]) for n in range(1, 60)]
    made = Catalogue(runs)
    assert len(made.pages) > 2
    for number, page in enumerate(made.pages):
        assert len(encode_frame(Vector(made.digest, number, len(made.pages), page))) < DATAGRAM_SAFE - 40
    told = [pair for page in made.pages for holding in page for pair in filled(holding)]
    assert sum(stop - start for start, stop in told) == made.records


def test_a_holding_may_begin_with_a_hole() -> None:
    assert list(filled(Holding(*ADA, 3, 9, ((3, 4), (9, 9))))) == [(5, 9)]


def test_only_the_ranges_within_are_looked_at() -> None:
    made = ranges((1, 5), (7, 9), (20, 30))
    assert list(made.within(3, 22)) == [(3, 5), (7, 9), (20, 22)]
    assert list(made.within(5, 7)) == []
    assert list(made.within(25, 99)) == [(25, 30)]
    assert list(ranges().within(1, 9)) == []
    assert (made.high, ranges().high) == (29, 0)


def test_only_what_is_there_is_cut() -> None:
    made = ranges((1, 5), (7, 9), (20, 30))
    for start, stop in ((5, 7), (3, 3), (30, 99), (9, 8)):
        made.cut(start, stop)
    assert list(made) == [(1, 5), (7, 9), (20, 30)]
    made.cut(3, 25)
    assert list(made) == [(1, 3), (25, 30)]


def test_what_is_old_pushes_nothing_out() -> None:
    made = Retention(records=2, size=10_000, seconds=60.0, share=1.0)
    assert not made.full
    made.add(ADA, 1, b"x", 0.0)
    made.add(ADA, 2, b"x", 0.0)
    assert made.full
    assert Retention(records=9, size=1000, seconds=60.0, share=1.0).full


# Trickle


def test_the_longer_all_agree_the_rarer_the_word() -> None:
    trickle = Trickle(Random(1), 1.0, 8.0)
    assert trickle.when() is None
    assert not trickle.due(0.0, 2)
    trickle.reset(0.0, 2)
    trickle.reset(0.1, 2)
    spoken, now = [], 0.0
    while now < 60.0:
        when = trickle.when()
        assert when is not None
        now = max(now, when)
        if trickle.due(now, 2):
            spoken.append(now)
    waits = [later - before for before, later in itertools.pairwise(spoken)]
    assert 0.5 <= spoken[0] <= 1.0
    assert waits[0] < waits[2] < 8.0
    assert max(waits) <= 12.0
    trickle.reset(now, 2)
    assert (trickle.when() or 0) - now <= 1.0


def test_one_consistent_word_is_enough() -> None:
    trickle = Trickle(Random(1), 1.0, 8.0)
    trickle.reset(0.0, 2)
    trickle.consistent(everywhere=True)
    assert not trickle.due(1.0, 2)


def test_words_that_some_do_not_hear_are_enough_when_they_are_many() -> None:
    trickle = Trickle(Random(1), 1.0, 8.0)
    trickle.reset(0.0, 2)
    for _ in range(7):
        trickle.consistent(everywhere=False)
    assert trickle.due(1.0, 2)
    trickle.due(1.0, 2)
    for _ in range(8):
        trickle.consistent(everywhere=False)
    assert not trickle.due(3.0, 2)


# Digests


def test_digests_heard_are_remembered_for_a_while_and_bounded() -> None:
    digests = Digests(2, 10.0)
    assert digests.new(b"1", 0.0)
    assert not digests.new(b"1", 9.0)
    assert digests.new(b"1", 20.0)
    assert digests.new(b"2", 20.0)
    assert digests.new(b"3", 20.0)
    assert digests.new(b"1", 20.0)


def test_a_digest_counts_when_it_is_quiet_or_has_not_been_for_long() -> None:
    news = News(1.0, 10.0)
    assert (news.when(), news.due(0.0)) == (None, False)
    assert news.counts(0.0)
    news.came(5.0)
    assert not news.counts(5.5)
    assert news.when() == 6.0
    assert not news.due(5.9)
    assert news.due(6.0)
    assert news.counts(6.0)
    for at in range(7, 17):
        news.came(at)
    assert news.counts(16.5)


# Whereabouts


def test_what_was_heard_elsewhere_is_kept_back_until_somebody_of_there_is_heard() -> None:
    where = Whereabouts()
    assert not where.unsure
    assert where.when() is None
    assert not where.gone(100.0)
    where.lost(10.0, 7, [ADA])
    where.lost(11.0, 9, [ADA, BOB])
    assert (where.unsure, where.when(), where.sent) == (True, 10.0 + PATIENCE, 9)
    where.heard(BOB)
    assert where.unsure, "who was met elsewhere is nobody of before"
    where.heard(ADA)
    assert not where.unsure
    where.lost(20.0, 9, [])
    where.lost(30.0, 9, [ADA])
    where.heard(ADA)
    assert where.unsure
    assert not where.gone(79.0)
    assert where.gone(80.0)
    assert not where.unsure


def test_own_records_are_forgotten_up_to_one() -> None:
    sent = Sent(10, 1000)
    for sequence in (1, 2, 3):
        sent.add(sequence, b"x", 0.0)
    sent.forget(2)
    assert (sent.low, sent.high, sent.get(2), sent.get(3)) == (3, 3, None, b"x")
    sent.forget(9)
    assert sent.low == 4


# Syncing


def asking() -> Syncing:
    made = Syncing(Random(1))
    made.told(HERE, TRUE, 1.0)
    return made


def question(made: Syncing, now: float) -> tuple[tuple[object, ...], object]:
    asked = made.tick(now, 1000)
    assert asked is not None
    return asked


def test_one_teller_is_asked_from_the_first_page_to_the_last_record() -> None:
    made = asking()
    assert made
    assert made.when() == 1.0
    assert made.tick(0.5, 1000) is None
    assert question(made, 1.0) == ((VectorRequest(TRUE, 0),), HERE)
    assert made.challenged(HERE, b"token..1", 1.01)
    assert question(made, 1.01) == ((Echo(b"token..1"), VectorRequest(TRUE, 0)), HERE)
    assert made.expects(HERE, TRUE, 0, 1.02)
    assert not made.expects(THERE, TRUE, 0, 1.02)
    assert not made.expects(HERE, TRUE, 1, 1.02)
    made.page(Vector(TRUE, 0, 2, ()), {ADA: ranges((1, 3))}, 1.02)
    (_echo, request), to = question(made, 1.02)
    assert isinstance(request, RangeRequest)
    assert (request.missing[0].ranges, request.flags, to) == (((1, 2),), 0, HERE)
    assert made.wants(ADA, 1)
    assert not made.wants(ADA, 3)
    assert not made.expects(HERE, TRUE, 0, 1.03)
    made.got(ADA, 1, 1.03)
    made.got(ADA, 1, 1.03)
    made.got(BOB, 1, 1.03)
    made.got(ADA, 2, 1.04)
    assert question(made, 1.04)[0][1] == VectorRequest(TRUE, 1)
    made.page(Vector(TRUE, 0, 2, ()), {}, 1.05)
    assert not made
    assert made.when() is None
    assert made.settled(HERE, TRUE, 1e9)
    made.page(Vector(TRUE, 0, 2, ()), {}, 1.05)
    made.got(ADA, 1, 1.05)
    assert not made.wants(ADA, 1)
    assert not made.challenged(HERE, b"token..1", 1.1)


def test_who_does_not_answer_is_asked_by_multicast_and_then_given_up() -> None:
    made = asking()
    flags = []
    now = 1.0
    while made:
        asked = made.tick(now, 1000)
        if asked is not None:
            (request,) = asked.frames
            assert isinstance(request, VectorRequest)
            flags.append(request.flags)
        now = made.when() or now
    assert flags == [0] + [BY_MULTICAST] * (syncing.TRIES - 1)
    assert made.settled(HERE, TRUE, now)
    assert not made.settled(HERE, TRUE, now + syncing.SULK)


def test_what_was_answered_by_multicast_goes_on_so() -> None:
    made = asking()
    question(made, 1.0)
    question(made, 1.2)
    made.page(Vector(TRUE, 0, 1, ()), {ADA: ranges((1, 3))}, 1.25)
    request = question(made, 1.25)[0][0]
    assert isinstance(request, RangeRequest)
    assert request.flags == BY_MULTICAST


def test_who_answers_by_unicast_is_not_made_to_bother_everybody() -> None:
    made = asking()
    question(made, 1.0)
    assert made.challenged(HERE, b"token...", 1.0)
    echo = Echo(b"token...")
    for at in (1.0, 1.15, 1.3):  # what is lost now and then is no firewall
        assert question(made, at) == ((echo, VectorRequest(TRUE, 0)), HERE)


def test_a_teller_whose_holdings_change_meanwhile_is_compared_again() -> None:
    made = asking()
    question(made, 1.0)
    made.page(Vector(b"e" * 16, 0, 2, ()), {}, 1.0)
    made.page(Vector(b"f" * 16, 0, 2, ()), {}, 1.0)
    assert not made.settled(HERE, b"f" * 16, 1.0)


def test_a_liar_settles_nothing_but_his_own_word() -> None:
    """He lists nothing under the digest of somebody who holds much."""
    made = asking()
    made.told(HERE, b"e" * 16, 1.0)
    question(made, 1.0)
    made.page(Vector(b"e" * 16, 0, 1, ()), {}, 1.0)
    assert made.settled(HERE, b"e" * 16, 1.0)
    assert not made.settled(HERE, b"e" * 16, 1.0 + syncing.SULK)
    assert not made.settled(THERE, b"e" * 16, 1.0)


def test_a_page_that_others_asked_for_serves_us_too() -> None:
    made = asking()
    assert made.expects(HERE, TRUE, 0, 0.5)
    made.told(HERE, b"g" * 16, 0.5)
    made.told(THERE, b"g" * 16, 3.0)
    made.page(Vector(TRUE, 0, 1, ()), {}, 0.5)
    assert made.when() == 3.0
    made.told(THERE, b"h" * 16, 9.0)
    assert made.when() == 3.0


def test_a_teller_that_keeps_challenging_is_not_heeded_for_ever() -> None:
    made = asking()
    question(made, 1.0)
    heeded = [made.challenged(HERE, bytes([n]) * 8, 1.0) for n in range(20)]
    assert heeded.count(True) == syncing.CHALLENGES


def test_a_teller_that_hands_out_little_by_little_is_left() -> None:
    made = asking()
    question(made, 1.0)
    made.page(Vector(TRUE, 0, 1, ()), {ADA: ranges((1, 5000))}, 1.0)
    now = 1.0
    while made:
        made.got(ADA, round(now * 10), now)
        now += 0.1
        made.tick(now, 1000)
        assert now < 2 * syncing.LONGEST


def test_tellers_and_digests_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syncing, "TELLERS", 2)
    monkeypatch.setattr(syncing, "SETTLED", 1)
    made = asking()
    for number in range(3):
        made.told(("10.1.1.1", number), bytes([number]) * 16, 0.0)
    for _ in range(2):
        question(made, 1.0)
        made.page(Vector(b"%d" % _ * 16, 0, 1, ()), {}, 1.0)
    assert not made
    assert len(made._settled) == 1


def test_who_announced_itself_keeps_its_place_in_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syncing, "TELLERS", 2)
    monkeypatch.setattr(syncing, "MET", 2)
    made = asking()
    for number in (7, 8, 9, 8):
        made.met(("10.2.2.2", number))
    made.told(("10.2.2.2", 8), b"h" * 16, 0.0)
    for number in range(40):
        made.told(("10.1.1.1", number), b"f" * 16, 0.0)
    assert list(made._tellers) == [("10.2.2.2", 8), ("10.1.1.1", 39)], "forgeries push out each other"
    made.told(("10.2.2.2", 9), b"h" * 16, 0.0)
    assert list(made._tellers) == [("10.2.2.2", 8), ("10.2.2.2", 9)]
    made.met(("10.2.2.2", 1))
    made.told(("10.2.2.2", 1), b"h" * 16, 0.0)
    assert list(made._tellers) == [("10.2.2.2", 8), ("10.2.2.2", 1)], "9 announced itself least lately"


def test_a_request_asks_for_what_fits() -> None:
    many = {PeerId(bytes([n]) * 16, n): ranges(*((at, at + 1) for at in range(1, 400, 2))) for n in range(9)}
    made = asking()
    question(made, 1.0)
    made.page(Vector(TRUE, 0, 1, ()), many, 1.0)
    asked = made.tick(1.0, 1000)
    assert asked is not None
    assert len(encode_frame(asked.frames[0])) <= 1000
    far = asking()
    question(far, 1.0)
    far.page(Vector(TRUE, 0, 1, ()), {ADA: ranges((1, 2**60)), BOB: ranges((1, 9))}, 1.0)
    request = question(far, 1.0)[0][0]
    assert isinstance(request, RangeRequest)
    assert [entry.ranges for entry in request.missing] == [((1, syncing.CHUNK),)]


# Serving


def taken(made: Serving, room: int = 250, now: float = 0.0) -> tuple[object, list[int]]:
    page = made.page(now, room, lambda errand: 100)
    return page.to, [errand.sequence for errand in page.errands]


def test_those_who_ask_are_served_in_turn() -> None:
    made = Serving()
    assert made.ask(HERE, ADA, [1, 2, 3], 0.0, to_all=False)
    assert made.ask(THERE, BOB, [7], 0.0, to_all=False)
    assert made.queues
    assert taken(made) == (HERE, [1, 2])
    assert taken(made) == (THERE, [7])
    assert taken(made) == (HERE, [3])
    assert not made.queues


def test_the_first_record_of_an_origin_in_a_datagram_brings_the_key() -> None:
    made = Serving()
    made.ask(HERE, ADA, [1, 2], 0.0, to_all=False)
    made.ask(HERE, BOB, [3], 0.0, to_all=False)
    page = made.page(0.0, 1000, lambda errand: 10)
    assert page.errands == [Errand(ADA, 1, True), Errand(ADA, 2, False), Errand(BOB, 3, True)]


def test_what_three_ask_for_within_a_second_goes_to_all_once() -> None:
    made = Serving()
    askers = [("10.0.0.1", port) for port in range(4)]
    for asker in askers[:2]:
        made.ask(asker, ADA, [1], 0.0, to_all=False)
    made.ask(askers[2], ADA, [1], 0.5, to_all=False)
    assert [taken(made, now=0.5)[0] for _ in range(3)] == [askers[0], askers[1], None]
    made.ask(askers[3], ADA, [1], 0.55, to_all=False)
    assert not made.queues
    made.ask(askers[3], ADA, [1], 0.6, to_all=True)
    assert taken(made, now=0.6) == (None, [1]), "who lost it asks again after 0.1 s"


def test_queues_askers_and_traces_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ASKERS", "EACH", "RUNS", "TRACES"):
        monkeypatch.setattr(serving, name, 1)
    made = Serving()
    assert made.ask(HERE, ADA, [1], 0.0, to_all=True)
    assert not made.ask(HERE, ADA, [2], 0.0, to_all=True)
    assert not made.ask(THERE, BOB, [1], 0.0, to_all=False)
    taken(made)
    made.ask(HERE, BOB, [1], 0.0, to_all=True)
    taken(made)
    assert len(made._to_all) == len(made._askers) == 1
    made.ask(HERE, BOB, [5], 0.0, to_all=True)
    made.clear()
    assert not made.queues


# Recall


def said(
    sequence: int, sent: int, run: PeerId = ADA, kind: Kind = Kind.MESSAGE, body: bytes = b"x"
) -> Record:
    made = record(sequence, body, kind, sent)
    return Record(*run, sequence, sent, kind, 0, made.body, 1, 0, bytes(64), b"", made.payload)


def tell(made: Recall, wall: int = 10_000) -> list[tuple[int, int]]:
    events = made.tell(lambda origin: "ada", wall, 0.0)
    assert all(event.history for event in events if isinstance(event, Message))
    return [(e.sequence, e.sent) if isinstance(e, Message) else (-1, 0) for e in events]


def test_the_past_is_told_in_the_order_of_time_and_of_each_run() -> None:
    made = Recall(None, None, 0.0)
    assert made.when(False) is None
    made.add(BOB, said(1, 50, BOB), 1.0)
    made.add(ADA, said(2, 40), 2.0)
    made.add(ADA, said(1, 60), 2.0)
    assert made
    assert (made.reached(ADA), made.reached(PeerId(b"c" * 16, 1))) == (2, 0)
    assert (made.when(True), made.when(False)) == (1.0 + recall.PATIENCE, 1.0 + recall.PAUSE)
    assert tell(made) == [(1, 50), (1, 60), (2, 40)]
    assert not made


def test_a_hole_in_the_past_is_told() -> None:
    made = Recall(None, None, 0.0)
    for sequence in (1, 4):
        made.add(ADA, said(sequence, sequence), 0.0)
    events = made.tell(lambda origin: "ada", 0, 0.0)
    assert [type(event) for event in events] == [Message, GapAbandoned, Message]
    made.add(ADA, said(7, 7), 0.0)
    made.add(ADA, said(9, 7, kind=Kind.FIRST, body=b"\0\0\0\x09x"), 0.0)
    assert [type(event) for event in made.tell(str, 0, 0.0)] == [Message, GapAbandoned]


def test_what_comes_before_what_was_told_is_late() -> None:
    made = Recall(None, None, 0.0)
    made.add(ADA, said(5, 5), 0.0)
    tell(made)
    made.add(ADA, said(4, 4), 0.0)
    made.add(ADA, said(6, 6), 0.0)
    made.add(ADA, said(5, 5), 0.0)
    events = [event for event in made.tell(str, 0, 0.0) if isinstance(event, Message)]
    assert [(event.sequence, event.late) for event in events] == [(4, True), (6, False)], "nothing twice"


def test_only_what_was_asked_for_is_told_the_first_time() -> None:
    last, since = Recall(2, None, 0.0), Recall(None, 3.0, 0.0)
    none, all_ = Recall(0, None, 0.0), Recall(9, None, 0.0)
    for made in (last, since, none, all_):
        for sequence in (1, 2, 3, 4):
            made.add(ADA, said(sequence, 1000 * sequence), 0.0)
    assert tell(last, 6000) == [(3, 3000), (4, 4000)]
    assert tell(since, 6000) == [(3, 3000), (4, 4000)]
    assert tell(none) == []
    assert len(tell(all_)) == 4
    last.add(ADA, said(5, 5000), 0.0)
    last.add(ADA, said(6, 6000), 0.0)
    last.add(ADA, said(7, 7000), 0.0)
    assert len(tell(last)) == 3


def test_the_past_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "RECORDS", 2)
    monkeypatch.setattr(recall, "RUNS", 1)
    made = Recall(None, None, 0.0)
    for sequence in (1, 2, 3):
        made.add(ADA, said(sequence, 1), 0.0)
    made.add(BOB, said(1, 1, BOB), 0.0)
    assert tell(made) == [(3, 1), (1, 1)]
    assert len(made._told) == 1
    made.add(ADA, said(1, 1), 0.0)
    made.clear()
    assert not made
