"""What is held, what is said of it, what makes room, and what is kept back on another network."""

from __future__ import annotations

from math import inf
from random import Random
from typing import Any

import msgspec
import pytest

from mcast import simulation
from mcast.core.context import Context, Mode
from mcast.core.events import PeerId
from mcast.core.history import store as module
from mcast.core.history.store import AWAY, SWEEP, HeldRanges, Store, Summary, filled
from mcast.core.membership.roster import Peer, Roster
from mcast.core.rangeset import RangeSet
from mcast.core.reliability.sender import TransmitWindow
from mcast.crypto.keys import Identity
from mcast.crypto.rooms import open_room
from mcast.settings import Settings
from mcast.wire import limits
from mcast.wire.codec import decode_frames, encode_frame
from mcast.wire.frames import Age, Announcement, Holding, Vector
from mcast.wire.limits import DATAGRAM_SAFE
from mcast.wire.reasons import DropReason
from tests.unit.core.support import record

ADA, BOB, CYD = PeerId(b"a" * 16, 1), PeerId(b"b" * 16, 1), PeerId(b"c" * 16, 1)
OLD, NEW = PeerId(b"a" * 16, 1), PeerId(b"a" * 16, 2)  # of one identity
SIZE = len(record(1).payload)


class Kit:
    """A store with what it needs; `settings` are those that matter here."""

    def __init__(self, **settings: Any) -> None:
        identity = Identity(bytes(32))
        me = PeerId(identity.origin, 1)
        room, chosen = open_room("230.0.0.1:28003", "store"), Settings(**settings)
        self.context = Context(chosen, room, identity, me, "", Random(1), Mode(), 0.0, 0.0)
        self.sent = TransmitWindow(100, 100_000)
        self.roster = Roster(self.context, 10, 10)
        self.store = Store(self.context, self.sent, self.roster)

    def enter(self, peer_id: PeerId) -> None:
        """A peer comes."""
        frame = Announcement(*peer_id, 1, 0, 1, 0, 5000, 2000, 1452, 0, 0, bytes(8))
        assert self.roster.add(Peer(peer_id, "", frame, None, 0.0, True)) is None


def put(store: Store, peer_id: PeerId, sequence: int, now: float, age: float = 0.0) -> None:
    """Hold one record of SIZE bytes, heard on the first network."""
    store._context.networks.heard(peer_id, 1)
    assert store.add(peer_id, [record(sequence)], now, age)


def ranges(*pairs: tuple[int, int]) -> RangeSet:
    made = RangeSet()
    for start, stop in pairs:
        made.add(start, stop)
    return made


def test_what_was_let_go_is_not_wanted_back() -> None:
    held = HeldRanges()
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


def test_peers_of_which_something_was_let_go_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLOORS", 2)
    held = HeldRanges()
    for incarnation in range(3):
        held.add(PeerId(b"a" * 16, incarnation), [5])
        held.remove(PeerId(b"a" * 16, incarnation), [5])
    assert [held.floor(PeerId(b"a" * 16, incarnation)) for incarnation in range(3)] == [1, 6, 6]


def test_the_digest_does_not_depend_on_the_order_of_peers() -> None:
    one = Summary([(ADA, [(1, 5)]), (BOB, [(2, 4), (7, 9)])])
    other = Summary([(BOB, [(2, 4), (7, 9)]), (ADA, [(1, 5)])])
    assert one.digest == other.digest
    assert (one.records, len(one)) == (8, 2)
    assert one.pages == [(Holding(*ADA, 1, 4, ()), Holding(*BOB, 2, 8, ((4, 6),)))]
    assert [list(filled(holding)) for holding in one.pages[0]] == [[(1, 5)], [(2, 4), (7, 9)]]
    assert Summary([]).pages == [()]


def test_holes_too_wide_for_a_window_part_an_entry() -> None:
    pieces = [(1, 2), (100, 101), (9000, 9001)]
    (page,) = Summary([(ADA, pieces)]).pages
    assert [(entry.low, entry.high, entry.holes) for entry in page] == [
        (1, 100, ((2, 99),)),
        (9000, 9000, ()),
    ]


def test_every_page_of_vectors_fits_a_small_datagram() -> None:
    every_second = [(at, at + 1) for at in range(1, 6000, 2)]
    peers = [(PeerId(bytes([n]) * 16, n), every_second[: 40 * n]) for n in range(1, 60)]
    made = Summary(peers)
    assert len(made.pages) > 2
    for number, page in enumerate(made.pages):
        assert len(encode_frame(Vector(made.digest, number, len(made.pages), 1, page))) < DATAGRAM_SAFE - 40
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
    store = Kit(history_records=2, history_share=1.0).store
    assert not store.full
    put(store, ADA, 1, 0.0)
    put(store, ADA, 2, 0.0)
    assert store.full
    small = Kit(history_bytes=DATAGRAM_SAFE, payload=DATAGRAM_SAFE, history_share=1.0)
    assert small.store.full


def test_what_is_listed_is_listed_once_a_second() -> None:
    lan = simulation.Lan(25)
    ada = lan.join("ada")
    lan.run(1.0)
    ada.send("one")
    lan.run(0.1)
    store = ada.engine._store
    first = store.summary(1)
    ada.send("two")
    assert store.summary(1, 1.0) is first
    assert store.summary(1).records == 2
    ada.send("three")
    lan.run(2.0)
    assert store.summary(1, 1.0).records == 3


def test_only_what_is_not_new_says_its_age() -> None:
    lan = simulation.Lan(6)
    ada = lan.join("ada")
    lan.run(1.0)
    ada.send("x")
    at = lan.now
    encoded = ada.engine._store.encoded

    def kinds(now: float) -> list[object]:
        frames = decode_frames(b"".join(encoded(ada.engine.peer_id, 1, now)))
        assert isinstance(frames, list)
        return [frame.age if isinstance(frame, Age) else type(frame).__name__ for frame in frames]

    assert kinds(at + 0.09) == ["Record"]
    assert kinds(at + 0.2)[1:] == ["Record"]
    assert kinds(at + 1.0) == [1000, "Record"]
    assert kinds(at + 1e9) == [limits.AGE_MAX, "Record"]
    assert encoded(ada.engine.peer_id, 2, at) == []
    assert len(encode_frame(Age(1))) == 8


def test_those_whose_age_was_told_die_before_those_that_came_earlier() -> None:
    made = Kit(history_records=3, history_seconds=60.0, history_share=1.0).store
    put(made, ADA, 1, 0.0)
    put(made, ADA, 2, 10.0, 45.0)
    put(made, BOB, 1, 10.0, 50.0)
    assert made.too_old(60.0)
    assert not made.too_old(59.0)
    made.expire(20.0)
    assert len(made) == 3, "it is not looked for what is too old before SWEEP has passed"
    made.expire(20.0 + SWEEP)
    assert [made.get(*name) is not None for name in ((ADA, 1), (ADA, 2), (BOB, 1))] == [True, False, False]
    assert made.held.floor(BOB) == 1, "who says otherwise may be right"
    made.expire(60.0 + SWEEP)
    assert (len(made), made.bytes, made.held.floor(ADA)) == (0, 0, 1)
    put(made, BOB, 1, 70.0, 1.0)
    made.forget()
    put(made, BOB, 1, 80.0)
    made.expire(130.0)
    assert len(made) == 1


def test_what_is_too_old_is_counted_and_not_held() -> None:
    kit = Kit(history_seconds=60.0)
    assert not kit.store.add(ADA, [record(1), record(2)], 100.0, 60.0)
    assert (len(kit.store), kit.context.drops[DropReason.TOO_OLD]) == (0, 2)


def test_what_was_published_lately_is_listed_apart() -> None:
    lan = simulation.Lan(6)
    ada = lan.join("ada")
    lan.run(1.0)
    store, networks = ada.engine._store, ada.engine._context.networks
    for _ in range(3):
        ada.send("x")
        lan.run(10.0)
    old, long, new = (PeerId(bytes([at]) * 16, 1) for at in (1, 2, 3))
    for peer_id in (old, long, new):
        networks.heard(peer_id, 1)
    for peer_id, sequences, ages in (
        (old, (1, 2), (90.0, 80.0)),
        (long, (1, 2, 3, 5, 6, 9), (90.0, 80.0, 70.0, 14.0, 13.0, 1.0)),
        (new, (4,), (0.0,)),
    ):
        for sequence, age in zip(sequences, ages, strict=True):
            store.add(peer_id, [record(sequence)], lan.now, age)

    def listed(seconds: float) -> dict[PeerId, list[tuple[int, int]]]:
        summary = store.summary(1, since=lan.now - seconds)
        return {
            PeerId(holding.origin, holding.incarnation): list(filled(holding))
            for page in summary.pages
            for holding in page
        }

    me = ada.engine.peer_id
    assert listed(15.0) == {me: [(3, 4)], long: [(5, 7), (9, 10)], new: [(4, 5)]}
    assert listed(75.0) == {me: [(1, 4)], long: [(3, 4), (5, 7), (9, 10)], new: [(4, 5)]}
    assert listed(0.5) == {new: [(4, 5)]}
    assert store.summary(1, since=lan.now - 1000.0).digest == store.summary(1).digest


def test_a_copy_changes_nothing() -> None:
    store = Kit().store
    put(store, ADA, 1, 0.0)
    changes = store.held.changes
    put(store, ADA, 1, 5.0)
    assert (len(store), store.bytes, store.held.changes) == (1, SIZE, changes)


def test_what_was_pushed_out_is_not_waited_for() -> None:
    made = Kit(history_records=2, history_seconds=60.0, history_share=1.0).store
    for sequence in range(1, 300):
        put(made, ADA, sequence, 0.0, 1.0)
    made.expire(100.0)
    assert len(made) == 0


def test_of_an_origin_the_lowest_of_the_peer_that_came_first_makes_room() -> None:
    made = Kit(history_records=8, history_seconds=600.0, history_share=0.5).store
    for sequence in range(1, 5):
        put(made, NEW, sequence, 100.0)
        put(made, OLD, sequence, 110.0, 60.0)
    assert [list(made.held.of(peer_id)) for peer_id in (OLD, NEW)] == [[(3, 5)], [(3, 5)]]
    assert made.held.floor(OLD) == 3
    assert (len(made), made.bytes) == (4, 4 * SIZE)
    put(made, NEW, 6, 120.0, 5.0)
    put(made, NEW, 5, 121.0)
    assert [list(made.held.of(peer_id)) for peer_id in (OLD, NEW)] == [[(4, 5)], [(4, 7)]]


def test_a_lie_about_the_age_of_the_newest_does_not_keep_from_fetching_others() -> None:
    made = Kit(history_records=8, history_seconds=600.0, history_share=0.5).store
    for sequence in range(1, 5):
        put(made, NEW, sequence, 100.0)
    put(made, NEW, 9, 101.0, 500.0)
    assert (list(made.held.of(NEW)), made.held.floor(NEW)) == ([(2, 5), (9, 10)], 2)


def test_of_all_origins_what_came_first_makes_room() -> None:
    made = Kit(history_records=4, history_seconds=600.0, history_share=0.9).store
    for peer_id, age in ((ADA, 0.0), (BOB, 50.0)):
        for sequence in range(1, 4):
            put(made, peer_id, sequence, 100.0, age)
    assert [list(made.held.of(peer_id)) for peer_id in (ADA, BOB)] == [[(3, 4)], [(1, 4)]]


# Another network


def test_what_was_heard_elsewhere_is_kept_back_until_somebody_of_there_is_heard() -> None:
    kit = Kit()
    store, me = kit.store, kit.context.me
    put(store, CYD, 1, 0.0)
    kit.sent.add(1, [b"x"] * 7, 0.0)
    kit.enter(ADA)
    assert (store.withheld, store.withheld_until) == (False, inf)
    store.withhold(10.0)
    kit.sent.add(8, [b"x"] * 2, 10.5)
    assert store.lookup(me, 7) is None
    assert store.lookup(me, 9) is not None
    kit.enter(BOB)
    store.withhold(11.0)
    assert (store.withheld, store.withheld_until) == (True, 10.0 + AWAY)
    assert [store.lookup(*name) for name in ((CYD, 1), (me, 9))] == [None, None]
    assert store.summary(1).records == 0
    kit.sent.add(10, [b"x"], 12.0)
    assert store.summary(1).records == 1
    store.peer_heard(BOB)
    assert store.withheld, "who was met elsewhere is nobody of before"
    store.peer_heard(ADA)
    assert (store.withheld, store.withheld_until) == (False, inf)
    assert store.summary(1).records == 11


def test_when_nobody_of_before_is_heard_what_was_said_there_is_forgotten() -> None:
    kit = Kit()
    store, me = kit.store, kit.context.me
    put(store, CYD, 1, 0.0)
    kit.sent.add(1, [b"x"] * 9, 0.0)
    store.withhold(20.0)
    kit.enter(ADA)
    store.withhold(30.0)
    store.peer_heard(ADA)
    assert (store.withheld, store.withheld_until) == (True, 80.0)
    kit.sent.add(10, [b"x"], 40.0)
    store.forget()
    assert (store.withheld, store.withheld_until) == (False, inf)
    assert (len(store), store.bytes, store.holds(CYD.origin), list(store.held)) == (0, 0, False, [])
    assert [store.lookup(me, sequence) is not None for sequence in (9, 10)] == [False, True]
    assert store.summary(1).records == 1


@pytest.mark.parametrize("mode", [{"passive": True}, {"visitor": True}])
def test_who_only_listens_or_visits_holds_nothing_for_longer_either(mode: dict[str, Any]) -> None:
    lan = simulation.Lan(1, settings=Settings(history_seconds=60.0))
    ada, bob = lan.join("ada"), lan.join("bob", **mode)
    lan.run(3.0)
    ada.send("hi")
    lan.run(10.0)
    assert len(bob.engine._store) == 1
    lan.run(80.0)
    assert len(bob.engine._store) == 0


def test_what_exceeds_the_share_of_its_author_is_not_restored() -> None:
    store = Kit(history_records=8, history_seconds=60.0, history_share=0.25).store
    first = msgspec.structs.replace(record(1), origin=ADA.origin)
    for sequence in (3, 2, 1):
        store.restore(msgspec.structs.replace(first, sequence=sequence), 0.0, 1.0)
    assert list(store.held.of(ADA)) == list(store._restored[ADA]) == [(2, 4)]
